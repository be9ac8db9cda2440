"""The ``.idx`` file: a line ``key<TAB>byte offset`` for each record."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.errors import RecordError
from birdsod.recordio._faults import FaultError
from birdsod.recordio._ranges import scan_source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from birdsod.recordio._sources import Source

__all__ = ["Index", "check_cover", "index_line", "index_path", "load_index", "parse_index"]

_KEY_LIMIT = 1 << 64
_FRAME_HEADER = 8
_BLOCK = 1 << 16
# So few digits fit into 64 bits, whatever they are.
_PLAIN = re.compile(rb"(?:[0-9]{1,19}\t[0-9]{1,18}\n)++")
_NEAR = 1 << 12
_CURE = "write the index again with reindex, or open the record file with scan=True"
_CUT = "the index is cut short, or belongs to another record file"
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


def load_index(path: Path) -> bytes:
    """Return the bytes of an index on disk."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RecordError("the index is missing", path=path, cure=_CURE) from error
    except OSError as error:
        cure = "check its rights, or open the record file with scan=True"
        raise RecordError("the index cannot be read", path=path, cause=error.strerror, cure=cure) from error


def parse_index(data: bytes, path: Path | str, *, size: int) -> Index:
    """Return what the index of a record file of so many bytes says, after checking every line."""
    # A line of blanks at the end is none.
    if not data[data.rfind(b"\n") + 1 :].strip():
        data = data[: data.rfind(b"\n") + 1]
    begin, line, found = 0, 1, [np.empty((0, 2), np.uint64)]
    while begin < len(data):
        end = data.find(b"\n", begin + _BLOCK) + 1 or len(data)
        pairs = _plain(data[begin:end], size)
        if pairs is None:
            lines = data[begin:end].removesuffix(b"\n").split(b"\n")
            pairs = np.array([_pair(text, path, line + number, size) for number, text in enumerate(lines)], np.uint64)
        found.append(pairs)
        begin, line = end, line + len(pairs)
    keys, offsets = np.concatenate(found).T
    keys = np.ascontiguousarray(keys)
    keys.setflags(write=False)
    return Index(keys, offsets.astype(np.int64))


def _plain(text: bytes, size: int) -> NDArray[np.uint64] | None:
    """Return the pairs of lines as they are always written, all at once; None if one is to be looked at closely."""
    if _PLAIN.fullmatch(text) is None:
        return None
    pairs = np.fromstring(text, dtype=np.uint64, sep=" ").reshape(-1, 2)
    places = pairs[:, 1]
    return pairs if not (places % 4).any() and int(places.max()) + _FRAME_HEADER <= size else None


def check_cover(offsets: NDArray[np.int64], path: Path | str, source: Source) -> None:
    """Refuse an index that cannot be that of its whole file, by the ends of both.

    Costs one record, whatever the size; the lines may stand in any order.
    """
    if not source.size:
        return
    begins, first = np.unique(offsets, return_index=True)
    if not len(begins):
        message = f"the index is empty, but the record file has {source.size} bytes"
        raise RecordError(message, path=path, cause=_CUT, cure=_CURE)
    if len(begins) < len(offsets):
        line = int(np.setdiff1d(np.arange(len(offsets)), first)[0])
        value = int(offsets[line])
        message = "the offset stands in an earlier line too"
        raise RecordError(message, path=path, line=line + 1, value=value, cause=_STALE, cure=_CURE)
    if begins[0]:
        message = "the index does not begin where the record file does, at byte 0"
        raise RecordError(message, path=path, value=int(begins[0]), cause=_CUT, cure=_CURE)
    last = int(begins[-1])
    try:
        found = list(islice(scan_source(source, last, block=_NEAR), 2))
    except FaultError as fault:
        error = fault.located(source.name, int(first[-1]))
        error.cause, error.cure = f"{_STALE}, or {error.cause}", f"{_CURE}; if it is damaged, repair it"
        raise error from None
    if len(found) > 1:
        message = f"the index ends {source.size - found[1]} bytes before the record file does"
        raise RecordError(message, path=path, value=last, cause=_CUT, cure=_CURE)


def _pair(line: bytes, path: Path | str, number: int, size: int) -> tuple[int, int]:
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
