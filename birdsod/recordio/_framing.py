"""Frames: how a ``.rec`` file marks where a record begins and ends.

A record is one frame, or several where its payload holds the magic number at an offset divisible by four: it
is cut there, the magic number is left out, and a reader puts it back. So the magic number at an aligned offset
of the file always begins a frame.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from birdsod.errors import RecordError
from birdsod.recordio._faults import Fault, FaultError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = [
    "FIRST",
    "LAST",
    "LONGEST",
    "MAGIC",
    "MIDDLE",
    "WHOLE",
    "Payload",
    "Readable",
    "frame",
    "frame_at",
    "framed",
    "read_frame",
    "scan",
]

MAGIC = 0xCED7230A
"""The number that begins every frame."""

LONGEST = (1 << 29) - 1
"""Bytes of the longest payload."""

Payload: TypeAlias = bytes | memoryview
"""What a record holds."""

Readable: TypeAlias = "bytes | memoryview | mmap.mmap"

_FRAME = struct.Struct("<II")
_MAGIC_BYTES = MAGIC.to_bytes(4, "little")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_LENGTH_BITS = 29
_WORD = np.dtype("<u4")
# Below it bytes are searched faster than an array is made of them.
_SHORT = 1024
WHOLE, FIRST, MIDDLE, LAST = range(4)


def frame(parts: Sequence[Payload]) -> list[Payload]:
    """Return the pieces whose concatenation is the frame or frames of one record.

    All parts but the last have a length divisible by four, so each is searched for the magic number by itself
    and none is copied.
    """
    length = sum(map(len, parts))
    if length > LONGEST:
        message = "a record holds less than 2^29 bytes"
        raise RecordError(message, value=length, cure="pack a smaller image")
    if not any(map(_may_hold_magic, parts)):
        return [_FRAME.pack(MAGIC, length), *parts, _PADDING[length % 4]]
    runs = _runs(parts)
    pieces: list[Payload] = []
    for number, run in enumerate(runs):
        flag = _flag(number, len(runs))
        size = sum(map(len, run))
        pieces += [_FRAME.pack(MAGIC, flag << _LENGTH_BITS | size), *run, _PADDING[size % 4]]
    return pieces


def framed(payload: Payload) -> bytes:
    """Return one record as it stands in a file."""
    return b"".join(frame([payload]))


def read_frame(buffer: Readable, offset: int, size: int) -> tuple[Payload, int]:
    """Return the payload of the record at an offset, and where the next one begins.

    The payload is a view if the buffer is a view; only that of a split record is a copy.
    """
    flag, start, stop, end = frame_at(buffer, offset, size)
    if flag == WHOLE:
        return buffer[start:stop], end
    parts = list(_parts(buffer, offset, size))
    return _MAGIC_BYTES.join(buffer[start:stop] for start, stop, _ in parts), parts[-1][2]


def scan(buffer: Readable, size: int, start: int = 0) -> Iterator[int]:
    """Yield the offset of each record, reading nothing but the headers of frames."""
    offset = start
    while offset < size:
        flag, _, _, end = frame_at(buffer, offset, size)
        if flag != WHOLE:
            *_, (_, _, end) = _parts(buffer, offset, size)
        yield offset
        offset = end


def _runs(parts: Sequence[Payload]) -> list[list[Payload]]:
    """Cut the parts at every aligned magic number, which is left out."""
    runs: list[list[Payload]] = [[]]
    for part in parts:
        view, begin = memoryview(part), 0
        for cut in _cuts(part):
            runs[-1].append(view[begin:cut])
            runs.append([])
            begin = cut + len(_MAGIC_BYTES)
        runs[-1].append(view[begin:])
    return runs


def _may_hold_magic(part: Payload) -> bool:
    """Tell whether the magic number stands in a part; perhaps at an offset where it does not matter."""
    if len(part) < _SHORT and isinstance(part, bytes):
        return _MAGIC_BYTES in part
    return bool(_hits(part).any())


def _cuts(part: Payload) -> list[int]:
    hits = _hits(part)
    return (4 * np.flatnonzero(hits)).tolist() if hits.any() else []


def _hits(part: Payload) -> NDArray[np.bool_]:
    # Comparing whole words is ten times faster than bytes.find, which also stops at hits that are not aligned.
    words = np.frombuffer(part, _WORD, len(part) // 4) if len(part) >= _WORD.itemsize else np.empty(0, _WORD)
    return np.equal(words, MAGIC)


def _flag(number: int, count: int) -> int:
    if count == 1:
        return WHOLE
    if number == 0:
        return FIRST
    return LAST if number == count - 1 else MIDDLE


def frame_at(buffer: Readable, offset: int, size: int) -> tuple[int, int, int, int]:
    """Return continuation flag, first and last byte of the payload, and the end of a frame."""
    start = offset + _FRAME.size
    if start > size:
        raise FaultError(Fault.HEADER, offset, f"{size - offset} of {_FRAME.size} bytes")
    magic, word = _FRAME.unpack_from(buffer, offset)
    if magic != MAGIC:
        raise FaultError(Fault.MAGIC, offset, f"0x{magic:08x}")
    length = word & LONGEST
    stop = start + length
    end = stop + (-length & 3)
    flag = word >> _LENGTH_BITS
    if flag > LAST:
        raise FaultError(Fault.CONTINUATION, offset, flag)
    if end > size:
        raise FaultError(Fault.PAYLOAD, offset, f"{size - start} of {end - start} bytes")
    return flag, start, stop, end


def _parts(buffer: Readable, offset: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield first and last byte of the payload, and the end, of each frame of a split record."""
    flag, start, stop, end = frame_at(buffer, offset, size)
    if flag != FIRST:
        raise FaultError(Fault.BEGINNING, offset, f"flag {flag}")
    yield start, stop, end
    while flag != LAST:
        if end == size:
            raise FaultError(Fault.UNFINISHED, end, "the end of the file")
        begin = end
        flag, start, stop, end = frame_at(buffer, begin, size)
        if flag not in {MIDDLE, LAST}:
            raise FaultError(Fault.UNFINISHED, begin, f"flag {flag}")
        yield start, stop, end
