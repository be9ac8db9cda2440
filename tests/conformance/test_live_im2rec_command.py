"""``birdsod im2rec --lenient`` beside the real im2rec, with the same arguments: the same files, the same table."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from birdsod.cli._app import app
from birdsod.testing import list_lines, photos

if TYPE_CHECKING:
    from birdsod.testing import Photo
    from tests.conformance.conftest import Oracle

TIMES = int(os.environ.get("BIRDSOD_CONFORMANCE", "1"))

stems = st.text(st.sampled_from("abZ_.- 0\té鳥"), min_size=1, max_size=4)
endings = st.sampled_from(["", ".jpg", ".jpg", ".JPG", ".jpeg", ".png", ".PnG", ".txt", "."])
names = st.builds("{}{}".format, stems, endings).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
kinds = st.sampled_from(["file", "file", "file", "link to a file", "link to a folder", "link to nothing", "circle"])
ratios = st.sampled_from(["0", "0.1", "0.3", "0.33", "0.5", "0.7", "1", "1.5", "-0.5"])


def grow(root: Path, tree: dict[str, str], elsewhere: Path) -> None:
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "one.jpg").write_bytes(b"")
    targets = {"link to a file": elsewhere / "one.jpg", "link to a folder": elsewhere, "link to nothing": root / "no"}
    for path, kind in tree.items():
        place = root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                place.touch(exist_ok=False)
            else:
                place.symlink_to(targets.get(kind, place.parent))
        except OSError:
            # What was drawn before stands in the way.
            continue


@st.composite
def listing_arguments(draw: st.DrawFn) -> list[str]:
    arguments = ["--list"]
    arguments += draw(st.lists(st.sampled_from(["--recursive", "--rec", "--no-shuffle"]), unique=True))
    for name in ("--train-ratio", "--test-ratio"):
        arguments += [f"{name}={ratio}" for ratio in draw(st.lists(ratios, max_size=1))]
    arguments += draw(st.sampled_from([[], [], ["--chunks", "2"], ["--chunks=4"]]))
    return arguments + draw(st.sampled_from([[], [], ["--exts", ".png", ".JPG"], ["--exts", ".jpg", "", "jpeg"]]))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def both(oracle: Oracle, arguments: list[str], ours: list[str], theirs: list[str]) -> tuple[str, dict[str, Any]]:
    # The paths first: --exts takes all that follows.
    answer, _ = oracle.get("im2rec", arguments=[*theirs, *arguments])
    result = CliRunner().invoke(app, ["im2rec", "--lenient", *ours, *arguments])
    assert result.exit_code == 0, result.stderr
    assert answer["crashed"] is None
    return result.stdout, answer


@given(st.dictionaries(paths, kinds, max_size=8), listing_arguments())
@settings(max_examples=60 * TIMES)
def test_lists_are_the_same(oracle: Oracle, tree: dict[str, str], arguments: list[str]) -> None:
    # Two circles that meet have too many ways through them to be walked to their end.
    circles = [path for path, kind in tree.items() if kind == "circle"][1:]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grow(folder / "root", {path: kind for path, kind in tree.items() if path not in circles}, folder / "elsewhere")
        for side in ("ours", "theirs"):
            (folder / side).mkdir()
        root = str(folder / "root")
        said, answer = both(oracle, arguments, [f"{folder}/ours/birds", root], [f"{folder}/theirs/birds", root])
        assert said == answer["printed"]
        assert contents(folder / "ours") == contents(folder / "theirs")


lists = st.dictionaries(
    st.sampled_from(["train.lst", "train_val.lst", "train2.lst", "trainX.LST", "other.lst", "train..lst", ".lst"]),
    st.lists(st.one_of(list_lines(), st.sampled_from(["0\t1\ta", "1\t2\t5\t0\t.1\t.1\t.9\t.9\ta", "3\t1\tnone"]))),
    max_size=4,
)


@given(lists, photos(), st.sampled_from(["train", "train.lst", "train_", "", "t"]), st.booleans(), st.booleans())
@settings(max_examples=20 * TIMES)
def test_a_prefix_makes_the_same_files(
    oracle: Oracle, drawn: dict[str, list[str]], photo: Photo, prefix: str, pack_label: bool, pass_through: bool
) -> None:
    arguments = ["--num-thread", "2"] + ["--pack-label"] * pack_label + ["--pass-through"] * pass_through
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a").write_bytes(photo.data)
        for side in ("ours", "theirs"):
            (folder / side).mkdir()
            for lst, lines in drawn.items():
                (folder / side / lst).write_bytes("".join(f"{line}\n" for line in lines).encode())
        both(oracle, arguments, [f"{folder}/ours/{prefix}", name], [f"{folder}/theirs/{prefix}", name])
        assert contents(folder / "ours") == contents(folder / "theirs")
