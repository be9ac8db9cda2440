"""Record files of birdsod before MXNet's own training iterator: the same labels and pixels."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod import image
from birdsod.errors import RecordError
from birdsod.recordio import RecordReader, RecordWriter, pack_list
from birdsod.testing import detection_labels, image_bytes, photos

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from birdsod.testing import Photo
    from tests.conformance.conftest import Oracle

TIMES = int(os.environ.get("BIRDSOD_CONFORMANCE", "1"))
OPTIONS = {"resize_mode": "force", "verbose": False}
SOUND = [2, 5, 0, 0.1, 0.1, 0.9, 0.9]
IMAGE = image.encode(np.zeros((8, 8, 3), np.uint8))

# The iterator wants an object in each record.
labels = detection_labels().filter(lambda label: len(label) >= label[0] + label[1])
# A list that holds other labels is packed by im2rec alone.
finite_labels = labels.filter(lambda label: bool(np.isfinite(label).all()))
# MXNet's own OpenCV, 3.4.2, does not know EXIF blocks in PNG files; see the test of its own.
known = photos().filter(lambda photo: photo.suffix == ".jpg" or photo.orientation in {None, 0, 1, 9})
shapes = st.tuples(st.just(3), st.integers(1, 64), st.integers(1, 64))


def iterated(oracle: Oracle, rec: Path, shape: tuple[int, int, int]) -> list[tuple[Any, Any]]:
    """Return the label and the pixels of each record as MXNet gives them."""
    _, found = oracle.get("iterate", rec=str(rec), shape=shape, options=OPTIONS)
    arrays = [np.frombuffer(blob, "<f4") for blob in found]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def check(oracle: Oracle, rec: Path, shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    theirs = iterated(oracle, rec, shape)
    with RecordReader(rec) as reader:
        longest = max(np.size(record.label) for record in reader)
        for record, (label, pixels) in zip(reader, theirs, strict=True):
            numbers = record.boxes.numbers
            padding = np.full(longest - len(numbers), -1.0)
            assert np.array_equal(label, np.concatenate([[channels, height, width, len(numbers)], numbers, padding]))
            ours = image.resize(image.decode(record.image), width=width, height=height)
            assert np.array_equal(pixels.reshape(shape), ours.transpose(2, 0, 1))


@given(st.lists(st.tuples(labels, known), min_size=1, max_size=4), shapes)
@settings(max_examples=40 * TIMES)
def test_records_are_seen_alike(
    oracle: Oracle, made: list[tuple[NDArray[np.float32], Photo]], shape: tuple[int, int, int]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        rec = Path(name) / "ours.rec"
        with RecordWriter(rec) as writer:
            for key, (label, photo) in enumerate(made):
                writer.write_record(key, label, photo.data)
        check(oracle, rec, shape)


@given(st.lists(st.tuples(finite_labels, photos()), min_size=1, max_size=4), shapes, st.integers(1, 64))
@settings(max_examples=20 * TIMES)
def test_packed_lists_are_seen_alike(
    oracle: Oracle, made: list[tuple[NDArray[np.float32], Photo]], shape: tuple[int, int, int], resize: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = []
        for key, (label, photo) in enumerate(made):
            (folder / f"{key}{photo.suffix}").write_bytes(photo.data)
            cells = [str(key), *map(repr, label.tolist()), f"{key}{photo.suffix}"]
            lines.append("\t".join(cells) + "\n")
        (folder / "train.lst").write_text("".join(lines))
        check(oracle, pack_list(folder / "train.lst", root=folder, resize=resize).rec, shape)


@pytest.mark.parametrize(("encoding", "applied"), [("JPEG", True), ("PNG", False)])
def test_the_iterator_knows_no_orientation_of_png(
    oracle: Oracle, tmp_path: Path, encoding: str, *, applied: bool
) -> None:
    """So PNG files that are turned must not pass through untouched; packed as usual they are turned for good."""
    stored = np.zeros((8, 16, 3), np.uint8)
    stored[:, 8:] = 255
    data = image_bytes(stored, encoding, orientation=6)
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write_record(1, SOUND, data)
    [(_, pixels)] = iterated(oracle, tmp_path / "a.rec", (3, 16, 16))
    ours = image.resize(image.decode(data), width=16, height=16).transpose(2, 0, 1)
    assert np.array_equal(pixels.reshape(ours.shape), ours) == applied


REFUSED: dict[str, tuple[float | list[float], str]] = {
    "one number": (3.0, "Not enough label packed"),
    "no objects": ([2, 5], "label_width >= 7"),
    "short header": ([1, 5, 0, 0.1, 0.1, 0.9, 0.9], "header_width >= 2"),
    "short object": ([2, 4, 0, 0.1, 0.1, 0.9, 0.9], "object_width_ >= 5"),
    "objects not filled": ([2, 5, 0, 0.1, 0.1, 0.9, 0.9, 1], "% object_width_ == 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_iterator_refuses(oracle: Oracle, tmp_path: Path, name: str) -> None:
    label, message = REFUSED[name]
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write_record(1, SOUND, IMAGE)
        writer.write_record(2, label, IMAGE)
    answer, _ = oracle.ask("iterate", rec=str(tmp_path / "a.rec"), shape=(3, 8, 8), options=OPTIONS)
    assert message in answer["error"]
    with RecordReader(tmp_path / "a.rec") as reader:
        if name == "no objects":
            assert len(reader[1].boxes) == 0
            return
        with pytest.raises(RecordError, match="is no detection label"):
            _ = reader[1].boxes


def test_what_the_iterator_drops(oracle: Oracle, tmp_path: Path) -> None:
    """Boxes without area go without a word; birdsod lists none, and its reader shows those of others."""
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write_record(1, [2, 5, 0, 0.5, 0.1, 0.5, 0.9, 1, 0.1, 0.1, 0.9, 0.9], IMAGE)
    [(label, _)] = iterated(oracle, tmp_path / "a.rec", (3, 8, 8))
    assert label[4:11].tolist() == pytest.approx([2, 5, 1, 0.1, 0.1, 0.9, 0.9])
    with RecordReader(tmp_path / "a.rec") as reader:
        assert len(reader[0].boxes) == 2


def test_a_box_without_area_stands_for_no_object(oracle: Oracle, tmp_path: Path) -> None:
    """The one way to show the iterator an image without objects."""
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write_record(1, [2, 5, 0, 0, 0, 0, 0], IMAGE)
        writer.write_record(2, SOUND, IMAGE)
    [(empty, _), (full, _)] = iterated(oracle, tmp_path / "a.rec", (3, 8, 8))
    assert empty.tolist() == [3, 8, 8, 2, 2, 5, -1, -1, -1, -1, -1]
    assert full[3:].tolist() == pytest.approx([7, *SOUND])
