"""Suppression inside an ONNX model, against birdsod's own MultiBoxDetection."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, checker, helper

from birdsod.classes import ClassTable
from birdsod.ssd.detection import DetectionSettings, multibox_detection
from birdsod.ssd.onnx.detecting import detects, with_detection, without_detection
from birdsod.ssd.onnx.model_file import ModelFacts, OnnxArtifact, model_of
from birdsod.ssd.onnx.outputs import ANCHORS, OFFSETS, PROBABILITIES
from birdsod.ssd.onnx.writer import GraphWriter

if TYPE_CHECKING:
    import numpy.typing as npt

    Float32Array = npt.NDArray[np.float32]


def answers(
    probabilities: Float32Array, offsets: Float32Array, anchors: Float32Array, chosen: DetectionSettings
) -> Any:
    """Run the nodes alone: probabilities and offsets are inputs."""
    writer = GraphWriter(8)
    graph = writer.graph({ANCHORS: writer.constant(anchors, "table")})
    classes, count = probabilities.shape[1] - 1, len(anchors)
    shapes: dict[str, list[str | int | None]] = {
        PROBABILITIES: ["b", classes + 1, count],
        OFFSETS: ["b", 4 * count],
    }
    for name, shape in shapes.items():
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph.input.append(info)
        graph.output.append(info)
    facts = ModelFacts(
        classes=ClassTable.numbered(classes),
        settings=chosen,
        hyperparameters={},
        input_mean=(0.0, 0.0, 0.0),
        image_shape=8,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    made = with_detection(OnnxArtifact(model, facts))
    checker.check_model(made, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    images = np.zeros((len(probabilities), 3, 8, 8), np.float32)
    (found,) = session.run(None, {"images": images, PROBABILITIES: probabilities, OFFSETS: offsets})
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1 << 30),
    coarse=st.booleans(),
    threshold=st.sampled_from([0.0, 0.01, 0.25]),
    nms_threshold=st.sampled_from([0.25, 1 / 3, 0.45, 0.5, 1.0]),
    nms_topk=st.sampled_from([-1, 5, 400]),
    force_suppress=st.booleans(),
    clip=st.booleans(),
)
def test_the_rows_are_those_of_multibox_detection(seed: int, coarse: bool, **chosen: Any) -> None:
    random = np.random.default_rng(seed)
    images, classes, count = (int(random.integers(1, high)) for high in (4, 5, 40))
    # Coarse numbers score the same, and overlap by exactly the threshold.
    scores = (
        random.integers(0, 9, (images, classes + 1, count))
        if coarse
        else random.uniform(0, 9, (images, classes + 1, count))
    )
    probabilities = (scores / np.maximum(scores.sum(1, keepdims=True), 1)).astype(np.float32)
    corners = random.integers(0, 5, (count, 2, 2)) / 4 if coarse else random.uniform(0, 1, (count, 2, 2))
    anchors = np.sort(corners, axis=1).reshape(count, 4).astype(np.float32)
    offsets = (random.normal(size=(images, 4 * count)) * (not coarse)).astype(np.float32)
    read = DetectionSettings(**chosen)
    found = answers(probabilities, offsets, anchors, read)
    kept = min(read.nms_topk, count) if read.nms_topk > 0 else count
    assert found.shape == (images, kept, 6)
    expected = multibox_detection(probabilities, offsets, anchors, **asdict(read))[:, :kept]
    np.testing.assert_array_equal(found[..., 0], expected[..., 0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("nms_threshold", "kept"), [(0.5, [0, -1]), (0.51, [0, 0]), (0.0, [0, 0])])
def test_an_overlap_of_just_the_threshold_suppresses(nms_threshold: float, kept: list[int]) -> None:
    anchors = np.array([[0, 0, 1, 1], [0, 0, 1, 0.5]], np.float32)
    probabilities = np.array([[[0.1, 0.2], [0.9, 0.8]]], np.float32)
    chosen = DetectionSettings(nms_threshold=nms_threshold)
    found = answers(probabilities, np.zeros((1, 8), np.float32), anchors, chosen)
    assert found[0, :, 0].tolist() == kept
    np.testing.assert_allclose(found[0, :, 2:], anchors)


def test_without_suppression_rows_come_best_first_where_mxnet_leaves_them_in_the_anchors_order() -> None:
    anchors = np.array([[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0, 0.5, 0.5]], np.float32)
    probabilities = np.array([[[0.8, 0.2, 1.0], [0.2, 0.8, 0.0]]], np.float32)
    found = answers(probabilities, np.zeros((1, 12), np.float32), anchors, DetectionSettings(nms_threshold=-1.0))
    np.testing.assert_allclose(found[0, :, 1], [0.8, 0.2, -1])
    np.testing.assert_array_equal(found[0, 2], [-1] * 6)


def test_suppression_comes_off_again() -> None:
    writer = GraphWriter(8)
    batch, anchors = writer.images, writer.constant(np.zeros((1, 4), np.float32), "table")
    shape = writer.constant(np.array([0, 2, 96], np.int64), "shape")
    halves = writer.node("Reshape", [batch, shape], (1, 2, 96))
    pooled = writer.node("ReduceMax", [halves], (1, 2, 1), axes=[2], keepdims=1)
    offsets = writer.node("Concat", [writer.node("Flatten", [pooled], (1, 2))] * 2, (1, 4), axis=1)
    facts = ModelFacts(
        classes=ClassTable.numbered(1),
        settings=DetectionSettings(),
        hyperparameters={},
        input_mean=(0.0, 0.0, 0.0),
        image_shape=8,
    )
    artifact = model_of(writer.graph({PROBABILITIES: pooled, OFFSETS: offsets, ANCHORS: anchors}), facts)
    inside = with_detection(artifact)
    assert (detects(inside), detects(artifact.model)) == (True, False)
    assert without_detection(inside).SerializeToString(deterministic=True) == artifact.model.SerializeToString(
        deterministic=True
    )
