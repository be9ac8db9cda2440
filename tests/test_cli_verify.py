"""The commands verify, repair and reindex: what they print, and their exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from birdsod.cli._app import app
from birdsod.recordio import RecordReader, RecordWriter

if TYPE_CHECKING:
    from pathlib import Path

LABEL = [2, 5, 0, 0.25, 0.25, 0.5, 0.75]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="birdsod")


@pytest.fixture
def rec(tmp_path: Path) -> Path:
    """A file of four records."""
    with RecordWriter(tmp_path / "a.rec") as writer:
        for image_id in range(4):
            writer.write_record(image_id, LABEL, b"no image")
    return tmp_path / "a.rec"


@pytest.fixture
def damaged(rec: Path) -> Path:
    """The same without its first record, and without the last one's end."""
    rec.write_bytes(b"X" + rec.read_bytes()[1:-4])
    rec.with_suffix(".idx").unlink()
    return rec


@pytest.mark.parametrize("command", ["verify", "repair", "reindex"])
def test_help(command: str) -> None:
    assert command in run("--help").stdout
    result = run(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"Usage: birdsod {command}" in result.stdout


def test_a_clean_file_is_0(rec: Path) -> None:
    result = run("verify", rec)
    assert (result.exit_code, result.stderr) == (0, "")
    note, summary = result.stdout.splitlines()
    assert note.startswith(f"{rec}: note: no-checksum: ")
    assert summary == f"{rec}: 4 records, 0 errors, 0 warnings, 1 notes; images not looked at"


def test_faults_are_1_and_stand_on_a_line_each(damaged: Path) -> None:
    result = run("verify", damaged)
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert [line.split(": ")[1:3] for line in lines[:2]] == [["error", "bad-magic"], ["error", "cut-record"]]
    assert lines[0].startswith(f"{damaged}, record 0, byte 0, up to 68: ")
    assert lines[-1].startswith(f"{damaged}: 2 records, 2 errors")


def test_deep_and_json(rec: Path) -> None:
    result = run("verify", rec, "--deep", "--json", "--jobs", "2", "--classes", "1")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["deep"], told["ok"], told["records"]) == (True, False, 4)
    assert told["counts"] == {"image-unknown": 4, "no-checksum": 1}
    assert [finding["record"] for finding in told["findings"]] == [0, 1, 2, 3, None]


def test_no_more_findings_of_a_kind_than_asked_for(rec: Path) -> None:
    lines = run("verify", rec, "--deep", "--most", "1").stdout.splitlines()
    assert [line.split(": ")[2] for line in lines[:2]] == ["image-unknown", "no-checksum"]
    assert lines[2] == "3 more of the same kinds"


def test_another_index(rec: Path) -> None:
    result = run("verify", rec, "--index", rec.with_name("none.idx"))
    assert result.exit_code == 1
    assert "index-unreadable" in result.stdout


def test_repair(damaged: Path) -> None:
    new = damaged.with_name("b.rec")
    result = run("repair", damaged, "--out", new)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{damaged}: bytes 0 to 68 left out: no record begins here")
    assert lines[-1] == f"{new}: 2 records kept, 132 bytes left out in 2 stretches"
    with RecordReader(new) as reader:
        assert reader.keys.tolist() == [1, 2]
    assert run("repair", damaged, "--out", new).exit_code == 1
    told = json.loads(run("repair", damaged, "--out", new, "--overwrite", "--no-shifted", "--json").stdout)
    assert (told["records"], len(told["left_out"])) == (2, 2)


def test_reindex(rec: Path) -> None:
    before = rec.with_suffix(".idx").read_bytes()
    rec.with_suffix(".idx").unlink()
    result = run("reindex", rec)
    assert (result.exit_code, result.stdout) == (0, f"{rec.with_suffix('.idx')}\n")
    assert rec.with_suffix(".idx").read_bytes() == before
    assert run("reindex", rec).exit_code == 1
    assert run("reindex", rec, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    "arguments", [["verify", "none.rec"], ["repair", "none.rec", "--out", "b.rec"], ["reindex", "none.rec"]]
)
def test_a_missing_file_is_1_in_one_line(tmp_path: Path, arguments: list[str]) -> None:
    result = run(*[tmp_path / item if item.endswith(".rec") else item for item in arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "a.rec", "--classes", "0"],
        ["verify", "a.rec", "--jobs", "0"],
        ["verify", "a.rec", "--most", "0"],
        ["repair", "a.rec"],
        ["reindex"],
        ["reindex", "a.rec", "--out", "b.idx"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.stderr
