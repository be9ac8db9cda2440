"""Records out of a ``.rec`` file."""

from __future__ import annotations

import mmap
import operator
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from birdsod.errors import RecordError
from birdsod.recordio._faults import FaultError
from birdsod.recordio._framing import read_frame, scan
from birdsod.recordio._index import index_path, read_index
from birdsod.recordio._record import Record, parse_record

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from birdsod.recordio._framing import Payload

__all__ = ["RecordReader", "Records"]


class RecordReader:
    """The records of a ``.rec`` file, by position and by key.

    The file is mapped into memory, so that opening is quick whatever its size, and a record costs one copy of its
    image. A reader may be shared between threads and handed to worker processes, which open the file
    themselves. Do not let another program shorten the file while it is open: write beside it and rename.

    Parameters
    ----------
    path : path-like
        The ``.rec`` file.
    index : path-like, optional
        Its ``.idx`` file; by default the one beside it, and where there is none the file is scanned.
    scan : bool, default False
        Scan the file even if there is an index; positions are then those in the file, keys the records' ids.

    Raises
    ------
    RecordError
        If a file is missing or malformed, with the record and the byte; faults within a record when it is read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "birds.rec"
    >>> from birdsod.recordio import RecordWriter
    >>> with RecordWriter(file) as writer:
    ...     for key in (17, 36, 47):
    ...         writer.write_record(key, [2, 5, 0, 0.1, 0.2, 0.5, 0.6], b"the image")
    >>> with RecordReader(file) as records:
    ...     len(records), records[-1].header.id, records.by_key(36).image, [r.header.id for r in records[1:]]
    (3, 47, b'the image', [36, 47])
    >>> folder.cleanup()
    """

    def __init__(
        self, path: str | os.PathLike[str], *, index: str | os.PathLike[str] | None = None, scan: bool = False
    ) -> None:
        self.path: Path = Path(path)
        self._index_path = None if scan else _found_index(self.path, index)
        self._buffer, self._stamp = _mapped(self.path)
        self._size = len(self._buffer)
        self._positions: dict[int, int] | None = None
        if self._index_path is None:
            self._keys: NDArray[np.uint64] | None = None
            self._offsets = self._scanned()
        else:
            self._keys, self._offsets = read_index(self._index_path, size=self._size)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._offsets)

    @overload
    def __getitem__(self, position: int | np.integer) -> Record: ...
    @overload
    def __getitem__(self, position: slice) -> Records: ...
    def __getitem__(self, position: int | np.integer | slice) -> Record | Records:
        """Return the record at a position, or those of a slice, read as they are used."""
        if isinstance(position, slice):
            return Records(self, range(len(self))[position])
        return self._record(self._checked(position))

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in order."""
        return map(self._record, range(len(self)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RecordReader({str(self.path)!r}, {len(self)} records)"

    def __getstate__(self) -> tuple[Path, Path | None, tuple[int, int]]:
        return self.path.absolute(), self._index_path and self._index_path.absolute(), self._stamp

    def __setstate__(self, state: tuple[Path, Path | None, tuple[int, int]]) -> None:
        path, index, stamp = state
        RecordReader.__init__(self, path, index=index, scan=index is None)
        if self._stamp != stamp:
            raise RecordError("the file has changed since the reader was opened", path=path, cure="open it again")

    @property
    def keys(self) -> NDArray[np.uint64]:
        """The keys in order of position, read-only: those of the index, or the records' ids."""
        if self._keys is None:
            keys = np.array([record.header.id for record in self], dtype=np.uint64)
            keys.setflags(write=False)
            self._keys = keys
        return self._keys

    def by_key(self, key: int) -> Record:
        """Return the record with a key; the last one if several have it.

        Parameters
        ----------
        key : int
            The image id.

        Returns
        -------
        Record

        Raises
        ------
        RecordError
            If there is no such key.
        """
        if self._positions is None:
            self._positions = {known: position for position, known in enumerate(self.keys.tolist())}
        position = self._positions.get(operator.index(key))
        if position is None:
            raise RecordError("no record has this key", path=self.path, value=key, cure="choose one of reader.keys")
        return self._record(position)

    def payload(self, position: int | np.integer) -> Payload:
        """Return the bytes of a record without interpreting them.

        Parameters
        ----------
        position : int
            Position in the file, negative from its end.

        Returns
        -------
        memoryview or bytes
            A view of the mapped file, without a copy; bytes for a record that is split in the file.
        """
        return self._payload(self._checked(position))

    def close(self) -> None:
        """Let go of the file; views that :meth:`payload` gave stay valid."""
        self._buffer = memoryview(b"")

    def _record(self, position: int) -> Record:
        payload = self._payload(position)
        try:
            return parse_record(payload)
        except FaultError as error:
            error.offset += int(self._offsets[position])
            raise error.located(self.path, position) from None

    def _payload(self, position: int) -> Payload:
        if self._size and not self._buffer:
            raise RecordError("the reader is closed", path=self.path)
        try:
            return read_frame(self._buffer, int(self._offsets[position]), self._size)[0]
        except FaultError as error:
            raise error.located(self.path, position) from None

    def _checked(self, position: int | np.integer) -> int:
        try:
            return range(len(self))[operator.index(position)]
        except IndexError:
            message = f"position {position} is outside {len(self)} records"
            raise IndexError(message) from None

    def _scanned(self) -> NDArray[np.int64]:
        offsets: list[int] = []
        try:
            offsets.extend(scan(self._buffer, self._size))
        except FaultError as error:
            raise error.located(self.path, len(offsets)) from None
        return np.array(offsets, dtype=np.int64)


class Records:
    """Some records of a reader, in an order of their own; each is read when it is used.

    Parameters
    ----------
    reader : RecordReader
        Where they come from.
    positions : range
        Their positions there.
    """

    def __init__(self, reader: RecordReader, positions: range) -> None:
        self._reader = reader
        self._positions = positions

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._positions)

    @overload
    def __getitem__(self, position: int | np.integer) -> Record: ...
    @overload
    def __getitem__(self, position: slice) -> Records: ...
    def __getitem__(self, position: int | np.integer | slice) -> Record | Records:
        """Return one record, or those of a slice."""
        if isinstance(position, slice):
            return Records(self._reader, self._positions[position])
        return self._reader[self._positions[operator.index(position)]]

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in order."""
        return (self._reader[position] for position in self._positions)

    def __repr__(self) -> str:
        return f"Records({len(self)} of {self._reader!r})"


def _found_index(path: Path, index: str | os.PathLike[str] | None) -> Path | None:
    if index is not None:
        return Path(index)
    beside = index_path(path)
    return beside if beside.is_file() else None


def _mapped(path: Path) -> tuple[memoryview, tuple[int, int]]:
    """Return the bytes of a file, and its size and time of change."""
    import os

    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            # Nothing cannot be mapped.
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if status.st_size else b""
    except FileNotFoundError as error:
        raise RecordError("the record file is missing", path=path, cure="check the path, or pack it") from error
    except (OSError, ValueError) as error:
        raise RecordError("the record file cannot be read", path=path, cause=str(error)) from error
    return memoryview(mapped), (status.st_size, status.st_mtime_ns)
