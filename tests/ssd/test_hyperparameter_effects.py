"""Every hyperparameter of the algorithm does in the local engine what its description says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import birdsod as bd
from birdsod import Hyperparameters, LocalOptions, Packed
from birdsod._hyperparameter_rules import RULES
from birdsod.errors import HyperparameterError
from birdsod.metrics import evaluate_boxes
from birdsod.ssd import training, validation
from birdsod.ssd.artifact import read_artifact
from birdsod.ssd.detection import multibox_detection
from birdsod.ssd.loop import Reports
from birdsod.ssd.training import train
from birdsod.training_log import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SGD = {"optimizer": "sgd", "learning_rate": 0.01}
STEPPED = SGD | {"lr_scheduler_step": "1"}
# What else is given, one value, and another, after which other weights come out.
WEIGHTS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "epochs": ({}, 2, 1),
    "learning_rate": ({"optimizer": "sgd"}, 0.01, 0.02),
    "lr_scheduler_factor": (STEPPED, 0.1, 0.5),
    "lr_scheduler_step": (SGD, "", "1"),
    "optimizer": ({}, "sgd", "rmsprop"),
    "momentum": (SGD, 0.9, 0.5),
    "weight_decay": (SGD, 0.0005, 0.5),
    "mini_batch_size": (SGD, 2, 3),
    "freeze_layer_pattern": ({}, "base", "base|norm"),
}
# Which of what the network is built of they are.
BUILT: dict[str, tuple[str, dict[str, Any], Any]] = {
    "num_classes": ("num_classes", {}, 2),
    "image_shape": ("image_shape", {"image_shape": 320}, 320),
    "base_network": ("base_network", {"base_network": "resnet-50"}, "resnet-50"),
    "use_pretrained_model": ("pretrained", {"use_pretrained_model": 1}, True),
}
DETECTION = {"nms_threshold": 0.3, "overlap_threshold": 0.7}
REFUSED = {"label_width": 7, "num_training_samples": 5}
STORES = {"kv_store"}
"""What several processes exchange: see ``test_distributed.py``."""
# What is given besides a patience of one epoch, and after how many epochs it stops; SCORES rise in the third alone.
STOPPING: dict[str, tuple[dict[str, Any], int]] = {
    "early_stopping": ({}, 2),
    "early_stopping_min_epochs": ({"early_stopping_min_epochs": 3}, 4),
    "early_stopping_patience": ({"early_stopping_patience": 3}, 6),
    "early_stopping_tolerance": ({"early_stopping_tolerance": 1.0, "early_stopping_patience": 3}, 4),
}


SCORES = (0.4, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("birds")
    seen, unseen = bd.synthetic_birds(folder / "drawn", seed=0, classes=2, per_class=6).split()
    return bd.pack({"train": seen, "validation": unseen}, folder / "packed", resize=300)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tiny_network: Callable[[int], Any]) -> list[dict[str, Any]]:
    """Leave the real networks out, and note what they would have been built of."""
    asked: list[dict[str, Any]] = []

    def build(base_network: str, **told: Any) -> Any:
        asked.append({"base_network": base_network, **told})
        return tiny_network(told["num_classes"])

    monkeypatch.setattr(training, "build_network", build)
    monkeypatch.setattr(training, "check_start", lambda *_: None)
    return asked


def run(packed: Packed, directory: Path, options: dict[str, Any] | None = None, **given: Any) -> list[str]:
    values = {"base_network": "efficientnet-lite0", "epochs": 2, "mini_batch_size": 2, "use_pretrained_model": 0}
    settings: dict[str, Any] = {"threads": 1, "loader_threads": 1, "device": "cpu", "average": 0.0}
    if "freeze_layer_pattern" not in given:
        settings["freeze"] = "base"
    lines: list[str] = []
    params = Hyperparameters.for_data(packed, **{**values, **given})
    local = LocalOptions(**{**settings, "validate_every": 0, **(options or {})})
    train(packed, params, local, directory=directory, reports=Reports(line=lines.append))
    return lines


def test_every_one_of_them_is_tried_here() -> None:
    assert {*WEIGHTS, *BUILT, *DETECTION, *REFUSED, *STORES, *STOPPING} == set(RULES)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("name", WEIGHTS)
def test_other_weights_come_out(packed: Packed, tmp_path: Path, name: str) -> None:
    others, *values = WEIGHTS[name]
    made: list[Any] = []
    for value in values:
        run(packed, tmp_path / str(len(made)), **others, **{name: value})
        made.append(read_artifact(tmp_path / str(len(made)) / "model.tar.gz").tensors)
    first, second = made
    assert first.keys() == second.keys()
    assert any((value != second[each]).any() for each, value in first.items())


@pytest.mark.parametrize("name", BUILT)
def test_the_network_is_built_of_them(packed: Packed, tmp_path: Path, name: str, built: list[dict[str, Any]]) -> None:
    told, given, expected = BUILT[name]
    run(packed, tmp_path, {"updates": 1}, **given)
    assert built[0][told] == expected


@pytest.mark.usefixtures("built")
def test_validation_detects_and_counts_by_them(packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, float] = {}
    detect, evaluate = multibox_detection, evaluate_boxes

    def detected(*arrays: Any, nms_threshold: float, **others: Any) -> Any:
        used["nms_threshold"] = nms_threshold
        return detect(*arrays, nms_threshold=nms_threshold, **others)

    def evaluated(*boxes: Any, overlap_threshold: float, **others: Any) -> Any:
        used["overlap_threshold"] = overlap_threshold
        return evaluate(*boxes, overlap_threshold=overlap_threshold, **others)

    monkeypatch.setattr(validation, "multibox_detection", detected)
    monkeypatch.setattr(validation, "evaluate_boxes", evaluated)
    run(packed, tmp_path, {"validate_every": 1}, **DETECTION)
    assert used == DETECTION


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("name", REFUSED)
def test_what_contradicts_the_data_is_refused(packed: Packed, tmp_path: Path, name: str) -> None:
    told = Hyperparameters.for_data(packed, base_network="efficientnet-lite0", mini_batch_size=2).to_request()
    params = Hyperparameters.from_request(told | {name: str(REFUSED[name])})
    with pytest.raises(HyperparameterError, match=name) as caught:
        train(packed, params, directory=tmp_path)
    assert caught.value.value == REFUSED[name]


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("name", STOPPING)
def test_it_stops_when_they_say(packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    given, epochs = STOPPING[name]
    scores = iter(SCORES)
    monkeypatch.setattr(validation.Validation, "score", lambda *_: next(scores))
    early = {"early_stopping": True, "early_stopping_min_epochs": 1, "early_stopping_patience": 1, "epochs": 8, **given}
    lines = run(packed, tmp_path, {"validate_every": 1}, mini_batch_size=6, **early)
    assert len([event for event in parse(lines) if event.kind == "validation:mAP"]) == epochs
    assert "Stopped early: " in lines[-1]
