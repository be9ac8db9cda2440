"""Box arithmetic against a second, naive implementation, against pixels, and against its own laws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from birdsod import bbox
from birdsod.bbox import BoxFormat
from birdsod.errors import BoxError
from birdsod.testing import boxes_anywhere, boxes_inside, image_sizes, pixels, whole_boxes_inside

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]
    Function = Callable[[Any], Any]

CONVERSIONS = [
    (bbox.xywh_to_xyxy, lambda x, y, w, h: (x, y, x + w, y + h)),
    (bbox.xyxy_to_xywh, lambda a, b, c, d: (a, b, c - a, d - b)),
    (bbox.cxcywh_to_xyxy, lambda x, y, w, h: (x - w / 2, y - h / 2, x + w / 2, y + h / 2)),
    (bbox.xyxy_to_cxcywh, lambda a, b, c, d: (a + (c - a) / 2, b + (d - b) / 2, c - a, d - b)),
]
BACK_AND_FORTH = [(bbox.xywh_to_xyxy, bbox.xyxy_to_xywh), (bbox.cxcywh_to_xyxy, bbox.xyxy_to_cxcywh)]
EVERY_FUNCTION: list[Function] = [
    *(function for function, _ in CONVERSIONS),
    lambda boxes: bbox.convert(boxes, BoxFormat.XYXY, BoxFormat.XYXY),
    lambda boxes: bbox.absolute_to_relative(boxes, width=7, height=9),
    lambda boxes: bbox.relative_to_absolute(boxes, width=7, height=9),
    lambda boxes: bbox.clip(boxes, width=7, height=9).boxes,
    lambda boxes: bbox.clip(boxes, width=7, height=9).cut,
    lambda boxes: bbox.flip_horizontal(boxes, width=7),
    bbox.area,
    lambda boxes: bbox.iou(boxes, boxes),
]


def every_layout(boxes: Boxes) -> list[Any]:
    """The same boxes as a list, a view, a transposed array, and arrays that may not be written."""
    wide = np.repeat(boxes, 2, axis=0)[::2]
    fortran = np.asfortranarray(boxes)
    closed = boxes.copy()
    closed.flags.writeable = False
    return [boxes.tolist(), wide, fortran, closed, boxes.astype(np.float64)[::-1][::-1]]


def naive_area(box: list[float]) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def naive_iou(one: list[float], other: list[float]) -> float:
    low = [max(one[0], other[0]), max(one[1], other[1])]
    high = [min(one[2], other[2]), min(one[3], other[3])]
    shared = naive_area([*low, *high])
    union = naive_area(one) + naive_area(other) - shared
    return shared / union if union > 0 else 0.0


def painted(box: Boxes, width: int, height: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=bool)
    xmin, ymin, xmax, ymax = box.astype(int)
    mask[ymin:ymax, xmin:xmax] = True
    return mask


@given(boxes_anywhere())
@pytest.mark.parametrize(("function", "naive"), CONVERSIONS)
def test_conversions_agree_with_loops(function: Function, naive: Callable[..., Any], boxes: Boxes) -> None:
    expected = np.array([naive(*box) for box in boxes.tolist()]).reshape(-1, 4)
    np.testing.assert_array_equal(function(boxes), expected)


@given(boxes_anywhere(furthest=1e4))
@pytest.mark.parametrize(("there", "back"), BACK_AND_FORTH)
def test_conversions_come_back(there: Function, back: Function, boxes: Boxes) -> None:
    scale = max(1.0, float(np.abs(boxes).max(initial=0)))
    np.testing.assert_allclose(back(there(boxes)), boxes, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(there(back(boxes)), boxes, rtol=1e-9, atol=1e-9 * scale)


@given(boxes_inside(300, 200), st.sampled_from(BoxFormat), st.sampled_from(BoxFormat))
def test_convert_there_and_back(boxes: Boxes, source: BoxFormat, target: BoxFormat) -> None:
    back = bbox.convert(bbox.convert(boxes, source, target), target, source)
    np.testing.assert_allclose(back, boxes, rtol=1e-9, atol=1e-9)


def test_convert_uses_the_named_functions() -> None:
    box = [10, 20, 30, 40]
    assert bbox.convert(box, BoxFormat.XYWH, BoxFormat.XYXY).tolist() == bbox.xywh_to_xyxy(box).tolist()
    assert bbox.convert(box, BoxFormat.XYXY, BoxFormat.CXCYWH).tolist() == bbox.xyxy_to_cxcywh(box).tolist()
    assert bbox.convert(box, BoxFormat.CXCYWH, BoxFormat.XYWH).tolist() == [-5.0, 0.0, 30.0, 40.0]


@given(boxes_anywhere())
@pytest.mark.parametrize("function", EVERY_FUNCTION)
def test_inputs_are_never_edited_and_every_layout_gives_the_same(function: Function, boxes: Boxes) -> None:
    before = boxes.copy()
    expected = function(boxes)
    assert not np.shares_memory(expected, boxes)
    for given_boxes in every_layout(boxes):
        np.testing.assert_array_equal(function(given_boxes if boxes.size else np.zeros((0, 4))), expected)
    np.testing.assert_array_equal(boxes, before)
    assert expected.dtype == np.float64
    expected += 1  # a result may be written to


@pytest.mark.parametrize("function", EVERY_FUNCTION)
@pytest.mark.parametrize("empty", [[], np.zeros((0, 4)), np.zeros((0, 4), dtype=np.int32)])
def test_no_boxes_are_fine(function: Function, empty: Any) -> None:
    assert function(empty).size == 0


@pytest.mark.parametrize("function", EVERY_FUNCTION[:-2])
def test_leading_axes_are_kept(function: Function) -> None:
    boxes = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    assert function(boxes).shape == (2, 3, 4)
    np.testing.assert_array_equal(function(boxes)[1, 2], function(boxes[1, 2]))


@given(image_sizes().flatmap(lambda size: st.tuples(st.just(size), boxes_inside(*size))))
def test_relative_and_absolute_come_back(drawn: tuple[tuple[int, int], Boxes]) -> None:
    (width, height), boxes = drawn
    relative = bbox.absolute_to_relative(boxes, width=width, height=height)
    naive = [[box[0] / width, box[1] / height, box[2] / width, box[3] / height] for box in boxes.tolist()]
    np.testing.assert_array_equal(relative, np.array(naive).reshape(-1, 4))
    bbox.validate(relative, width=1, height=1)
    back = bbox.relative_to_absolute(relative, width=width, height=height)
    np.testing.assert_allclose(back, boxes, rtol=1e-9, atol=0)


def test_sizes_broadcast_over_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10]])
    relative = bbox.absolute_to_relative(boxes, width=[10, 20], height=40)
    assert relative.tolist() == [[0, 0, 1, 0.25], [0, 0, 0.5, 0.25]]
    assert bbox.relative_to_absolute(relative, width=[10, 20], height=[40, 40]).tolist() == boxes.tolist()
    assert bbox.flip_horizontal([0, 0, 10, 10], width=[10, 30]).tolist() == [[0, 0, 10, 10], [20, 0, 30, 10]]
    assert bbox.clip(np.full((3, 2, 4), 9), width=[4, 5], height=[[6], [7], [8]]).boxes[1].tolist() == [
        [4, 7, 4, 7],
        [5, 7, 5, 7],
    ]


@given(boxes_anywhere(), image_sizes())
def test_clip_agrees_with_loops_and_is_idempotent(boxes: Boxes, size: tuple[int, int]) -> None:
    width, height = size
    inside, cut = bbox.clip(boxes, width=width, height=height)
    limits = (width, height, width, height)
    naive = [[min(max(x, 0.0), limit) for x, limit in zip(box, limits, strict=True)] for box in boxes.tolist()]
    np.testing.assert_array_equal(inside, np.array(naive).reshape(-1, 4))
    np.testing.assert_array_equal(cut, np.abs(inside - boxes))
    assert (cut >= 0).all()
    again = bbox.clip(inside, width=width, height=height)
    np.testing.assert_array_equal(again.boxes, inside)
    assert not again.cut.any()


@given(boxes_inside(640, 480))
def test_clip_leaves_boxes_inside_alone(boxes: Boxes) -> None:
    inside, cut = bbox.clip(boxes, width=640, height=480)
    np.testing.assert_array_equal(inside, boxes)
    assert not cut.any()


@given(boxes_anywhere(furthest=1e4), st.integers(1, 4000))
def test_flip_twice_is_nothing_and_keeps_area_and_rows(boxes: Boxes, width: int) -> None:
    flipped = bbox.flip_horizontal(boxes, width=width)
    np.testing.assert_allclose(bbox.flip_horizontal(flipped, width=width), boxes, rtol=1e-9, atol=1e-8)
    np.testing.assert_array_equal(flipped[:, [1, 3]], boxes[:, [1, 3]])
    np.testing.assert_allclose(bbox.area(flipped), bbox.area(boxes), rtol=1e-9, atol=1e-6)


@given(image_sizes(most=60).flatmap(lambda size: st.tuples(st.just(size), whole_boxes_inside(*size))))
def test_whole_boxes_flip_exactly(drawn: tuple[tuple[int, int], Boxes]) -> None:
    (width, height), boxes = drawn
    flipped = bbox.flip_horizontal(boxes, width=width)
    bbox.validate(flipped, width=width, height=height, tolerance=0)
    np.testing.assert_array_equal(bbox.flip_horizontal(flipped, width=width), boxes)


@given(st.data())
def test_pixels_inside_a_flipped_box_are_the_mirrored_pixels(data: st.DataObject) -> None:
    image = data.draw(pixels(most=24))
    height, width = image.shape[:2]
    boxes = data.draw(whole_boxes_inside(width, height, least=1))
    mirrored = image[:, ::-1]
    for box, flipped in zip(boxes.astype(int), bbox.flip_horizontal(boxes, width=width).astype(int), strict=True):
        crop = image[box[1] : box[3], box[0] : box[2]]
        mirrored_crop = mirrored[flipped[1] : flipped[3], flipped[0] : flipped[2]]
        np.testing.assert_array_equal(mirrored_crop, crop[:, ::-1])


@given(st.data())
def test_area_and_iou_count_pixels(data: st.DataObject) -> None:
    width, height = data.draw(image_sizes(most=20))
    one, other = data.draw(whole_boxes_inside(width, height)), data.draw(whole_boxes_inside(width, height))
    masks = [painted(box, width, height) for box in one]
    others = [painted(box, width, height) for box in other]
    np.testing.assert_array_equal(bbox.area(one), [mask.sum() for mask in masks])
    expected = [[(a & b).sum() / (a | b).sum() for b in others] for a in masks]
    np.testing.assert_allclose(bbox.iou(one, other), np.array(expected).reshape(len(one), len(other)), rtol=1e-12)


@given(boxes_anywhere(furthest=1e3), boxes_anywhere(furthest=1e3))
def test_iou_agrees_with_loops_and_is_symmetric(one: Boxes, other: Boxes) -> None:
    expected = [[naive_iou(a, b) for b in other.tolist()] for a in one.tolist()]
    found = bbox.iou(one, other)
    np.testing.assert_allclose(found, np.array(expected).reshape(len(one), len(other)), rtol=1e-12)
    np.testing.assert_array_equal(found.T, bbox.iou(other, one))
    assert ((found >= 0) & (found <= 1)).all()


@given(boxes_inside(50, 50, least=1))
def test_a_box_overlaps_itself_wholly(boxes: Boxes) -> None:
    np.testing.assert_allclose(np.diag(bbox.iou(boxes, boxes)), 1.0, rtol=1e-12)


def test_iou_of_single_boxes_batches_and_empty_boxes() -> None:
    assert bbox.iou([0, 0, 2, 2], [1, 0, 3, 2]).shape == (1, 1)
    assert bbox.iou([0, 0, 0, 0], [[0, 0, 0, 0], [0, 0, 1, 1]]).tolist() == [[0.0, 0.0]]
    assert bbox.iou([5, 5, 1, 1], [0, 0, 9, 9]).tolist() == [[0.0]]
    assert bbox.iou(np.ones((7, 3, 4)), np.ones((7, 2, 4))).shape == (7, 3, 2)


@given(boxes_inside(30, 20))
def test_validate_accepts_sound_boxes(boxes: Boxes) -> None:
    bbox.validate(boxes)
    bbox.validate(boxes, width=30, height=20, tolerance=1e-12)


@given(boxes_anywhere(least=1, furthest=100))
def test_validate_names_the_first_wrong_row(boxes: Boxes) -> None:
    def sound(box: list[float]) -> bool:
        return 0 <= box[0] < box[2] <= 50 and 0 <= box[1] < box[3] <= 40

    wrong = [row for row, box in enumerate(boxes.tolist()) if not sound(box)]
    assume(wrong)
    with pytest.raises(BoxError) as caught:
        bbox.validate(boxes, width=50, height=40, tolerance=0)
    assert caught.value.record == wrong[0]
    assert caught.value.value == boxes[wrong[0]].tolist()


@pytest.mark.parametrize(
    ("box", "what"),
    [
        ([math.nan, 0, 5, 5], "not finite, xmin is nan"),
        ([0, 0, 5, math.inf], "not finite, ymax is inf"),
        ([6, 0, 5, 5], "inverted, xmax < xmin"),
        ([0, 6, 5, 5], "inverted, ymax < ymin"),
        ([5, 0, 5, 5], "empty, xmax == xmin"),
        ([0, 5, 5, 5], "empty, ymax == ymin"),
        ([-1, 0, 5, 5], "outside its image, xmin is below 0"),
        ([0, -1, 5, 5], "outside its image, ymin is below 0"),
        ([0, 0, 11, 5], "outside its image, xmax is above 10"),
        ([0, 0, 5, 9], "outside its image, ymax is above 8"),
    ],
)
def test_validate_says_what_is_wrong(box: list[Any], what: str) -> None:
    with pytest.raises(BoxError, match=what) as caught:
        bbox.validate(np.array([[0, 0, 1, 1], box]), width=10, height=8)
    assert caught.value.record == 1
    assert "record 1" in str(caught.value)


def test_validate_checks_outside_only_where_a_size_is_given() -> None:
    bbox.validate([-5, -5, 900, 900])
    bbox.validate([-5, 0, 900, 8], height=8)
    bbox.validate([0, -5, 10, 900], width=10)
    with pytest.raises(BoxError, match="ymin is below 0"):
        bbox.validate([-5, -1, 900, 8], height=8)


def test_validate_lets_float_noise_pass_and_no_more() -> None:
    bbox.validate([-9e-7, 0, 10 + 9e-7, 8], width=10, height=8)
    with pytest.raises(BoxError, match="xmin is below 0"):
        bbox.validate([-2e-6, 0, 10, 8], width=10, height=8)
    with pytest.raises(BoxError, match="xmax is above 10"):
        bbox.validate([0, 0, 10 + 2e-6, 8], width=10, height=8)


def test_validate_takes_a_size_for_each_box() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 20, 10]])
    bbox.validate(boxes, width=[10, 20], height=10)
    with pytest.raises(BoxError, match="xmax is above 10") as caught:
        bbox.validate(boxes, width=[20, 10], height=10)
    assert caught.value.record == 1
    bbox.validate([0, 0, 10, 10], width=[10, 20], height=10)
    bbox.validate([], width=10, height=10)


@pytest.mark.parametrize("boxes", [5, [1, 2, 3], np.zeros((2, 5)), np.zeros((4, 2))])
def test_other_shapes_are_refused(boxes: Any) -> None:
    with pytest.raises(BoxError, match="four numbers"):
        bbox.area(boxes)


@pytest.mark.parametrize("boxes", [["a", "b", "c", "d"], [[1, 2, 3, 4], [1, 2]], [None, {}, 1, 2]])
def test_what_is_no_number_is_refused(boxes: Any) -> None:
    with pytest.raises(BoxError, match="must be numbers"):
        bbox.area(boxes)


@pytest.mark.parametrize("width", [0, -1, math.nan, math.inf, [5, 0]])
def test_sizes_must_be_positive_numbers(width: Any) -> None:
    with pytest.raises(BoxError, match="width of an image must be a positive number"):
        bbox.absolute_to_relative([0, 0, 1, 1], width=width, height=5)
    with pytest.raises(BoxError, match="height of an image must be a positive number"):
        bbox.clip([0, 0, 1, 1], width=5, height=width)


def test_sizes_must_fit_the_boxes() -> None:
    with pytest.raises(BoxError, match="do not broadcast"):
        bbox.absolute_to_relative(np.zeros((3, 4)), width=[1, 2], height=1)
    with pytest.raises(BoxError, match="do not broadcast"):
        bbox.absolute_to_relative(np.zeros((3, 4)), width=[1, 2, 3], height=[1, 2])
