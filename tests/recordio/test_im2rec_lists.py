"""Lists of a folder's images: im2rec's own, and a second implementation of its rules on drawn folders."""

from __future__ import annotations

import math
import os
import random
import shutil
import tempfile
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod import lstwriter
from birdsod.errors import BirdsodError, DatasetError, ListError, RecordError
from birdsod.recordio import make_lists
from birdsod.recordio._image_folders import Search
from birdsod.recordio._list_making import EXTENSIONS, _find
from birdsod.recordio._losses import Losses

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec"

# By the beginning of the lists' names: how im2rec was called.
CALLS: dict[str, dict[str, Any]] = {
    "flat": {},
    "flat_noshuf": {"shuffle": False},
    "rec": {"recursive": True},
    "rec_noshuf": {"recursive": True, "shuffle": False},
    "chunk": {"recursive": True, "chunks": 3},
    "chunkr": {"recursive": True, "chunks": 3, "train_ratio": 0.5},
    "ratio": {"recursive": True, "train_ratio": 0.7},
    "ratio1": {"recursive": True, "train_ratio": 0.7, "test_ratio": 0.3, "lenient": True},
    "ratiot": {"recursive": True, "train_ratio": 0.6, "test_ratio": 0.2},
    "exts": {"exts": [".png"], "shuffle": False},
    "exts2": {"exts": [".PNG"], "lenient": True},
}


def golden_lists(name: str) -> dict[str, bytes]:
    paths = (GOLDEN / "listing").glob(f"{name}*.lst")
    others = [other for other in CALLS if len(other) > len(name) and other.startswith(name)]
    return {path.name: path.read_bytes() for path in paths if not path.name.startswith(tuple(others))}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", CALLS)
def test_the_lists_are_those_of_im2rec(tmp_path: Path, name: str) -> None:
    remarks: list[str] = []
    made = make_lists(tmp_path / name, GOLDEN / "images", on_remark=remarks.append, **CALLS[name])
    assert contents(tmp_path) == golden_lists(name)
    assert {path.name for path in made.lists} == set(golden_lists(name))
    rows = sum(text.count(b"\n") for text in golden_lists(name).values())
    assert made.images - rows == (1 if name == "ratio1" else 0)
    assert bool(remarks) == bool(CALLS[name].get("lenient"))
    if CALLS[name].get("recursive"):
        assert made.folders == (".", "sub dir")


def test_every_golden_list_is_made() -> None:
    assert {list_name for name in CALLS for list_name in golden_lists(name)} == set(contents(GOLDEN / "listing"))


# The rules of im2rec once more, as plainly as they can be said: folders before what is in them, all in memory.


def ending(name: str) -> str:
    stem, dot, last = name.rpartition(".")
    return (dot + last).lower() if stem.strip(".") else ""


def naive_images(root: Path, exts: tuple[str, ...], *, recursive: bool) -> list[tuple[str, int]]:
    images: list[tuple[str, int]] = []
    labels = 0

    def visit(folder: Path) -> None:
        nonlocal labels
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
        own = [path for path in entries if path.is_file() and ending(path.name) in exts]
        images.extend((str(path.relative_to(root)), labels) for path in own)
        labels += bool(own)
        if recursive:
            for path in entries:
                if path.is_dir():
                    visit(path)

    visit(root)
    return images


def naive_lists(root: Path, given_options: dict[str, Any]) -> dict[str, bytes]:
    images = naive_images(root, given_options["exts"], recursive=given_options["recursive"])
    rows = [f"{index}\t{label}.000000\t{name}\n" for index, (name, label) in enumerate(images)]
    if given_options["shuffle"]:
        random.seed(100)
        random.shuffle(rows)
    chunks, train, test = (given_options[name] for name in ("chunks", "train_ratio", "test_ratio"))
    size = math.ceil(len(rows) / chunks)
    lists: dict[str, list[str]] = {}
    for number in range(chunks):
        chunk = rows[number * size : number * size + size]
        stem = f"birds_{number}" if chunks > 1 else "birds"
        if train == 1:
            lists[f"{stem}.lst"] = chunk
            continue
        first, second = int(size * test), int(size * test) + int(size * train)
        lists[f"{stem}_train.lst"] = chunk[first:second]
        if test > 0:
            lists[f"{stem}_test.lst"] = chunk[:first]
        if train + test < 1:
            lists[f"{stem}_val.lst"] = chunk[second:]
    return {name: "".join(lines).encode() for name, lines in lists.items()}


ENDINGS = ["", ".jpg", ".JPG", ".Jpeg", ".png", ".PNG", ".jpg.txt", ".webp", "."]
stems = st.text(st.sampled_from("abZ_.- 0éλ鳥\N{BIRD}"), min_size=1, max_size=4).filter(
    lambda text: text == text.strip()
)
file_names = st.builds("{}{}".format, stems, st.sampled_from(ENDINGS)).filter(
    lambda name: name not in {".", ".."} and name == name.strip()
)
# None is a file; "file", "folder" and "nothing" are links to such; a mapping is a folder.
trees: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(file_names, st.sampled_from([None, None, None, "file", "folder"]), max_size=6),
    lambda inner: st.dictionaries(file_names, st.one_of(st.none(), inner), max_size=5),
    max_leaves=8,
)
options = st.fixed_dictionaries(
    {
        "exts": st.sampled_from([(".jpeg", ".jpg", ".png"), (".png",), (".jpg", ""), (".webp",)]),
        "chunks": st.integers(1, 4),
        "train_ratio": st.sampled_from([1.0, 0.5, 0.7, 0.85, 0.0]),
        "test_ratio": st.sampled_from([0.0, 0.0, 0.1, 0.15, 0.3]),
        "recursive": st.booleans(),
        "shuffle": st.booleans(),
    }
)


def grow(folder: Path, tree: dict[str, Any], elsewhere: Path) -> None:
    folder.mkdir()
    for name, what in tree.items():
        if what is None:
            (folder / name).write_bytes(b"")
        elif isinstance(what, str):
            (folder / name).symlink_to(elsewhere / what)
        else:
            grow(folder / name, what, elsewhere)


@settings(max_examples=60)
@given(tree=trees, given_options=options)
def test_drawn_folders_are_listed_as_a_second_implementation_lists_them(
    tree: dict[str, Any], given_options: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        grow(base / "folder", {"wren.jpg": None, "deep": {"owl.PNG": None}}, base)
        (base / "file").write_bytes(b"")
        (base / "nothing-is-here").mkdir()
        grow(base / "root", tree, base)
        expected = naive_lists(base / "root", given_options)
        listed = sum(text.count(b"\n") for text in expected.values())
        remarks: list[str] = []
        made = make_lists(
            base / "lenient" / "birds", base / "root", lenient=True, on_remark=remarks.append, **given_options
        )
        assert contents(base / "lenient") == expected
        assert all((base / "lenient" / path.name) == path for path in made.lists)
        if given_options["train_ratio"] + given_options["test_ratio"] > 1 or listed < made.images or not made.images:
            assert remarks
            with pytest.raises(DatasetError):
                make_lists(base / "strict" / "birds", base / "root", on_remark=remarks.append, **given_options)
            assert not (base / "strict").exists()
        else:
            strict = make_lists(base / "strict" / "birds", base / "root", on_remark=remarks.append, **given_options)
            assert contents(base / "strict") == expected
            assert strict.images == made.images == listed


@settings(max_examples=25)
@given(tree=trees)
def test_what_is_listed_is_read_back_row_by_row(tree: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        grow(base / "folder", {"wren.jpg": None}, base)
        (base / "file").write_bytes(b"")
        grow(base / "root", {**tree, "one.jpg": None}, base)
        made = make_lists(base / "birds", base / "root", recursive=True, on_remark=lambda _: None)
        rows = list(lstwriter.rows(base / "birds.lst"))
        assert sorted(row.image_id for row in rows) == list(range(made.images))
        assert all((base / "root" / row.path).is_file() for row in rows)
        for row in rows:
            assert str(Path(row.path).parent) == made.folders[int(row.label[0])]


def photos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    folder.mkdir(exist_ok=True)
    return folder


def dangling(root: Path) -> None:
    (root / "b.jpg").symlink_to(root / "nowhere.jpg")


def circle(root: Path) -> None:
    (root / "deep").mkdir()
    (root / "deep" / "again").symlink_to(root)


def no_bytes_of_utf8(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/b\xff.jpg")).write_bytes(b"")


LOSSES: dict[str, tuple[Any, dict[str, Any], type[BirdsodError], str]] = {
    "link to nothing": (dangling, {}, DatasetError, r"b\.jpg: what is named like an image is no file"),
    "tab": (lambda root: photos(root, "b\t.jpg"), {}, ListError, r"cannot hold the path.*'b\\t\.jpg'"),
    "line break": (lambda root: photos(root, "b\n.jpg"), {}, ListError, "cannot hold the path"),
    "carriage return": (lambda root: photos(root, "b\r.jpg"), {}, ListError, "cannot hold the path"),
    "leading blank": (lambda root: photos(root, " b.jpg"), {}, ListError, "cannot hold the path"),
    "leading blank of a folder": (lambda root: photos(root, " d/b.jpg"), {"recursive": True}, ListError, "cannot hold"),
    "rounding": (lambda root: photos(root, "b.jpg"), {"train_ratio": 0.7, "test_ratio": 0.3}, DatasetError, "1 of 2"),
    "nothing": (lambda root: (root / "a.jpg").unlink(), {}, DatasetError, "no image is found in the folder"),
    "capital ending": (lambda _: None, {"exts": [".jpg", ".JPG"]}, DatasetError, r"got '\.JPG'.*write \.jpg"),
    "ending without a dot": (lambda _: None, {"exts": ["jpg"]}, DatasetError, r"got 'jpg'.*write \.jpg"),
    "two dots": (lambda _: None, {"exts": [".jpg", ".a.jpg"]}, DatasetError, r"write \.jpg"),
    "ratios above 1": (lambda _: None, {"train_ratio": 0.9, "test_ratio": 0.2}, DatasetError, r"got \(0\.9, 0\.2\)"),
    "test without train": (lambda _: None, {"test_ratio": 0.2}, DatasetError, r"the ratios"),
    "ratio below 0": (lambda _: None, {"train_ratio": -0.5}, DatasetError, "the ratios"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_im2rec_loses_is_an_error(tmp_path: Path, name: str) -> None:
    prepare, given_options, kind, message = LOSSES[name]
    root = photos(tmp_path / "root", "a.jpg")
    prepare(root)
    with pytest.raises(kind, match=message):
        make_lists(tmp_path / "out" / "birds", root, **given_options)
    assert not (tmp_path / "out").exists()
    remarks: list[str] = []
    made = make_lists(tmp_path / "out" / "birds", root, lenient=True, on_remark=remarks.append, **given_options)
    assert all(path.is_file() for path in made.lists)
    assert remarks


ALWAYS: dict[str, tuple[Any, dict[str, Any], type[BirdsodError], str]] = {
    "no folder": (shutil.rmtree, {}, DatasetError, "root: the folder cannot be read.*No such file"),
    "chunks": (lambda _: None, {"chunks": 0}, DatasetError, "chunks is not positive"),
    "ratio without end": (lambda _: None, {"train_ratio": math.nan}, DatasetError, "a ratio is not finite"),
    "not UTF-8": (no_bytes_of_utf8, {}, ListError, "the path is not UTF-8"),
}


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("name", ALWAYS)
def test_what_im2rec_breaks_on_is_an_error_in_any_case(tmp_path: Path, name: str, lenient: bool) -> None:
    prepare, given_options, kind, message = ALWAYS[name]
    root = photos(tmp_path / "root", "a.jpg")
    prepare(root)
    with pytest.raises(kind, match=message):
        make_lists(tmp_path / "out" / "birds", root, lenient=lenient, **given_options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests may run as root, who can read every folder.
    root = photos(tmp_path / "root", "a.jpg", "deep/b.jpg")
    scan = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match=r"deep: the folder cannot be read. Likely cause: Permission denied"):
        make_lists(tmp_path / "birds", root, recursive=True)
    with pytest.warns(UserWarning, match="deep: the folder cannot be read"):
        assert make_lists(tmp_path / "birds", root, recursive=True, lenient=True).images == 1


@pytest.mark.parametrize("target", [".", "deep", "../root"])
def test_a_circle_of_links_is_an_error(tmp_path: Path, target: str) -> None:
    root = photos(tmp_path / "root", "deep/b.jpg")
    (root / "deep" / "again").symlink_to(root / target)
    with pytest.raises(DatasetError, match=r"deep/again: the link leads back to a folder above it"):
        make_lists(tmp_path / "birds", root, recursive=True)
    assert make_lists(tmp_path / "birds", root, recursive=True, lenient=True, on_remark=lambda _: None).images > 30


def test_a_circle_of_two_links_is_an_error(tmp_path: Path) -> None:
    photos(tmp_path / "root", "one/a.jpg")
    photos(tmp_path / "two", "b.jpg")
    (tmp_path / "root" / "one" / "there").symlink_to(tmp_path / "two")
    (tmp_path / "two" / "back").symlink_to(tmp_path / "root" / "one")
    with pytest.raises(DatasetError, match="there/back: the link leads back"):
        make_lists(tmp_path / "birds", tmp_path / "root", recursive=True)


def test_a_folder_reached_twice_is_listed_twice(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "one/a.jpg")
    (root / "two").symlink_to(root / "one")
    made = make_lists(tmp_path / "birds", root, recursive=True, shuffle=False)
    assert made.folders == ("one", "two")
    assert made.lists[0].read_text() == "0\t0.000000\tone/a.jpg\n1\t1.000000\ttwo/a.jpg\n"


def test_a_folder_named_like_an_image_is_none(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "a.jpg", "b.jpg/c.jpg")
    assert make_lists(tmp_path / "birds", root).images == 1


def test_images_with_other_endings_are_told(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "a.jpg", "b.webp", "c.WEBP", "d.txt", "e.bmp")
    with pytest.warns(UserWarning, match=r"root: images with other endings are left out: 1 \.bmp, 2 \.webp$"):
        make_lists(tmp_path / "birds", root)
    with pytest.raises(DatasetError, match=r"other endings: 1 \.bmp, 1 \.jpg, 2 \.webp"):
        make_lists(tmp_path / "birds", root, exts=[".gif"])


def test_an_empty_list_and_a_prefix_that_is_a_folder_are_told(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "a.jpg")
    remarks: list[str] = []
    made = make_lists(root, root, chunks=2, on_remark=remarks.append)
    assert [path.name for path in made.lists] == ["root_0.lst", "root_1.lst"]
    assert "is a folder" in remarks[0]
    assert remarks[1:] == [f"{tmp_path / 'root_1.lst'} is empty"]


def test_lists_of_a_previous_time_are_replaced_together(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "a.jpg", "b.jpg")
    (tmp_path / "birds_train.lst").write_text("old")
    (tmp_path / "birds_val.lst").mkdir()
    with pytest.raises(RecordError, match=r"birds_val\.lst: a folder has the name"):
        make_lists(tmp_path / "birds", root, train_ratio=0.5)
    assert (tmp_path / "birds_train.lst").read_text() == "old"
    (tmp_path / "birds_val.lst").rmdir()
    make_lists(tmp_path / "birds", root, train_ratio=0.5)
    assert {path.name for path in tmp_path.iterdir()} == {"root", "birds_train.lst", "birds_val.lst"}
    assert (tmp_path / "birds_train.lst").read_text() != "old"


def test_a_million_images_would_take_little_memory() -> None:
    class Images(Search):
        def folders(self, *, recursive: bool) -> Iterator[tuple[str, list[str]]]:
            del recursive
            for folder in range(100):
                yield str(folder), [f"{folder:06d}/image-{number:06d}.jpg" for number in range(200)]

    search = Images("root", EXTENSIONS, Losses(lenient=False, say=list))
    tracemalloc.start()
    try:
        found = _find(search, recursive=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Paths of 23 bytes, an end and a label each; as texts in a list they would take 200.
    assert peak < 20_000 * 60
    assert found.row(19_999) == b"19999\t99.000000\t000099/image-000199.jpg\n"
