from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from birdsod.ssd.windows import FILL, Sample, Window, look_through, mirror, whole

if TYPE_CHECKING:
    import numpy.typing as npt

WHITE, BLACK = 255, 0


@st.composite
def painted(draw: st.DrawFn) -> tuple[Sample, Window]:
    """A black image with one box painted white, and a window that sees all of the box."""
    width, height = draw(st.integers(40, 120)), draw(st.integers(40, 120))
    left, top = draw(st.integers(0, width - 20)), draw(st.integers(0, height - 20))
    right, bottom = draw(st.integers(left + 16, width)), draw(st.integers(top + 16, height))
    window = Window(
        draw(st.integers(-100, left)),
        draw(st.integers(-100, top)),
        draw(st.integers(right, width + 100)),
        draw(st.integers(bottom, height + 100)),
    )
    return paint(width, height, [(left, top, right, bottom)]), window


def paint(width: int, height: int, boxes: list[tuple[int, int, int, int]]) -> Sample:
    image = np.zeros((height, width, 3), np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = WHITE
    relative = np.array(boxes, float).reshape(-1, 4) / (width, height, width, height)
    return Sample(image, relative, np.arange(len(boxes)))


def bright(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The box around what is brighter than grey."""
    rows, columns = np.nonzero(image[..., 0] > FILL + 1)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


@given(painted(), st.sampled_from([64, 300]))
def test_the_box_follows_its_pixels(case: tuple[Sample, Window], size: int) -> None:
    sample, window = case
    seen = look_through(sample, window, size=size)
    # Linear interpolation blurs an edge over as many pixels as one pixel of the image becomes.
    blur = 1 + max(1.0, size / window.width, size / window.height)
    assert seen.image.shape == (size, size, 3)
    assert np.abs(seen.boxes[0] * size - bright(seen.image)).max() <= blur


@given(painted())
def test_a_window_of_the_result_size_copies_pixels(case: tuple[Sample, Window]) -> None:
    sample, window = case
    square = Window(window.left, window.top, window.left + 160, window.top + 160)
    seen = look_through(sample, square, size=160)
    height, width = sample.image.shape[:2]
    for row, column in ((0, 0), (159, 159), (80, 80), (20, 140)):
        y, x = row + square.top, column + square.left
        expected = sample.image[y, x] if 0 <= y < height and 0 <= x < width else [FILL] * 3
        assert seen.image[row, column].tolist() == list(expected)


@given(painted())
def test_mirror_moves_box_with_pixels_and_twice_is_nothing(case: tuple[Sample, Window]) -> None:
    sample, _ = case
    turned = mirror(sample)
    width = sample.image.shape[1]
    assert np.allclose(turned.boxes[0, ::2] * width, bright(turned.image)[::2])
    again = mirror(turned)
    assert np.array_equal(again.image, sample.image)
    assert np.allclose(again.boxes, sample.boxes, atol=1e-12)


def test_objects_whose_centre_is_outside_are_dropped_and_the_others_cut() -> None:
    sample = paint(100, 100, [(0, 0, 40, 40), (50, 50, 90, 90), (30, 0, 60, 20)])
    seen = look_through(sample, Window(30, 0, 100, 100), size=100)
    assert seen.class_ids.tolist() == [1, 2]
    assert seen.boxes[1].tolist() == pytest.approx([0, 0, 30 / 70, 0.2])


def test_the_centre_decides() -> None:
    window = Window(0, 0, 10, 10)
    assert [window.holds(*point) for point in ((10.0, 10.0), (11.0, 11.0), (-5.0, 5.0))] == [True, False, False]
    seen = look_through(paint(40, 40, [(5, 5, 15, 15), (6, 6, 16, 16), (0, 0, 10, 10)]), window, size=20)
    assert seen.class_ids.tolist() == [0, 2]


def test_a_window_beside_the_image_shows_grey() -> None:
    seen = look_through(paint(50, 50, [(0, 0, 50, 50)]), Window(60, 60, 90, 90), size=32)
    assert (seen.image == FILL).all()
    assert len(seen.boxes) == 0


def test_a_sliver_at_the_far_edge_is_drawn_inside() -> None:
    seen = look_through(paint(50, 50, []), Window(-5000, 0, 1, 50), size=32)
    assert (seen.image[:, -1] == BLACK).all()
    assert (seen.image[:, :-1] == FILL).all()


def test_boxes_that_the_edge_leaves_nothing_of_are_dropped() -> None:
    sample = Sample(np.zeros((10, 10, 3), np.uint8), np.array([[0.5, 0.1, 0.50001, 0.9]]), np.array([0]))
    assert len(look_through(sample, Window(0, 0, 5, 10), size=10).boxes) == 0


def test_boxes_too_thin_to_be_drawn_are_dropped() -> None:
    boxes = np.array([[0.3, 0.1, 0.30001, 0.9], [0.1, 0.3, 0.9, 0.30001], [0.1, 0.1, 0.9, 0.9]])
    seen = look_through(Sample(np.zeros((10, 10, 3), np.uint8), boxes, np.arange(3)), Window(0, 0, 10, 10), size=10)
    assert seen.class_ids.tolist() == [2]


def test_whole_shows_everything() -> None:
    sample = paint(80, 40, [(8, 4, 40, 20)])
    seen = whole(sample, size=40)
    assert seen.image.shape == (40, 40, 3)
    assert seen.boxes.tolist() == [pytest.approx([0.1, 0.1, 0.5, 0.5])]


@given(painted())
def test_inputs_stay_as_they_are(case: tuple[Sample, Window]) -> None:
    sample, window = case
    image, boxes = sample.image.copy(), sample.boxes.copy()
    look_through(sample, window, size=32)
    mirror(sample)
    assert np.array_equal(sample.image, image)
    assert np.array_equal(sample.boxes, boxes)


@dataclass
class Reducing:
    """A picture that gives its pixels as much smaller as they may be."""

    sample: Sample
    asked: int = 0

    @property
    def width(self) -> int:
        return self.sample.width

    @property
    def height(self) -> int:
        return self.sample.height

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        return self.sample.boxes

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        return self.sample.class_ids

    def pixels(self, reduction: int) -> tuple[npt.NDArray[np.uint8], int]:
        self.asked = reduction
        # As a JPEG does it: the last row and column are repeated until they fill a pixel.
        height, width = (-side % reduction for side in self.sample.image.shape[:2])
        padded = np.pad(self.sample.image, ((0, height), (0, width), (0, 0)), mode="edge")
        shape = padded.shape[1] // reduction, padded.shape[0] // reduction
        return np.asarray(cv2.resize(padded, shape, interpolation=cv2.INTER_AREA), dtype=np.uint8), reduction


@given(painted(), st.sampled_from([8, 16, 32]))
def test_the_box_follows_reduced_pixels(case: tuple[Sample, Window], size: int) -> None:
    sample, window = case
    picture = Reducing(sample)
    seen = look_through(picture, window, size=size)
    left, top, right, bottom = seen.boxes[0] * size
    assume(min(right - left, bottom - top) >= 3)  # thinner, nothing of it is white
    assert picture.asked in {1, 2, 4, 8}
    assert picture.asked == 1 or min(window.width, window.height) >= picture.asked * size
    # A reduced pixel may be half white, and linear interpolation blurs over another one.
    blur = 2 + 2 * max(1.0, size / (window.width / picture.asked), size / (window.height / picture.asked))
    assert np.abs(seen.boxes[0] * size - bright(seen.image)).max() <= blur


def test_only_pixels_that_are_not_needed_are_reduced() -> None:
    picture = Reducing(paint(801, 803, []))
    for size, expected in ((100, 8), (101, 4), (200, 4), (201, 2), (400, 2), (401, 1)):
        seen = whole(picture, size=size)
        assert picture.asked == expected
        assert (seen.image == BLACK).all()
        look_through(picture, Window(0, 0, 803, size), size=size)
        assert picture.asked == 1


@given(painted())
def test_out_takes_the_pixels_whatever_was_in_it(case: tuple[Sample, Window]) -> None:
    sample, window = case
    out = np.full((48, 48, 3), 5, np.uint8)
    seen = look_through(sample, window, size=48, out=out)
    assert seen.image is out
    assert np.array_equal(out, look_through(sample, window, size=48).image)


def test_touch_sees_what_is_drawn_and_not_the_grey() -> None:
    def redden(pixels: npt.NDArray[np.uint8]) -> None:
        pixels[..., 0] = 200

    seen = look_through(paint(50, 50, []), Window(-50, 0, 50, 100), size=40, touch=redden)
    assert (seen.image[:20, 20:] == [200, 0, 0]).all()
    assert (seen.image[20:] == FILL).all()
    assert (seen.image[:, :20] == FILL).all()
