"""What training starts from: weights of ImageNet, an earlier model, or nothing, each told and checked."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import birdsod as bd
from birdsod import Hyperparameters, LocalOptions, Packed
from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, HyperparameterError
from birdsod.mxnet import _backbones, params_bytes, write_params
from birdsod.ssd.artifact import read_artifact
from birdsod.ssd.building import build_network
from birdsod.ssd.loop import Reports
from birdsod.ssd.pretrained import go_on_from, start_from
from birdsod.ssd.saving import save_trained
from birdsod.ssd.start import check_start, read_start
from birdsod.ssd.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.ssd.twin import TwinNetwork

    Arrays = dict[str, npt.NDArray[np.float32]]

MEAN = np.array([123, 117, 104], dtype=np.float32)
CLASSES = ClassTable((1, 2), ("001.Lantern_Tipplefinch", "002.Velvet_Moorwhistler"))
OTHERS = ClassTable((1, 3), ("001.Lantern_Tipplefinch", "003.Other"))
PARAMS = Hyperparameters(num_classes=2, num_training_samples=6, mini_batch_size=2, base_network="resnet-50")


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make both networks narrow and quick; and one thread, so that a busy machine does not make them wait."""
    monkeypatch.setattr(_backbones, "_FILTERS", (8, 12, 16, 20))
    monkeypatch.setattr(_backbones, "_VGG", ((4, 2), (4, 2), (8, 3), (512, 3), (8, 3)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("birds")
    birds = bd.synthetic_birds(folder / "drawn", seed=0, classes=2, per_class=6)
    seen, unseen = birds.split()
    return bd.pack({"train": seen, "validation": unseen}, folder / "packed", resize=300)


def network(base_network: Any = "resnet-50", num_classes: int = 2) -> TwinNetwork:
    made: TwinNetwork = build_network(base_network, num_classes=num_classes, image_shape=300, pretrained=False)
    return made


def imagenet(base_network: Any = "resnet-50") -> Arrays:
    """Return what a classifier's file would hold: the base network and layers that a detector has not."""
    base = {
        name: array
        for name, array in network(base_network).arrays().items()
        if not any(part in name for part in ("multi_feat", "_pred_conv", "relu4_3_scale"))
    }
    return {
        **base,
        "arg:fc1_weight": np.ones((10, 20), dtype=np.float32),
        "arg:fc1_bias": np.ones(10, dtype=np.float32),
    }


def options(**changes: Any) -> LocalOptions:
    given = {"threads": 1, "loader_threads": 1, "device": "cpu", "updates": 1, "validate_every": 0}
    return LocalOptions(**{**given, **changes})


def run(packed: Packed, directory: Path, params: Hyperparameters = PARAMS, **told: Any) -> list[str]:
    lines: list[str] = []
    outcome = train(packed, params, directory=directory, reports=Reports(line=lines.append), **told)
    assert outcome.completed
    return lines


def test_a_file_of_imagenet_weights_gives_the_base_network(tmp_path: Path) -> None:
    arrays = imagenet() | {"aux:bn_data_moving_mean": MEAN}
    write_params(tmp_path / "resnet-50-0000.params", arrays)
    made = network()
    before = made.arrays()
    path = tmp_path / "resnet-50-0000.params"
    lines = start_from(made, path)
    after = made.arrays()
    for name, array in after.items():
        np.testing.assert_array_equal(array, arrays.get(name, before[name]))
    taken = len(arrays) - 2
    assert lines[0] == f"Weights: {taken} of {len(after)} parameters and statistics are from {path}"
    assert re.fullmatch(r"Weights: these layers begin anew: _plus12_cls_pred_conv, .* and \d+ more", lines[1])
    assert lines[2] == "Weights: these layers of the file are not used: fc1"
    assert made.input_mean == (0.0, 0.0, 0.0)


def test_layers_of_another_shape_begin_anew(tmp_path: Path) -> None:
    arrays = imagenet("vgg-16")
    arrays["arg:fc6_weight"] = np.ones((4096, 9), dtype=np.float32)
    write_params(tmp_path / "vgg16-0000.params", arrays)
    made = network("vgg-16")
    before = made.arrays()["arg:fc6_weight"].copy()
    lines = start_from(made, tmp_path / "vgg16-0000.params")
    np.testing.assert_array_equal(made.arrays()["arg:fc6_weight"], before)
    assert "begin anew: fc6, relu4_3_scale, " in lines[1]
    assert "not used: fc6, fc1" in lines[2]


def test_vgg_sees_whole_pixels_as_it_saw_them_less_the_mean(tmp_path: Path) -> None:
    arrays = imagenet("vgg-16")
    write_params(tmp_path / "vgg16_reduced-0001.params", arrays)
    found = read_start(tmp_path / "vgg16_reduced-0001.params").arrays
    images = torch.rand(1, 3, 9, 9) * 255
    weight, bias = torch.tensor(arrays["arg:conv1_1_weight"]), torch.tensor(arrays["arg:conv1_1_bias"])
    expected = torch.nn.functional.conv2d(images - torch.tensor(MEAN).reshape(1, 3, 1, 1), weight, bias)
    whole = torch.nn.functional.conv2d(images, weight, torch.tensor(np.asarray(found["conv1_1_bias"])))
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("seen", "expected"), [((0.5, 0.1, -0.2), (123.5, 117.1, 103.8)), ((124, 116, 104),) * 2])
def test_resnet_sees_whole_pixels_whatever_it_saw(tmp_path: Path, seen: Any, expected: Any) -> None:
    write_params(tmp_path / "some.params", imagenet() | {"aux:bn_data_moving_mean": np.array(seen, dtype=np.float32)})
    found = read_start(tmp_path / "some.params").arrays["bn_data_moving_mean"]
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-6)


def test_a_file_without_the_first_layers_is_taken_as_it_is(tmp_path: Path) -> None:
    arrays = {"arg:conv0_weight": np.ones((64, 3, 7, 7), dtype=np.float32)}
    write_params(tmp_path / "some.params", arrays)
    assert read_start(tmp_path / "some.params").arrays.keys() == {"conv0_weight"}
    assert "1 of" in start_from(network(), tmp_path / "some.params")[0]


@pytest.mark.parametrize("arrays", [{"arg:other": np.ones(3, dtype=np.float32)}, {}], ids=["others", "none"])
def test_weights_of_another_network_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    write_params(tmp_path / "some.params", arrays)
    with pytest.raises(ArtifactError, match=r"none of these weights is one of the network's.*bn_data") as caught:
        start_from(network(), tmp_path / "some.params")
    assert caught.value.path == str(tmp_path / "some.params")


@pytest.mark.parametrize("data", [b"", b"no parameters", params_bytes({})[:-1]])
def test_a_broken_file_of_weights_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "some.params").write_bytes(data)
    with pytest.raises(ArtifactError):
        start_from(network(), tmp_path / "some.params")


def test_an_earlier_model_of_other_classes_gives_all_but_its_classes(tmp_path: Path) -> None:
    earlier = network(num_classes=3)
    path = save_trained(tmp_path / "model.tar.gz", earlier, PARAMS.evolve(num_classes=3), ClassTable.numbered(3))
    made = network()
    before = made.arrays()
    lines = start_from(made, path)
    after, given = made.arrays(), earlier.arrays()
    for name, array in after.items():
        np.testing.assert_array_equal(array, before[name] if "_cls_pred_conv_" in name else given[name])
    assert all("_cls_pred_conv" in layer for layer in lines[1].partition("anew: ")[2].split(", "))


def test_an_earlier_model_is_gone_on_from_whole(tmp_path: Path) -> None:
    earlier = network()
    earlier.input_mean = (1.0, 2.0, 3.5)
    path = save_trained(tmp_path / "model.tar.gz", earlier, PARAMS, CLASSES)
    made = network()
    assert go_on_from(made, path) == [f"Weights: training goes on from {path}"]
    given = earlier.arrays()
    for name, array in made.arrays().items():
        np.testing.assert_array_equal(array, given[name])
    assert made.input_mean == (1.0, 2.0, 3.5)
    assert bd.load_model(path).input_mean == (1.0, 2.0, 3.5)


@pytest.mark.parametrize("told", ["1,2", "a,b,c", ""])
def test_a_mean_that_is_none_is_refused(tmp_path: Path, told: str) -> None:
    path = save_trained(tmp_path / "model.tar.gz", network(), PARAMS, CLASSES, {"_input_mean": told})
    with pytest.raises(ArtifactError, match="_input_mean is not three numbers"):
        bd.load_model(path)


def test_our_own_models_are_gone_on_from_too(tmp_path: Path) -> None:
    params = PARAMS.evolve(base_network="efficientnet-lite0")
    shape: Any = {"num_classes": 2, "image_shape": 300, "pretrained": False}
    earlier, made, other = (build_network("efficientnet-lite0", **shape) for _ in range(3))
    path = save_trained(tmp_path / "model.tar.gz", earlier, params, CLASSES)
    go_on_from(made, path)
    lines = start_from(other, path)
    for name, tensor in earlier.state_dict().items():
        torch.testing.assert_close(made.state_dict()[name], tensor, rtol=0, atol=0)
        assert name.startswith("class_heads") or torch.equal(other.state_dict()[name], tensor)
    assert lines[1].startswith("Weights: these layers begin anew: class_heads.0")


def test_a_model_with_other_layers_is_not_gone_on_from(tmp_path: Path) -> None:
    path = save_trained(
        tmp_path / "model.tar.gz", network(num_classes=3), PARAMS.evolve(num_classes=3), ClassTable.numbered(3)
    )
    with pytest.raises(
        ArtifactError, match=r"12 of the weights .* first is _plus12_cls_pred_conv_weight .*\(16, 16, 3, 3"
    ):
        go_on_from(network(), path)
    write_params(tmp_path / "one.params", {"arg:conv0_weight": np.ones((64, 3, 7, 7), dtype=np.float32)})
    with pytest.raises(ArtifactError, match=r"first is bn_data_gamma .*missing"):
        go_on_from(network(), tmp_path / "one.params")


def test_training_starts_from_pretrained_weights(packed: Packed, tmp_path: Path) -> None:
    write_params(tmp_path / "base.params", imagenet() | {"aux:bn_data_moving_mean": MEAN})
    chosen = options(pretrained=tmp_path / "base.params", learning_rate=1e-9)
    lines = run(packed, tmp_path / "job", options=chosen)
    assert lines[0].startswith("Weights: ")
    assert any(line.startswith("Final configuration: ") for line in lines)
    wanted, found = archived(tmp_path / "base.params"), archived(tmp_path / "job" / "model.tar.gz")
    np.testing.assert_allclose(found["conv0_weight"], wanted["conv0_weight"], atol=1e-6)


def archived(path: Path) -> Any:
    return read_start(path).arrays


def test_training_goes_on_from_an_earlier_model(packed: Packed, tmp_path: Path) -> None:
    fresh = PARAMS.evolve(use_pretrained_model=0)
    run(packed, tmp_path / "first", fresh, options=options())
    first = tmp_path / "first" / "model.tar.gz"
    lines = run(packed, tmp_path / "second", options=options(learning_rate=1e-9), model=first)
    assert f"Weights: training goes on from {first}" in lines
    before, after = archived(first), archived(tmp_path / "second" / "model.tar.gz")
    for name in ("conv0_weight", "_plus12_cls_pred_conv_weight"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    assert bd.load_model(tmp_path / "second" / "model.tar.gz").classes == packed.class_table


def test_what_training_started_from_may_be_gone_when_it_goes_on(packed: Packed, tmp_path: Path) -> None:
    """A run that was stopped has its weights in the checkpoint, and ends in the same model as one that was not."""
    write_params(tmp_path / "base.params", imagenet())
    chosen = options(pretrained=tmp_path / "base.params", updates=2)
    whole = run(packed, tmp_path / "whole", options=chosen)
    reports = Reports(stop=lambda: True)
    assert not train(packed, PARAMS, chosen, directory=tmp_path / "halves", reports=reports).completed
    (tmp_path / "base.params").unlink()
    halves = run(packed, tmp_path / "halves", options=chosen)
    made = [(tmp_path / name / "model.tar.gz").read_bytes() for name in ("whole", "halves")]
    assert made[0] == made[1]
    assert any(line.startswith("Weights:") for line in whole)
    assert not any(line.startswith("Weights:") for line in halves)


def test_a_model_of_mxnet_is_what_training_leaves(packed: Packed, tmp_path: Path) -> None:
    run(packed, tmp_path, PARAMS.evolve(use_pretrained_model=0), options=options())
    with pytest.raises(ArtifactError, match="archive of the built-in algorithm"):
        read_artifact(tmp_path / "model.tar.gz")
    model = bd.load_model(tmp_path / "model.tar.gz")
    assert (model.classes, model.input_mean) == (packed.class_table, (0.0, 0.0, 0.0))
    assert model.hyperparameters.base_network == "resnet-50"


def refused(told: str, **given: Any) -> ArtifactError | HyperparameterError:
    params, chosen = given.pop("params", PARAMS), given.pop("options", LocalOptions())
    try:
        check_start(params, chosen, given.pop("classes", CLASSES), **given)
    except (ArtifactError, HyperparameterError) as error:
        assert told in str(error)  # noqa: PT017 - the error itself is looked at further
        return error
    pytest.fail("nothing was refused")


def test_nothing_to_start_from_is_told_with_its_cure() -> None:
    error = refused("no ImageNet weights of this base network are installed")
    assert error.cure is not None
    assert "resnet-50-0000.params" in error.cure
    assert "use_pretrained_model=0" in error.cure
    check_start(PARAMS.evolve(use_pretrained_model=0), LocalOptions(), CLASSES)
    check_start(PARAMS.evolve(base_network="efficientnet-lite0"), LocalOptions(), CLASSES)


def test_contradictions_are_told(tmp_path: Path) -> None:
    (tmp_path / "base.params").write_bytes(b"")
    chosen = LocalOptions(pretrained=str(tmp_path / "base.params"))
    check_start(PARAMS, chosen, CLASSES)
    refused("not from both", options=chosen, model=tmp_path)
    refused("use_pretrained_model is 0, but", options=chosen, params=PARAMS.evolve(use_pretrained_model=0))
    refused("no such file of pretrained weights", options=LocalOptions(pretrained="nowhere.params"))
    refused("no such model archive", model=tmp_path / "nowhere.tar.gz")


def folder(path: Path, values: dict[str, str] | None, classes: ClassTable | None) -> Path:
    path.mkdir()
    if values is not None:
        (path / "hyperparams.json").write_text(json.dumps(values))
    if classes is not None:
        (path / "classes.json").write_text(json.dumps(classes.to_json()))
    return path


def test_a_model_must_be_of_the_same_network_and_classes(tmp_path: Path) -> None:
    values = PARAMS.to_request()
    same = folder(tmp_path / "same", values, CLASSES)
    check_start(PARAMS, LocalOptions(), CLASSES, same)
    check_start(PARAMS, LocalOptions(), CLASSES, folder(tmp_path / "unnamed", values, None))
    check_start(PARAMS, LocalOptions(), CLASSES, folder(tmp_path / "bare", None, None))
    error = refused("another base_network than vgg-16", params=PARAMS.evolve(base_network="vgg-16"), model=same)
    assert (error.value, error.path) == ("resnet-50", str(same))
    refused("another num_classes than 3", params=PARAMS.evolve(num_classes=3), model=same)
    error = refused("knows other classes", classes=OTHERS, model=same)
    assert error.value == ("002.Velvet_Moorwhistler", "003.Other")
    more = folder(tmp_path / "more", None, ClassTable((1, 2, 3), (*CLASSES.names, "x")))
    assert refused("knows other classes", model=more).value == 3
