"""The network: its base against a second implementation, its shapes, what is frozen, what is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.nn import functional

from birdsod.errors import HyperparameterError
from birdsod.ssd import network as network_module
from birdsod.ssd.building import build_network
from birdsod.ssd.efficientnet import EfficientNetLite0, SameConv2d
from birdsod.ssd.fusing import fuse
from birdsod.ssd.network import FROZEN_BY_DEFAULT, SSD
from birdsod.ssd.weights import load_efficientnet_lite0

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def small(num_classes: int = 3, image_shape: int = 64) -> SSD:
    return build_network("efficientnet-lite0", num_classes=num_classes, image_shape=image_shape)


def pictures(count: int, edge: int = 64) -> torch.Tensor:
    # Smooth, so that the network sees shapes rather than noise.
    return functional.interpolate(torch.rand(count, 3, 8, 8) * 255, size=edge, mode="bilinear")


@pytest.mark.parametrize("edge", [17, 18, 19, 20])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_that_of_tensorflow(edge: int, kernel: int, stride: int) -> None:
    conv = SameConv2d(4, 4, kernel, stride=stride, groups=4)
    images = torch.randn(2, 4, edge, edge + 1)
    edges = []
    for size in (edge + 1, edge):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        edges += [total // 2, total - total // 2]
    expected = functional.conv2d(functional.pad(images, edges), conv.weight, stride=stride, groups=4)
    torch.testing.assert_close(conv(images), expected)


def second_implementation(state: dict[str, torch.Tensor], images: torch.Tensor) -> list[torch.Tensor]:
    """Return both taps, computed from the names and shapes of the published weights alone."""

    def apply(features: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{conv}.weight"]
        total = max((-(-features.shape[2] // stride) - 1) * stride + weight.shape[2] - features.shape[2], 0)
        padded = functional.pad(features, [total // 2, total - total // 2] * 2)
        groups = len(weight) if weight.shape[1] == 1 else 1
        filtered = functional.conv2d(padded, weight, stride=stride, groups=groups)
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return functional.batch_norm(filtered, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)

    features = apply((images - 127) / 128, "_conv_stem", "_bn0", 2).clamp(0, 6)
    taps = []
    for block in range(16):
        name, before = f"_blocks.{block}", features
        if f"{name}._expand_conv.weight" in state:
            features = apply(features, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        stride = 2 if block in {1, 3, 5, 11} else 1
        features = apply(features, f"{name}._depthwise_conv", f"{name}._bn1", stride).clamp(0, 6)
        features = apply(features, f"{name}._project_conv", f"{name}._bn2")
        if stride == 1 and features.shape == before.shape:
            features = features + before
        if block in {10, 15}:
            taps.append(features)
    return taps


@pytest.mark.parametrize("edge", [64, 75])
def test_the_base_with_its_published_weights_equals_a_second_implementation(edge: int) -> None:
    base = EfficientNetLite0()
    load_efficientnet_lite0(base)
    images = pictures(2, edge)
    expected = second_implementation(dict(base.state_dict()), images)
    network = build_network("efficientnet-lite0", num_classes=1, image_shape=edge).eval()
    network.freeze("base")
    *found, _ = network.forward_frozen(images)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("edge", "anchors"), [(300, 5032), (512, 14080), (333, None)])
def test_each_anchor_has_its_answers_at_any_size(edge: int, anchors: int | None) -> None:
    network = build_network("efficientnet-lite0", num_classes=5, image_shape=edge, pretrained=False).eval()
    with torch.inference_mode():
        logits, offsets = network(torch.zeros(1, 3, edge, edge))
    count = len(network.anchors)
    assert anchors in {None, count}
    assert logits.shape == (1, count, 6)
    assert offsets.shape == (1, 4 * count)


def test_the_network_is_as_small_as_it_should_be() -> None:
    assert 3.5e6 < sum(each.numel() for each in small(num_classes=5).parameters()) < 4.5e6


def test_heads_answer_in_the_order_of_the_anchors() -> None:
    network = small().eval()
    with torch.no_grad():
        for head in (*network.class_heads, *network.box_heads):
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            head.weight.zero_()
            head.bias.copy_(torch.arange(float(len(head.bias))))
        logits, offsets = network(pictures(1))
    per_cell = [head.bias.numel() // 4 for head in network.class_heads if isinstance(head.bias, torch.Tensor)]
    cells = [16, 4]
    expected = [
        torch.arange(4.0 * anchors).reshape(anchors, 4).repeat(count, 1)
        for anchors, count in zip(per_cell, cells, strict=True)
    ]
    torch.testing.assert_close(logits[0], torch.cat(expected))
    torch.testing.assert_close(offsets[0].reshape(-1, 4), torch.cat(expected))


def test_training_begins_at_the_share_of_background_that_mining_shows() -> None:
    network = small(num_classes=5).train()
    with torch.inference_mode():
        logits, offsets = network(pictures(8))
    background = logits.softmax(dim=2)[..., 0].mean().item()
    assert background == pytest.approx(0.75, abs=0.05)
    assert offsets.abs().mean() < 1


def test_frozen_parts_stay_as_they_are_and_all_else_learns() -> None:
    network = small().train()
    frozen = network.freeze(FROZEN_BY_DEFAULT)
    assert network.frozen_stages == 12
    assert all(name.startswith("base._") for name in frozen)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([*network.base_parameters(), *network.new_parameters()], lr=0.1)
    network.train()
    logits, offsets = network(pictures(4))
    torch.autograd.backward([logits.square().sum() + offsets.square().sum()])
    trained = {name for name, each in network.named_parameters() if each.grad is not None and each.grad.any()}
    assert trained == {name for name, _ in network.named_parameters()} - set(frozen)
    optimizer.step()
    stages = ("base._conv_stem.", "base._bn0.", *(f"base._blocks.{block}." for block in range(11)))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith(stages), name


def test_freezing_again_replaces_what_was_frozen() -> None:
    network = small().train()
    network.freeze("base")
    assert network.base_parameters() == []
    assert network.frozen_stages == 17
    assert network.freeze("") == ()
    assert network.frozen_stages == 0
    assert all(module.training for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert network.freeze("no such name") == ()
    assert len(network.base_parameters()) + len(network.new_parameters()) == len(list(network.parameters()))


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(HyperparameterError, match="no regular expression"):
        small().freeze("(")


@pytest.mark.parametrize(
    "pattern", ["", FROZEN_BY_DEFAULT, r"base\.(_conv_stem|_bn0|_blocks\.\d\.|_blocks\.1[01])", "base"]
)
def test_the_frozen_part_run_apart_gives_the_same(pattern: str) -> None:
    network = small().eval()
    images = pictures(3)
    expected = network(images)
    network.freeze(pattern)
    features = network.forward_frozen(images)
    assert not any(feature.requires_grad for feature in features)
    for one, other in zip(network.forward_from(features), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_the_frozen_part_is_the_same_whatever_goes_through_at_once() -> None:
    network = small().eval()
    network.freeze(FROZEN_BY_DEFAULT)
    images = pictures(3)
    together = network.forward_frozen(images)
    with patch.object(network_module, "_REUSED_BYTES", 1):
        apart = network.forward_frozen(images)
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


def test_the_copy_for_inference_answers_the_same() -> None:
    network = small().eval()
    fused = fuse(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert not any(each.requires_grad for each in fused.parameters())
    images = pictures(2)
    for one, other in zip(fused(images), network(images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    for one, other in zip(fused.train()(images[:1]), fused.eval()(images[:1]), strict=True):
        torch.testing.assert_close(one, other)


def test_a_batch_of_one_can_be_learned_from() -> None:
    network = small().train()
    logits, offsets = network(pictures(1))
    torch.autograd.backward([logits.sum() + offsets.sum()])
    assert torch.isfinite(logits).all()


def test_the_same_seed_gives_the_same_network() -> None:
    torch.manual_seed(1)
    one = small().state_dict()
    torch.manual_seed(1)
    other = small().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_anchors_travel_with_the_network_but_not_with_its_weights() -> None:
    network = small()
    assert "anchors" not in network.state_dict()
    assert network.to(torch.float64).anchors.dtype == torch.float64


@pytest.mark.parametrize(
    ("base_network", "num_classes", "image_shape", "message"),
    [
        ("resnet-18", 5, 300, "cannot build this base network"),
        ("efficientnet-lite0", 0, 300, "at least one class"),
        ("efficientnet-lite0", 5, 31, "at least 32 pixels"),
    ],
)
def test_what_cannot_be_built_is_refused(base_network: str, num_classes: int, image_shape: int, message: str) -> None:
    with pytest.raises(HyperparameterError, match=message):
        build_network(base_network, num_classes=num_classes, image_shape=image_shape, pretrained=False)
