"""The gradients of a batch, at once and in parts, in single and in half precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from birdsod import Hyperparameters, LocalOptions
from birdsod.ssd import training
from birdsod.ssd.building import build_network
from birdsod.ssd.feeding import Fed
from birdsod.ssd.layers import ConvNorm
from birdsod.ssd.learning import Learning
from birdsod.ssd.recipe import resolve
from birdsod.ssd.run import Run
from birdsod.ssd.shared_norm import share_norms
from birdsod.ssd.team import ALONE, Team

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMS = Hyperparameters(num_classes=2, num_training_samples=16, base_network="efficientnet-lite0", mini_batch_size=5)
LABELS = torch.tensor([[[1, 0.1, 0.1, 0.8, 0.9]], [[0, 0.3, 0.2, 0.9, 0.7]], [[-1.0] * 5]] * 2)[:5]


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def real(*, settled: bool = False) -> Any:
    """Make a small network, if asked for with all batch normalisation left as it is."""
    torch.manual_seed(0)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=64, pretrained=False)
    norms = {f"{name}." for name, each in network.named_modules() if isinstance(each, nn.BatchNorm2d)}
    network.freeze("|".join(sorted(norms)).replace(".", r"\.") if settled else "base")
    return network.train()


def norm_of(channels: int) -> Any:
    return nn.Sequential(nn.BatchNorm2d(channels))


def batch(seed: int = 0) -> Fed:
    noise = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8, generator=noise).permute(0, 3, 1, 2)
    return Fed(images, LABELS)


def gradients(network: Any, **how: Any) -> tuple[dict[str, torch.Tensor], list[float]]:
    objective = Learning(**how).gradients(network, batch())
    found = {name: each.grad for name, each in network.named_parameters() if each.grad is not None}
    return found, objective.figures.tolist()


@pytest.mark.parametrize("parts", [2, 5])
def test_parts_have_the_gradients_of_the_whole(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    whole, told = gradients(real(settled=True).double())
    found, also_told = gradients(real(settled=True).double(), parts=parts)
    assert found.keys() == whole.keys() != set()
    assert also_told == pytest.approx(told, rel=1e-9)
    for name, value in whole.items():
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-11)


def test_parts_let_statistics_follow_once_each() -> None:
    network = real()
    gradients(network, parts=2)
    counts = {int(each) for name, each in network.named_buffers() if name.endswith("num_batches_tracked")}
    assert counts == {0, 2}


def test_half_precision_learns_and_leaves_weights_in_single() -> None:
    settled = resolve(PARAMS, LocalOptions(updates=8, warmup=0, learning_rate=0.005, schedule="constant"))
    losses: dict[str, list[float]] = {}
    for precision in ("float32", "bfloat16"):
        run = Run(real(), settled, PARAMS, Learning(precision=precision))
        losses[precision] = []
        for _ in range(8):
            run.progress.begin_epoch()
            run.step(batch())
            losses[precision].append(sum(run.progress.losses().values()))
        assert {each.dtype for each in run.network.parameters()} == {torch.float32}
    for told in losses.values():
        assert told[-1] < 0.8 * told[0]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"][0] == pytest.approx(losses["float32"][0], rel=0.05)


def test_no_part_is_empty() -> None:
    recipe, options = resolve(PARAMS, LocalOptions()), LocalOptions(accumulate=4, precision="bfloat16")
    assert training._learning(recipe, options, ALONE) == Learning(parts=4, precision="bfloat16")
    assert training._learning(recipe, options, Team(1, 2)).parts == 2


def test_norms_of_a_team_of_one_are_pytorchs() -> None:
    plain, shared = norm_of(3), norm_of(3)
    share_norms(shared, ALONE)
    assert list(plain.state_dict()) == list(shared.state_dict())
    made = []
    for network in (plain, shared):
        torch.manual_seed(1)
        images = torch.randn(4, 3, 5, 6, requires_grad=True)
        with torch.no_grad():
            network[0].weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
        answer = network(images)
        (answer * torch.randn(4, 3, 5, 6)).sum().backward()
        assert images.grad is not None
        settled = network.eval()(images)
        made.append([answer, settled, images.grad, *(each.grad for each in network.parameters())])
        made[-1] += list(network.buffers())
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_half_precision_maps_are_normalised_in_single() -> None:
    norm = norm_of(3)
    share_norms(norm, ALONE)
    images = torch.randn(4, 3, 5, 6).bfloat16().requires_grad_()
    answer = norm(images)
    answer.float().square().sum().backward()
    assert answer.dtype == torch.bfloat16
    assert images.grad is not None
    assert norm[0].running_var.dtype == torch.float32


def test_one_cell_of_one_image_is_normalised_with_those_of_others() -> None:
    layer = ConvNorm(2, 3, 1).train()
    assert torch.isfinite(layer(torch.randn(1, 2, 1, 1))).all()
    assert layer.norm.get_buffer("num_batches_tracked") == 0
    share_norms(layer, ALONE)
    layer(torch.randn(2, 2, 1, 1))
    assert layer.norm.get_buffer("num_batches_tracked") == 1
