"""Detections are those of MXNet's MultiBoxDetection; suppression is the greedy one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.errors import InputError
from birdsod.ssd import detection
from birdsod.ssd.detection import decode, multibox_detection, suppress

OPS = Path(__file__).parents[1] / "golden" / "ops"
CASES = {name: case for name, case in json.loads((OPS / "meta.json").read_text()).items() if name.startswith("det")}
Rows = npt.NDArray[np.float32]


@pytest.mark.parametrize("name", sorted(CASES))
def test_detections_are_those_of_mxnet(name: str) -> None:
    with np.load(OPS / f"{name}.npz") as golden:
        found = multibox_detection(golden["cls_prob"], golden["loc_pred"], golden["anchor"], **CASES[name])
        expected = golden["out"]
    assert found.dtype == np.float32
    assert np.array_equal(found[..., 0], expected[..., 0])
    np.testing.assert_allclose(found, expected, atol=3e-7)


def overlap(one: Rows, other: Rows) -> np.float32:
    width = max(np.float32(0), min(one[2], other[2]) - max(one[0], other[0]))
    height = max(np.float32(0), min(one[3], other[3]) - max(one[1], other[1]))
    shared = width * height
    union = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return np.float32(shared / union) if union > 0 else np.float32(0)


def greedy(boxes: Rows, classes: npt.NDArray[Any], threshold: float, *, force: bool) -> list[bool]:
    alive = [True] * len(boxes)
    for i in range(len(boxes)):
        for j in range(i + 1, len(boxes)):
            same = force or classes[i] == classes[j]
            if alive[i] and alive[j] and same and overlap(boxes[i], boxes[j]) >= np.float32(threshold):
                alive[j] = False
    return alive


@st.composite
def boxes_on_a_grid(draw: st.DrawFn) -> Rows:
    """Corners on a coarse grid, so that overlaps equal to the threshold are common; some boxes are empty."""
    count, seed = draw(st.integers(0, 40)), draw(st.integers(0, 2**32 - 1))
    corners = np.random.default_rng(seed).integers(0, 7, (count, 4))
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])
    return (np.concatenate([low, high], axis=1) / 6).astype(np.float32)


@settings(max_examples=100)
@given(
    boxes=boxes_on_a_grid(),
    threshold=st.sampled_from([0.2, 0.25, 0.45, 0.5, 1.0]),
    force=st.booleans(),
    block=st.integers(1, 12),
)
def test_suppression_equals_a_naive_greedy_loop(boxes: Rows, threshold: float, force: bool, block: int) -> None:
    classes = np.arange(len(boxes)) % 3
    with patch.object(detection, "_BLOCK", block):
        found = suppress(boxes, classes, nms_threshold=threshold, force_suppress=force)
    assert found.tolist() == greedy(boxes, classes, threshold, force=force)


def test_suppression_of_more_boxes_than_one_block() -> None:
    rng = np.random.default_rng(0)
    low = rng.random((700, 2)) * 0.5
    boxes = np.concatenate([low, low + 0.1 + rng.random((700, 2)) * 0.4], axis=1).astype(np.float32)
    classes = rng.integers(0, 5, 700)
    found = suppress(boxes, classes, nms_threshold=0.45)
    assert found.tolist() == greedy(boxes, classes, 0.45, force=False)


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(1, 3),
    topk=st.sampled_from([-1, 1, 5, 100]),
    nms_threshold=st.sampled_from([-1.0, 0.3, 1.0, 1.5]),
    clip=st.booleans(),
)
def test_detection_equals_a_naive_second_implementation(
    seed: int, classes: int, topk: int, nms_threshold: float, clip: bool
) -> None:
    rng = np.random.default_rng(seed)
    anchors = np.sort(rng.random((12, 2, 2)), axis=1).reshape(12, 4).astype(np.float32)
    raw = rng.integers(0, 5, (1, classes + 1, 12)).astype(np.float32) + np.float32(0.01)
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    offsets = rng.normal(size=(1, 48)).astype(np.float32)
    found = multibox_detection(
        probabilities, offsets, anchors, threshold=0.2, nms_threshold=nms_threshold, nms_topk=topk, clip=clip
    )[0]
    expected = naive(probabilities[0], offsets[0].reshape(12, 4), anchors, nms_threshold, topk, clip=clip)
    assert np.array_equal(found[:, 0], expected[:, 0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def naive(
    probabilities: Rows, offsets: Rows, anchors: Rows, nms_threshold: float, topk: int, *, clip: bool
) -> npt.NDArray[np.float64]:
    out = np.full((len(anchors), 6), -1.0)
    kept = []
    for place, anchor in enumerate(anchors):
        scores = probabilities[1:, place].tolist()
        score = max(scores)
        if score >= np.float32(0.2):
            kept.append([scores.index(score), score, *naive_box(anchor, offsets[place], clip=clip)])
    out[: len(kept)] = np.asarray(kept).reshape(-1, 6)
    if not kept or not 0 < nms_threshold <= 1:
        return out
    best = sorted(kept, key=lambda row: -row[1])[: topk if topk > 0 else len(kept)]
    out[: len(kept), 0] = -1
    out[: len(best)] = best
    boxes = out[: len(best), 2:].astype(np.float32)
    out[: len(best), 0][~np.asarray(greedy(boxes, out[: len(best), 0], nms_threshold, force=False))] = -1
    return out


def naive_box(anchor: Rows, offset: Rows, *, clip: bool) -> list[float]:
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x = offset[0] * 0.1 * width + (anchor[0] + anchor[2]) / 2
    y = offset[1] * 0.1 * height + (anchor[1] + anchor[3]) / 2
    half_x, half_y = np.exp(offset[2] * 0.2) * width / 2, np.exp(offset[3] * 0.2) * height / 2
    box = [x - half_x, y - half_y, x + half_x, y + half_y]
    return [min(1.0, max(0.0, float(side))) for side in box] if clip else [float(side) for side in box]


def test_what_is_not_a_number_is_no_detection() -> None:
    nothing = multibox_detection(np.full((1, 3, 2), np.nan), np.zeros((1, 8)), [[0.0] * 2 + [1.0] * 2] * 2)
    assert (nothing == -1).all()
    one = multibox_detection([[[0.1], [np.nan], [0.4]]], np.zeros((1, 4)), [[0, 0, 1, 1]])
    assert one[0, 0, :2].tolist() == [1, np.float32(0.4)]


def test_a_box_beyond_all_numbers_is_clipped_without_a_warning() -> None:
    found = multibox_detection([[[0.1], [0.9]]], [[0, 0, 1e4, 1e4]], [[0.2, 0.2, 0.4, 0.4]])
    assert found[0, 0, 2:].tolist() == [0, 0, 1, 1]
    twice = np.array([[0.2, 0.2, 0.4, 0.4]] * 2, np.float32)
    endless = multibox_detection([[[0.1] * 2, [0.9] * 2]], [[0, 0, 1e4, 1e4] * 2], twice, clip=False)
    assert np.isinf(endless[0, :, 2:]).all()


def test_decoding_and_matching_are_inverse() -> None:
    from birdsod.ssd.matching import multibox_target

    anchors = np.array([[0.1, 0.2, 0.5, 0.7]], np.float32)
    target = multibox_target(anchors, [[[0, 0.15, 0.1, 0.6, 0.8]]], [[[0], [0]]])
    np.testing.assert_allclose(decode(anchors, target.loc_target.reshape(1, 4)), [[0.15, 0.1, 0.6, 0.8]], atol=1e-6)


def test_no_images_and_no_anchors() -> None:
    assert multibox_detection(np.zeros((0, 2, 3)), np.zeros((0, 12)), np.zeros((3, 4))).shape == (0, 3, 6)
    assert multibox_detection(np.zeros((1, 2, 0)), np.zeros((1, 0)), np.zeros((0, 4))).shape == (1, 0, 6)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 2, 3), (1, 12), (3, 5)), "anchors"),
        (((1, 2, 3), (1, 12), (2, 3, 4)), "anchors"),
        (((1, 2, 4), (1, 12), (3, 4)), "probabilities"),
        (((1, 1, 3), (1, 12), (3, 4)), "probabilities"),
        (((2, 3), (1, 12), (3, 4)), "probabilities"),
        (((1, 2, 3), (1, 11), (3, 4)), "offsets"),
        (((1, 2, 3), (2, 12), (3, 4)), "offsets"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    probabilities, offsets, anchors = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(InputError, match=message):
        multibox_detection(probabilities, offsets, anchors)
