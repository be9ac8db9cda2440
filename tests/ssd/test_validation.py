from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from birdsod import Hyperparameters, bbox
from birdsod.ssd import validation
from birdsod.ssd.building import build_network
from birdsod.ssd.validation import Validation
from birdsod.ssd.windows import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.ssd.network import SSD

PARAMS = Hyperparameters(num_classes=2, num_training_samples=32, base_network="efficientnet-lite0")
# Nearly one of the anchors.
BOX = (0.26, 0.26, 0.84, 0.84)


@dataclass
class Shelf:
    objects: int = 2
    loaded: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return 3

    def load(self, position: int) -> tuple[int, Sample]:
        self.loaded.append(position)
        image = np.random.default_rng(position).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        return position, Sample(image, np.tile(BOX, (self.objects, 1)), np.arange(self.objects))


@pytest.fixture
def network() -> Iterator[SSD]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    made.freeze("base")
    yield made
    torch.set_num_threads(threads)


def sure_of_everything(network: SSD) -> None:
    """Make it answer class 1 for the anchor that overlaps the objects most, as it stands."""
    overlaps = bbox.iou(network.anchors.numpy(), np.array([BOX]))[:, 0]
    logits = torch.tensor([9.0, 0.0, 0.0]).repeat(1, len(overlaps), 1)
    logits[0, int(overlaps.argmax())] = torch.tensor([0.0, 0.0, 9.0])

    def forward_from(features: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        images = len(features[0])
        return logits.expand(images, -1, -1), torch.zeros(images, 4 * len(overlaps))

    network.forward_from = forward_from  # type: ignore[method-assign] # what it has learned plays no part here


def test_what_is_right_scores_and_what_is_missed_does_not(network: SSD) -> None:
    sure_of_everything(network)
    score = Validation(Shelf(), PARAMS).score(network)
    assert score == pytest.approx(0.5)  # all of class 1, none of class 0


def test_frozen_layers_look_once(network: SSD) -> None:
    shelf = Shelf()
    watched = Validation(shelf, PARAMS)
    first, second = watched.score(network), watched.score(network)
    assert first == second
    assert sorted(shelf.loaded) == [0, 1, 2]


def test_without_memory_they_look_again_and_see_the_same(network: SSD) -> None:
    shelf = Shelf()
    sure_of_everything(network)
    forgetful = Validation(shelf, PARAMS, memory=0)
    assert forgetful.score(network) == forgetful.score(network) == Validation(Shelf(), PARAMS).score(network)
    assert len(shelf.loaded) == 6


def test_the_threshold_is_the_hyperparameters(network: SSD) -> None:
    sure_of_everything(network)
    strict = Validation(Shelf(), PARAMS.evolve(overlap_threshold=0.999))
    assert strict.score(network) == 0.0


def test_the_network_is_left_in_its_mode(network: SSD, monkeypatch: pytest.MonkeyPatch) -> None:
    network.train()
    Validation(Shelf(), PARAMS).score(network)
    assert network.training
    monkeypatch.setattr(validation, "multibox_detection", None)
    with pytest.raises(TypeError):
        Validation(Shelf(), PARAMS).score(network)
    assert network.training


def test_no_objects_no_score(network: SSD) -> None:
    assert Validation(Shelf(objects=0), PARAMS).score(network) == 0.0
