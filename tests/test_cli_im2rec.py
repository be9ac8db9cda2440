"""``birdsod im2rec``: a user of im2rec changes one word."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from birdsod.cli._app import app

GOLDEN = Path(__file__).parent / "golden"
IMAGES = GOLDEN / "im2rec" / "images"
LISTING = GOLDEN / "im2rec" / "listing"
CALLS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "im2rec" / "calls.json").read_text())


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["im2rec", *[str(argument) for argument in arguments]], prog_name="birdsod")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1


def listed(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.lst")}


# Lists.

LISTS: dict[str, tuple[list[str], list[str]]] = {
    "flat": ([], ["flat.lst"]),
    "rec_noshuf": (["--recursive", "--no-shuffle"], ["rec_noshuf.lst"]),
    "chunk": (["--recursive", "--chunks", "3"], ["chunk_0.lst", "chunk_1.lst", "chunk_2.lst"]),
    "ratiot": (
        ["--recursive", "--train-ratio", "0.6", "--test-ratio=0.2"],
        ["ratiot_test.lst", "ratiot_train.lst", "ratiot_val.lst"],
    ),
    "ratio": (["--rec", "--train", "0.7"], ["ratio_train.lst", "ratio_val.lst"]),
    "ratio1": (
        ["--recursive", "--train-ratio", "0.7", "--test-ratio", "0.3", "--lenient"],
        ["ratio1_test.lst", "ratio1_train.lst"],
    ),
    "exts": (["--no-shuffle", "--exts", ".png", ".gif"], ["exts.lst"]),
}


@pytest.mark.parametrize("name", LISTS)
def test_the_arguments_of_im2rec_make_its_lists(tmp_path: Path, name: str) -> None:
    arguments, names = LISTS[name]
    result = run(tmp_path / name, IMAGES, "--list", *arguments)
    assert result.exit_code == 0
    assert listed(tmp_path) == {name: (LISTING / name).read_bytes() for name in names}
    recursive = any(argument.startswith("--rec") for argument in arguments)
    assert result.stdout == (". 0\nsub dir 1\n" if recursive else "")
    assert result.stderr.startswith("1 of 19 images would be in no list" if name == "ratio1" else "")
    assert bool(result.stderr) == (name == "ratio1")


def test_a_list_that_would_lose_images_is_an_error_in_one_line(tmp_path: Path) -> None:
    result = run("--list", "--train-ratio", "0.7", "--test-ratio", "0.4", tmp_path / "birds", IMAGES)
    assert (result.exit_code, result.stdout) == (1, "")
    assert one_line(result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_makefile_changes_one_word(tmp_path: Path) -> None:
    shutil.copytree(IMAGES, tmp_path / "photos", ignore=shutil.ignore_patterns("z_*"))
    command = [sys.executable, "-m", "birdsod", "im2rec"]
    for arguments in (
        ["--list", "--recursive", "--train-ratio", "0.8", "birds", "photos"],
        ["--resize", "32", "--num-thread", "2", "birds", "photos/"],
    ):
        done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stderr == ""
    names = {path.name for path in tmp_path.iterdir()}
    ends = ("_train.lst", "_train.rec", "_train.idx", "_val.lst", "_val.rec", "_val.idx")
    assert names == {"photos", *(f"birds{end}" for end in ends)}
    assert f"{tmp_path / 'birds_train.rec'}: 12 records\n" in done.stdout


# Packing.


def bring(lst: str, folder: Path) -> Path:
    places = [GOLDEN / "im2rec" / f"{lst}.lst", GOLDEN / "lst" / f"{lst}.lst"]
    return Path(shutil.copy(next(path for path in places if path.exists()), folder))


@pytest.mark.parametrize("name", ["crop_resize128", "gray", "unchanged", "q80", "pass_t2", "det6", "cls", "cls_pack"])
def test_the_arguments_of_im2rec_make_its_record_files(tmp_path: Path, name: str) -> None:
    call = CALLS[name]
    lst = bring(call["lst"], tmp_path)
    result = run(*call["arguments"], tmp_path / call["lst"], IMAGES)
    assert (result.exit_code, result.stderr) == (0, "")
    records = len(lst.read_text().splitlines())
    assert result.stdout == f"{lst.with_suffix('.rec')}: {records} records\n"
    assert sha256(lst.with_suffix(".rec")) == call["rec_sha256"]
    assert sha256(lst.with_suffix(".idx")) == call["idx_sha256"]


@pytest.mark.parametrize("name", ["bad2", "neg", "nopack", "ovf", "trunc_pass", "unreadable"])
def test_a_loss_is_an_error_in_one_line_unless_lenient(tmp_path: Path, name: str) -> None:
    call = CALLS[name]
    lst = bring(call["lst"], tmp_path)
    result = run(*call["arguments"], tmp_path / call["lst"], IMAGES)
    assert (result.exit_code, result.stdout) == (1, "")
    assert one_line(result.stderr)
    assert list(tmp_path.iterdir()) == [lst]
    result = run("--lenient", *call["arguments"], tmp_path / call["lst"], IMAGES)
    assert result.exit_code == 0
    assert sha256(lst.with_suffix(".rec")) == call["rec_sha256"]
    assert ("refused" in result.stdout) == ("not packed" in result.stderr)
    assert result.stderr or name == "trunc_pass"


def test_no_list_is_an_error_and_leniently_only_told(tmp_path: Path) -> None:
    result = run(tmp_path / "birds", IMAGES)
    assert (result.exit_code, result.stdout) == (1, "")
    assert one_line(result.stderr)
    lenient = run(tmp_path / "birds", IMAGES, "--lenient")
    assert (lenient.exit_code, lenient.stdout, lenient.stderr) == (0, "", result.stderr)


def test_surprises_are_said(tmp_path: Path) -> None:
    for name in ("train.lst", "train_val.lst"):
        (tmp_path / name).write_text("0\t0\td_noise_64x64.jpg\n")
    result = run(tmp_path / "train", IMAGES, "--pass-through", "--resize", "9")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"{tmp_path / name}: 1 records" for name in ("train.rec", "train_val.rec")]
    assert "also takes train_val.lst" in result.stderr
    assert "neither resized nor cropped" in result.stderr


def test_numbers_out_of_range_are_bent_leniently_as_opencv_bends_them(tmp_path: Path) -> None:
    (tmp_path / "a.lst").write_text("0\t0\td_noise_64x64.jpg\n")
    hashes = []
    for arguments in (["--quality", "100"], ["--quality", "200", "--lenient", "--num-thread", "-3"]):
        assert run(*arguments, tmp_path / "a", IMAGES).exit_code == 0
        hashes.append(sha256(tmp_path / "a.rec"))
    assert hashes[0] == hashes[1]
    assert run("--quality", "200", tmp_path / "a", IMAGES).exit_code == 1


# Wrong usage.

WRONG: dict[str, tuple[list[str], str]] = {
    "old list": (["--list", "True", "p", "r"], "--list is a switch and takes no value: write --list alone"),
    "old label": (["--pack-label", "True", "p", "r"], "--pack-label is a switch"),
    "old false": (["--recursive", "0", "p", "r"], "--recursive is a switch"),
    "old with =": (["--pass-through=True", "p", "r"], "--pass-through is a switch"),
    "old shuffle": (["--shuffle", "False", "p", "r"], "lists are shuffled unless --no-shuffle is given"),
    "underscore": (["--pack_label", "p", "r"], "no such option: --pack_label, did you mean --pack-label?"),
    "unknown": (["--xyz", "p", "r"], "no such option: --xyz"),
    "one path": (["p"], "root"),
    "three paths": (["p", "r", "s"], "unrecognized arguments: s"),
    "no number": (["--resize", "big", "p", "r"], "--resize"),
    "colour": (["--color", "2", "p", "r"], "--color"),
    "encoding": (["--encoding", ".webp", "p", "r"], "--encoding"),
    "nothing": ([], "prefix, root"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_says_the_cure(name: str) -> None:
    arguments, message = WRONG[name]
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Usage: birdsod im2rec [OPTIONS] PREFIX ROOT" in result.stderr


def test_a_folder_may_be_called_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(IMAGES, tmp_path / "1")
    monkeypatch.chdir(tmp_path)
    assert run("--list", "true", "1").exit_code == 0
    assert (tmp_path / "true.lst").read_bytes() == (LISTING / "flat.lst").read_bytes()


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_tells_every_argument_of_im2rec(option: str) -> None:
    result = run(option)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: birdsod im2rec [OPTIONS] PREFIX ROOT\n")
    options = "list exts chunks train-ratio test-ratio recursive no-shuffle pass-through resize center-crop quality"
    for name in [*options.split(), "num-thread", "color", "encoding", "pack-label", "lenient"]:
        assert f"--{name}" in result.stdout
