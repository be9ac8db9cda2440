"""Parts of the detector that stand on the base network: feature maps that see far and finely, and heads on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from birdsod.ssd.shared_norm import SharedNorm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ConvNorm", "TopDown", "heads", "per_anchor", "prefer_background"]

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
        single = norm.training and len(filtered) * filtered[0, 0].numel() == 1
        if single and isinstance(norm, nn.BatchNorm2d) and not isinstance(norm, SharedNorm):
            # A batch of one on a map of one cell has no variance of its own.
            means, variances = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
            output = functional.batch_norm(filtered, means, variances, norm.weight, norm.bias, eps=norm.eps)
        else:
            output = norm(filtered)
        return functional.relu(output, inplace=True)


class TopDown(nn.Module):
    """Feature maps of equal width, each finer one with what the coarser ones have seen.

    Parameters
    ----------
    tapped : sequence of int
        Channels of the base network's feature maps, finest first.
    channels : int
        Channels of the result's.

    Source
    ------
    Lin et al., "Feature Pyramid Networks for Object Detection" (2017); the coarser map is enlarged linearly here,
    since its edge is not always half of the finer one's.
    """

    def __init__(self, tapped: Sequence[int], channels: int) -> None:
        super().__init__()
        # Linear bottlenecks: without an activation on each, nothing is learned.
        self.laterals: nn.ModuleList = nn.ModuleList(ConvNorm(inputs, channels, 1) for inputs in tapped)
        self.smoothers: nn.ModuleList = nn.ModuleList(ConvNorm(channels, channels, 3) for _ in tapped)

    def forward(self, tapped: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the feature maps, finest first."""
        maps = [lateral(tap) for lateral, tap in zip(self.laterals, tapped, strict=True)]
        for finer in reversed(range(len(maps) - 1)):
            maps[finer] = maps[finer] + _enlarged(maps[finer + 1], maps[finer])
        return [smoother(each) for smoother, each in zip(self.smoothers, maps, strict=True)]


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


def per_anchor(output: torch.Tensor, values: int) -> torch.Tensor:
    """Return a head's output with one row for each anchor, cells row by row."""
    return output.permute(0, 2, 3, 1).reshape(len(output), -1, values)


def _enlarged(coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
