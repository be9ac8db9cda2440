"""The index, checked line by line against the records of the file."""

from __future__ import annotations

from array import array
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from birdsod.recordio._finding_kinds import FindingKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from birdsod.recordio._findings import Findings

__all__ = ["Places", "check_index"]

_KEY_LIMIT = 1 << 64
_HEADER = 8
_FARTHEST = 1 << 62
_LONGEST_LINE = 64
_SHOWN = 60


class Places(NamedTuple):
    """Where the whole records of a file begin, and their ids; ``named`` tells which have one."""

    offsets: NDArray[np.int64]
    ids: NDArray[np.uint64]
    named: NDArray[np.bool_]


class _Lines(NamedTuple):
    """The well-formed lines: their numbers, keys, and offsets, cut to what fits."""

    numbers: NDArray[np.int64]
    keys: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def check_index(path: Path, rec: Path, places: Places, findings: Findings, *, size: int) -> None:
    """Check the index of a record file of so many bytes."""
    try:
        lines = _read(path, findings)
    except OSError as error:
        findings.add(FindingKind.INDEX_UNREADABLE, path=path, cause=error.strerror)
        return
    at = np.searchsorted(places.offsets, lines.offsets)
    known = np.append(places.offsets, -1)[at] == lines.offsets
    count, right = len(known), int(known.sum())
    if count > 1 and right * 2 < count:
        findings.add(FindingKind.INDEX_STALE, path=path, value=f"{count - right} of {count} lines")
        return
    _check_lines(path, lines, np.where(known, at, -1), places, findings, size=size)
    missing = np.ones(len(places.offsets), dtype=np.bool_)
    missing[at[known]] = False
    for record in np.flatnonzero(missing).tolist():
        findings.add(FindingKind.INDEX_MISSING, path=rec, record=record, offset=int(places.offsets[record]))
    if (np.diff(at[known]) < 0).any():
        findings.add(FindingKind.INDEX_ORDER, path=path)


def _check_lines(
    path: Path, lines: _Lines, records: NDArray[np.int64], places: Places, findings: Findings, *, size: int
) -> None:
    lost = records < 0
    repeated = _seen_before(records) & ~lost
    ids = np.append(places.ids, np.uint64(0))[records]
    strange = np.append(places.named, False)[records] & (ids != lines.keys) & ~lost & ~repeated
    twice = strange & _seen_before(lines.keys)
    for position in np.flatnonzero(lost | repeated | strange).tolist():
        add = partial(findings.add, path=path, line=int(lines.numbers[position]))
        key, offset = int(lines.keys[position]), int(lines.offsets[position])
        if lost[position]:
            beyond = offset + _HEADER > size
            add(FindingKind.INDEX_BEYOND if beyond else FindingKind.INDEX_OFFSET, value=offset)
        elif repeated[position]:
            add(FindingKind.INDEX_REPEATED, record=int(records[position]), value=offset)
        else:
            kind = FindingKind.INDEX_DUPLICATE if twice[position] else FindingKind.INDEX_KEY
            add(kind, record=int(records[position]), value=key)


def _seen_before(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values occur earlier too."""
    again = np.ones(len(values), dtype=np.bool_)
    again[np.unique(values, return_index=True)[1]] = False
    return again


def _read(path: Path, findings: Findings) -> _Lines:
    numbers, keys, offsets = array("q"), array("Q"), array("q")
    for number, line in enumerate(_raw_lines(path), start=1):
        key, _, offset = line.rstrip(b"\r\n").partition(b"\t")
        # A line that is too long was cut, and no number in it can be trusted or is worth the time to read.
        if len(line) <= _LONGEST_LINE and key.isdigit() and offset.isdigit() and int(key) < _KEY_LIMIT:
            numbers.append(number)
            keys.append(int(key))
            offsets.append(min(int(offset), _FARTHEST))
        elif line.strip() or line.endswith(b"\n"):
            shown = line[:_SHOWN].decode(errors="replace")
            findings.add(FindingKind.INDEX_LINE, path=path, line=number, value=shown)
    arrays = np.frombuffer(numbers, np.int64), np.frombuffer(keys, np.uint64), np.frombuffer(offsets, np.int64)
    return _Lines(*arrays)


def _raw_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines, of a very long one the beginning only."""
    with path.open("rb") as stream:
        while line := stream.readline(_LONGEST_LINE + 1):
            rest = line
            while len(rest) > _LONGEST_LINE and not rest.endswith(b"\n"):
                rest = stream.readline(1 << 20)
            yield line
