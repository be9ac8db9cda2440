"""The ledger: every line on the disk before the call that creates, read back whatever became of its writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker import Cloud, Ledger, Resource
from birdsod.estimator.sagemaker.ledger import KINDS, caller_tag

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.estimator.sagemaker.ledger import Kind
    from birdsod.testing import FakeSageMaker

ENDPOINT = Resource("endpoint", "birds", "us-east-1", "123456789012")
MODEL = Resource("model", "birds", "us-east-1", "123456789012")
ELSEWHERE = Resource("endpoint", "birds", "eu-west-1", "123456789012")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "notes" / "ledger.jsonl")


def open_in(ledger: Ledger, **where: str) -> list[Resource]:
    return [entry.resource for entry in ledger.open_resources(**where)]


def test_what_is_planned_is_open_until_it_is_gone(ledger: Ledger) -> None:
    assert open_in(ledger) == []
    ledger.plan(MODEL)
    ledger.plan(ENDPOINT)
    assert open_in(ledger) == [MODEL, ENDPOINT]
    ledger.gone(MODEL)
    assert open_in(ledger) == [ENDPOINT]
    assert open_in(Ledger(ledger.path)) == [ENDPOINT]


def test_looking_makes_no_file(ledger: Ledger) -> None:
    assert open_in(ledger) == []
    assert not ledger.path.exists()


def test_planned_again_is_open_again_once(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.plan(MODEL)
    ledger.gone(MODEL)
    assert open_in(ledger) == []
    ledger.plan(MODEL)
    assert open_in(ledger) == [MODEL]


def test_entries_are_found_by_place_and_carry_their_moment(ledger: Ledger) -> None:
    before = datetime.now(UTC)
    ledger.plan(ENDPOINT)
    ledger.plan(ELSEWHERE)
    assert open_in(ledger, region="eu-west-1") == [ELSEWHERE]
    assert open_in(ledger, region="us-east-1", account="123456789012") == [ENDPOINT]
    assert open_in(ledger, account="999999999999") == []
    assert before <= ledger.open_resources()[0].planned <= datetime.now(UTC)


def test_the_id_is_made_once_for_each_file(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.id == Ledger(ledger.path).id
    assert ledger.id != Ledger(tmp_path / "other.jsonl").id
    ledger.plan(MODEL)
    assert ledger.id == json.loads(ledger.path.read_text(encoding="utf-8").splitlines()[0])["ledger"]


@pytest.mark.parametrize("kept", range(0, 130, 9))
def test_a_line_that_its_writer_never_finished_does_not_count(ledger: Ledger, kept: int) -> None:
    ledger.plan(MODEL)
    whole = ledger.path.read_bytes()
    ledger.plan(ENDPOINT)
    last = ledger.path.read_bytes()[len(whole) :]
    ledger.path.write_bytes(whole + last[: min(kept, len(last) - 1)])
    assert open_in(ledger) == [MODEL]
    ledger.plan(ENDPOINT)
    assert open_in(ledger) == [MODEL, ENDPOINT]


def test_a_first_line_that_was_never_finished_is_written_anew(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    ledger.path.write_bytes(b'{"birdsod": 1, "led')
    ledger.plan(MODEL)
    assert open_in(ledger) == [MODEL]
    assert len(ledger.id) == 32


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'{"event": "plan", "kind": "model"}',
        b'{"event": "plan", "kind": "castle", "name": "a", "region": "b", "account": "c", "at": "2026-01-01"}',
        b'{"event": "burn", "kind": "model", "name": "a", "region": "b", "account": "c", "at": "2026-01-01"}',
        b'{"event": "plan", "kind": "model", "name": "a", "region": "b", "account": "c", "at": "tomorrow"}',
    ],
)
def test_a_line_that_is_none_is_told_with_its_place(ledger: Ledger, line: bytes) -> None:
    ledger.plan(MODEL)
    with ledger.path.open("ab") as stream:
        stream.write(line + b"\n")
    with pytest.raises(CloudError, match="no line of a ledger") as caught:
        ledger.open_resources()
    assert (caught.value.path, caught.value.line) == (str(ledger.path), 3)
    assert "birdsod cleanup" in str(caught.value.cure)


def test_a_file_that_is_something_else_is_no_ledger(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    ledger.path.write_text("my diary\n", encoding="utf-8")
    for use in (ledger.open_resources, lambda: ledger.plan(MODEL), lambda: ledger.id):
        with pytest.raises(CloudError, match="no line of a ledger"):
            use()
    assert ledger.path.read_text(encoding="utf-8") == "my diary\n"


def test_a_place_that_cannot_be_written_is_told_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CloudError, match="cannot be kept") as caught:
        Ledger(tmp_path / "file" / "ledger.jsonl").plan(MODEL)
    assert "BIRDSOD_LEDGER" in str(caught.value.cure)


def test_a_disk_that_is_full_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = ledger.id

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CloudError, match="No space left"):
        ledger.plan(MODEL)


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ledger().path == tmp_path / "state" / "birdsod" / "ledger.jsonl"
    monkeypatch.setenv("BIRDSOD_LEDGER", str(tmp_path / "mine"))
    assert Ledger().path == tmp_path / "mine"
    monkeypatch.delenv("BIRDSOD_LEDGER")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Ledger().path == tmp_path / ".local" / "state" / "birdsod" / "ledger.jsonl"
    assert repr(Ledger("a.jsonl")) == "Ledger('a.jsonl')"


def test_several_processes_write_whole_lines(ledger: Ledger) -> None:
    code = (
        "import sys\nfrom birdsod.estimator.sagemaker.ledger import Ledger, Resource\n"
        "for k in range(20):\n    Ledger(sys.argv[1]).plan(Resource('model', f'{sys.argv[2]}-{k}', 'r', 'a'))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(ledger.path), str(number)]) for number in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert {resource.name for resource in open_in(ledger)} == {f"{n}-{k}" for n in range(3) for k in range(20)}
    assert len(ledger.path.read_text(encoding="utf-8").splitlines()) == 61


@given(
    st.lists(st.tuples(st.sampled_from(["plan", "gone"]), st.sampled_from(KINDS), st.sampled_from("ab")), max_size=12)
)
def test_the_ledger_is_what_a_set_would_be(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, Kind, str]]
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    expected: set[Resource] = set()
    for event, kind, name in events:
        resource = Resource(kind, name, "us-east-1", "123456789012")
        getattr(ledger, event)(resource)
        (expected.add if event == "plan" else expected.discard)(resource)
    assert set(open_in(ledger)) == expected


def test_tags_tell_ledger_caller_and_moment(fake: FakeSageMaker, ledger: Ledger) -> None:
    cloud = Cloud.of(fake.session())
    tags = ledger.tags(cloud)
    assert list(tags) == ["birdsod:ledger", "birdsod:caller", "birdsod:created"]
    assert tags["birdsod:ledger"] == ledger.id
    assert tags["birdsod:caller"] == cloud.caller
    assert datetime.fromisoformat(tags["birdsod:created"]).tzinfo == UTC


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=400), st.text(max_size=300))
def test_callers_are_told_apart_by_values_that_a_tag_may_hold(first: str, second: str) -> None:
    allowed = set("_.:/=+-@ ")
    for caller in (first, second):
        tag = caller_tag(caller)
        assert len(tag) <= 256
        assert all(character.isalnum() or character in allowed for character in tag)
    if first != second and not any("botocore-session" in caller for caller in (first, second)):
        assert caller_tag(first) != caller_tag(second)


def test_a_session_name_that_botocore_made_up_does_not_count() -> None:
    role = "arn:aws:sts::123456789012:assumed-role/birder"
    assert caller_tag(f"{role}/botocore-session-17") == caller_tag(f"{role}/botocore-session-18") == role
    assert caller_tag(f"{role}/wren") == f"{role}/wren"
    assert caller_tag(f"{role}/a,b") != caller_tag(f"{role}/a.b") != caller_tag(f"{role}/a_b")
