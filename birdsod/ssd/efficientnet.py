"""EfficientNet-Lite0 without its classifier, under the parameter names of the published PyTorch weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from birdsod.ssd.efficientnet_stages import EPSILON, STEM_CHANNELS, TAPS, blocks, same_padding

if TYPE_CHECKING:
    from birdsod.ssd.efficientnet_stages import Block

__all__ = ["EfficientNetLite0"]


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's 'same': the odd pixel goes to the right and the bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the name that nn.Conv2d gave it
        """Pad and convolve."""
        return self.convolve(input, self.weight, self.bias)

    def convolve(self, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Convolve with other numbers in place of this module's own."""
        down, across = (
            sum(same_padding(size, kernel, step))
            for size, step, kernel in zip(features.shape[2:], self.stride, self.kernel_size, strict=True)
        )
        if down % 2 or across % 2:
            # One zero at the kernel's top and left shifts it as an uneven padding would, without a copy of the
            # whole feature map: three times faster where it matters, and not one bit different.
            weight = functional.pad(weight, (across % 2, 0, down % 2, 0))
        padding = ((down + 1) // 2, (across + 1) // 2)
        return functional.conv2d(features, weight, bias, self.stride, padding, self.dilation, self.groups)


def _normalised(conv: nn.Module, norm: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Convolve and normalise; in one step where nothing is learned, since memory is the bottleneck."""
    if not isinstance(conv, SameConv2d) or not isinstance(norm, nn.BatchNorm2d) or not _settled(norm):
        output: torch.Tensor = norm(conv(features))
        return output
    scale = norm.weight * torch.rsqrt(norm.get_buffer("running_var") + norm.eps)
    shift = norm.bias - norm.get_buffer("running_mean") * scale
    return conv.convolve(features, conv.weight * scale[:, None, None, None], shift)


def _settled(norm: nn.BatchNorm2d) -> bool:
    return not norm.training and not torch.is_grad_enabled()


class _Block(nn.Module):
    """A mobile inverted bottleneck: widen, filter each channel, narrow; added to its input where the shapes agree."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        stage, wide = block.stage, block.wide
        if stage.expansion > 1:
            self._expand_conv = SameConv2d(block.inputs, wide, 1)
            self._bn0 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._depthwise_conv = SameConv2d(wide, wide, stage.kernel, stride=block.stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._project_conv = SameConv2d(wide, stage.channels, 1)
        self._bn2 = nn.BatchNorm2d(stage.channels, eps=EPSILON)
        self._expands = stage.expansion > 1
        self._adds = block.adds

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        wide = features
        if self._expands:
            wide = functional.relu6(_normalised(self._expand_conv, self._bn0, wide), inplace=True)
        wide = functional.relu6(_normalised(self._depthwise_conv, self._bn1, wide), inplace=True)
        narrow = _normalised(self._project_conv, self._bn2, wide)
        return narrow + features if self._adds else narrow


class EfficientNetLite0(nn.Module):
    """The base network of the local engine: a stem and sixteen blocks.

    ``stages`` are run one after the other; ``taps`` names those whose output the detector reads, at strides
    16 and 32. The modules carry the names of the published weights, so that they load strictly.

    Examples
    --------
    >>> network = EfficientNetLite0()
    >>> len(network.stages), network.taps, network.tap_channels
    (17, (11, 16), (112, 320))
    """

    taps: tuple[int, ...] = TAPS
    tap_channels: tuple[int, ...] = (112, 320)

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM_CHANNELS, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(STEM_CHANNELS, eps=EPSILON)
        self._blocks = nn.ModuleList(map(_Block, blocks()))

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The modules of each stage, the stem first; what one stage needs and no other."""
        return ((self._conv_stem, self._bn0), *((block,) for block in self._blocks))

    def run_stage(self, index: int, features: torch.Tensor) -> torch.Tensor:
        """Run one stage.

        Parameters
        ----------
        index : int
            Which of ``stages``.
        features : Tensor
            The output of the stage before, or the normalised images.

        Returns
        -------
        Tensor
        """
        if index:
            output: torch.Tensor = self._blocks[index - 1](features)
            return output
        return functional.relu6(_normalised(self._conv_stem, self._bn0, features), inplace=True)

    def tap_shapes(self, size: int) -> list[tuple[int, int]]:
        """Return height and width of the tapped feature maps for square images.

        Parameters
        ----------
        size : int
            Edge of the image in pixels.

        Returns
        -------
        list of tuple of int
        """
        cells = [-(-size // stride) for stride in (16, 32)]
        return [(count, count) for count in cells]
