"""The ``.idx`` file: a line ``key<TAB>byte offset`` for each record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Index", "index_line", "index_path", "read_index"]

_KEY_LIMIT = 1 << 64
_FRAME_HEADER = 8
_CURE = "write the index again, or open the record file with scan=True"
_STALE = "the index belongs to another record file"


class Index(NamedTuple):
    """Keys and offsets of the records, in the order of the lines."""

    keys: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def index_path(rec: Path) -> Path:
    """Return where the index of a record file lies, as im2rec names it."""
    return rec.with_suffix(".idx")


def index_line(key: int, offset: int) -> bytes:
    """Return the line of one record."""
    return b"%d\t%d\n" % (key, offset)


def read_index(path: Path, *, size: int) -> Index:
    """Read the index of a record file of so many bytes, after checking every line."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError as error:
        raise RecordError("the index is missing", path=path, cure=_CURE) from error
    except OSError as error:
        raise RecordError("the index cannot be read", path=path, cause=error.strerror) from error
    if not lines[-1].strip():
        lines.pop()
    pairs = [_pair(line, path, number, size) for number, line in enumerate(lines, start=1)]
    keys = np.array([key for key, _ in pairs], dtype=np.uint64)
    offsets = np.array([offset for _, offset in pairs], dtype=np.int64)
    keys.setflags(write=False)
    return Index(keys, offsets)


def _pair(line: bytes, path: Path, number: int, size: int) -> tuple[int, int]:
    key, _, offset = line.rstrip(b"\r").partition(b"\t")
    if not (key.isdigit() and offset.isdigit()) or int(key) >= _KEY_LIMIT:
        message = "the line is not a key from 0 to 2**64 - 1, a tab and a byte offset"
        raise RecordError(message, path=path, line=number, value=line.decode(errors="replace"), cure=_CURE)
    place = int(offset)
    if place + _FRAME_HEADER > size:
        message = f"the offset lies beyond the record file, which has {size} bytes"
        raise RecordError(message, path=path, line=number, value=place, cause=_STALE, cure=_CURE)
    if place % 4:
        message = "no record begins at the offset, which is not divisible by 4"
        raise RecordError(message, path=path, line=number, value=place, cause=_STALE, cure=_CURE)
    return int(key), place
