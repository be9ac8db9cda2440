"""Steps of training side by side: MXNet and birdsod from the same parameters, on the same images and boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import birdsod as bd
from birdsod import Hyperparameters, LocalOptions
from birdsod.mxnet import Graph, _backbones, read_params, ssd_graph, write_params, write_symbol
from birdsod.ssd.conversion import convert
from birdsod.ssd.optimizers import make_optimizer, set_rate
from birdsod.ssd.recipe import resolve
from birdsod.ssd.training import train
from birdsod.ssd.twin import TwinNetwork
from tests.conformance.test_live_models import drawn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.ssd.recipe import Recipe
    from tests.conformance.conftest import Oracle

    Arrays = dict[str, npt.NDArray[np.float32]]

RATE = 0.002
PARAMS = Hyperparameters(num_classes=3, num_training_samples=32, base_network="resnet-50", learning_rate=RATE)
RECIPE: Recipe = resolve(PARAMS, LocalOptions())
LABELS = np.array(
    [
        [[0, 0.1, 0.1, 0.45, 0.5], [2, 0.5, 0.3, 0.95, 0.9], [-1, -1, -1, -1, -1]],
        [[1, 0.2, 0.4, 0.8, 0.8], [-1, -1, -1, -1, -1], [-1, -1, -1, -1, -1]],
    ],
    dtype=np.float32,
)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make both networks narrow and quick: every layer is there, with fewer filters."""
    monkeypatch.setattr(_backbones, "_FILTERS", (16, 24, 32, 48))
    monkeypatch.setattr(_backbones, "_VGG", ((8, 2), (8, 2), (16, 3), (512, 3), (16, 3)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def smooth(graph: Graph) -> Graph:
    """Return a graph without corners: at those of rectifiers, rounding decides which way a gradient goes."""
    nodes = (
        replace(node, attributes={**node.attributes, "act_type": "softrelu"}) if node.op == "Activation" else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def images(edge: int, seed: int) -> npt.NDArray[np.float32]:
    """Return blurred noise between 0 and 255: neighbours are alike, as in photographs."""
    coarse = torch.tensor(
        np.random.default_rng(seed).uniform(0, 255, (2, 3, edge // 4, edge // 4)), dtype=torch.float32
    )
    return torch.nn.functional.interpolate(coarse, size=(edge, edge), mode="bilinear").numpy()


def ours(graph: Graph, begun: Arrays, batch: npt.NDArray[np.float32], steps: int, fixed: str) -> tuple[Arrays, Arrays]:
    """Return the gradients of the first step, and all parameters after the last."""
    network = TwinNetwork(graph, image_shape=batch.shape[2])
    network.load_state_dict({name.partition(":")[2]: torch.tensor(array) for name, array in begun.items()})
    network.freeze(fixed)
    optimizer = make_optimizer(network.train(), RECIPE, PARAMS)
    gradients: Arrays = {}
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(network.objective(network(torch.tensor(batch)), torch.tensor(LABELS)).loss)
        gradients = gradients or {
            name: each.grad.numpy().copy() for name, each in network.named_parameters() if each.grad is not None
        }
        set_rate(optimizer, RATE)
        optimizer.step()
    return gradients, network.arrays()


def theirs(
    oracle: Oracle, folder: Path, batch: npt.NDArray[np.float32], steps: int, **told: Any
) -> tuple[Arrays, Arrays]:
    options = {"learning_rate": RATE, "momentum": PARAMS.momentum, "wd": PARAMS.weight_decay, "rescale_grad": 1.0}
    oracle.get(
        "train",
        batch.tobytes(),
        LABELS.tobytes(),
        shapes=[batch.shape, LABELS.shape],
        prefix=str(folder / "begun"),
        again=str(folder / "trained"),
        gradients=str(folder / "gradients.params"),
        options=options,
        steps=steps,
        **told,
    )
    return plain(folder / "gradients.params"), plain(folder / "trained-0000.params")


def plain(path: Path) -> Arrays:
    return {name: np.asarray(array, dtype=np.float32) for name, array in read_params(path).items()}


def distance(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float(np.linalg.norm(found - expected) / max(float(np.linalg.norm(expected)), 1e-9))


def written(folder: Path, graph: Graph, seed: int) -> Arrays:
    begun = drawn(graph, seed)
    write_symbol(folder / "begun-symbol.json", graph)
    write_params(folder / "begun-0000.params", begun)
    return begun


def agree(begun: Arrays, found: Arrays, expected: Arrays, *, limit: float) -> None:
    """What was learned is the same: parameters, and statistics that followed."""
    assert found.keys() == expected.keys()
    for name, array in begun.items():
        learned, wanted = found[name] - array, expected[name] - array
        slack = 1e-6 * max(1.0, float(np.linalg.norm(array)))
        assert float(np.linalg.norm(learned - wanted)) < limit * float(np.linalg.norm(wanted)) + slack, name


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("base_network", "edge"), [("resnet-50", 128), ("resnet-50", 170), ("vgg-16", 300)])
def test_steps_are_mxnets(oracle: Oracle, tmp_path: Path, base_network: Any, edge: int, steps: int) -> None:
    graph = smooth(ssd_graph(base_network, num_classes=3, image_shape=edge))
    begun, batch = written(tmp_path, graph, seed=edge), images(edge, seed=steps)
    expected_gradients, expected = theirs(oracle, tmp_path, batch, steps, fixed=[])
    gradients, found = ours(graph, begun, batch, steps, fixed="")
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert distance(gradient, expected_gradients[name]) < 1e-3, name
    agree(begun, found, expected, limit=5e-3)


@pytest.mark.parametrize(
    ("base_network", "edge", "frozen"), [("resnet-50", 128, "conv0|bn0_|stage[13]_"), ("vgg-16", 300, "conv[1-3]_")]
)
def test_steps_with_frozen_layers_are_mxnets(
    oracle: Oracle, tmp_path: Path, base_network: Any, edge: int, frozen: str
) -> None:
    graph = smooth(ssd_graph(base_network, num_classes=3, image_shape=edge))
    begun, batch = written(tmp_path, graph, seed=edge), images(edge, seed=5)
    fixed = TwinNetwork(graph, image_shape=edge).freeze(frozen)
    gradients, expected = theirs(oracle, tmp_path, batch, 2, fixed=fixed)
    found_gradients, found = ours(graph, begun, batch, 2, frozen)
    assert found_gradients.keys() == gradients.keys()
    agree(begun, found, expected, limit=5e-3)
    for name in fixed:
        np.testing.assert_array_equal(found[f"arg:{name}"], begun[f"arg:{name}"])


@pytest.mark.parametrize(("base_network", "edge"), [("resnet-50", 300), ("vgg-16", 300)])
def test_mxnet_opens_what_training_here_left(oracle: Oracle, tmp_path: Path, base_network: Any, edge: int) -> None:
    birds = bd.synthetic_birds(tmp_path / "drawn", seed=0, classes=2, per_class=4)
    packed = bd.pack(dict(zip(("train", "validation"), birds.split(), strict=True)), tmp_path / "packed", resize=edge)
    told: Any = {"base_network": base_network, "mini_batch_size": 2, "use_pretrained_model": 0, "image_shape": edge}
    options = LocalOptions(updates=2, validate_every=0, learning_rate=1e-4, threads=1, loader_threads=1, device="cpu")
    train(packed, bd.Hyperparameters.for_data(packed, **told), options, directory=tmp_path / "job")
    convert(tmp_path / "job" / "model.tar.gz", tmp_path / "model")
    batch = images(edge, seed=1)
    names = {"prefix": str(tmp_path / "model" / "model_algo_1"), "again": str(tmp_path / "theirs")}
    answer, (rows,) = oracle.get("detect", batch.tobytes(), shape=batch.shape, **names)
    expected = np.frombuffer(rows, "<f4").reshape(answer["shape"])
    found = bd.load_model(tmp_path / "job" / "model.tar.gz").detect(batch)
    np.testing.assert_allclose(np.sort(found[..., 1]), np.sort(expected[..., 1]), atol=1e-4)
    assert (found[..., 0] >= 0).sum() == (expected[..., 0] >= 0).sum() > 0
    again, written_here = plain(tmp_path / "theirs-0000.params"), plain(tmp_path / "model" / "model_algo_1-0000.params")
    assert all(again[name].tobytes() == array.tobytes() for name, array in written_here.items())
