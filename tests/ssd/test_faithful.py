"""What MXNet gets wrong is right here, and done as MXNet does it where that is asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import birdsod as bd
from birdsod import Hyperparameters, LocalOptions
from birdsod.metrics import GroundTruth, Predictions
from birdsod.ssd.building import build_network
from birdsod.ssd.faithful import mean_precision, passes_end, seen_in_pass
from birdsod.ssd.optimizers import make_optimizer
from birdsod.ssd.recipe import resolve
from birdsod.ssd.training import train
from birdsod.ssd.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.ssd.recipe import Recipe

BOX = [0.1, 0.1, 0.5, 0.5]
# What ``ImageDetRecordIter`` of MXNet 1.9.1 gave in batches of four: four passes over ten images, no shuffling.
PASSES = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1],
    [2, 3, 4, 5, 6, 7, 8, 9],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1],
    [2, 3, 4, 5, 6, 7, 8, 9],
]


def recipe(**options: Any) -> Recipe:
    params = Hyperparameters(num_classes=2, num_training_samples=10, mini_batch_size=4, epochs=4)
    return resolve(params, LocalOptions(**options))


def test_passes_are_mxnets() -> None:
    assert [seen_in_pass(number, images=10, batch_size=4).tolist() for number in range(4)] == PASSES


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 9))
def test_passes_go_on_from_each_other(images: int, batch_size: int, passes: int) -> None:
    batches = [seen_in_pass(number, images, batch_size) for number in range(passes)]
    seen = np.concatenate(batches)
    assert (seen == np.arange(len(seen)) % images).all()
    assert not len(seen) % batch_size
    assert 0 <= len(seen) - passes * images < batch_size


def test_an_epoch_is_a_pass_with_what_fills_it_up() -> None:
    faithful, right = recipe(faithful=True), recipe()
    assert [faithful.first_update(epoch) for epoch in range(5)] == [0, 3, 5, 8, 10]
    assert [right.first_update(epoch) for epoch in range(5)] == [0, 2, 4, 6, 8]
    assert (faithful.updates, faithful.epochs, right.updates, right.epochs) == (10, 4, 8, 4)
    assert [faithful.epoch_of(update) for update in range(10)] == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    # The schedule counts by whole batches in MXNet, too: it comes before the epochs that it names.
    assert faithful.epoch_size == right.epoch_size == 2
    assert "updates = 10 (4 passes over 10 images)" in faithful.statements()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 500))
def test_an_epoch_holds_its_updates(batch_size: int, more: int, update: int) -> None:
    params = Hyperparameters(num_classes=2, num_training_samples=batch_size + more, mini_batch_size=batch_size)
    for faithful in (True, False):
        settled = resolve(params, LocalOptions(faithful=faithful))
        epoch = settled.epoch_of(update)
        assert settled.first_update(epoch) <= update < settled.first_update(epoch + 1)


def test_the_metric_is_mxnets(golden: Path) -> None:
    with np.load(golden / "metrics" / "map_io.npz") as arrays:
        labels, dets = arrays["labels"], arrays["dets"]
    expected = json.loads((golden / "metrics" / "map_expected.json").read_text())["map_voc07"]
    image, row = np.nonzero(labels[:, :, 0] >= 0)
    truth = GroundTruth(image, labels[image, row, 0].astype(int), labels[image, row, 1:5])
    image, row = np.nonzero(dets[:, :, 0] >= 0)
    rows = dets[image, row]
    found = Predictions(image, rows[:, 0].astype(int), rows[:, 1], rows[:, 2:])
    assert mean_precision(truth, found, overlap_threshold=0.5) == pytest.approx(expected[3], abs=1e-12)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(0, 0, 0.9, BOX)], 0.5),  # the second object is missed: recalls up to a half
        ([(0, 0, 0.9, BOX), (1, 0, 0.8, BOX)], 1.0),
        ([(0, 0, 0.9, BOX), (1, 0, 0.8, BOX), (5, 0, 0.99, BOX)], 1.0),  # nothing is in image 5: it does not count
        ([(0, 0, 0.9, BOX), (1, 0, 0.8, BOX), (0, 1, 0.1, BOX)], 0.5),  # no image holds class 1
        ([(0, 0, 0.9, BOX), (1, 0, 0.8, BOX), (5, 1, 0.1, BOX)], 1.0),
        ([], 0.0),
    ],
)
def test_what_the_metric_counts(found: list[tuple[int, int, float, list[float]]], expected: float) -> None:
    truth = GroundTruth([0, 1], [0, 0], [BOX, BOX])
    images, kinds, scores, boxes = ([row[place] for row in found] for place in range(4))
    detections = Predictions(images, kinds, scores, np.reshape(boxes, (-1, 4)))
    score = mean_precision(truth, detections, overlap_threshold=0.5)
    assert score == pytest.approx(6 / 11 if expected == 0.5 and len(found) == 1 else expected)


def test_the_metric_wants_more_than_the_threshold_and_the_best_object() -> None:
    truth = GroundTruth([0], [0], [[0.0, 0.0, 0.5, 0.5]])
    half = Predictions([0], [0], [0.9], [[0.0, 0.0, 0.25, 0.5]])
    assert mean_precision(truth, half, overlap_threshold=0.5) == 0.0
    assert mean_precision(truth, half, overlap_threshold=0.49) == 1.0
    assert mean_precision(GroundTruth([], [], np.zeros((0, 4))), half, overlap_threshold=0.5) == 0.0
    # The second overlaps another object enough, but the first object, which is taken, more.
    near = GroundTruth([0, 0], [0, 0], [[0.0, 0.0, 0.5, 0.5], [0.1, 0.0, 0.6, 0.5]])
    two = Predictions([0, 0], [0, 0], [0.9, 0.8], [[0.0, 0.0, 0.5, 0.5], [0.02, 0.0, 0.52, 0.5]])
    assert mean_precision(near, two, overlap_threshold=0.5) == pytest.approx(6 / 11)


class Answered:
    """Three images, each with one object; the last is never found."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, passing: int | None) -> None:
        rows = [np.array([[image, 0, 0.9 - image / 10, *BOX]], dtype=float) for image in range(2)]
        truth = np.array([[image, 0, *BOX] for image in range(3)], dtype=float)
        self.validation = Validation([None] * 3, PARAMS, passing=passing)  # type: ignore[arg-type] # nothing is loaded
        monkeypatch.setattr(self.validation, "_compare", lambda _: (truth, np.concatenate(rows)))

    def scores(self, turns: int) -> list[float]:
        network: Any = torch.nn.Module()
        return [self.validation.score(network, turn) for turn in range(turns)]


PARAMS = Hyperparameters(num_classes=1, num_training_samples=40)


def test_images_that_fill_up_a_batch_count_twice_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Answered(monkeypatch, None).scores(2) == pytest.approx([2 / 3, 2 / 3])
    # In batches of two MXNet scores images 0, 1, 2, 0: of four objects, three are found. Then 1 and 2: a half.
    assert Answered(monkeypatch, 2).scores(3) == pytest.approx([8 / 11, 6 / 11, 8 / 11])


def test_weight_decay_pulls_at_what_normalises_if_asked_for() -> None:
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=64, pretrained=False)
    for faithful in (True, False):
        optimizer = make_optimizer(network, recipe(faithful=faithful, optimizer="sgd"), PARAMS)
        pulled = {id(each) for group in optimizer.param_groups if group["weight_decay"] for each in group["params"]}
        for name, each in network.named_parameters():
            assert (id(each) in pulled) == (each.ndim > 1 or (faithful and name.endswith("weight"))), name


def test_a_run_is_faithful_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_network: Callable[[int], Any]
) -> None:
    from birdsod.ssd import training

    monkeypatch.setattr(training, "build_network", lambda _, num_classes, **__: tiny_network(num_classes))
    asked: list[tuple[int | None, int]] = []

    def score(self: Validation, _: object, turn: int) -> float:
        asked.append((self.passing, turn))
        return 0.1

    monkeypatch.setattr(Validation, "score", score)
    seen, unseen = bd.synthetic_birds(tmp_path / "drawn", seed=0, classes=1, per_class=10).split()
    packed = bd.pack({"train": seen, "validation": unseen}, tmp_path / "packed", resize=300)
    params = Hyperparameters.for_data(packed, base_network="efficientnet-lite0", epochs=2, mini_batch_size=2)
    for faithful, updates in ((True, 5), (False, 4)):
        options = LocalOptions(faithful=faithful, threads=1, loader_threads=1, freeze="base", device="cpu")
        outcome = train(packed, params, options, directory=tmp_path / str(faithful))
        assert (outcome.updates, outcome.epochs) == (updates, 2)
    assert asked == [(2, 0), (2, 1), (None, 0), (None, 1)]


def test_the_number_of_batches_has_no_float_in_it() -> None:
    assert passes_end(10**9, 3 * 10**9 + 1, 3) == (10**9 * (3 * 10**9 + 1) + 2) // 3


def test_overlaps_are_of_one_image() -> None:
    boxes: npt.NDArray[np.float64] = np.array([BOX])
    truth, found = GroundTruth([0], [0], boxes), Predictions([0, 1], [0, 0], [0.5, 0.9], np.repeat(boxes, 2, axis=0))
    assert mean_precision(truth, found, overlap_threshold=0.5) == 1.0
