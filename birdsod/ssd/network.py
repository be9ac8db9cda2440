"""The detector's network: a base, necks on its taps, four smaller feature maps, and heads on all six."""

from __future__ import annotations

import copy
import math
import re
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from birdsod.errors import HyperparameterError
from birdsod.ssd.anchors import SSD_ANCHORS, anchors_for
from birdsod.ssd.efficientnet import EfficientNetLite0
from birdsod.ssd.weights import load_efficientnet_lite0

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from birdsod.ssd.anchors import AnchorLayer

__all__ = ["FROZEN_BY_DEFAULT", "SSD", "build_network"]

FROZEN_BY_DEFAULT = r"base\.(_conv_stem|_bn0|_blocks\.[0-7])\."
"""What the local recipe leaves as it is: EfficientNet-Lite0's stem and first eight blocks."""

_NECK_CHANNELS = (256, 512)
# Channels between and after the two convolutions of each further feature map.
_EXTRA_CHANNELS = ((256, 512), (128, 256), (128, 256), (128, 128))
_SMALLEST_IMAGE = 32
# Hard negative mining shows the classifier three background anchors for each object.
_BACKGROUND_ODDS = 3.0
_PAIRS = (
    ("conv", "norm"),
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)


class _ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.norm(self.conv(features)), inplace=True)


class SSD(nn.Module):
    """A single shot detector with six feature maps.

    Parameters
    ----------
    base : EfficientNetLite0
        The base network.
    num_classes : int
        Classes, background not counted.
    image_shape : int
        Edge of the square images in pixels.
    layers : sequence of AnchorLayer
        Anchors of the six feature maps.

    Attributes
    ----------
    anchors : Tensor
        Relative corners, ``(N, 4)`` float32; moves with the network between devices.

    Examples
    --------
    >>> network = build_network("efficientnet-lite0", num_classes=5, image_shape=300, pretrained=False).eval()
    >>> class_logits, offsets = network(torch.zeros(1, 3, 300, 300))
    >>> tuple(network.anchors.shape), tuple(class_logits.shape), tuple(offsets.shape)
    ((2268, 4), (1, 2268, 6), (1, 9072))
    """

    anchors: torch.Tensor

    def __init__(
        self,
        base: EfficientNetLite0,
        *,
        num_classes: int,
        image_shape: int,
        layers: Sequence[AnchorLayer] = SSD_ANCHORS,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.image_shape = image_shape
        self.base = base
        self.necks = nn.ModuleList(
            _ConvNorm(tapped, wanted, 1) for tapped, wanted in zip(base.tap_channels, _NECK_CHANNELS, strict=True)
        )
        self.extras = nn.ModuleList(_extras(_NECK_CHANNELS[-1]))
        channels = (*_NECK_CHANNELS, *(outer for _, outer in _EXTRA_CHANNELS))
        per_cell = [layer.per_cell for layer in layers]
        self.class_heads = nn.ModuleList(_heads(channels, per_cell, num_classes + 1))
        self.box_heads = nn.ModuleList(_heads(channels, per_cell, 4))
        self._prefer_background()
        boxes = anchors_for(layers, _shapes(base.tap_shapes(image_shape)))
        self.register_buffer("anchors", torch.from_numpy(boxes), persistent=False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class scores and box offsets of every anchor.

        Parameters
        ----------
        images : Tensor
            RGB, float32, 0 to 255, ``(B, 3, image_shape, image_shape)``.

        Returns
        -------
        class_logits : Tensor
            Scores before the softmax, background first, ``(B, N, num_classes + 1)``.
        offsets : Tensor
            ``(B, 4 * N)``.
        """
        return self.forward_from(self.forward_frozen(images))

    @property
    def frozen_stages(self) -> int:
        """How many stages of the base, from the first on, learn nothing."""
        for index, modules in enumerate(self.base.stages):
            if any(parameter.requires_grad for module in modules for parameter in module.parameters()):
                return index
        return len(self.base.stages)

    @torch.no_grad()
    def forward_frozen(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the frozen first stages of the base, without keeping anything for gradients.

        The result is a function of the images alone as long as the same stages stay frozen, so that it may be kept.

        Parameters
        ----------
        images : Tensor
            As :meth:`forward` takes them.

        Returns
        -------
        tuple of Tensor
            Feature maps tapped so far, then the output of the last frozen stage.
        """
        features = (images.contiguous(memory_format=torch.channels_last) - 127.0) / 128.0
        return self._run((features,), 0, self.frozen_stages)

    def forward_from(self, features: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Run everything after the frozen stages.

        Parameters
        ----------
        features : tuple of Tensor
            What :meth:`forward_frozen` returned.

        Returns
        -------
        class_logits, offsets : Tensor
            As :meth:`forward` returns them.
        """
        *tapped, _ = self._run(features, self.frozen_stages, len(self.base.stages))
        maps = [neck(tap) for neck, tap in zip(self.necks, tapped, strict=True)]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        logits = [
            _per_anchor(head(each), self.num_classes + 1) for head, each in zip(self.class_heads, maps, strict=True)
        ]
        offsets = [_per_anchor(head(each), 4) for head, each in zip(self.box_heads, maps, strict=True)]
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1).flatten(1)

    def _run(self, features: tuple[torch.Tensor, ...], first: int, last: int) -> tuple[torch.Tensor, ...]:
        *tapped, current = features
        for index in range(first, last):
            current = self.base.run_stage(index, current)
            if index in self.base.taps:
                tapped.append(current)
        return (*tapped, current)

    def freeze(self, pattern: str) -> tuple[str, ...]:
        """Leave the parameters whose names match out of training; all others take part in it.

        A batch normalisation whose parameters are all frozen keeps its statistics too, also after ``train()``.

        Parameters
        ----------
        pattern : str
            A regular expression that must match from the start of the name; empty: nothing is frozen.

        Returns
        -------
        tuple of str
            The names of the frozen parameters.

        Raises
        ------
        HyperparameterError
            If the pattern is no regular expression.

        Examples
        --------
        >>> network = build_network("efficientnet-lite0", num_classes=5, image_shape=300, pretrained=False)
        >>> len(network.freeze(FROZEN_BY_DEFAULT)), network.frozen_stages
        (72, 9)
        """
        try:
            matcher = re.compile(pattern)
        except re.error as error:
            message = "freeze_layer_pattern is no regular expression"
            raise HyperparameterError(message, value=pattern, cause=str(error)) from error
        frozen = tuple(name for name, _ in self.named_parameters() if pattern and matcher.match(name))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name not in frozen)
        self.train(self.training)
        return frozen

    def train(self, mode: bool = True) -> SSD:  # noqa: FBT001, FBT002 - the signature of nn.Module
        """Switch to training; frozen batch normalisation stays as it is in evaluation."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and not any(each.requires_grad for each in module.parameters()):
                module.eval()
        return self

    def base_parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters of the base network, which start from ImageNet."""
        return [each for each in self.base.parameters() if each.requires_grad]

    def new_parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters of necks, further feature maps and heads, which start at random."""
        named = self.named_parameters()
        return [each for name, each in named if each.requires_grad and not name.startswith("base.")]

    def fused(self) -> SSD:
        """Return a copy for inference in which every batch normalisation is part of its convolution.

        Returns
        -------
        SSD
            In evaluation mode, without gradients; answers the same up to rounding, faster.
        """
        network = copy.deepcopy(self).eval().requires_grad_(requires_grad=False)
        for module in network.modules():
            for conv_name, norm_name in _PAIRS:
                conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                    setattr(module, norm_name, nn.Identity())
        return _channels_last(network)

    def _prefer_background(self) -> None:
        """Start from the share of background that mining will show, so that the first updates are not spent on it."""
        for head in self.class_heads:
            if isinstance(head, nn.Conv2d) and head.bias is not None:
                with torch.no_grad():
                    head.bias[:: self.num_classes + 1] = math.log(_BACKGROUND_ODDS * self.num_classes)


def build_network(base_network: str, *, num_classes: int, image_shape: int, pretrained: bool = True) -> SSD:
    """Return the network for a base, ready to be trained or to be given weights.

    Parameters
    ----------
    base_network : str
        ``efficientnet-lite0``.
    num_classes : int
        Classes, background not counted.
    image_shape : int
        Edge of the square images in pixels.
    pretrained : bool, default True
        Start the base from its ImageNet weights.

    Returns
    -------
    SSD
        In channels-last memory format. New parameters are drawn from torch's global generator: seed it first.

    Raises
    ------
    HyperparameterError
        If the base network is unknown here, or a number is out of range.
    MissingDependencyError, ArtifactError
        If the ImageNet weights are missing or not the published ones.

    Examples
    --------
    >>> network = build_network("efficientnet-lite0", num_classes=5, image_shape=300, pretrained=False)
    >>> network.image_shape
    300
    """
    if base_network != "efficientnet-lite0":
        message = "the local engine cannot build this base network"
        raise HyperparameterError(message, value=base_network, cure="use base_network='efficientnet-lite0'")
    if num_classes < 1:
        raise HyperparameterError("a detector needs at least one class", value=num_classes)
    if image_shape < _SMALLEST_IMAGE:
        raise HyperparameterError(f"images need at least {_SMALLEST_IMAGE} pixels a side", value=image_shape)
    base = EfficientNetLite0()
    if pretrained:
        load_efficientnet_lite0(base)
    network = SSD(base, num_classes=num_classes, image_shape=image_shape)
    return _channels_last(network)


def _channels_last(network: SSD) -> SSD:
    for parameter in network.parameters():
        if parameter.dim() == 4:  # noqa: PLR2004 - a convolution's weight
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def _extras(inputs: int) -> Iterator[nn.Module]:
    for inner, outer in _EXTRA_CHANNELS:
        yield nn.Sequential(_ConvNorm(inputs, inner, 1), _ConvNorm(inner, outer, 3, stride=2))
        inputs = outer


def _heads(channels: Sequence[int], per_cell: Sequence[int], outputs: int) -> Iterator[nn.Module]:
    for inputs, anchors in zip(channels, per_cell, strict=True):
        head = nn.Conv2d(inputs, anchors * outputs, 3, padding=1)
        nn.init.normal_(head.weight, std=0.01)
        if head.bias is not None:
            nn.init.zeros_(head.bias)
        yield head


def _shapes(tapped: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    shapes = list(tapped)
    for _ in _EXTRA_CHANNELS:
        height, width = shapes[-1]
        shapes.append(((height + 1) // 2, (width + 1) // 2))
    return shapes


def _per_anchor(output: torch.Tensor, values: int) -> torch.Tensor:
    return output.permute(0, 2, 3, 1).reshape(len(output), -1, values)
