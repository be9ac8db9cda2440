"""Detectors between birdsod and the real MXNet: written by one, opened, answered and saved by the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnxruntime import InferenceSession

from birdsod.classes import ClassTable
from birdsod.mxnet import GraphOptions, SparseArray, read_params, read_symbol, ssd_graph, write_params, write_symbol
from birdsod.mxnet._shapes import parameter_shapes
from birdsod.ssd import load_model
from birdsod.ssd.graph_network import GraphNetwork
from birdsod.ssd.model import Model
from birdsod.ssd.torch_network import TorchNetwork

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.mxnet import Graph
    from tests.conformance.conftest import Oracle

    Arrays = dict[str, npt.NDArray[np.float32]]

CLASSES = 5
DETECTED = 100
CLOSE = 1e-4
# Layers that begin smaller: what is added to a residual sum, heads, and the first layer where it sees raw pixels.
SMALLER = {"_conv3_weight": 0.2, "_pred_conv": 0.2, "conv1_1_weight": 0.01}


def drawn(graph: Graph, seed: int) -> Arrays:
    """Draw parameters that let signals through: as they begin, with statistics as if they had seen something."""
    random = np.random.default_rng(seed)
    return {name: one(name, shape, random) for name, shape in parameter_shapes(graph).items()}


def one(name: str, shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.float32]:
    kind = name.rpartition("_")[2]
    if name == "aux:bn_data_moving_mean":
        return np.array([124, 117, 104], dtype=np.float32)
    if name == "aux:bn_data_moving_var":
        return np.full(shape, 3500, dtype=np.float32)
    if kind in {"gamma", "var"}:
        return random.uniform(0.7, 1.3, shape).astype(np.float32)
    if kind == "scale":
        return random.uniform(15, 25, shape).astype(np.float32)
    if kind == "weight":
        scale = math.sqrt(2 / math.prod(shape[1:])) * next((part for end, part in SMALLER.items() if end in name), 1)
        return random.normal(0, scale, shape).astype(np.float32)
    return random.normal(0, 0.1, shape).astype(np.float32)


@pytest.mark.parametrize("training", [True, False], ids=["training graph", "graph of deployment"])
@pytest.mark.parametrize(
    ("base_network", "image_shape", "seed"), [("resnet-50", 300, 1), ("vgg-16", 300, 2), ("resnet-50", 340, 3)]
)
def test_mxnet_opens_what_was_written_and_answers_alike(
    oracle: Oracle, tmp_path: Path, base_network: Any, image_shape: int, seed: int, training: bool
) -> None:
    shape: Any = {"num_classes": CLASSES, "image_shape": image_shape, "training": training}
    graph = ssd_graph(base_network, **shape, options=GraphOptions(nms_threshold=0.4))
    arrays = drawn(graph, seed)
    write_symbol(tmp_path / "ours-symbol.json", graph)
    write_params(tmp_path / "ours-0000.params", arrays)
    batch = np.random.default_rng(seed).uniform(0, 255, (1, 3, image_shape, image_shape)).astype("<f4")

    names = {"prefix": str(tmp_path / "ours"), "again": str(tmp_path / "theirs")}
    told, (rows,) = oracle.get("detect", batch.tobytes(), shape=batch.shape, **names)
    expected = np.frombuffer(rows, "<f4").reshape(told["shape"])
    network = GraphNetwork(
        read_symbol(tmp_path / "ours-symbol.json"), read_params(tmp_path / "ours-0000.params"), image_shape=image_shape
    )
    table = ClassTable(tuple(range(CLASSES)), tuple("abcde"))
    in_torch = Model(TorchNetwork(network), table, network.settings)
    in_onnx = load_model(folder(tmp_path), image_shape=image_shape, runtime="onnxruntime")
    agree(in_torch.detect(batch), expected)
    agree(in_order_of(expected, in_onnx.detect(batch)), expected)
    inside = InferenceSession(in_onnx.save(tmp_path / "ours.onnx", nms=True).read_bytes())
    (found,) = inside.run(["detections"], {"images": batch})
    shown = expected[:, : found.shape[1]]
    agree(in_order_of(shown, found), shown)
    unchanged(tmp_path / "theirs-0000.params", arrays)
    assert (tmp_path / "theirs-symbol.json").read_bytes() == (tmp_path / "ours-symbol.json").read_bytes()


def in_order_of(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the rows with those of equal scores, but for rounding, in the order of others."""
    ordered = found.copy()
    for mine, theirs, into in zip(found, expected, ordered, strict=True):
        far = np.abs(mine - theirs).max(axis=1) > CLOSE
        left = list(np.flatnonzero(far & ((mine[:, 0] >= 0) | (theirs[:, 0] >= 0))))
        for place in tuple(left):
            like = [at for at in left if np.abs(mine[at] - theirs[place]).max() <= CLOSE]
            assert like, f"no row is like row {place}: {theirs[place]}"
            into[place] = mine[like[0]]
            left.remove(like[0])
    return ordered


def folder(path: Path) -> Path:
    """Return a folder with what was written, and nothing that MXNet saved again."""
    made = path / "model"
    made.mkdir()
    for file in path.glob("ours-*"):
        (made / file.name).write_bytes(file.read_bytes())
    return made


def agree(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> None:
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found[..., 0], expected[..., 0])
    kept = expected[..., 0] >= 0
    assert kept.sum() >= DETECTED
    np.testing.assert_allclose(found[kept], expected[kept], rtol=0, atol=CLOSE)


def unchanged(saved: Path, arrays: Arrays) -> None:
    """What MXNet saved again holds the same bytes under the same names."""
    again = read_params(saved)
    assert again.keys() == arrays.keys()
    for name, array in again.items():
        assert not isinstance(array, SparseArray)
        assert (array.dtype, array.shape) == (arrays[name].dtype, arrays[name].shape)
        assert array.tobytes() == arrays[name].tobytes(), name
