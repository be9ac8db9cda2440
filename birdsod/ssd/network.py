"""The detector's network: a base, two feature maps out of its taps, and heads on both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import nn

from birdsod.errors import HyperparameterError
from birdsod.ssd.anchors import TOP_DOWN_ANCHORS, anchors_by_cell
from birdsod.ssd.layers import TopDown, heads, per_anchor, prefer_background
from birdsod.ssd.overlap import overlap_objective
from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from birdsod.ssd.anchors import AnchorLayer
    from birdsod.ssd.efficientnet import EfficientNetLite0
    from birdsod.ssd.objective import Objective
    from birdsod.ssd.team import Team

__all__ = ["FROZEN_BY_DEFAULT", "SSD"]

FROZEN_BY_DEFAULT = r"base\.(_conv_stem|_bn0|_blocks\.([0-9]|10))\."
"""What the local recipe leaves as it is: EfficientNet-Lite0's stem and first eleven blocks, up to the first tap."""

_CHANNELS = 128
# Of EfficientNet-Lite0, at half the image's size.
_WIDEST_CHANNELS = 96
# The C library hands back larger blocks to the system at once, and fresh memory costs more than the arithmetic.
_REUSED_BYTES = 24 << 20


class SSD(nn.Module):
    """A single shot detector with two feature maps, the finer of which sees what the coarser one does.

    Parameters
    ----------
    base : EfficientNetLite0
        The base network.
    num_classes : int
        Classes, background not counted.
    image_shape : int
        Edge of the square images in pixels.
    layers : sequence of sequence of AnchorLayer
        Anchors of the two feature maps.

    Attributes
    ----------
    anchors : Tensor
        Relative corners, ``(N, 4)`` float32; moves with the network between devices.

    Examples
    --------
    >>> from birdsod.ssd.building import build_network
    >>> network = build_network("efficientnet-lite0", num_classes=5, image_shape=300, pretrained=False).eval()
    >>> class_logits, offsets = network(torch.zeros(1, 3, 300, 300))
    >>> tuple(network.anchors.shape), tuple(class_logits.shape), tuple(offsets.shape)
    ((5032, 4), (1, 5032, 6), (1, 20128))
    """

    anchors: torch.Tensor
    class_heads: nn.ModuleList
    box_heads: nn.ModuleList

    def __init__(
        self,
        base: EfficientNetLite0,
        *,
        num_classes: int,
        image_shape: int,
        layers: Sequence[Sequence[AnchorLayer]] = TOP_DOWN_ANCHORS,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.image_shape = image_shape
        self.base = base
        self.top_down: TopDown = TopDown(base.tap_channels, _CHANNELS)
        channels = [_CHANNELS] * len(layers)
        per_cell = [sum(layer.per_cell for layer in each) for each in layers]
        self.class_heads = nn.ModuleList(heads(channels, per_cell, num_classes + 1))
        self.box_heads = nn.ModuleList(heads(channels, per_cell, 4))
        prefer_background(self.class_heads, num_classes)
        boxes = anchors_by_cell(layers, base.tap_shapes(image_shape))
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

    def answer(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class probabilities and box offsets of every anchor, as detection takes them.

        Parameters
        ----------
        images : Tensor
            As :meth:`forward` takes them.

        Returns
        -------
        probabilities : Tensor
            Background first, ``(B, num_classes + 1, N)``.
        offsets : Tensor
            ``(B, 4 * N)``.
        """
        logits, offsets = self(images)
        return logits.softmax(dim=2).transpose(1, 2), offsets

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
        stages = self.frozen_stages
        chunks = torch.split(images, self._images_at_once(images))
        parts = [self._run((_normalised(part),), 0, stages) for part in chunks]
        return tuple(torch.cat(maps) for maps in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]

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
        maps = self.top_down(tapped)
        logits = [
            per_anchor(head(each), self.num_classes + 1) for head, each in zip(self.class_heads, maps, strict=True)
        ]
        offsets = [per_anchor(head(each), 4) for head, each in zip(self.box_heads, maps, strict=True)]
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1).flatten(1)

    def objective(
        self, answer: tuple[torch.Tensor, torch.Tensor], labels: torch.Tensor, team: Team = ALONE
    ) -> Objective:
        """Return the loss of an answer, as :func:`overlap_objective` does."""
        return overlap_objective(self.anchors, answer, labels, team)

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
        >>> from birdsod.ssd.building import build_network
        >>> network = build_network("efficientnet-lite0", num_classes=5, image_shape=300, pretrained=False)
        >>> len(network.freeze(FROZEN_BY_DEFAULT)), network.frozen_stages
        (99, 12)
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
        """Return the trainable parameters of feature maps and heads, which start at random."""
        named = self.named_parameters()
        return [each for name, each in named if each.requires_grad and not name.startswith("base.")]

    def _images_at_once(self, images: torch.Tensor) -> int:
        """Tell how many images keep the widest feature map in memory that the allocator reuses: twice as fast."""
        widest = _WIDEST_CHANNELS * images[0, 0].numel() // 4 * images.element_size()
        return max(1, _REUSED_BYTES // widest) if images.device.type == "cpu" else max(1, len(images))


def _normalised(images: torch.Tensor) -> torch.Tensor:
    return (images.contiguous(memory_format=torch.channels_last) - 127.0) / 128.0
