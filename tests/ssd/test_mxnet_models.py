"""Archives of the built-in algorithm answer as MXNet does."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError
from birdsod.hyperparameters import Hyperparameters
from birdsod.mxnet import Graph, Node, SparseArray, params_bytes, read_params, read_symbol
from birdsod.ssd import load_model, save_artifact
from birdsod.ssd.building import build_network
from birdsod.ssd.graph_network import GraphNetwork
from birdsod.ssd.graph_operators import OPERATORS, compute
from birdsod.ssd.mxnet_artifact import IMAGENET_MEAN

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"
PARAMS = GOLDEN / "model_algo_1-0000.params"
TRAIN, DEPLOY = (GOLDEN / f"{name}-symbol.json" for name in ("model_algo_1", "deploy_tiny"))
EXPECTED = np.load(GOLDEN / "deploy_io.npz")
VALUES = {"base_network": "resnet-50", "image_shape": "128", "num_classes": "3", "num_training_samples": "160"}


def members(**changes: bytes | None) -> dict[str, bytes]:
    found: dict[str, bytes | None] = {
        "model_algo_1-symbol.json": TRAIN.read_bytes(),
        "model_algo_1-0000.params": PARAMS.read_bytes(),
        "hyperparams.json": json.dumps({**VALUES, "nms_topk": "400", "_kvstore": "device"}).encode(),
        **{name.replace("__", "-").replace("_dot_", "."): data for name, data in changes.items()},
    }
    return {name: data for name, data in found.items() if data is not None}


def archive(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("symbol", [TRAIN, DEPLOY], ids=["training graph", "deployed graph"])
def test_the_networks_numbers_are_mxnets(symbol: Path) -> None:
    network = GraphNetwork(read_symbol(symbol), read_params(PARAMS), image_shape=128)
    probabilities, offsets = network.answer(torch.from_numpy(EXPECTED["data"]))
    np.testing.assert_allclose(probabilities.numpy(), EXPECTED["cls_prob_output"], atol=1e-4)
    np.testing.assert_allclose(offsets.numpy(), EXPECTED["multibox_loc_pred_output"], atol=2e-4)
    np.testing.assert_array_equal(network.anchors.numpy(), EXPECTED["multibox_anchors_output"][0])
    assert network.num_classes == 3


def test_an_archive_answers_as_mxnet_does(tmp_path: Path) -> None:
    model = load_model(archive(tmp_path / "model.tar.gz", members()), runtime="torch")
    found, expected = model.detect(EXPECTED["data"]), EXPECTED["detection_output"]
    np.testing.assert_array_equal(found[..., 0], expected[..., 0])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert model.settings.nms_threshold == 0.45
    assert model.settings.nms_topk == 400
    assert model.image_shape == 128
    assert model.classes.names == ("0", "1", "2")


def test_what_an_archive_tells_of_its_training_is_kept(tmp_path: Path) -> None:
    values = json.dumps({**VALUES, "image_shape": "300", "nms_topk": "400", "_kvstore": "device"}).encode()
    model = load_model(folder(tmp_path / "model", members(hyperparams_dot_json=values)))
    assert (model.hyperparameters.base_network, model.image_shape) == ("resnet-50", 300)


def test_pixels_lose_the_mean_that_the_network_never_saw(tmp_path: Path) -> None:
    model = load_model(folder(tmp_path / "model", members()))
    assert model.input_mean == IMAGENET_MEAN
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    centred = pixels.transpose(2, 0, 1)[None] - np.array(IMAGENET_MEAN, dtype=np.float32).reshape(1, 3, 1, 1)
    rows = model.detect(centred)[0]
    kept = rows[rows[:, 0] >= 0]
    found = model.predict(pixels)
    np.testing.assert_allclose(np.sort(found.confidence), np.sort(kept[:, 1]), rtol=1e-6)


def test_a_network_that_saw_raw_pixels_gets_raw_pixels() -> None:
    arrays = {**read_params(PARAMS), "aux:bn_data_moving_mean": np.array([124, 117, 104], dtype=np.float32)}
    network = GraphNetwork(read_symbol(DEPLOY), arrays, image_shape=128)
    assert network.input_mean == (0.0, 0.0, 0.0)


def test_classes_that_somebody_put_into_the_archive_are_taken(tmp_path: Path) -> None:
    rows = [{"class_id": number, "source_id": 10 + number, "name": name} for number, name in enumerate("abc")]
    files = members(classes_dot_json=json.dumps(rows).encode())
    assert load_model(folder(tmp_path / "model", files)).classes.names == ("a", "b", "c")
    files = members(classes_dot_json=json.dumps(rows[:2]).encode())
    with pytest.raises(ArtifactError, match=r"tells 3 classes apart, classes\.json names 2") as caught:
        load_model(folder(tmp_path / "other", files))
    assert caught.value.path == str(tmp_path / "other")


def test_an_archive_without_hyperparameters_is_tolerated(tmp_path: Path) -> None:
    path = folder(tmp_path / "model", members(hyperparams_dot_json=None))
    with pytest.warns(UserWarning, match="does not tell image_shape, 300 is taken"):
        assert load_model(path).image_shape == 300
    model = load_model(path, image_shape=128, runtime="torch")
    np.testing.assert_allclose(model.detect(EXPECTED["data"]), EXPECTED["detection_output"], atol=1e-4)
    with pytest.raises(ArtifactError, match="does not tell its hyperparameters"):
        _ = model.hyperparameters


def test_of_several_epochs_the_last_is_taken(tmp_path: Path) -> None:
    other = params_bytes({"arg:nothing": np.ones(1, dtype=np.float32)})
    files = members(model_algo_1__9999_dot_params=other, model_algo_1__10000_dot_params=PARAMS.read_bytes())
    assert load_model(folder(tmp_path / "model", files)).image_shape == 128


FAULTS: dict[str, tuple[dict[str, bytes | None], str]] = {
    "several graphs": ({"other__symbol_dot_json": b"{}"}, "several graphs"),
    "no graph": ({"model_algo_1__symbol_dot_json": None}, r"no \*-symbol.json"),
    "no parameters": ({"model_algo_1__0000_dot_params": None}, "lacks model_algo_1-0000.params"),
    "parameters of another graph": (
        {"model_algo_1__0000_dot_params": params_bytes({"arg:w": np.ones(1, dtype=np.float32)})},
        "the graph and its parameters do not fit",
    ),
    "parameters cut short": ({"model_algo_1__0000_dot_params": PARAMS.read_bytes()[:-9]}, "should follow"),
    "a broken graph": ({"model_algo_1__symbol_dot_json": b"{}"}, "no graph of MXNet"),
    "an image_shape that is none": ({"hyperparams_dot_json": b'{"image_shape": "large"}'}, "no edge in pixels"),
    "an image_shape beyond memory": ({"hyperparams_dot_json": b'{"image_shape": "999999"}'}, "no edge in pixels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_archive_is_refused_by_name(tmp_path: Path, fault: str) -> None:
    changes, message = FAULTS[fault]
    path = folder(tmp_path / "model", members(**changes))
    with pytest.raises(ArtifactError, match=message) as caught:
        load_model(path)
    assert caught.value.path == str(path)


def test_a_fault_is_told_with_the_archive_by_torch_too(tmp_path: Path) -> None:
    changes, message = FAULTS["parameters of another graph"]
    path = folder(tmp_path / "model", members(**changes))
    with pytest.raises(ArtifactError, match=message) as caught:
        load_model(path, runtime="torch")
    assert caught.value.path == str(path)


def test_an_archive_of_our_own_tells_its_image_shape_itself(tmp_path: Path) -> None:
    params = Hyperparameters(num_classes=2, num_training_samples=60, base_network="efficientnet-lite0")
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    path = save_artifact(tmp_path / "model.tar.gz", network, params, ClassTable.numbered(2))
    with pytest.raises(ArtifactError, match="itself tells its image_shape"):
        load_model(path, image_shape=300)


def changed_graph(name: str, **attributes: str) -> Graph:
    graph = read_symbol(DEPLOY)
    nodes = tuple(
        Node(node.op, node.name, {**node.attributes, **attributes}, node.inputs) if node.name == name else node
        for node in graph.nodes
    )
    return Graph(nodes, graph.heads, graph.version)


def test_what_the_graph_says_about_detection_is_taken() -> None:
    graph = changed_graph("detection", nms_threshold="0.6", nms_topk="7", force_suppress="True", clip="False")
    settings = GraphNetwork(graph, read_params(PARAMS), image_shape=128).settings
    assert (settings.nms_threshold, settings.nms_topk, settings.force_suppress, settings.clip) == (0.6, 7, True, False)


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("detection", {"background_id": "1"}, "background"),
        ("detection", {"variances": "(0.1, 0.2)"}, "variances are not four"),
        ("pooling0", {"stride": "(0, 0)", "pooling_convention": "full"}, "'pooling0' .Pooling. cannot be computed"),
        ("conv0", {"dilate": "(99, 99)"}, "cannot be computed"),
        ("conv0", {"kernel": "(7,)"}, "'conv0' .Convolution.: kernel"),
        ("bn0", {"axis": "3"}, "axis"),
        ("relu0", {"act_type": "new"}, "act_type"),
        ("pooling0", {"pooling_convention": "same"}, "pooling_convention"),
        ("pooling0", {"pool_type": "lp"}, "pool_type"),
        ("reshape0", {"shape": "(0, -3)"}, "shape"),
        ("cls_prob", {"temperature": "2"}, "temperature"),
        ("multibox_loc_pred", {"dim": "0"}, "cannot be computed|do not fit together"),
    ],
)
def test_what_is_not_known_is_refused_by_the_nodes_name(name: str, attributes: dict[str, str], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        GraphNetwork(changed_graph(name, **attributes), read_params(PARAMS), image_shape=128)


def test_an_unknown_operator_is_refused_by_the_nodes_name() -> None:
    with pytest.raises(ArtifactError, match="has an operator that no detector uses"):
        compute(Node("Custom", "n", {}), [])


def test_a_classifier_is_no_detector() -> None:
    with pytest.raises(ArtifactError, match="no detector"):
        GraphNetwork(Graph((Node("null", "data", {}),), ((0, 0),)), {}, image_shape=128)


def test_parameters_that_are_not_finite_are_refused() -> None:
    arrays = dict(read_params(PARAMS))
    arrays["arg:conv0_weight"] = np.full((8, 3, 7, 7), np.nan, dtype=np.float32)
    with pytest.raises(ArtifactError, match="conv0_weight is not finite"):
        GraphNetwork(read_symbol(DEPLOY), arrays, image_shape=128)


def test_a_sparse_parameter_of_any_size_is_refused_before_it_is_made_whole() -> None:
    arrays = dict(read_params(PARAMS))
    arrays["arg:conv0_weight"] = SparseArray("row_sparse", (1 << 40, 1), np.ones((1, 1), np.float32), np.array([0]))
    with pytest.raises(ArtifactError, match="larger than any"):
        GraphNetwork(read_symbol(DEPLOY), arrays, image_shape=128)


def test_probabilities_offsets_and_anchors_must_fit_together() -> None:
    nodes = (
        Node("null", "data", {}),
        Node("Flatten", "f", {}, ((0, 0),)),
        Node("MultiBoxPrior", "anchors", {}, ((0, 0),)),
        Node("MultiBoxDetection", "d", {}, ((0, 0), (1, 0), (2, 0))),
    )
    with pytest.raises(ArtifactError, match="do not fit together"):
        GraphNetwork(Graph(nodes, ((3, 0),)), {}, image_shape=8)


def test_the_graph_of_vgg_is_known_to_its_last_node() -> None:
    graph = read_symbol(GOLDEN / "deploy_vgg16_reduced_300-symbol.json")
    assert {node.op for node in graph.nodes} - {"null", "_contrib_MultiBoxDetection"} <= OPERATORS.keys()


def run(op: str, *inputs: Any, **attributes: str) -> Any:
    return compute(Node(op, "n", attributes), [torch.as_tensor(each, dtype=torch.float32) for each in inputs]).numpy()


def test_operators_of_older_versions_and_rarer_options() -> None:
    maps = np.random.default_rng(1).normal(size=(2, 3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(run("add_n", maps, maps, maps), maps + maps + maps)
    np.testing.assert_array_equal(run("_Mul", maps, maps), maps * maps)
    np.testing.assert_array_equal(run("relu", maps), np.maximum(maps, 0))
    np.testing.assert_allclose(run("Activation", maps, act_type="softrelu"), np.log1p(np.exp(maps)), rtol=1e-5)
    np.testing.assert_array_equal(run("transpose", maps), maps.T)
    np.testing.assert_array_equal(run("Pooling", maps, global_pool="True")[..., 0, 0], maps.max((2, 3)))
    average = run("Pooling", maps, global_pool="True", pool_type="avg")[..., 0, 0]
    np.testing.assert_allclose(average, maps.mean((2, 3)), atol=1e-6)
    halves = run("Pooling", maps, pool_type="avg", kernel="(2, 2)", stride="(2, 2)")
    np.testing.assert_allclose(halves[0, 0, 0, 0], maps[0, 0, :2, :2].mean(), atol=1e-6)
    shares = np.exp(maps) / np.exp(maps).sum(1, keepdims=True)
    np.testing.assert_allclose(run("SoftmaxActivation", maps, mode="channel"), shares, atol=1e-6)
    assert run("SoftmaxActivation", maps).sum() == pytest.approx(2)
    axes_of: dict[str, tuple[int, ...]] = {"instance": (1, 2, 3), "channel": (1,), "spatial": (2, 3)}
    for mode, axes in axes_of.items():
        expected = maps / np.sqrt((maps**2).sum(axes, keepdims=True))
        np.testing.assert_allclose(run("L2Normalization", maps, mode=mode), expected, atol=1e-6)
    with pytest.raises(ArtifactError, match="mode"):
        run("L2Normalization", maps, mode="other")


@pytest.mark.parametrize(("size", "windows"), [(75, 38), (38, 19), (5, 3), (4, 2)])
def test_full_pooling_covers_every_pixel(size: int, windows: int) -> None:
    maps = np.arange(size * size, dtype=np.float32).reshape(1, 1, size, size)
    found = run("Pooling", maps, kernel="(2, 2)", stride="(2, 2)", pooling_convention="full")
    assert found.shape == (1, 1, windows, windows)
    assert found.max() == maps.max()
    expected = functional.max_pool2d(torch.from_numpy(maps), 2, 2, ceil_mode=True).numpy()
    np.testing.assert_array_equal(found, expected)
