"""Targets are those of MXNet's MultiBoxTarget; the training loop's batched version gives the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.errors import InputError
from birdsod.ssd.anchors import SSD_ANCHORS, anchors_for
from birdsod.ssd.matching import Targets, multibox_target
from birdsod.ssd.targets import batch_targets

OPS = Path(__file__).parents[1] / "golden" / "ops"
CASES = {name: case for name, case in json.loads((OPS / "meta.json").read_text()).items() if name.startswith("tgt")}
# What MXNet's operator takes where a case names nothing: no mining at all.
OPERATOR_DEFAULTS = {"negative_mining_ratio": -1}


def options_of(name: str) -> dict[str, Any]:
    case = {**OPERATOR_DEFAULTS, **CASES[name]}
    return {key: value for key, value in case.items() if key not in {"error", "minimum_negative_samples"}}


def inputs_of(name: str) -> dict[str, npt.NDArray[np.float32]]:
    suffix = "_in" if "error" in CASES[name] else ""
    with np.load(OPS / f"{name}{suffix}.npz") as golden:
        return {key: golden[key] for key in golden}


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if "error" not in case))
def test_targets_are_those_of_mxnet(name: str) -> None:
    golden = inputs_of(name)
    found = multibox_target(golden["anchor"], golden["label"], golden["cls_pred"], **options_of(name))
    assert np.array_equal(found.cls_target, golden["cls_target"])
    assert np.array_equal(found.loc_mask, golden["loc_mask"])
    np.testing.assert_allclose(found.loc_target, golden["loc_target"], atol=3e-7)


@pytest.mark.parametrize(
    ("name", "message"), [("tgt_negthr", "60 anchors should learn background, but only 40"), ("tgt_badpad", "padding")]
)
def test_what_mxnet_refuses_is_refused(name: str, message: str) -> None:
    golden = inputs_of(name)
    with pytest.raises(InputError, match=message) as caught:
        multibox_target(golden["anchor"], golden["label"], golden["cls_pred"], **options_of(name))
    assert caught.value.record is not None


def test_without_strictness_all_candidates_become_background() -> None:
    golden = inputs_of("tgt_negthr")
    given_options = options_of("tgt_negthr")
    found = multibox_target(golden["anchor"], golden["label"], golden["cls_pred"], **given_options, strict=False)
    image = next(image for image in range(len(found.cls_target)) if (found.cls_target[image] == 0).sum() == 40)
    everything = options_of("tgt_negthr") | {"negative_mining_ratio": 0}
    more = multibox_target(golden["anchor"], golden["label"], golden["cls_pred"], **everything)
    assert (more.cls_target[image] == 0).sum() > 40


ANCHORS = anchors_for(SSD_ANCHORS[1:4], [(4, 4), (2, 2), (1, 1)])


@st.composite
def batches(draw: st.DrawFn) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Labels and scores on coarse grids, so that equal overlaps and equal scores are common."""
    images, most, classes = draw(st.integers(1, 3)), draw(st.integers(0, 4)), draw(st.integers(1, 3))
    labels = np.full((images, most, 5), -1, np.float32)
    for image in range(images):
        for row in range(draw(st.integers(0, most))):
            left, top = draw(st.integers(0, 7)), draw(st.integers(0, 7))
            right, bottom = draw(st.integers(left + 1, 8)), draw(st.integers(top + 1, 8))
            labels[image, row] = [draw(st.integers(0, classes - 1)), left / 8, top / 8, right / 8, bottom / 8]
    seed = draw(st.integers(0, 2**32 - 1))
    scores = np.random.default_rng(seed).integers(-4, 5, (images, classes + 1, len(ANCHORS))) / 2
    # In one order, so that equal scores are summed up to equal bits.
    scores[:, 1:].sort(axis=1)
    return labels, scores.astype(np.float32)


def in_batch(labels: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], **options: Any) -> Targets:
    found = batch_targets(
        torch.from_numpy(ANCHORS),
        torch.from_numpy(labels),
        torch.from_numpy(scores.transpose(0, 2, 1).copy()),
        **options,
    )
    assert found.cls_target.dtype == torch.int64
    return Targets(found.loc_target.numpy(), found.loc_mask.numpy(), found.cls_target.numpy().astype(np.float32))


@settings(max_examples=100)
@given(
    batch=batches(),
    overlap_threshold=st.sampled_from([0.0, 0.3, 0.5, 0.7]),
    negative_mining_ratio=st.sampled_from([-1.0, 1.0, 2.5, 3.0, 30.0]),
    negative_mining_thresh=st.sampled_from([0.2, 0.5]),
)
def test_the_batched_version_equals_the_reference(
    batch: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], **options: Any
) -> None:
    labels, scores = batch
    expected = multibox_target(ANCHORS, labels, scores, **options, strict=False)
    found = in_batch(labels, scores, **options)
    assert np.array_equal(found.cls_target, expected.cls_target)
    assert np.array_equal(found.loc_mask, expected.loc_mask)
    np.testing.assert_allclose(found.loc_target, expected.loc_target, atol=2e-6)


@settings(max_examples=50)
@given(batch=batches())
def test_laws_of_matching(batch: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]) -> None:
    labels, scores = batch
    found = multibox_target(ANCHORS, labels, scores, strict=False)
    for image, rows in enumerate(labels):
        target = found.cls_target[image]
        objects = rows[rows[:, 0] >= 0]
        matched = int((target > 0).sum())
        assert matched >= min(1, len(objects))
        assert int((target == 0).sum()) <= 3 * matched
        assert set(target[target > 0] - 1) <= set(objects[:, 0])
        assert found.loc_mask[image].sum() == 4 * matched
        assert not found.loc_target[image][found.loc_mask[image] == 0].any()
        assert len(objects) or (target == -1).all()


def test_inputs_are_left_as_they_are() -> None:
    golden = inputs_of("tgt_ssd")
    before = {name: values.copy() for name, values in golden.items()}
    multibox_target(golden["anchor"], golden["label"], golden["cls_pred"])
    assert all(np.array_equal(golden[name], before[name]) for name in before)


def test_more_objects_than_anchors() -> None:
    anchors = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], np.float32)
    labels = np.array([[[k, 0, 0, 1, 1] for k in range(3)]], np.float32)
    scores = np.zeros((1, 4, 2), np.float32)
    expected = multibox_target(anchors, labels, scores)
    assert expected.cls_target.tolist() == [[1, 2]]
    found = batch_targets(torch.from_numpy(anchors), torch.from_numpy(labels), torch.zeros(1, 2, 4))
    assert found.cls_target.tolist() == [[1, 2]]


def test_gradients_do_not_flow_through_targets() -> None:
    logits = torch.zeros(1, len(ANCHORS), 3, requires_grad=True)
    found = batch_targets(torch.from_numpy(ANCHORS), torch.tensor([[[0, 0.1, 0.1, 0.9, 0.9]]]), logits)
    assert not found.loc_target.requires_grad


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 3), (1, 1, 5), (1, 2, 4)), "anchors"),
        (((2, 4, 4), (1, 1, 5), (1, 2, 4)), "anchors"),
        (((4, 4), (1, 1, 4), (1, 2, 4)), "labels"),
        (((4, 4), (1, 5), (1, 2, 4)), "labels"),
        (((4, 4), (1, 1, 5), (1, 2, 3)), "scores"),
        (((4, 4), (1, 1, 5), (2, 2, 4)), "scores"),
        (((4, 4), (1, 1, 5), (1, 4)), "scores"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    anchors, labels, scores = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(InputError, match=message):
        multibox_target(anchors, labels, scores)
