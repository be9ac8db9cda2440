"""Records read from a source, one by one, many together, or all in a row."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from birdsod.recordio._faults import Fault, FaultError
from birdsod.recordio._framing import FIRST, LAST, MIDDLE, WHOLE, frame_at, read_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from birdsod.recordio._framing import Payload
    from birdsod.recordio._sources import Far, Source

__all__ = ["BLOCK", "ends_of", "fetched", "grouped", "payload_at", "scan_source"]

BLOCK = 1 << 22
"""Bytes of a journey to a file far away."""

_GAP = 1 << 16
_HEADER = 8
# What a window that is too short looks like.
_CUT = frozenset({Fault.HEADER, Fault.PAYLOAD, Fault.UNFINISHED})


def ends_of(offsets: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return where the record after each one begins, or the file ends."""
    begins = np.sort(offsets)
    after = np.searchsorted(begins, offsets, side="right")
    return np.append(begins, size)[after]


def payload_at(source: Source, offset: int, end: int, view: memoryview | None = None) -> Payload:
    """Return the payload of a record that ends where the index says, or further on if the index is wrong."""
    if view is None:
        view = source.read(offset, end - offset)
    try:
        return read_frame(view, 0, len(view))[0]
    except FaultError as error:
        if error.fault in _CUT and end < source.size:
            return payload_at(source, offset, min(source.size, 2 * end - offset + _GAP))
        error.offset += offset
        raise


def grouped(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges, of offset and length, that together hold the spans, of begin and end.

    Neighbours are read together where little lies between them; no range but that of a single long record is
    longer than a block.
    """
    ranges: list[tuple[int, int]] = []
    begin = end = -1
    for start, stop in sorted(set(spans)):
        if begin >= 0 and start <= end + _GAP and stop - begin <= BLOCK:
            end = max(end, stop)
            continue
        if begin >= 0:
            ranges.append((begin, end - begin))
        begin, end = start, stop
    return [*ranges, (begin, end - begin)] if begin >= 0 else []


def fetched(source: Far, spans: Mapping[int, tuple[int, int]]) -> dict[int, memoryview]:
    """Return the bytes of several spans, of begin and end, fetched in as few ranges as are sensible."""
    ranges = grouped(list(spans.values()))
    blocks = source.read_many(ranges) if ranges else []
    begins = [begin for begin, _ in ranges]
    views: dict[int, memoryview] = {}
    for name, (begin, end) in spans.items():
        number = bisect_right(begins, begin) - 1
        base = begins[number]
        views[name] = blocks[number][begin - base : end - base]
    return views


def scan_source(source: Source, start: int = 0, *, block: int = BLOCK) -> Iterator[int]:
    """Yield the offset of each record, from blocks read in a row; a long payload is passed over unread."""
    window, base, offset, begin = memoryview(b""), 0, start, -1
    while offset < source.size:
        if offset + _HEADER > base + len(window):
            base = offset
            window = source.read(base, min(block, source.size - base))
        try:
            flag, _, _, end = frame_at(window, offset - base, source.size - base)
        except FaultError as error:
            error.offset += base
            raise
        if begin < 0 and flag in {MIDDLE, LAST}:
            raise FaultError(Fault.BEGINNING, offset, f"flag {flag}")
        if begin >= 0 and flag in {WHOLE, FIRST}:
            raise FaultError(Fault.UNFINISHED, offset, f"flag {flag}")
        begin = offset if begin < 0 else begin
        if flag in {WHOLE, LAST}:
            yield begin
            begin = -1
        offset = base + end
    if begin >= 0:
        raise FaultError(Fault.UNFINISHED, offset, "the end of the file")
