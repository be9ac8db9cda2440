"""Into how many record files a channel goes, and where each begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from birdsod.errors import DatasetError, RecordError
from birdsod.recordio._options import whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MOST_SHARDS", "Cuts", "Plan", "plan_of", "size_in_bytes"]

MOST_SHARDS = 99_999
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_UNITS = {"b": 1} | {
    f"{letter}{kind}b": base**power
    for power, letter in enumerate("kmgt", start=1)
    for kind, base in (("", 1000), ("i", 1024))
}
_SHARDS = 'a number of shards, such as 16, or a size, such as "512MB"'
_SHARD = "the shard counted from 0 and the number of shards, such as (3, 16)"


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where the record files of a channel begin; rows are those of its list.

    Parameters
    ----------
    first : int
        Number of the first record file.
    begin, end : int
        The rows that are packed.
    starts : tuple of int
        Rows at which each further record file begins.
    most_bytes : int, optional
        Size that a record file does not exceed if it holds more than one record.
    """

    first: int
    begin: int
    end: int
    starts: tuple[int, ...] = ()
    most_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for: so many shards, shards of a size, one of so many, or none of these.

    Parameters
    ----------
    count : int, optional
        Number of shards.
    most_bytes : int, optional
        Size of a shard.
    only : int, optional
        The one shard to pack, counted from 0.
    """

    count: int | None = None
    most_bytes: int | None = None
    only: int | None = None

    @property
    def is_sharded(self) -> bool:
        """Whether there are shards at all."""
        return self.count is not None or self.most_bytes is not None

    def check(self, name: str, images: int) -> None:
        """Refuse a channel that has fewer images than shards."""
        if self.count is not None and images < self.count:
            message = f"channel {name!r} has {images} images, which cannot fill {self.count} shards"
            raise DatasetError(message, cure="ask for fewer shards, or pack the channel in a call of its own")

    def cuts(self, positions: NDArray[np.int64], images: int) -> Cuts:
        """Return where record files begin in a list that has the images at some positions of the data set.

        Positions decide, not rows, so that an image more or less in the list moves no other to another shard.
        """
        end = len(positions)
        if self.count is None:
            return Cuts(0, 0, end, most_bytes=self.most_bytes)
        rows = [int(row) for row in np.searchsorted(positions, _even(images, self.count))]
        if self.only is None:
            return Cuts(0, 0, end, tuple(rows[1:-1]))
        return Cuts(self.only, rows[self.only], rows[self.only + 1])

    def edges(self, positions: NDArray[np.int64], images: int, begins: Sequence[int]) -> list[int]:
        """Return where shards that begin at some rows begin in the data set, and where the last one ends."""
        if self.count is None:
            return [0, *(int(positions[row]) for row in begins[1:]), images]
        edges = _even(images, self.count)
        return edges if self.only is None else edges[self.only : self.only + 2]


def plan_of(shards: SupportsIndex | str | None, shard: object = None) -> Plan:
    """Read the options ``shards`` and ``shard``."""
    if shard is not None:
        if shards is not None:
            raise RecordError("shards and shard exclude each other", cure="leave shards out: shard names their number")
        return _one_shard(shard)
    if shards is None:
        return Plan()
    if isinstance(shards, str):
        return Plan(most_bytes=size_in_bytes(shards))
    return Plan(count=_count(whole_number("shards", shards, valid=_SHARDS)))


def size_in_bytes(text: str) -> int:
    """Read a size such as ``512MB``, ``0.5 GiB`` or ``70000``: MB are 10^6 bytes, MiB are 2^20."""
    match = _SIZE.fullmatch(text)
    scale = _UNITS.get(match[2].lower() or "b") if match else None
    if match is None or scale is None:
        raise RecordError("unknown size of shards", value=text, cure=f"choose {_SHARDS} (kB, MB, GB, KiB, MiB, GiB)")
    size = int(Decimal(match[1]) * scale)
    if size < 1:
        raise RecordError("the size of shards is not positive", value=text, cure=f"choose {_SHARDS}")
    return size


def _even(images: int, count: int) -> list[int]:
    """Return where so many shards begin, and where the last one ends."""
    return [images * number // count for number in range(count + 1)]


def _one_shard(shard: object) -> Plan:
    if not (isinstance(shard, tuple) and len(shard) == 2):  # noqa: PLR2004 - a pair
        raise RecordError("shard is not a pair", value=shard, cure=f"give {_SHARD}")
    number, count = (whole_number("shard", value, valid=_SHARD) for value in shard)
    _count(count)
    if not 0 <= number < count:
        message = f"there is no such shard: {count} are counted from 0 to {count - 1}"
        raise RecordError(message, value=number, cure=f"give {_SHARD}")
    return Plan(count=count, only=number)


def _count(count: int) -> int:
    if not 1 <= count <= MOST_SHARDS:
        raise RecordError("the number of shards is out of range", value=count, cure=f"choose 1 to {MOST_SHARDS}")
    return count
