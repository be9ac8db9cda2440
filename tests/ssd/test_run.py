from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from birdsod import Hyperparameters, LocalOptions
from birdsod.errors import ArtifactError, TrainingError
from birdsod.ssd.building import build_network
from birdsod.ssd.checkpoint import read_checkpoint, write_checkpoint
from birdsod.ssd.loader import Batch
from birdsod.ssd.optimizers import make_optimizer, set_rate
from birdsod.ssd.recipe import Recipe, resolve
from birdsod.ssd.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from birdsod.ssd.network import SSD

PARAMS = Hyperparameters(num_classes=2, num_training_samples=16, base_network="efficientnet-lite0", mini_batch_size=2)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """One thread: with more, a busy machine makes networks wait for each other at every layer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def recipe(**options: Any) -> Recipe:
    return resolve(PARAMS, LocalOptions(**{"updates": 8, **options}))


def real() -> SSD:
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=64, pretrained=False)
    network.freeze(recipe().freeze)
    return network


@pytest.fixture
def small(tiny_network: Callable[[int], Any]) -> Callable[[], SSD]:
    """Make a quick network whose base is frozen."""

    def make() -> SSD:
        network: SSD = tiny_network(2)
        network.freeze("base")
        return network

    return make


def batch(seed: int = 0, size: int = 300) -> Batch:
    random = np.random.default_rng(seed)
    labels = np.array([[[1, 0.1, 0.1, 0.8, 0.9]], [[0, 0.3, 0.2, 0.9, 0.7]]], np.float32)
    return Batch(random.integers(0, 256, (2, size, size, 3), dtype=np.uint8), labels)


def weights(network: SSD) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_updates_lower_the_loss_on_the_same_images(small: Callable[[], SSD]) -> None:
    run = Run(small(), recipe(warmup=0, schedule="constant", learning_rate=0.05), PARAMS)
    losses = []
    for _ in range(8):
        run.progress.begin_epoch()
        run.step(batch())
        losses.append(sum(run.progress.losses().values()))
    assert losses[-1] < losses[0] * 0.7
    assert run.progress.update == 8
    assert run.progress.anchors > 0


def test_frozen_layers_stay_and_the_others_move() -> None:
    network = real()
    before = weights(network)
    run = Run(network, recipe(), PARAMS)
    run.step(batch(size=64))
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    frozen = ("base._conv_stem", "base._bn0", *(f"base._blocks.{block}." for block in range(11)))
    assert not [name for name in moved if name.startswith(frozen)]
    learning = {name for name, each in network.named_parameters() if each.requires_grad}
    # Offsets are learned only on the feature maps whose anchors match an object.
    assert {name for name in learning if not name.startswith("box_heads")} <= moved


def test_the_trained_network_is_the_running_mean(small: Callable[[], SSD]) -> None:
    network = small()
    run = Run(network, recipe(average=0.98), PARAMS)
    first = weights(network)
    run.step(batch())
    keep = 2 / 11  # at the start, less than 0.98 of next to nothing is kept
    for name, value in run.trained.state_dict().items():
        expected = network.state_dict()[name]
        if expected.is_floating_point():
            expected = first[name] * keep + expected * (1 - keep)
        assert torch.allclose(value, expected, atol=1e-5), name


def test_without_an_average_the_trained_network_is_the_network(small: Callable[[], SSD]) -> None:
    network = small()
    assert Run(network, recipe(average=0.0), PARAMS).trained is network


def test_the_real_network_goes_on_to_the_same_weights_too(tmp_path: Path) -> None:
    runs = []
    for parts in ((3,), (1, 2)):
        torch.manual_seed(0)
        run, done = Run(real(), recipe(), PARAMS), 0
        for updates in parts:
            for number in range(done, done + updates):
                run.step(batch(number, size=64))
            done += updates
            run.save(tmp_path / "c", {})
            torch.manual_seed(1)
            run = Run(real(), recipe(), PARAMS)
            run.restore(tmp_path / "c", {})
        runs.append(run.trained.state_dict())
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adam", "rmsprop", "adadelta"])
def test_going_on_ends_in_the_same_weights(tmp_path: Path, optimizer: str, small: Callable[[], SSD]) -> None:
    path, settled = tmp_path / "state.safetensors", recipe(optimizer=optimizer)
    whole = Run(small(), settled, PARAMS)
    torch.manual_seed(0)
    part = Run(small(), settled, PARAMS)
    for number in range(4):
        whole.step(batch(number))
        if number < 2:
            part.step(batch(number))
    part.save(path, {"a": 1})
    torch.manual_seed(1)
    rest = Run(small(), settled, PARAMS)
    rest.restore(path, {"a": 1})
    assert rest.progress == part.progress
    for number in (2, 3):
        rest.step(batch(number))
    assert rest.progress == whole.progress
    for one, other in ((rest.network, whole.network), (rest.trained, whole.trained)):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, small: Callable[[], SSD]) -> None:
    run = Run(small(), recipe(), PARAMS)
    run.save(tmp_path / "c", {"seed": 1, "data": "x"})
    with pytest.raises(ArtifactError, match="seed") as caught:
        run.restore(tmp_path / "c", {"seed": 2, "data": "x"})
    assert caught.value.value == ["seed"]


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 100])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_checkpoint(path)


def test_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "c")
    with pytest.raises(ArtifactError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "c")


def test_a_checkpoint_and_back(tmp_path: Path) -> None:
    tensors = {"a": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last), "b": torch.arange(3)}
    write_checkpoint(tmp_path / "deep" / "c", tensors, {"x": 0.1})
    found, facts = read_checkpoint(tmp_path / "deep" / "c")
    assert facts == {"x": 0.1}
    assert all(torch.equal(found[name], value) for name, value in tensors.items())


def test_a_loss_that_is_not_finite_stops_before_the_update(small: Callable[[], SSD]) -> None:
    network = small()
    run = Run(network, recipe(), PARAMS)
    run.step(batch())
    with torch.no_grad():
        for weight in network.new_parameters():
            weight.fill_(float("nan"))
    before = weights(network)
    with pytest.raises(TrainingError, match="epoch 0, update 1") as caught:
        run.step(batch())
    assert "learning rate" in (caught.value.cause or "")
    assert run.progress.update == 1
    assert all(
        torch.equal(value, before[name]) for name, value in network.named_parameters() if not value.isnan().any()
    )


def test_a_rate_that_is_too_high_is_found_out(small: Callable[[], SSD]) -> None:
    settled = replace(recipe(optimizer="sgd", gradient_clip=0.0), learning_rate=1e30)
    run = Run(small(), settled, PARAMS)
    run.step(batch())
    with pytest.raises(TrainingError, match="not finite"):
        run.step(batch())


def test_gradients_are_shortened(small: Callable[[], SSD]) -> None:
    settled = recipe(optimizer="sgd", schedule="constant", learning_rate=1.0, gradient_clip=1e-3, weight_decay=0.0)
    network = small()
    before = weights(network)
    Run(network, settled, PARAMS).step(batch())
    moves = [(value.detach() - before[name]).square().sum() for name, value in network.named_parameters()]
    # The base network moves by 0.3 of what its gradients say, so that the whole is no longer than the limit.
    assert 0 < float(torch.stack(moves).sum().sqrt()) <= 1e-3 * (1 + 1e-4)


def test_groups_have_rates_and_decay_of_their_own() -> None:
    network = real()
    optimizer = make_optimizer(network, recipe(weight_decay=0.01), PARAMS)
    set_rate(optimizer, 0.1)
    found = {(round(group["lr"], 6), group["weight_decay"]) for group in optimizer.param_groups}
    assert found == {(0.03, 0.01), (0.03, 0.0), (0.1, 0.01), (0.1, 0.0)}
    for group in optimizer.param_groups:
        assert {weight.ndim > 1 for weight in group["params"]} == {group["weight_decay"] > 0}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == sum(
        each.requires_grad for each in network.parameters()
    )


def test_what_an_optimizer_ignores() -> None:
    adadelta = make_optimizer(real(), recipe(optimizer="adadelta", weight_decay=0.01), PARAMS)
    set_rate(adadelta, 0.001)
    assert {(group["lr"], group["weight_decay"]) for group in adadelta.param_groups} == {(0.3, 0.0), (1.0, 0.0)}
    adam = make_optimizer(real(), recipe(optimizer="adam", weight_decay=0.01), PARAMS)
    assert {group["weight_decay"] for group in adam.param_groups} == {0.0}


def test_a_fully_frozen_base_leaves_no_empty_group(small: Callable[[], SSD]) -> None:
    assert len(make_optimizer(small(), recipe(), PARAMS).param_groups) == 2
