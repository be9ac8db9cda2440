from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import pytest

from birdsod.errors import ImageError, RecordError
from birdsod.image import encode
from birdsod.recordio import RecordReader, RecordWriter
from birdsod.ssd.sources import RecordSource

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.errors import BirdsodError


class Reader:
    """What RecordSource needs of a RecordReader."""

    path = "birds.rec"

    def __init__(self, class_ids: list[int], boxes: list[list[float]]) -> None:
        label = SimpleNamespace(class_ids=class_ids, boxes=boxes)
        data = cv2.imencode(".png", np.full((4, 6, 3), (1, 2, 3), np.uint8))[1].tobytes()
        self.record = SimpleNamespace(boxes=label, header=SimpleNamespace(id=7), image=data)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, position: int) -> Any:
        return [self.record][position]


def source(class_ids: list[int], boxes: list[list[float]]) -> RecordSource:
    return RecordSource(cast("Any", Reader(class_ids, boxes)), num_classes=2)


def test_a_record_becomes_a_picture_in_rgb() -> None:
    image_id, picture = source([1], [[0.0, 0.0, 0.5, 1.00005]]).load(0)
    assert image_id == 7
    assert picture.pixels(1)[0][0, 0].tolist() == [3, 2, 1]
    assert (picture.width, picture.height) == (6, 4)
    assert picture.boxes.tolist() == [[0, 0, 0.5, 1]]
    assert picture.class_ids.tolist() == [1]
    assert len(source([], [])) == 1
    assert source([], []).load(0)[1].boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("class_id", "box", "what"),
    [
        (2, [0.0, 0, 1, 1], "num_classes, 2"),
        (-1, [0.0, 0, 1, 1], "num_classes, 2"),
        (0, [10.0, 10, 200, 100], "outside"),
        (0, [-0.1, 0, 1, 1], "outside"),
        (0, [0.5, 0, 0.4, 1], "inverted"),
        (0, [0.5, 0, 0.5, 1], "inverted"),
        (0, [float("nan"), 0, 0.5, 1], "inverted"),
    ],
)
def test_a_label_that_cannot_be_names_its_record(class_id: int, box: list[float], what: str) -> None:
    with pytest.raises(RecordError, match=what) as caught:
        source([0, class_id], [[0.0, 0, 1, 1], box]).load(0)
    assert (caught.value.path, caught.value.record) == ("birds.rec", 0)


def test_without_a_number_of_classes_any_from_0_will_do() -> None:
    reader = cast("Any", Reader([7], [[0.0, 0, 1, 1]]))
    assert RecordSource(reader).load(0)[1].class_ids.tolist() == [7]
    negative = cast("Any", Reader([-1], [[0.0, 0, 1, 1]]))
    with pytest.raises(RecordError, match="negative"):
        RecordSource(negative).load(0)


def written(folder: Path, image: bytes, label: list[float]) -> RecordReader:
    with RecordWriter(folder / "birds.rec") as writer:
        writer.write_record(7, label, image)
    return RecordReader(folder / "birds.rec")


BOX = [2, 5, 0, 0.0, 0.0, 1.0, 1.0]
PHOTO = encode(np.full((60, 81, 3), 9, np.uint8))


@pytest.mark.parametrize(
    ("image", "label", "error"),
    [
        (b"no image", BOX, ImageError),
        (PHOTO[:40], BOX, ImageError),
        (PHOTO, [2, 5, 0.5, 0, 0, 1, 1], RecordError),
    ],
)
def test_a_record_that_cannot_be_read_is_named(
    tmp_path: Path, image: bytes, label: list[float], error: type[BirdsodError]
) -> None:
    with written(tmp_path, image, label) as reader, pytest.raises(error) as caught:
        RecordSource(reader).load(0)
    assert (caught.value.path, caught.value.record) == (str(tmp_path / "birds.rec"), 0)


def test_pixels_that_cannot_be_decoded_name_their_record(tmp_path: Path) -> None:
    png = cv2.imencode(".png", np.zeros((60, 80, 3), np.uint8))[1].tobytes()
    with written(tmp_path, png[:60], BOX) as reader:
        picture = RecordSource(reader).load(0)[1]
        assert picture.width == 80
        with pytest.raises(ImageError) as caught:
            picture.pixels(1)
    assert (caught.value.path, caught.value.record) == (str(tmp_path / "birds.rec"), 0)


@pytest.mark.parametrize(("reduce", "expected"), [(True, ((30, 41, 3), 2)), (False, ((60, 81, 3), 1))])
def test_a_jpeg_is_reduced_only_if_asked_for(
    tmp_path: Path, reduce: bool, expected: tuple[tuple[int, ...], int]
) -> None:
    with written(tmp_path, PHOTO, BOX) as reader:
        pixels, reduction = RecordSource(reader, reduce=reduce).load(0)[1].pixels(2)
    assert (pixels.shape, reduction) == expected


def test_other_kinds_are_never_reduced(tmp_path: Path) -> None:
    png = cv2.imencode(".png", np.zeros((60, 80, 3), np.uint8))[1].tobytes()
    with written(tmp_path, png, BOX) as reader:
        pixels, reduction = RecordSource(reader, reduce=True).load(0)[1].pixels(2)
    assert (pixels.shape, reduction) == ((60, 80, 3), 1)
