"""How objects become the parts of one: as few bytes as possible take the way through this machine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from birdsod.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["REAL", "Limits", "Part", "Stretch", "plan_parts"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the store demands of the parts of an object.

    Parameters
    ----------
    least : int
        Bytes of every part but the last.
    most : int
        Bytes of a part; at least twice ``least``.
    parts : int
        Number of parts.
    wanted : int
        Bytes of a part that the store copies, where so many parts may be; several are copied at a time.
    """

    least: int
    most: int
    parts: int
    wanted: int


REAL = Limits(least=5 << 20, most=5 << 30, parts=10_000, wanted=256 << 20)
"""Those of S3."""


class Stretch(NamedTuple):
    """Bytes of one object, up to before ``end``."""

    source: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.begin


class Part(NamedTuple):
    """One part: a single stretch is copied by the store, several are fetched and sent together."""

    stretches: tuple[Stretch, ...]

    @property
    def size(self) -> int:
        """Number of bytes."""
        return sum(stretch.size for stretch in self.stretches)


def plan_parts(sizes: Sequence[int], limits: Limits = REAL) -> list[Part]:
    """Return the parts of the object that holds some objects one after the other.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of the objects.
    limits : Limits
        What the store demands.

    Returns
    -------
    list of Part

    Raises
    ------
    RecordError
        If so many bytes do not fit into one object.

    Examples
    --------
    >>> small = Limits(least=5, most=50, parts=100, wanted=20)
    >>> [[tuple(stretch) for stretch in part.stretches] for part in plan_parts([30, 3, 8, 1], small)]
    [[(0, 0, 15)], [(0, 15, 30)], [(1, 0, 3), (2, 0, 2)], [(2, 2, 8)], [(3, 0, 1)]]
    """
    # So large, since then there are not too many.
    unit = max(limits.least, -(-sum(sizes) // max(1, limits.parts - 1)))
    parts = list(_parts(sizes, unit, limits))
    if len(parts) > limits.parts or any(part.size > limits.most for part in parts):
        cure = f"split the data into channels of at most {limits.most * limits.parts // 2:,} bytes"
        raise RecordError("the record file would be too large for the store", value=sum(sizes), cure=cure)
    return parts


def _parts(sizes: Sequence[int], unit: int, limits: Limits) -> Iterator[Part]:
    waiting: list[Stretch] = []
    held = 0
    for source, size in enumerate(sizes):
        # What waits is too small for a part, so its neighbour gives what is missing.
        begin = min(size, unit - held) if held else 0
        if begin:
            waiting.append(Stretch(source, 0, begin))
            held += begin
        if held == unit:
            yield Part(tuple(waiting))
            waiting, held = [], 0
        if size - begin >= unit:
            yield from _copied(Stretch(source, begin, size), unit, limits)
        elif size > begin:
            waiting, held = [Stretch(source, begin, size)], size - begin
    if waiting:
        yield Part(tuple(waiting))


def _copied(stretch: Stretch, unit: int, limits: Limits) -> Iterator[Part]:
    """Yield a stretch in equal parts of no more than is wanted, but no less than there may be."""
    count = -(-stretch.size // min(limits.most, max(limits.wanted, 2 * unit)))
    edges = [stretch.begin + stretch.size * number // count for number in range(count + 1)]
    for begin, end in pairwise(edges):
        yield Part((Stretch(stretch.source, begin, end),))
