"""The layers of EfficientNet-Lite0 as numbers, for whoever builds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EPSILON", "STAGES", "STEM_CHANNELS", "TAPS", "Block", "Stage", "blocks", "same_padding"]

EPSILON = 1e-3
"""Of batch normalisation: the published weights were trained with TensorFlow, whose epsilon this is."""

STEM_CHANNELS = 32

TAPS = (11, 16)
"""The stages, the stem counted as the first, whose output the detector reads."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one kind, the first of which has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Block(NamedTuple):
    """One block: what it takes and gives, and how."""

    inputs: int
    stage: Stage
    stride: int

    @property
    def wide(self) -> int:
        """Channels between widening and narrowing."""
        return self.inputs * self.stage.expansion

    @property
    def adds(self) -> bool:
        """Whether its input is added to its output."""
        return self.stride == 1 and self.inputs == self.stage.channels


def blocks() -> Iterator[Block]:
    """Yield the blocks, in order.

    Examples
    --------
    >>> len(list(blocks())), next(blocks()).wide
    (16, 32)
    """
    inputs = STEM_CHANNELS
    for stage in STAGES:
        for repeat in range(stage.repeats):
            yield Block(inputs, stage, stage.stride if repeat == 0 else 1)
            inputs = stage.channels


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after a row of pixels, as TensorFlow's 'same': the odd pixel goes behind.

    Examples
    --------
    >>> same_padding(300, 3, 2), same_padding(333, 3, 2)
    ((0, 1), (1, 1))
    """
    needed = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return needed // 2, needed - needed // 2
