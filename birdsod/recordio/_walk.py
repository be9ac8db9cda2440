"""A walk over a record file that damage does not stop: what is a whole record, and which stretches are none."""

from __future__ import annotations

import re
import struct
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from birdsod.recordio._finding_kinds import FindingKind
from birdsod.recordio._framing import LONGEST, MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.recordio._framing import Payload

__all__ = ["Gap", "Whole", "payload_of", "walk"]

_HEADER = struct.Struct("<II")
_MAGIC_BYTES = MAGIC.to_bytes(4, "little")
_MAGIC_PATTERN = re.compile(re.escape(_MAGIC_BYTES))
_WHOLE, _FIRST, _, _LAST = range(4)
_BLOCK_BITS = 20
_BLOCK = 1 << _BLOCK_BITS
_BLOCKS_KEPT = 8


class Whole(NamedTuple):
    """A record with all its frames: where it begins and ends, and where the parts of its payload do."""

    start: int
    end: int
    parts: tuple[tuple[int, int], ...]


class Gap(NamedTuple):
    """A stretch that is no record, with its reason."""

    start: int
    end: int
    kind: FindingKind
    value: object


class _Broken(NamedTuple):
    kind: FindingKind
    value: object


_Tried: TypeAlias = "Whole | _Broken"


def walk(buffer: memoryview, *, shifted: bool = True) -> Iterator[Whole | Gap]:
    """Yield whole records and the gaps between them, in order and without a byte left out.

    After a fault the walk goes on at the next magic number. A magic number that stands in a payload at an offset
    divisible by four, counted from its record, always begins a frame, so a record that holds one is none.

    Parameters
    ----------
    buffer : memoryview
        The file.
    shifted : bool, default True
        Find records also where bytes were lost or added, so that they begin at offsets not divisible by four. A
        record that nothing follows, and in which another whole one begins at such an offset, is none then.

    Yields
    ------
    Whole or Gap
    """
    magics, size, offset = _Magics(buffer), len(buffer), 0
    while offset < size:
        found = _record_at(buffer, magics, offset, shifted=shifted)
        if isinstance(found, Whole):
            yield found
            offset = found.end
        else:
            end = _next(buffer, magics, offset, shifted=shifted)
            yield Gap(offset, end, _in_place(found.kind, buffer, offset, end), found.value)
            offset = end


def payload_of(buffer: memoryview, record: Whole) -> Payload:
    """Return what a record holds: a view, or a copy if the record is split."""
    if len(record.parts) == 1:
        start, stop = record.parts[0]
        return buffer[start:stop]
    return _MAGIC_BYTES.join(buffer[start:stop] for start, stop in record.parts)


class _Magics:
    """Where the magic number stands, at any offset; found a block at a time."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self._blocks: dict[int, array[int]] = {}

    def between(self, start: int, stop: int) -> Iterator[int]:
        """Yield the offsets from start up to, but without, stop."""
        for number in range(start >> _BLOCK_BITS, (stop + _BLOCK - 1) >> _BLOCK_BITS):
            block = self._blocks.get(number)
            if block is None:
                block = self._load(number)
            for position in range(bisect_left(block, start), len(block)):
                if block[position] >= stop:
                    return
                yield block[position]

    def _load(self, number: int) -> array[int]:
        first = number << _BLOCK_BITS
        data = self._buffer[first : first + _BLOCK + len(_MAGIC_BYTES) - 1]
        block = array("q", [first + hit.start() for hit in _MAGIC_PATTERN.finditer(data)])
        if len(self._blocks) >= _BLOCKS_KEPT:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = block
        return block


def _record_at(buffer: memoryview, magics: _Magics, offset: int, *, shifted: bool) -> _Tried:
    """Return the record at an offset, or why there is none."""
    record = _frames_at(buffer, magics, offset)
    if not shifted or isinstance(record, _Broken) or _followed(buffer, record.end):
        return record
    for inner in magics.between(offset + 1, record.end):
        if (inner - offset) % 4 and isinstance(_frames_at(buffer, magics, inner), Whole):
            return _Broken(FindingKind.SHIFTED, inner)
    return record


def _followed(buffer: memoryview, end: int) -> bool:
    return end == len(buffer) or buffer[end : end + len(_MAGIC_BYTES)] == _MAGIC_BYTES


def _frames_at(buffer: memoryview, magics: _Magics, offset: int) -> _Tried:
    """Return the record whose first frame begins at an offset, or why there is none."""
    parts: list[tuple[int, int]] = []
    position, flag = offset, _FIRST
    while flag != _LAST:
        frame = _frame_at(buffer, position)
        if isinstance(frame, _Broken):
            return _Broken(FindingKind.LOST_END, position) if parts else frame
        flag, start, stop, end = frame
        if (flag in {_WHOLE, _FIRST}) is bool(parts):
            return _Broken(FindingKind.LOST_END, position) if parts else _Broken(FindingKind.LOST_BEGINNING, flag)
        for inner in magics.between(start, end):
            if not (inner - start) % 4:
                return _Broken(FindingKind.BAD_LENGTH, stop - start)
        parts.append((start, stop))
        position = end
        if flag == _WHOLE:
            break
    return Whole(offset, position, tuple(parts))


def _frame_at(buffer: memoryview, offset: int) -> tuple[int, int, int, int] | _Broken:
    """Return flag, first and last byte of the payload, and the end, of the frame at an offset."""
    start = offset + _HEADER.size
    if start > len(buffer):
        return _Broken(FindingKind.CUT_HEADER, bytes(buffer[offset:]))
    magic, word = _HEADER.unpack_from(buffer, offset)
    if magic != MAGIC:
        return _Broken(FindingKind.BAD_MAGIC, f"0x{magic:08x}")
    flag, length = word >> LONGEST.bit_length(), word & LONGEST
    if flag > _LAST:
        return _Broken(FindingKind.BAD_CONTINUATION, flag)
    end = start + length + (-length & 3)
    if end > len(buffer):
        return _Broken(FindingKind.CUT_RECORD, length)
    return flag, start, start + length, end


def _next(buffer: memoryview, magics: _Magics, offset: int, *, shifted: bool) -> int:
    """Return where, after a fault, the next record begins or the next fault does."""
    for place in magics.between(offset + 1, len(buffer)):
        if (place - offset) % 4:
            # Payload may hold the magic number by chance at such an offset, so only a whole record counts.
            if shifted and isinstance(_record_at(buffer, magics, place, shifted=True), Whole):
                return place
        elif not _is_later_part(buffer, magics, place):
            return place
    return len(buffer)


def _is_later_part(buffer: memoryview, magics: _Magics, offset: int) -> bool:
    """Tell whether a frame belongs to a record whose beginning is lost."""
    found = _frames_at(buffer, magics, offset)
    return isinstance(found, _Broken) and found.kind is FindingKind.LOST_BEGINNING


def _in_place(kind: FindingKind, buffer: memoryview, start: int, end: int) -> FindingKind:
    """Return what a fault is, seen from where it stands: only at its end is a file cut short."""
    at_end = end == len(buffer)
    if kind is FindingKind.CUT_RECORD and not at_end:
        return FindingKind.BAD_LENGTH
    strange = kind is FindingKind.BAD_MAGIC and at_end
    begun = _MAGIC_BYTES.startswith(bytes(buffer[start : start + len(_MAGIC_BYTES)]))
    if start and (strange or (kind is FindingKind.CUT_HEADER and not begun)):
        return FindingKind.TRAILING_BYTES
    return kind
