"""A journal: what is safe on disk of a work that may be cut off, line by line."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["JOURNAL", "Entry", "Journal", "entries", "head_of", "line_of"]

JOURNAL = ".journal"
"""Name of the journal in its folder."""

Entry = dict[str, Any]

_LONGEST = 1 << 28


class Journal:
    """A file of lines that is only ever added to; each is on disk when :meth:`add` returns.

    Parameters
    ----------
    path : Path
        The journal.
    size : int, default 0
        How much of it is kept; what follows is cut off.
    """

    def __init__(self, path: Path, *, size: int = 0) -> None:
        self._file = path.open("r+b" if size else "wb", buffering=0)
        self._file.truncate(size)
        self._file.seek(size)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="birdsod-journal")
        self._under_way: Future[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an entry of :meth:`later` is still on its way."""
        return self._under_way is not None and not self._under_way.done()

    def add(self, entry: Mapping[str, object]) -> None:
        """Add a line, after those that are on their way."""
        self.settle()
        self._write(entry)

    def later(self, flush: Callable[[], object], entry: Mapping[str, object]) -> None:
        """Add a line once ``flush`` has put on disk what it tells of, while the caller goes on.

        A flush waits for the disk, and work on images need not wait with it.
        """
        self.settle()
        self._under_way = self._pool.submit(self._flushed, flush, entry)

    def settle(self) -> None:
        """Wait for what is on its way, and raise what befell it."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def close(self) -> None:
        """Close it as it is."""
        self._pool.shutdown(wait=True)
        self._file.close()

    def _flushed(self, flush: Callable[[], object], entry: Mapping[str, object]) -> None:
        flush()
        self._write(entry)

    def _write(self, entry: Mapping[str, object]) -> None:
        rest = memoryview(line_of(entry))
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())


def entries(path: Path) -> Iterator[tuple[Entry, int]]:
    """Yield the entries of a journal and where each ends, up to the first line that is not whole."""
    end = 0
    with path.open("rb") as stream:
        while line := stream.readline(_LONGEST):
            entry = _parsed(line)
            if entry is None:
                return
            end += len(line)
            yield entry, end


def head_of(folder: Path) -> Entry | None:
    """Return the first entry of the journal in a folder, if there is one."""
    path = folder / JOURNAL
    with contextlib.suppress(OSError):
        # A pipe of that name would be waited for without end.
        if path.is_file():
            for entry, _ in entries(path):
                return entry
    return None


def line_of(entry: Mapping[str, object]) -> bytes:
    """Return the line of an entry: its checksum and its JSON."""
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parsed(line: bytes) -> Entry | None:
    """Return the entry of a line, or None if it is not as it was written."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    with contextlib.suppress(ValueError, RecursionError):
        entry = json.loads(text)
        return cast("Entry", entry) if isinstance(entry, dict) else None
    return None
