"""The journal of a packing, and the hidden folder that it lies in."""

from __future__ import annotations

import json
import math
import platform
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.recordio import RecordWriter, _leftovers
from birdsod.recordio._journal import JOURNAL, Journal, entries, head_of
from birdsod.recordio._leftovers import Busy, clear, hidden_folders, hold
from birdsod.recordio._marks import Mark, reread
from birdsod.recordio._taking import Purpose, take

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.text(), st.lists(st.integers())), max_size=4)


def lines(*texts: bytes) -> bytes:
    return b"".join(b"%08x %s\n" % (zlib.crc32(text), text) for text in texts)


def read(path: Path) -> list[dict[str, Any]]:
    return [entry for entry, _ in entries(path)]


@given(st.lists(st.tuples(ENTRY, st.booleans()), max_size=6), st.data())
def test_what_was_added_is_read_as_far_as_it_is_whole(
    tmp_path_factory: pytest.TempPathFactory, entries_and_ways: list[tuple[dict[str, Any], bool]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    journal = Journal(path)
    added = [entry for entry, _ in entries_and_ways]
    flushed: list[int] = []
    for number, (entry, at_once) in enumerate(entries_and_ways):
        if at_once:
            journal.add(entry)
        else:
            journal.later(partial(flushed.append, number), entry)
    journal.settle()
    assert not journal.is_busy
    journal.close()
    assert read(path) == added
    assert flushed == sorted(flushed)
    whole = path.read_bytes()
    ends = [0, *(end for _, end in entries(path))]
    assert ends[-1] == len(whole)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut] + data.draw(st.binary(max_size=9)))
    kept = sum(end <= cut for end in ends[1:])
    assert read(path)[:kept] == added[:kept]
    assert len(read(path)) <= kept + 1
    again = Journal(path, size=ends[kept])
    again.add({"again": 1})
    again.close()
    assert read(path) == [*added[:kept], {"again": 1}]


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff", b"[" * 100_000], ids=repr)
def test_a_line_that_is_no_entry_ends_it(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "j").write_bytes(lines(b'{"a": 1}', text, b'{"b": 2}'))
    assert read(tmp_path / "j") == [{"a": 1}]


def test_an_error_of_the_disk_is_raised_by_the_next_step(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    journal = Journal(tmp_path / "j")
    journal.later(full, {"a": 1})
    with pytest.raises(OSError, match="No space left"):
        journal.add({"b": 2})
    journal.close()
    assert read(tmp_path / "j") == []


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"mark": 3},
        {"mark": {"tally": {}}},
        {"mark": {"tally": []}},
        {"publishing": {}},
        *({"mark": dict.fromkeys(("index", "begin", "row", "bytes", "idx_bytes"), wrong)} for wrong in ("x", math.inf)),
    ],
)
def test_what_is_no_mark_is_none(entry: dict[str, Any]) -> None:
    assert Mark.from_json(entry) is None


def test_without_marks_nothing_is_kept(tmp_path: Path) -> None:
    assert reread(tmp_path, [], {}) == ({}, 0)


# Hidden folders


def leftover(directory: Path, head: object = None) -> Path:
    folder = directory / ".birdsod-left"
    folder.mkdir()
    (folder / ".owner").write_text(platform.node())
    (folder / "train.rec").write_bytes(b"half")
    if head is not None:
        (folder / JOURNAL).write_bytes(lines(json.dumps(head).encode()))
    return folder


def test_what_cannot_be_resumed_is_cleared_by_whoever_comes(tmp_path: Path) -> None:
    leftover(tmp_path)
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write(b"", 1)
    assert hidden_folders(tmp_path) == []


def test_what_can_be_resumed_is_left(tmp_path: Path) -> None:
    folder = leftover(tmp_path, {"purpose": {}})
    clear(tmp_path)
    assert head_of(folder) == {"purpose": {}}


def test_a_head_without_a_journal_is_none(tmp_path: Path) -> None:
    assert head_of(tmp_path) is None
    (tmp_path / JOURNAL).write_bytes(b"")
    assert head_of(tmp_path) is None


def test_no_folder_has_no_hidden_ones(tmp_path: Path) -> None:
    assert hidden_folders(tmp_path / "none") == []


def test_a_folder_that_goes_while_it_is_locked_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = leftover(tmp_path)
    monkeypatch.setattr(_leftovers, "_lock", lambda _: (folder / ".owner").unlink())
    with pytest.raises(Busy):
        hold(folder)
    with pytest.raises(Busy):
        hold(tmp_path / "none", anywhere=True)


def test_a_claim_that_is_interrupted_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("birdsod.recordio._staging.claim", interrupted)
    with pytest.raises(KeyboardInterrupt), RecordWriter(tmp_path / "a.rec"):
        pass
    assert hidden_folders(tmp_path) == []


@pytest.mark.parametrize("purpose", [None, 3, {"channels": ["a"]}, {"channels": ["a"], "further": 1}])
def test_a_head_of_another_program_is_left_alone(tmp_path: Path, purpose: object) -> None:
    leftover(tmp_path, {"purpose": purpose})
    assert take(tmp_path, Purpose(("a",), None, None, None), resume=True) is None
    assert len(hidden_folders(tmp_path)) == 1
