"""Detectors run by ONNX Runtime answer as MXNet and as torch do, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from birdsod.classes import ClassTable
from birdsod.cli._app import app
from birdsod.errors import ArtifactError, InputError, MissingDependencyError
from birdsod.hyperparameters import Hyperparameters
from birdsod.mxnet import read_symbol
from birdsod.ssd import convert, load_model, save_artifact
from birdsod.ssd.building import build_network
from birdsod.ssd.graph_operators import OPERATORS as TORCH_OPERATORS
from birdsod.ssd.onnx.operators import OPERATORS
from birdsod.ssd.onnx.runtime import OnnxNetwork
from birdsod.ssd.opening import read_model
from birdsod.ssd.weight_shapes import weight_shapes

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.ssd.runtimes import Runtime

    Float32Array = npt.NDArray[np.float32]

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"
EXPECTED = np.load(GOLDEN / "deploy_io.npz")
RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "torch")
TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))


@pytest.fixture(params=["model_algo_1", "deploy_tiny"])
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "m-symbol.json").write_bytes((GOLDEN / f"{request.param}-symbol.json").read_bytes())
    (folder / "m-0000.params").write_bytes((GOLDEN / "model_algo_1-0000.params").read_bytes())
    (folder / "hyperparams.json").write_text(json.dumps({"image_shape": "128", "nms_topk": "400"}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=[300, 320, 333])
def lite0(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive whose every number was drawn, statistics too."""
    edge = request.param
    params = Hyperparameters(
        num_classes=2, num_training_samples=60, base_network="efficientnet-lite0", image_shape=edge, nms_threshold=0.3
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(edge)
        network = build_network("efficientnet-lite0", num_classes=2, image_shape=edge)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.get_buffer("running_mean").add_(0.1 * torch.randn(module.num_features))
                module.get_buffer("running_var").mul_(0.5 + torch.rand(module.num_features))
    return save_artifact(tmp_path_factory.mktemp("lite0") / "model.tar.gz", network, params, TABLE)


def batch(edge: int, count: int = 2) -> Float32Array:
    return np.random.default_rng(edge).uniform(0, 255, (count, 3, edge, edge)).astype(np.float32)


def same_rows(found: Float32Array, expected: Float32Array) -> None:
    """Each row has its like, at its own place or at that of one which scores the same but for rounding."""
    for mine, theirs in zip(found, expected, strict=True):
        left = list(range(len(mine)))
        for place, row in enumerate(theirs):
            near = [at for at in left if abs(mine[at, 1] - row[1]) < 1e-4]
            close = sorted(near, key=lambda at: float(np.abs(mine[at] - row).max()))
            assert close, place
            np.testing.assert_allclose(mine[close[0]], row, atol=1e-4)
            assert mine[close[0], 0] == row[0]
            left.remove(close[0])


def test_an_archive_of_mxnet_answers_as_mxnet_does(tiny: Path, tmp_path: Path) -> None:
    model = load_model(tiny, runtime="onnxruntime")
    probabilities, offsets = model._network.answer(EXPECTED["data"])
    np.testing.assert_allclose(probabilities, EXPECTED["cls_prob_output"], atol=1e-4)
    np.testing.assert_allclose(offsets, EXPECTED["multibox_loc_pred_output"], atol=2e-4)
    np.testing.assert_array_equal(model._network.anchors, EXPECTED["multibox_anchors_output"][0])
    same_rows(model.detect(EXPECTED["data"]), EXPECTED["detection_output"])
    again = load_model(model.save(tmp_path / "model.onnx", nms=True))
    same_rows(again.detect(EXPECTED["data"]), EXPECTED["detection_output"])
    assert (again.settings, again.input_mean, again.classes) == (model.settings, model.input_mean, model.classes)
    assert again.input_mean != (0.0, 0.0, 0.0)


def test_suppression_inside_answers_as_mxnet_does(tiny: Path, tmp_path: Path) -> None:
    file = convert(tiny, tmp_path / "model.onnx", nms=True)
    onnx.checker.check_model(str(file), full_check=True)
    session = onnxruntime.InferenceSession(file.read_bytes())
    assert [each.name for each in session.get_outputs()] == ["detections"]
    (found,) = session.run(None, {"images": EXPECTED["data"]})
    same_rows(found, EXPECTED["detection_output"][:, : found.shape[1]])


def test_our_own_network_answers_as_in_torch(lite0: Path) -> None:
    ours, other = (load_model(lite0, runtime=runtime, device="cpu") for runtime in RUNTIMES)
    images = batch(ours.image_shape)
    for found, expected in zip(ours._network.answer(images), other._network.answer(images), strict=True):
        assert expected.std() > 0.1
        np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(ours._network.anchors, other._network.anchors)
    assert (ours.classes, ours.settings, ours.hyperparameters) == (other.classes, other.settings, other.hyperparameters)
    for count in (0, 1, 3):
        assert ours.detect(batch(ours.image_shape, count)).shape == (count, len(ours._network.anchors), 6)


def test_an_onnx_file_is_a_whole_model(lite0: Path, tmp_path: Path) -> None:
    model = load_model(lite0, device="cpu")
    plain, inside = model.save(tmp_path / "a.onnx", format="onnx"), convert(lite0, tmp_path / "b.onnx", nms=True)
    for file in (plain, inside):
        onnx.checker.check_model(str(file), full_check=True)
    images = batch(model.image_shape)
    expected = model.detect(images)
    for file in (plain, inside):
        again = load_model(file)
        np.testing.assert_array_equal(again.detect(images), expected)
        assert (again.classes, again.settings, again.image_shape) == (model.classes, model.settings, model.image_shape)
        assert again.hyperparameters == model.hyperparameters
    assert load_model(inside).save(tmp_path / "c.onnx").read_bytes() == plain.read_bytes()
    (found,) = onnxruntime.InferenceSession(inside.read_bytes()).run(None, {"images": images})
    assert found.shape == (2, 400, 6)
    same_rows(found, expected[:, :400])


def test_the_shapes_of_the_weights_are_told_without_the_network() -> None:
    for classes in (1, 7):
        network = build_network("efficientnet-lite0", num_classes=classes, image_shape=300, pretrained=False)
        assert {name: tuple(each.shape) for name, each in network.state_dict().items()} == weight_shapes(classes)


def test_whatever_torch_computes_onnx_does() -> None:
    assert OPERATORS.keys() == TORCH_OPERATORS.keys()
    graph = read_symbol(GOLDEN / "deploy_vgg16_reduced_300-symbol.json")
    assert {node.op for node in graph.nodes} - {"null", "_contrib_MultiBoxDetection"} <= OPERATORS.keys()


def test_no_torch_is_needed(tiny: Path, tmp_path: Path) -> None:
    params = Hyperparameters(num_classes=2, num_training_samples=60, base_network="efficientnet-lite0", image_shape=300)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    ours = save_artifact(tmp_path / "model.tar.gz", network, params, TABLE)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from birdsod.ssd import load_model, convert\n"
        "for path in sys.argv[1:3]:\n"
        "    model = load_model(path, threads=1)\n"
        "    model.predict(np.zeros((50, 60, 3), np.uint8))\n"
        "    convert(path, sys.argv[3])\n"
        "    load_model(sys.argv[3], threads=1).predict(np.zeros((50, 60, 3), np.uint8))\n"
        "assert sys.modules['torch'] is None\n"
    )
    arguments = [str(ours), str(tiny), str(tmp_path / "out.onnx")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=300)


def test_several_threads_may_ask_one_model(tiny: Path) -> None:
    model = load_model(tiny, runtime="onnxruntime", threads=2)
    expected = model.detect(EXPECTED["data"])
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(model.detect, [EXPECTED["data"]] * 8):
            np.testing.assert_array_equal(found, expected)


def test_the_runtime_is_ones_choice(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(load_model(tiny, device="cpu")._network, OnnxNetwork)
    assert not isinstance(load_model(tiny, device="cpu", runtime="torch")._network, OnnxNetwork)
    with pytest.raises(InputError, match="ONNX Runtime computes on the CPU alone"):
        load_model(tiny, device="cuda", runtime="onnxruntime")
    wrong: Any = "tensorrt"
    with pytest.raises(InputError, match="none of auto, onnxruntime, torch"):
        load_model(tiny, runtime=wrong)
    with pytest.raises(InputError, match="at least one thread"):
        load_model(tiny, runtime="onnxruntime", threads=0)
    file = convert(tiny, tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="runs in ONNX Runtime alone"):
        load_model(file, runtime="torch")
    with pytest.raises(ArtifactError, match="itself tells its image_shape"):
        load_model(file, image_shape=128)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"onnxruntime is not installed.*birdsod\[serve\]"):
        load_model(tiny, runtime="onnxruntime")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"onnx is not installed.*birdsod\[serve\]"):
        load_model(file)


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from birdsod.ssd import runtimes

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtimes.chosen_runtime("auto", "auto") == "torch"
    assert runtimes.chosen_runtime("auto", "cpu") == "onnxruntime"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runtimes.chosen_runtime("auto", "auto") == "onnxruntime"
    assert runtimes.chosen_runtime("auto", "cuda") == "torch"
    monkeypatch.setattr(runtimes, "is_installed", lambda: False)
    assert runtimes.chosen_runtime("auto", "auto") == "torch"
    monkeypatch.setattr(runtimes, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="neither ONNX Runtime nor torch"):
        runtimes.chosen_runtime("auto", "cpu")
    assert not runtimes._has_gpu()
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(runtimes, "_DRIVERS", ("/dev/null",))
    assert runtimes._may_have_gpu()
    monkeypatch.setattr(runtimes, "_DRIVERS", ())
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert not runtimes._may_have_gpu()


@pytest.mark.parametrize(
    ("told", "threads", "expected"), [("3", None, 3), ("", None, 5), ("0", None, 5), ("2,1", None, 2), ("3", 4, 4)]
)
def test_threads_are_told_or_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, told: str, threads: int | None, expected: int
) -> None:
    from birdsod.ssd.onnx import runtime

    monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr(runtime, "cores", lambda: 5)
    assert runtime._count(threads) == expected


def test_formats_that_do_not_fit_are_refused_and_nothing_is_written(tiny: Path, tmp_path: Path) -> None:
    file = convert(tiny, tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="an ONNX file becomes no archive") as caught:
        convert(file, tmp_path / "model.tar.gz")
    assert "batch normalisation" in str(caught.value.cause)
    with pytest.raises(ArtifactError, match=r"a name that ends in \.onnx"):
        convert(tiny, tmp_path / "other", model_format="onnx")
    with pytest.raises(ArtifactError, match=r"a name that ends in \.onnx"):
        convert(tiny, tmp_path / "other.onnx", model_format="mxnet")
    with pytest.raises(InputError, match="suppression is a part of ONNX files alone"):
        convert(tiny, tmp_path / "other.tar.gz", nms=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.onnx", "tiny"]


def test_the_command_line_writes_onnx(tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "B.onnx"
    done = CliRunner().invoke(app, ["convert", str(tiny), str(target), "--format", "onnx", "--nms"])
    assert (done.exit_code, done.stdout) == (0, f"{target}\n")
    assert [each.name for each in onnx.load(target).graph.output] == ["detections"]


def test_training_does_not_go_on_from_onnx(tiny: Path, tmp_path: Path) -> None:
    from birdsod.ssd.start import read_start

    with pytest.raises(ArtifactError, match="does not go on from an ONNX file"):
        read_start(convert(tiny, tmp_path / "model.onnx"))


def test_weights_that_do_not_fit_are_told_in_either_runtime(tmp_path: Path) -> None:
    params = Hyperparameters(num_classes=2, num_training_samples=60, base_network="efficientnet-lite0", image_shape=300)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    good = save_artifact(tmp_path / "model.tar.gz", network, params, TABLE)
    with tarfile.open(good) as archive:
        archive.extractall(tmp_path / "folder", filter="data")
    values = json.loads((tmp_path / "folder" / "hyperparams.json").read_text(encoding="utf-8"))
    (tmp_path / "folder" / "hyperparams.json").write_text(json.dumps({**values, "base_network": "vgg-16"}))
    with pytest.raises(ArtifactError, match="do not fit") as caught:
        load_model(tmp_path / "folder")
    assert caught.value.path == str(tmp_path / "folder")
    (tmp_path / "folder" / "hyperparams.json").write_text(json.dumps(values))
    tensors = dict(load_file(tmp_path / "folder" / "model.safetensors"))
    tensors["box_heads.1.bias"] = tensors["box_heads.1.bias"][1:].copy()
    save_file(tensors, tmp_path / "folder" / "model.safetensors")
    for runtime in RUNTIMES:
        with pytest.raises(ArtifactError, match=r"do not fit .* the first is box_heads\.1\.bias") as caught:
            load_model(tmp_path / "folder", runtime=runtime)
        assert caught.value.path == str(tmp_path / "folder")
    assert read_model(good).classes == TABLE  # type: ignore[union-attr]  # an archive of our own
