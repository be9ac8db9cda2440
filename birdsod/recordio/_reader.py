"""Records out of a ``.rec`` file."""

from __future__ import annotations

import operator
from array import array
from typing import TYPE_CHECKING, cast, overload

import numpy as np

from birdsod.errors import RecordError
from birdsod.recordio._faults import FaultError
from birdsod.recordio._framing import read_frame, scan
from birdsod.recordio._index import check_cover, parse_index
from birdsod.recordio._ranges import BLOCK, ends_of, fetched, payload_at, scan_source
from birdsod.recordio._record import Record, parse_record, whole_record
from birdsod.recordio._sources import source_of

if TYPE_CHECKING:
    import mmap
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

    from numpy.typing import NDArray

    from birdsod.recordio._framing import Payload
    from birdsod.recordio._sources import Location

__all__ = ["RecordReader", "Records"]


class RecordReader:
    """The records of a ``.rec`` file, by position and by key.

    A file on disk is mapped into memory, so that opening is quick whatever its size, and a record costs one copy
    of its image. One behind a URL is read by byte ranges (extra ``remote``): neighbours together, batches side by
    side. A reader may be shared between threads and handed to worker processes, which open the file
    themselves. Do not let another program shorten the file while it is open: write beside it and rename.

    Parameters
    ----------
    path : path-like or binary file
        The ``.rec`` file: a path, a URL such as ``s3://bucket/birds.rec``, or an open file that can seek (it is
        read from its beginning, and stays open).
    index : path-like, optional
        Its ``.idx`` file; by default the one beside it, and where there is none the file is scanned.
    scan : bool, default False
        Scan the file even if there is an index; positions are then those in the file, keys the records' ids.
    storage_options : mapping, optional
        For a URL: what its file system in fsspec takes, such as ``{"anon": True}``.

    Raises
    ------
    RecordError
        If a file is missing or malformed, with the record and the byte, or the index is not that of the whole
        file; faults within a record when it is read.
    MissingDependencyError
        If a URL needs a package that is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "birds.rec"
    >>> from birdsod.recordio import RecordWriter
    >>> with RecordWriter(file) as writer:
    ...     for key in (17, 36, 47):
    ...         writer.write_record(key, [2, 5, 0, 0.1, 0.2, 0.5, 0.6], b"the image")
    >>> with RecordReader(file) as records:
    ...     len(records), records[-1].header.id, records.by_key(36).image, [r.header.id for r in records[1:]]
    (3, 47, b'the image', [36, 47])
    >>> with file.open("rb") as stream, RecordReader(stream) as records:
    ...     [record.header.id for record in records.read([2, 0])]
    [47, 17]
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: Location,
        *,
        index: str | os.PathLike[str] | None = None,
        scan: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._source = source_of(path, storage_options)
        self.path: Path | str = self._source.name
        self._options = storage_options
        self._keys: NDArray[np.uint64] | None = None
        # Whether positions and keys are those of an index.
        self.indexed: bool = False
        found = None if scan else self._source.index(index)
        if found is None:
            offsets = self._scanned()
        else:
            self._keys, offsets = parse_index(found[1], found[0], size=self._source.size)
            self.indexed = True
            check_cover(offsets, found[0], self._source)
        self._place(offsets)

    def _place(self, offsets: NDArray[np.int64]) -> None:
        self._offsets = offsets
        self._offsets.setflags(write=False)
        # Where a record ends matters to no one who has the bytes.
        self._view = self._source.view
        self._data = None if self._view is None else cast("bytes | mmap.mmap", self._view.obj)
        self._ends = offsets if self._view is not None else ends_of(offsets, self._source.size)
        self._positions: dict[int, int] | None = None
        self._closed = False

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
        return self._in_turn(range(len(self)))

    def __getitems__(self, positions: Iterable[int]) -> list[Record]:
        """Return the records at some positions."""
        return self.read(positions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RecordReader({str(self.path)!r}, {len(self)} records)"

    def __getstate__(self) -> tuple[object, ...]:
        # With the offsets, so that no worker scans the file or fetches the index again.
        return self._source.origin(), self._options, self._source.stamp, self.indexed, self._keys, self._offsets

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        path, self._options, stamp, self.indexed, self._keys, offsets = state
        self._source = source_of(path, self._options)
        self.path = self._source.name
        if self._source.stamp != stamp:
            raise RecordError("the file has changed since the reader was opened", path=path, cure="open it again")
        self._place(offsets)

    @property
    def keys(self) -> NDArray[np.uint64]:
        """The keys in order of position, read-only: those of the index, or the records' ids."""
        if self._keys is None:
            keys = np.array([record.header.id for record in self], dtype=np.uint64)
            keys.setflags(write=False)
            self._keys = keys
        return self._keys

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The byte at which each record begins, in order of position, read-only."""
        return self._offsets

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

    def read(self, positions: Iterable[int | np.integer]) -> list[Record]:
        """Return the records at some positions, read in the order of the file.

        Far away, neighbours come together and the rest side by side.

        Parameters
        ----------
        positions : iterable of int
            Positions, negative from the end, in any order; the same one may come twice.

        Returns
        -------
        list of Record
            In the order of the positions.

        Raises
        ------
        IndexError
            If a position is outside the file.
        RecordError
            If a record is malformed.
        """
        wanted = [self._checked(position) for position in positions]
        order = sorted(set(wanted), key=self._offsets.__getitem__)
        self._check_open()
        far = self._source.far
        if far is None:
            found = dict(zip(order, map(self._record, order), strict=True))
            return [found[position] for position in wanted]
        spans = {position: (int(self._offsets[position]), int(self._ends[position])) for position in order}
        views = fetched(far, spans)
        found = {position: self._record(position, views[position]) for position in order}
        return [found[position] for position in wanted]

    def close(self) -> None:
        """Let go of the file; views that :meth:`payload` gave stay valid."""
        self._closed = True
        self._view = self._data = None
        self._source.close()

    def _in_turn(self, positions: Sequence[int]) -> Iterator[Record]:
        """Yield records one by one, from blocks if the file is far away."""
        if self._source.far is None:
            yield from map(self._record, positions)
            return
        block: list[int] = []
        size = 0
        for position in positions:
            length = int(self._ends[position] - self._offsets[position])
            if block and size + length > BLOCK:
                yield from self.read(block)
                block, size = [], 0
            block.append(position)
            size += length
        yield from self.read(block)

    def _record(self, position: int, view: memoryview | None = None) -> Record:
        # Once only: another thread may close the reader.
        data = self._data
        if data is not None and (record := whole_record(data, self._offsets.item(position))) is not None:
            return record
        payload = self._payload(position, view)
        try:
            return parse_record(payload)
        except FaultError as error:
            error.offset += int(self._offsets[position])
            raise error.located(self.path, position) from None

    def _payload(self, position: int, view: memoryview | None = None) -> Payload:
        try:
            # Once only: another thread may close the reader.
            whole = self._view
            if whole is not None:
                return read_frame(whole, self._offsets.item(position), len(whole))[0]
            self._check_open()
            return payload_at(self._source, int(self._offsets[position]), int(self._ends[position]), view)
        except FaultError as error:
            raise error.located(self.path, position) from None

    def _check_open(self) -> None:
        if self._closed:
            cure = "open another, or read within its with block"
            raise RecordError("the reader is closed", path=self.path, cure=cure)

    def _checked(self, position: int | np.integer) -> int:
        count = len(self._offsets)
        place = operator.index(position)
        if not -count <= place < count:
            message = f"position {position} is outside {count} records"
            raise IndexError(message)
        return place if place >= 0 else place + count

    def _scanned(self) -> NDArray[np.int64]:
        # An eighth of the memory of a list.
        offsets = array("q")
        try:
            view = self._source.view
            offsets.extend(scan_source(self._source) if view is None else scan(view, len(view)))
        except FaultError as error:
            raise error.located(self.path, len(offsets)) from None
        return np.array(offsets)


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
        return self._reader._in_turn(self._positions)  # noqa: SLF001 - its own other half

    def __repr__(self) -> str:
        return f"Records({len(self)} of {self._reader!r})"
