"""Plain calls of ``birdsod pack --lst`` are read without the parser, and mean what the parser makes of them."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from birdsod import cli, image, recordio
from birdsod.cli import _quick
from birdsod.cli._app import app

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = ["--lst", "a.lst", "--root", "b", "--out", "c.rec"]
NUMBERS = st.one_of(st.integers(-3, 70_000).map(str), st.sampled_from(["007", "1_0", "٣", "", "x", " 5", "+5", "5.0"]))
TEXTS = st.sampled_from(["a.lst", "b c", "-", "--out", "~/x", "é", "", "."])
OPTIONS = st.one_of(
    st.tuples(st.sampled_from(["--lst", "--root", "--out"]), TEXTS),
    st.tuples(st.sampled_from(["--resize", "--quality", "--jobs", "--color"]), NUMBERS),
    st.tuples(st.just("--encoding"), st.sampled_from([".jpg", ".png", ".gif", ""])),
    st.tuples(st.just("--on-error"), st.sampled_from(["raise", "skip", "collect", "RAISE"])),
    st.tuples(st.sampled_from(["--center-crop", "--pass-through", "--overwrite", "--no-overwrite", "--help", "-h"])),
    st.tuples(st.sampled_from(["--resize=5", "--re", "--resume", "--shards", "x", "--"])),
)


def meant(call: inspect.BoundArguments) -> dict[str, Any]:
    call.apply_defaults()
    return call.arguments


@given(st.lists(OPTIONS, max_size=6), st.booleans())
def test_a_plain_call_means_what_the_parser_makes_of_it(options: list[tuple[str, ...]], whole: bool) -> None:
    arguments = ["pack", *(NEEDED if whole else []), *[cell for option in options for cell in option]]
    quick = _quick.plain_pack(arguments)
    if quick is None:
        return
    with patch.object(recordio, "pack_list", side_effect=SystemExit(77)) as packed:
        assert CliRunner().invoke(app, arguments, prog_name="birdsod").exit_code == 77
    signature = inspect.signature(recordio._pack_list.pack_list)
    (lst,), how = packed.call_args
    assert meant(signature.bind(**quick)) == meant(signature.bind(lst, **how))


@pytest.mark.parametrize(
    ("more", "read"),
    [
        ([], {}),
        (["--resize", "256", "--jobs", "2", "--overwrite"], {"resize": 256, "jobs": 2, "overwrite": True}),
        (["--on-error", "skip", "--color", "0"], {"on_error": "collect", "color": 0}),
    ],
)
def test_plain_calls_are_read(more: list[str], read: dict[str, Any]) -> None:
    quick = _quick.plain_pack(["pack", *NEEDED, *more])
    assert quick is not None
    assert {name: str(quick.pop(name)) for name in ("lst", "root", "out")} == {
        "lst": "a.lst",
        "root": "b",
        "out": "c.rec",
    }
    assert quick == read


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["verify", "a.rec"],
        ["pack"],
        ["pack", "--help"],
        ["pack", "--lst", "a.lst", "--out", "b"],
        ["pack", *NEEDED, "--resize"],
        ["pack", *NEEDED, "--resize", "0"],
        ["pack", *NEEDED, "--resize", "7" * 5000],
        ["pack", *NEEDED, "--resize=5"],
        ["pack", *NEEDED, "--color", "-1"],
        ["pack", *NEEDED, "--overwrite", "--overwrite"],
        ["pack", *NEEDED, "--data", "x"],
        ["pack", *NEEDED, "--on-error", "collect"],
    ],
)
def test_what_is_not_plain_is_for_the_parser(arguments: list[str]) -> None:
    assert _quick.plain_pack(arguments) is None
    assert not _quick.run(arguments)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(image.encode(np.zeros((6, 8, 3), np.uint8), encoding=".png"))
    (tmp_path / "a.lst").write_text("7\t2\t5\t0\t0.1\t0.2\t0.5\t0.6\ta.png\n")
    return tmp_path


def call(folder: Path, *more: str) -> list[str]:
    return ["pack", "--lst", f"{folder}/a.lst", "--root", str(folder), "--out", f"{folder}/a.rec", *more]


def test_a_plain_call_packs_without_loading_the_parser(photos: Path) -> None:
    code = (
        "import sys\nfrom birdsod.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code)\n"
        "print({'typer', 'tqdm', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, *call(photos, "--resize", "4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{photos}/a.rec: 1 record", "0", "set()"]
    assert image.read_size(recordio.RecordReader(photos / "a.rec")[0].image) == (5, 4)


def test_a_plain_call_starts_no_threads_that_it_has_no_use_for(photos: Path) -> None:
    code = (
        "import os\nfrom birdsod.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    for told, expected in ({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3"):
        environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"} | told
        command = [sys.executable, "-c", code, *call(photos, "--overwrite")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.splitlines()[-1] == expected


def test_an_error_of_a_plain_call_is_one_line_and_1(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # as it would be left behind
    (photos / "a.png").unlink()
    with patch.object(sys, "argv", ["birdsod", *call(photos)]), pytest.raises(SystemExit) as ended:
        cli.main()
    quick = capsys.readouterr()
    parsed = CliRunner().invoke(app, call(photos), prog_name="birdsod")
    assert (ended.value.code, quick.out, quick.err) == (1, parsed.stdout, parsed.stderr)
    assert quick.err.count("\n") == 1


def test_nothing_is_plain_where_the_parser_replaces_wildcards(photos: Path) -> None:
    with patch.object(_quick, "os", SimpleNamespace(name="nt")):
        assert not _quick.run(call(photos))
