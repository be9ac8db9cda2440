"""Packing by prefix: im2rec's bytes, which lists are taken, and each loss an error unless lenient."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from birdsod.errors import BirdsodError, ImageError, ListError, RecordError
from birdsod.recordio import im2rec

GOLDEN = Path(__file__).parents[1] / "golden"
IMAGES = GOLDEN / "im2rec" / "images"
CALLS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "im2rec" / "calls.json").read_text())

# What im2rec loses or breaks in these calls, and so what is an error.
LOSSES: dict[str, tuple[type[BirdsodError], str]] = {
    "bad": (ListError, r"bad\.lst, line 3: the row has fewer than three cells"),
    "bad_pass": (ListError, r"bad\.lst, line 3: the row has fewer than three cells"),
    "bad2": (ListError, r"bad2\.lst, line 3: the row has fewer than three cells"),
    "big": (ListError, "line 1: the id does not fit into a record"),
    "big_pass": (ListError, "line 1: the id does not fit into a record"),
    "neg": (ListError, "line 1: the id does not fit into a record"),
    "neg_pass": (ListError, "line 1: the id does not fit into a record"),
    "nopack": (ListError, r"det\.lst, line 1: all but the first number of the label would be lost \(rows: 16\)"),
    "ovf": (ListError, r"ovf\.lst, line 1: the label is not finite"),
    "ovf1": (ListError, r"ovf1\.lst, line 1: the label is not finite"),
    "trunc": (ImageError, r"z_truncated\.jpg: the image breaks off"),
    "trunc_pass": (ImageError, r"z_truncated\.jpg: the image breaks off"),
    "unreadable": (ImageError, r"z_broken\.jpg: the image has a broken header"),
    "unreadable_pass": (ImageError, r"z_broken\.jpg: the image has a broken header"),
}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def options(arguments: list[str]) -> dict[str, Any]:
    """Read im2rec's arguments once more, for the function."""
    read: dict[str, Any] = {}
    waiting = list(arguments)
    while waiting:
        name = waiting.pop(0)
        if name in {"--pass-through", "--center-crop", "--pack-label"}:
            read[name[2:].replace("-", "_")] = True
        else:
            value = waiting.pop(0)
            read["jobs" if name == "--num-thread" else name[2:]] = value if name == "--encoding" else int(value)
    return read


def bring(lst: str, folder: Path) -> Path:
    places = [GOLDEN / "im2rec" / f"{lst}.lst", GOLDEN / "lst" / f"{lst}.lst"]
    return Path(shutil.copy(next(path for path in places if path.exists()), folder))


@pytest.mark.parametrize("name", CALLS)
def test_the_bytes_are_those_of_im2rec(tmp_path: Path, name: str) -> None:
    call = CALLS[name]
    lst = bring(call["lst"], tmp_path)
    given, remarks = options(call["arguments"]), list[str]()
    if name in LOSSES:
        kind, message = LOSSES[name]
        with pytest.raises(kind, match=message):
            im2rec(tmp_path / call["lst"], IMAGES, **given)
        assert list(tmp_path.iterdir()) == [lst]
    lenient = name in LOSSES
    (channel,) = im2rec(tmp_path / call["lst"], IMAGES, lenient=lenient, on_remark=remarks.append, **given)
    assert (channel.rec, channel.idx) == (lst.with_suffix(".rec"), lst.with_suffix(".idx"))
    assert (sha256(channel.rec), sha256(channel.idx)) == (call["rec_sha256"], call["idx_sha256"])
    assert len([remark for remark in remarks if remark.startswith("not packed: ")]) == len(channel.refused)
    # A file that breaks off or is broken, packed as it is, is all that goes without a word, as in im2rec.
    silent = {"trunc", "trunc_pass"} | (set(CALLS) - set(LOSSES) - {"dup"})
    assert bool(remarks) == (name not in silent)


def test_what_is_lost_on_the_way_is_told(tmp_path: Path) -> None:
    bring("unreadable", tmp_path)
    remarks: list[str] = []
    (channel,) = im2rec(tmp_path / "unreadable", IMAGES, pack_label=True, lenient=True, on_remark=remarks.append)
    assert remarks[0].startswith(f"not packed: z_broken.jpg: {IMAGES / 'z_broken.jpg'}: the image has a broken header")
    assert remarks[1].startswith("not packed: nosuch.jpg")
    assert (channel.records, channel.listed) == (2, 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        im2rec(tmp_path / "unreadable", IMAGES, pack_label=True, lenient=True)
    assert [str(warning.message) for warning in caught] == remarks


def test_an_id_that_occurs_twice_is_told(tmp_path: Path) -> None:
    bring("dup", tmp_path)
    with pytest.warns(UserWarning, match=r"dup\.lst: 1 ids occur more than once, such as 3"):
        im2rec(tmp_path / "dup", IMAGES, pack_label=True, pass_through=True)


# Which lists a prefix takes.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train.lst", "train2.lst", "train_val.lst", "trainX.LST", "other.lst", "sub.train.lst"):
        (tmp_path / name).write_text("0\t0\td_noise_64x64.jpg\n")
    (tmp_path / "train.lst.d").mkdir()
    (tmp_path / "train.d.lst").mkdir()
    return tmp_path


def packed(folder: Path, prefix: str, **given: Any) -> tuple[list[str], list[str]]:
    before, remarks = set(folder.rglob("*")), list[str]()
    channels = im2rec(folder / prefix, IMAGES, on_remark=remarks.append, **given)
    made = set(folder.rglob("*")) - before
    assert made == {path for channel in channels for path in (channel.rec, channel.idx)}
    return sorted(channel.rec.name for channel in channels), [remark.replace(f"{folder}/", "") for remark in remarks]


PREFIXES: dict[str, tuple[list[str], list[str]]] = {
    "train": (
        ["train.rec", "train2.rec", "train_val.rec"],
        [
            "trainX.LST is not packed: its ending is not in small letters",
            "the prefix train also takes train2.lst, train_val.lst",
        ],
    ),
    "train.lst": (["train.rec"], []),
    "train.": (["train.rec"], ["the prefix train. also takes train.lst"]),
    "tra": (
        ["train.rec", "train2.rec", "train_val.rec"],
        [
            "trainX.LST is not packed: its ending is not in small letters",
            "the prefix tra also takes train.lst, train2.lst, train_val.lst",
        ],
    ),
    "train_val": (["train_val.rec"], []),
    "other": (["other.rec"], []),
}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_takes_the_lists_that_begin_with_it(folder: Path, prefix: str) -> None:
    assert packed(folder, prefix) == PREFIXES[prefix]


def test_a_folder_takes_the_lists_in_it(folder: Path) -> None:
    remark = "trainX.LST is not packed: its ending is not in small letters"
    assert packed(folder, ".") == (
        ["other.rec", "sub.train.rec", "train.rec", "train2.rec", "train_val.rec"],
        [remark],
    )


def test_lists_that_were_made_for_a_prefix_are_no_surprise(tmp_path: Path) -> None:
    for name in ("a_0_train.lst", "a_1_val.lst", "a_test.lst", "a_2.lst"):
        (tmp_path / name).write_text("0\t0\td_noise_64x64.jpg\n")
    assert packed(tmp_path, "a") == (["a_0_train.rec", "a_1_val.rec", "a_2.rec", "a_test.rec"], [])


@pytest.mark.parametrize("name", [".lst", "..lst", "a..lst", "a b.lst", "é鳥.lst"])
def test_odd_names_are_treated_as_im2rec_treats_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("0\t0\td_noise_64x64.jpg\n")
    (channel,) = im2rec(tmp_path / name, IMAGES)
    stem = os.path.splitext(name)[0]  # noqa: PTH122 - what im2rec does
    assert (channel.rec.name, channel.idx.name) == (f"{stem}.rec", f"{stem}.idx")


def test_no_list_is_an_error(folder: Path) -> None:
    with pytest.raises(ListError, match=r"valid: no list has this prefix\. Cure: make one"):
        im2rec(folder / "valid", IMAGES)
    with pytest.warns(UserWarning, match="no list has this prefix"):
        assert im2rec(folder / "valid", IMAGES, lenient=True) == ()
    with pytest.raises(ListError, match="the folder of the prefix cannot be read"):
        im2rec(folder / "nowhere" / "train", IMAGES, lenient=True)


def test_a_folder_that_hides_a_list_is_told(folder: Path) -> None:
    (folder / "train").mkdir()
    with pytest.raises(ListError, match=r"a prefix that is a folder stands for the lists in it, not for .*train\.lst"):
        im2rec(folder / "train", IMAGES)


def test_a_list_that_is_a_link_to_nothing_is_an_error(folder: Path) -> None:
    (folder / "train_old.lst").symlink_to(folder / "nowhere.lst")
    with pytest.raises(ListError, match=r"train_old\.lst: the list is no file"):
        im2rec(folder / "train_", IMAGES)
    remarks: list[str] = []
    assert len(im2rec(folder / "train", IMAGES, lenient=True, on_remark=remarks.append)) == 3
    assert "train_old.lst: the list is no file" in remarks[0]


# Nothing half-written.


def test_all_lists_are_read_before_the_first_is_packed(folder: Path) -> None:
    (folder / "train_val.lst").write_text("0\t0\td_noise_64x64.jpg\nx\t0\td_noise_64x64.jpg\n")
    before = set(folder.iterdir())
    with pytest.raises(ListError, match=r"train_val\.lst, line 2"), pytest.warns(UserWarning, match="prefix|ending"):
        im2rec(folder / "train", IMAGES)
    assert set(folder.iterdir()) == before


def test_files_of_a_previous_time_are_replaced_and_stay_on_an_error(folder: Path) -> None:
    im2rec(folder / "other", IMAGES)
    before = (folder / "other.rec").read_bytes()
    (folder / "other.lst").write_text("0\t0\td_noise_64x64.jpg\n1\t0\tnowhere.jpg\n")
    with pytest.raises(ImageError, match=r"nowhere\.jpg: the image is missing"):
        im2rec(folder / "other", IMAGES)
    assert (folder / "other.rec").read_bytes() == before
    (folder / "other.lst").write_text("5\t0\td_noise_64x64.jpg\n")
    im2rec(folder / "other", IMAGES)
    assert (folder / "other.idx").read_text() == "5\t0\n"
    assert not list(folder.glob(".birdsod*"))


def test_a_list_without_rows_is_an_error_and_leniently_makes_empty_files(tmp_path: Path) -> None:
    (tmp_path / "a.lst").write_text("\n")
    with pytest.raises(ListError, match=r"a\.lst: the list has no row that can be packed"):
        im2rec(tmp_path / "a", IMAGES)
    with pytest.warns(UserWarning, match="no row"):
        (channel,) = im2rec(tmp_path / "a", IMAGES, lenient=True)
    assert (channel.rec.read_bytes(), channel.idx.read_bytes(), channel.records) == (b"", b"", 0)


# Options.


def test_options_out_of_range_are_refused(folder: Path) -> None:
    for given in ({"resize": -1}, {"quality": 101}, {"color": 2}, {"encoding": ".webp"}, {"jobs": 0}):
        with pytest.raises(RecordError):
            im2rec(folder / "other", IMAGES, **given)


def test_passing_through_wins_over_resizing_and_is_told(folder: Path) -> None:
    remarks: list[str] = []
    given: dict[str, Any] = {"pass_through": True, "resize": 9, "center_crop": True}
    (channel,) = im2rec(folder / "other", IMAGES, on_remark=remarks.append, **given)
    assert remarks == ["files that pass through untouched are neither resized nor cropped"]
    assert channel.open()[0].image == (IMAGES / "d_noise_64x64.jpg").read_bytes()


@pytest.mark.parametrize("color", [1, 0, -1])
@pytest.mark.parametrize("crop", [False, True])
def test_kinds_that_only_opencv_reads_are_packed_leniently(tmp_path: Path, color: Any, crop: bool) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3))
    (tmp_path / "tif.lst").write_text("0\t0\ta.tif\n")
    given: dict[str, Any] = {"color": color, "center_crop": crop, "resize": 16 if crop else None}
    with pytest.raises(ImageError, match="not an image of a known kind"):
        im2rec(tmp_path / "tif", tmp_path, **given)
    (channel,) = im2rec(tmp_path / "tif", tmp_path, lenient=True, **given)
    pixels = cv2.imread(str(tmp_path / "a.tif"), color)
    assert pixels is not None
    if crop:
        pixels = cv2.resize(pixels[:, 5:35], (16, 16))
    coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    assert channel.open()[0].image == coded.tobytes()


def test_whatever_happens_to_one_image_the_others_are_packed_leniently(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("birdsod.image.encode", fail)
    with pytest.raises(RecordError, match="MemoryError: no room"):
        im2rec(folder / "other", IMAGES)
    remarks: list[str] = []
    (channel,) = im2rec(folder / "other", IMAGES, lenient=True, on_remark=remarks.append)
    assert channel.records == 0
    assert "MemoryError: no room" in remarks[0]


def test_a_file_too_large_for_a_record_is_refused_leniently(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdsod.recordio._image_work.LONGEST", 100)
    monkeypatch.setattr("birdsod.recordio._im2rec_work.LONGEST", 100)
    remarks: list[str] = []
    (channel,) = im2rec(folder / "other", IMAGES, lenient=True, pass_through=True, on_remark=remarks.append)
    assert channel.records == 0
    assert "does not fit into a record" in remarks[0]
