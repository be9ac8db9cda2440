"""Parts of the detector that stand on the base network: necks, further feature maps and heads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["EXTRA_CHANNELS", "ConvNorm", "extras", "heads", "per_anchor", "prefer_background", "with_extras"]

# Channels between and after the two convolutions of each further feature map.
EXTRA_CHANNELS = ((256, 512), (128, 256), (128, 256), (128, 128))
# Hard negative mining shows the classifier three background anchors for each object.
_BACKGROUND_ODDS = 3.0


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the feature map."""
        filtered, norm = self.conv(features), self.norm
        if isinstance(norm, nn.BatchNorm2d) and norm.training and len(filtered) * filtered[0, 0].numel() == 1:
            # A batch of one on a map of one cell has no variance of its own.
            means, variances = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
            output = functional.batch_norm(filtered, means, variances, norm.weight, norm.bias, eps=norm.eps)
        else:
            output = norm(filtered)
        return functional.relu(output, inplace=True)


def extras(inputs: int) -> Iterator[nn.Module]:
    """Yield the modules that halve the last feature map again and again."""
    for inner, outer in EXTRA_CHANNELS:
        yield nn.Sequential(ConvNorm(inputs, inner, 1), ConvNorm(inner, outer, 3, stride=2))
        inputs = outer


def heads(channels: Sequence[int], per_cell: Sequence[int], outputs: int) -> Iterator[nn.Module]:
    """Yield one convolution for each feature map, with small weights and no bias for any answer."""
    for inputs, anchors in zip(channels, per_cell, strict=True):
        head = nn.Conv2d(inputs, anchors * outputs, 3, padding=1)
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.get_parameter("bias"))
        yield head


def prefer_background(class_heads: nn.ModuleList, num_classes: int) -> None:
    """Start from the share of background that mining will show, so that the first updates are not spent on it."""
    for head in class_heads:
        with torch.no_grad():
            head.get_parameter("bias")[:: num_classes + 1] = math.log(_BACKGROUND_ODDS * num_classes)


def with_extras(tapped: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the shapes of all feature maps, given those of the tapped ones."""
    shapes = list(tapped)
    for _ in EXTRA_CHANNELS:
        height, width = shapes[-1]
        shapes.append(((height + 1) // 2, (width + 1) // 2))
    return shapes


def per_anchor(output: torch.Tensor, values: int) -> torch.Tensor:
    """Return a head's output with one row for each anchor, cells row by row."""
    return output.permute(0, 2, 3, 1).reshape(len(output), -1, values)
