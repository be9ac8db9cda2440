"""Models of whole numbers of eight bits answer nearly as those that they were made from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import birdsod as bd
from birdsod.cli._app import app
from birdsod.errors import ArtifactError, DatasetError, ImageError, InputError, MissingDependencyError
from birdsod.image import encode
from birdsod.recordio import RecordWriter
from birdsod.ssd import load_model, quantize, save_artifact
from birdsod.ssd.building import build_network
from birdsod.ssd.onnx import quantizing
from birdsod.ssd.onnx.normalising import with_depthwise_norms
from birdsod.ssd.onnx.reading import read_onnx
from birdsod.ssd.onnx.runtime import OnnxNetwork

if TYPE_CHECKING:
    import numpy.typing as npt

pytest.importorskip("onnxruntime")

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"
EDGE = 300
SMALL = 128
TABLE = bd.ClassTable((3, 7), ("jay", "wren"))


def pictures(count: int, edge: int = EDGE) -> list[npt.NDArray[np.uint8]]:
    """Blurred noise: unlike white noise, its numbers in the network are spread as those of photographs are."""
    random = np.random.default_rng(0)
    rough = random.integers(0, 256, (count, edge // 4, edge // 4, 3), dtype=np.uint8)
    return list(rough.repeat(4, axis=1).repeat(4, axis=2))


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_network("efficientnet-lite0", num_classes=2, image_shape=EDGE, pretrained=True)
    params = bd.Hyperparameters(
        num_classes=2, num_training_samples=50, base_network="efficientnet-lite0", image_shape=EDGE
    )
    path = tmp_path_factory.mktemp("lite0") / "model.tar.gz"
    save_artifact(path, network, params, TABLE)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    folder.mkdir()
    for name in ("model_algo_1-symbol.json", "model_algo_1-0000.params"):
        (folder / name).write_bytes((GOLDEN / name).read_bytes())
    (folder / "hyperparams.json").write_text(json.dumps({"image_shape": "128"}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def lite0_int8(lite0: Path) -> Path:
    return quantize(lite0, lite0.with_name("int8.onnx"), pictures(8))


@pytest.fixture(scope="module")
def tiny_int8(tiny: Path) -> Path:
    return quantize(tiny, tiny.parent / "int8.onnx", pictures(8, SMALL))


def answers(path: Path, images: list[npt.NDArray[np.uint8]]) -> tuple[Any, Any]:
    model = load_model(path, runtime="onnxruntime")
    batch = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)
    mean = np.array(model.input_mean, np.float32).reshape(1, 3, 1, 1)
    return model._network.answer(np.ascontiguousarray(batch - mean))


def near(one: Path, other: Path, edge: int, most: float) -> None:
    """Compare what comes before the thresholds: a detection may be there or not for the smallest difference."""
    images = pictures(3, edge)
    for found, expected in zip(answers(one, images), answers(other, images), strict=True):
        assert found.shape == expected.shape
        spread = expected.std()
        assert 0 < np.abs(found - expected).mean() < most * spread


def test_our_own_network_answers_nearly_the_same(lite0: Path, lite0_int8: Path) -> None:
    model = load_model(lite0_int8)
    assert (model.precision, load_model(lite0).precision) == ("int8", "float32")
    assert (model.classes, model.image_shape) == (TABLE, EDGE)
    assert model.hyperparameters.base_network == "efficientnet-lite0"
    near(lite0_int8, lite0, EDGE, 0.5)


def test_a_network_of_mxnet_answers_nearly_the_same(tiny: Path, tiny_int8: Path) -> None:
    near(tiny_int8, tiny, SMALL, 0.1)
    kinds = {node.op_type for node in read_onnx(tiny_int8).model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_most_weights_take_a_byte(lite0: Path, lite0_int8: Path) -> None:
    whole = bd.ssd.convert(lite0, lite0.with_name("float32.onnx"))
    assert lite0_int8.stat().st_size < 0.4 * whole.stat().st_size


def test_pixels_scores_and_offsets_stay_as_they_are(lite0_int8: Path) -> None:
    graph = read_onnx(lite0_int8).model.graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    bare = [node.name for node in graph.node if node.op_type == "Conv" and makers.get(node.input[1]) is None]
    heads = {f"{kind}_heads.{number}" for kind in ("class", "box") for number in (0, 1)}
    assert set(bare) == {"base._conv_stem"} | heads


def test_the_same_images_give_the_same_bytes(tiny: Path, tiny_int8: Path, tmp_path: Path) -> None:
    again = quantize(tiny, tmp_path / "again.onnx", pictures(8, SMALL))
    assert again.read_bytes() == tiny_int8.read_bytes()


def test_images_come_from_a_folder_a_record_file_a_data_set_or_an_onnx_file(
    tiny: Path, tiny_int8: Path, tmp_path: Path
) -> None:
    encoded = [encode(pixels[..., ::-1], encoding=".png") for pixels in pictures(8, SMALL)]
    (tmp_path / "images").mkdir()
    with RecordWriter(tmp_path / "images.rec") as writer:
        for number, data in enumerate(encoded):
            (tmp_path / "images" / f"{number}.png").write_bytes(data)
            writer.write_record(number, [2, 5, 0, 0.1, 0.1, 0.9, 0.9], data)
    (tmp_path / "images" / "notes.txt").write_text("no image", encoding="utf-8")
    whole = bd.ssd.convert(tiny, tmp_path / "whole.onnx")
    for name, source, images in (
        ("folder", tiny, tmp_path / "images"),
        ("records", tiny, str(tmp_path / "images.rec")),
        ("files", whole, sorted((tmp_path / "images").glob("*.png"))),
    ):
        made = quantize(source, tmp_path / f"{name}.onnx", images)
        assert made.read_bytes() == tiny_int8.read_bytes(), name
    birds = bd.synthetic_birds(tmp_path / "made-up", seed=0, classes=2, per_class=4)
    assert load_model(quantize(tiny, tmp_path / "set.onnx", birds, count=2)).precision == "int8"


def test_so_many_images_are_taken_evenly(tiny: Path, tmp_path: Path) -> None:
    images = pictures(9, SMALL)
    some = quantize(tiny, tmp_path / "some.onnx", images, count=3)
    same = quantize(tiny, tmp_path / "same.onnx", [images[0], images[4], images[8]])
    assert some.read_bytes() == same.read_bytes()


def test_suppression_may_be_inside(tiny: Path, tiny_int8: Path, tmp_path: Path) -> None:
    made = quantize(tiny, tmp_path / "nms.onnx", pictures(8, SMALL), nms=True)
    image = pictures(1, SMALL)[0]
    found, expected = load_model(made).predict(image), load_model(tiny_int8).predict(image)
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)


def test_a_normalisation_as_a_convolution_answers_alike(tiny: Path, tmp_path: Path) -> None:
    artifact = read_onnx(bd.ssd.convert(tiny, tmp_path / "whole.onnx"))
    before = artifact.model.SerializeToString()
    made = with_depthwise_norms(artifact.model)
    assert artifact.model.SerializeToString() == before
    kinds = [node.op_type for node in made.graph.node]
    assert "BatchNormalization" not in kinds[kinds.index("Conv") :]
    image = np.random.default_rng(0).uniform(-100, 100, (1, 3, 128, 128)).astype(np.float32)
    answered = zip(OnnxNetwork(made).answer(image), OnnxNetwork(artifact.model).answer(image), strict=True)
    for found, expected in answered:
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_is_no_source_of_images_is_refused(tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    (tmp_path / "empty").mkdir()
    wrong: list[tuple[Any, type[Exception], str]] = [
        ([], InputError, "no images to measure"),
        (tmp_path / "empty", InputError, "no images to measure"),
        (tmp_path / "nowhere", DatasetError, "no such folder"),
        (7, InputError, "these are no images"),
        (b"one", InputError, "these are no images"),
        ([b"no image"], ImageError, "image"),
    ]
    for images, error, message in wrong:
        with pytest.raises(error, match=message):
            quantize(tiny, target, images)
        assert not target.exists()


def test_what_cannot_be_quantized_is_refused(lite0: Path, tiny: Path, tiny_int8: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    with pytest.raises(ArtifactError, match="quantized already") as caught:
        quantize(tiny_int8, target, pictures(1, SMALL))
    assert caught.value.path == str(tiny_int8)
    with pytest.raises(ArtifactError, match="is an ONNX file"):
        quantize(tiny, tmp_path / "model.tar.gz", pictures(1, SMALL))
    with pytest.raises(InputError, match="at least one image"):
        quantize(tiny, target, pictures(1, SMALL), count=0)
    with pytest.raises(ArtifactError, match="itself tells"):
        quantize(lite0, target, pictures(1, SMALL), image_shape=EDGE)
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_nothing(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing._Reader, "get_next", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        quantize(tiny, tmp_path / "model.onnx", pictures(1, SMALL))
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_same(tiny: Path, tiny_int8: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(pictures(8, SMALL)):
        (tmp_path / "images" / f"{number}.png").write_bytes(encode(pixels[..., ::-1], encoding=".png"))
    target, images = str(tmp_path / "model.onnx"), str(tmp_path / "images")
    asked = ["convert", str(tiny), target, "--format", "onnx", "--int8", "--calibrate", images]
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert Path(target).read_bytes() == tiny_int8.read_bytes()
    for wrong in (["--int8"], ["--calibrate", images], ["--format", "mxnet", "--int8", "--calibrate", images]):
        assert CliRunner().invoke(app, ["convert", str(tiny), target, *wrong]).exit_code == 2


def test_what_is_not_installed_is_named(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "onnxruntime.quantization"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="onnxruntime is not installed"):
        quantize(tiny, tmp_path / "model.onnx", pictures(1, SMALL))
