"""The model of a run that was stopped is the one that its last checkpoint holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from birdsod import container
from birdsod.classes import ClassTable
from birdsod.container.model_files import leave_checkpoint
from birdsod.errors import ArtifactError
from birdsod.hyperparameters import Hyperparameters
from birdsod.ssd import read_artifact

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")

PARAMS = Hyperparameters(num_classes=2, num_training_samples=8, mini_batch_size=8, base_network="efficientnet-lite0")
CLASSES = ClassTable.numbered(2)


@pytest.fixture(autouse=True)
def _small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build a network of one layer: what is kept of it is what matters."""

    def build(*_: object, num_classes: int, **__: object) -> object:
        layer = torch.nn.Linear(1, 1, bias=False)
        layer.num_classes = num_classes
        return layer

    monkeypatch.setattr("birdsod.ssd.building.build_network", build)


def checkpoint(folder: Path, name: str, **weights: float) -> None:
    from birdsod.ssd.checkpoint import write_checkpoint

    tensors = {key.replace("_", "."): torch.full((1, 1), value) for key, value in weights.items()}
    write_checkpoint(folder / name, tensors, {"progress": {"update": 7}})


def left(folder: Path, *, best: bool) -> float:
    assert leave_checkpoint(folder, folder / "model.tar.gz", PARAMS, CLASSES, best=best)
    artifact = read_artifact(folder / "model.tar.gz")
    assert artifact.hyperparameters["_birdsod_stopped_after_update"] == "7"
    return float(artifact.tensors["weight"].item())


def test_the_running_mean_is_left_where_there_is_one(tmp_path: Path) -> None:
    checkpoint(tmp_path, "state.safetensors", network_weight=1.0)
    assert left(tmp_path, best=False) == 1.0
    checkpoint(tmp_path, "state.safetensors", network_weight=1.0, average_weight=2.0)
    assert left(tmp_path, best=False) == 2.0


def test_the_best_epoch_is_left_if_that_is_wanted_and_there_is_one(tmp_path: Path) -> None:
    checkpoint(tmp_path, "state.safetensors", network_weight=1.0)
    assert left(tmp_path, best=True) == 1.0
    checkpoint(tmp_path, "best.safetensors", weight=3.0)
    assert left(tmp_path, best=True) == 3.0
    assert left(tmp_path, best=False) == 1.0


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path, "state.safetensors", network_bias=1.0)
    with pytest.raises(ArtifactError, match="the checkpoint is of another network"):
        leave_checkpoint(tmp_path, tmp_path / "model.tar.gz", PARAMS, CLASSES, best=False)


def test_the_room_shows_what_it_has() -> None:
    assert dir(container) == ["Hosts", "Tree", "serve", "train"]
