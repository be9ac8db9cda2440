"""Archives written for the built-in algorithm's container, and archives written anew."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from birdsod.classes import ClassTable
from birdsod.cli._app import app
from birdsod.errors import ArtifactError
from birdsod.hyperparameters import Hyperparameters
from birdsod.mxnet import (
    Graph,
    GraphOptions,
    Node,
    params_bytes,
    read_params,
    read_symbol,
    ssd_graph,
    symbol_text,
)
from birdsod.mxnet._shapes import parameter_shapes
from birdsod.ssd import convert, load_model, save_artifact, save_mxnet_artifact
from birdsod.ssd.building import build_network
from birdsod.ssd.detection import DetectionSettings
from birdsod.ssd.model import Model
from birdsod.ssd.torch_network import TorchNetwork
from birdsod.ssd.training_graph import training_graph

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"
PARAMS = GOLDEN / "model_algo_1-0000.params"
TABLE = ClassTable((10, 20), ("jay", "wren"))
CHOSEN = Hyperparameters(base_network="resnet-50", num_classes=2, num_training_samples=100, image_shape=300)
GRAPH = ssd_graph("resnet-50", num_classes=2, image_shape=300)


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        name: random.uniform(0.01, 0.02, shape).astype(np.float32) for name, shape in parameter_shapes(GRAPH).items()
    }


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name in ("model_algo_1-symbol.json", "model_algo_1-0000.params"):
        (folder / name).write_bytes((GOLDEN / name).read_bytes())
    values = {"base_network": "resnet-50", "image_shape": "128", "num_classes": "3", "_kvstore": "device"}
    (folder / "hyperparams.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def names_of(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="birdsod")


def test_an_archive_is_written_as_the_algorithm_writes_it(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = save_mxnet_artifact(tmp_path / "model.tar.gz", arrays, CHOSEN, extra={"_kvstore": "device"})
    assert names_of(path) == ["model_algo_1-0000.params", "model_algo_1-symbol.json", "hyperparams.json"]
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    assert (tmp_path / "out" / "model_algo_1-symbol.json").read_text(encoding="utf-8") == symbol_text(GRAPH)
    assert (tmp_path / "out" / "model_algo_1-0000.params").read_bytes() == params_bytes(arrays)
    values = json.loads((tmp_path / "out" / "hyperparams.json").read_bytes())
    assert all(isinstance(value, str) for value in values.values())
    told = (values["base_network"], values["image_shape"], values["nms_topk"], values["_kvstore"])
    assert told == ("resnet-50", "300", "400", "device")
    shuffled = dict(reversed(arrays.items()))
    again = save_mxnet_artifact(tmp_path / "again.tar.gz", shuffled, CHOSEN, extra={"_kvstore": "device"})
    assert again.read_bytes() == path.read_bytes()


def test_names_of_classes_travel_where_they_are_asked_for(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = save_mxnet_artifact(tmp_path / "model.tar.gz", arrays, CHOSEN, classes=TABLE)
    model = load_model(path)
    assert (model.classes, model.image_shape, model.hyperparameters.base_network) == (TABLE, 300, "resnet-50")
    assert model.save(tmp_path / "again.tar.gz", format="mxnet").read_bytes() == path.read_bytes()
    with pytest.raises(ArtifactError, match="tells 2 classes apart, but 1 are named"):
        save_mxnet_artifact(tmp_path / "other.tar.gz", arrays, CHOSEN, classes=ClassTable((1,), ("a",)))
    plain = model.save(tmp_path / "plain.tar.gz", format="safetensors")
    assert names_of(plain) == ["classes.json", "hyperparams.json", "model.safetensors"]
    back = load_model(plain)
    assert (back.classes, back.image_shape, back.input_mean, back.settings) == (
        TABLE,
        300,
        model.input_mean,
        model.settings,
    )
    assert convert(plain, tmp_path / "back") == tmp_path / "back"
    params, symbol = (tmp_path / "back" / f"model_algo_1-{name}" for name in ("0000.params", "symbol.json"))
    assert (params.read_bytes(), symbol.read_text(encoding="utf-8")) == (params_bytes(arrays), symbol_text(GRAPH))


@pytest.mark.parametrize(
    ("name", "array", "cause"),
    [
        ("arg:conv0_weight", None, "the graph has (64, 3, 7, 7)"),
        ("arg:conv0_weight", np.zeros((64, 3, 7, 8), np.float32), "the graph has (64, 3, 7, 7)"),
        ("arg:fc1_weight", np.zeros((2, 3), np.float32), "the graph has no such parameter"),
    ],
)
def test_parameters_that_do_not_fit_are_named(
    tmp_path: Path, arrays: dict[str, Any], name: str, array: Any, cause: str
) -> None:
    changed = {each: value for each, value in {**arrays, name: array}.items() if value is not None}
    with pytest.raises(ArtifactError, match=f"do not fit the graph, the first is {name}") as caught:
        save_mxnet_artifact(tmp_path / "model.tar.gz", changed, CHOSEN)
    assert (caught.value.cause, caught.value.path) == (cause, str(tmp_path / "model.tar.gz"))
    assert not (tmp_path / "model.tar.gz").exists()


def test_a_network_of_our_own_is_not_written_for_mxnet(tmp_path: Path) -> None:
    params = Hyperparameters(base_network="efficientnet-lite0", num_classes=2, num_training_samples=100)
    with pytest.raises(ArtifactError, match="no container of MXNet runs efficientnet-lite0"):
        save_mxnet_artifact(tmp_path / "model.tar.gz", {}, params)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    path = save_artifact(tmp_path / "ours.tar.gz", network, params, TABLE)
    model = load_model(path)
    with pytest.raises(ArtifactError, match="cannot be written for MXNet") as caught:
        model.save(tmp_path / "model.tar.gz", format="mxnet")
    assert caught.value.cure is not None
    assert caught.value.cure.startswith("save it as safetensors")
    assert model.save(tmp_path / "again.tar.gz").read_bytes() == path.read_bytes()
    assert run("convert", path, tmp_path / "folder", "--format", "safetensors").exit_code == 0
    assert convert(tmp_path / "folder", tmp_path / "back.tgz").read_bytes() == path.read_bytes()
    bare = Model(TorchNetwork(network), TABLE, DetectionSettings())
    with pytest.raises(ArtifactError, match="came from no archive"):
        bare.save(tmp_path / "bare.tar.gz")


def test_convert_keeps_the_last_epoch_under_the_name_that_is_looked_for(tiny: Path, tmp_path: Path) -> None:
    earlier = {name: np.zeros(array.shape, np.float32) for name, array in read_params(PARAMS).items()}
    (tiny / "model_algo_1-0000.params").rename(tiny / "model_algo_1-0029.params")
    (tiny / "model_algo_1-0007.params").write_bytes(params_bytes(earlier))
    result = run("convert", tiny, tmp_path / "model.tar.gz", "--format", "mxnet")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'model.tar.gz'}\n")
    assert run("convert", tmp_path / "model.tar.gz", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "model_algo_1-0000.params").read_bytes() == PARAMS.read_bytes()
    assert read_symbol(tmp_path / "out" / "model_algo_1-symbol.json") == read_symbol(tiny / "model_algo_1-symbol.json")
    assert json.loads((tmp_path / "out" / "hyperparams.json").read_bytes())["_kvstore"] == "device"
    again = run("convert", tiny, tmp_path / "out")
    assert again.exit_code == 1
    assert "the folder is there already" in again.stderr
    assert run("convert", tiny, tmp_path / "more", "--format", "pickle").exit_code == 2


def test_safetensors_hold_no_graph_of_ones_own(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"does not tell the network") as caught:
        convert(tiny, tmp_path / "no.tar.gz", model_format="safetensors")
    values = json.loads((tiny / "hyperparams.json").read_text(encoding="utf-8"))
    values |= {"num_training_samples": "100", "image_shape": "300"}
    (tiny / "hyperparams.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ArtifactError, match="the graph is another than its hyperparameters tell") as caught:
        convert(tiny, tmp_path / "no.tar.gz", model_format="safetensors")
    assert caught.value.cure == "save it as mxnet"
    assert not (tmp_path / "no.tar.gz").exists()


def test_a_graph_that_is_not_known_stays_one_of_deployment_and_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tiny / "model_algo_1-symbol.json").write_bytes((GOLDEN / "deploy_tiny-symbol.json").read_bytes())
    with pytest.raises(ArtifactError, match="no graph of training can be built") as caught:
        convert(tiny, tmp_path / "model.tar.gz")
    assert caught.value.path == str(tmp_path / "model.tar.gz")


@pytest.mark.parametrize("base_network", ["resnet-50", "vgg-16"])
@pytest.mark.parametrize("image_shape", [300, 340, 512])
@pytest.mark.parametrize("classes", [1, 3, 20])
def test_a_graph_of_deployment_becomes_one_of_training(base_network: Any, image_shape: int, classes: int) -> None:
    options = GraphOptions(nms_threshold=0.3, nms_topk=100, three_digits=True)
    shape: Any = {"num_classes": classes, "image_shape": image_shape, "options": options}
    deployed = ssd_graph(base_network, **shape, training=False)
    expected = ssd_graph(base_network, **shape)
    assert training_graph(deployed) == expected
    assert training_graph(expected) is expected


def test_the_threshold_of_evaluation_is_not_that_of_anchors(tmp_path: Path, arrays: dict[str, Any]) -> None:
    strict = CHOSEN.evolve(overlap_threshold=0.7)
    path = save_mxnet_artifact(tmp_path / "model.tar.gz", arrays, strict)
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    graph = read_symbol(tmp_path / "out" / "model_algo_1-symbol.json")
    (target,) = graph.of_kind("_contrib_MultiBoxTarget")
    assert target.number("overlap_threshold", 0) == 0.5


def changed(graph: Graph, op: str, **attributes: str) -> Graph:
    done = [
        replace(node, attributes={**node.attributes, **attributes}) if node.op == op else node for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(done))


def test_other_spellings_are_the_same_graph_and_other_ways_are_not() -> None:
    deployed = ssd_graph("vgg-16", num_classes=4, image_shape=300, training=False)
    expected = ssd_graph("vgg-16", num_classes=4, image_shape=300)
    assert training_graph(changed(deployed, "Convolution", workspace="2048", cudnn_tune="off")) == expected
    older = [
        replace(node, op="SoftmaxActivation", attributes={"mode": "channel"}) if node.op == "softmax" else node
        for node in deployed.nodes
    ]
    assert training_graph(replace(deployed, nodes=tuple(older))) == expected
    for op, attributes in {
        "_contrib_MultiBoxDetection": {"force_suppress": "True"},
        "_contrib_MultiBoxPrior": {"clip": "True"},
        "Convolution": {"dilate": "(2, 2)"},
        "Activation": {"act_type": "tanh"},
    }.items():
        with pytest.raises(ArtifactError, match="no graph of training can be built"):
            training_graph(changed(deployed, op, **attributes))
    with pytest.raises(ArtifactError, match="no detector"):
        training_graph(Graph((Node("null", "data", {}),), ((0, 0),)))


def test_shapes_of_other_operators_cannot_be_told() -> None:
    given = tuple(Node("null", name, {}) for name in ("data", "weight"))
    with pytest.raises(ArtifactError, match="the shape of weight cannot be told"):
        parameter_shapes(Graph((*given, Node("FullyConnected", "fc", {}, ((0, 0), (1, 0)))), ((2, 0),)))
