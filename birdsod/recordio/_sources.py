"""Where the bytes of a record file lie: on disk, in a file object, or far away."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias

from birdsod.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Far", "Location", "Mapped", "Source", "mapped", "source_of"]

Location: TypeAlias = "str | os.PathLike[str] | BinaryIO"
"""A path, a URL, or a binary file object that can seek."""

Range: TypeAlias = tuple[int, int]


class Far(Protocol):
    """Bytes each read of which costs a journey, so that neighbours are better read together."""

    def read_many(self, ranges: Sequence[Range]) -> list[memoryview]:
        """Return the bytes of several ranges, each an offset and a length."""
        ...


class Source(Protocol):
    """Bytes that are read by offset and length; several threads may read at once.

    ``stamp`` changes when the bytes do. ``view`` holds all bytes where they lie in memory, else nothing.
    """

    name: Path | str
    size: int
    stamp: tuple[object, ...]
    view: memoryview | None

    @property
    def far(self) -> Far | None:
        """Return what reads many ranges together, where each read costs a journey."""
        ...

    def read(self, offset: int, length: int) -> memoryview:
        """Return bytes within the file."""
        ...

    def origin(self) -> Path | str:
        """Return what another process opens to read the same bytes."""
        ...

    def index(self, wanted: str | os.PathLike[str] | None) -> tuple[Path | str, bytes] | None:
        """Return name and bytes of the index that is wanted, or else of the one beside the file, if any."""
        ...

    def close(self) -> None:
        """Let go of the bytes."""
        ...


class Mapped:
    """A file that is mapped into memory; reading copies nothing.

    Parameters
    ----------
    name : Path or str
        What errors call it.
    buffer : memoryview
        Its bytes.
    stamp : tuple
        Size and time of change.
    """

    far = None

    def __init__(self, name: Path | str, buffer: memoryview, stamp: tuple[object, ...]) -> None:
        self.name = name
        self.size = len(buffer)
        self.stamp = stamp
        self.view: memoryview | None = buffer
        self._buffer = buffer

    def read(self, offset: int, length: int) -> memoryview:
        """Return a view."""
        return self._buffer[offset : offset + length]

    def origin(self) -> Path | str:
        """Return the path, wherever the process stands."""
        return _reopened(self.name).absolute()

    def index(self, wanted: str | os.PathLike[str] | None) -> tuple[Path | str, bytes] | None:
        """Return the index that is wanted, or the one beside the file."""
        from birdsod.recordio._index import index_path, load_index

        if wanted is None and isinstance(self.name, Path) and index_path(self.name).is_file():
            wanted = index_path(self.name)
        return None if wanted is None else (Path(wanted), load_index(Path(wanted)))

    def close(self) -> None:
        """Drop the view; those that were given out stay valid."""
        self._buffer = memoryview(b"")
        self.view = None


class _FileObject:
    """A file object; one thread reads at a time."""

    far = None
    view: memoryview | None = None

    def __init__(self, file: BinaryIO) -> None:
        self.name: Path | str = _name(file)
        self._file = file
        self._lock = threading.Lock()
        self._process = os.getpid()
        try:
            self.size = file.seek(0, io.SEEK_END)
        except (OSError, ValueError) as error:
            cure = "read it into io.BytesIO, or save it"
            raise RecordError("the file object cannot seek", path=self.name, cause=str(error), cure=cure) from error
        self.stamp: tuple[object, ...] = (self.size,)

    def read(self, offset: int, length: int) -> memoryview:
        """Return a copy."""
        if os.getpid() != self._process:
            # Both would move the one place in the file.
            raise RecordError("the file object belongs to another process", path=self.name, cure="open it by its path")
        with self._lock:
            try:
                self._file.seek(offset)
                data: object = self._file.read(length)
            except (OSError, ValueError) as error:
                cure = "keep it open, in binary mode"
                message = "the file object cannot be read"
                raise RecordError(message, path=self.name, cause=str(error), cure=cure) from error
        if not isinstance(data, bytes) or len(data) != length:
            message = "the file object does not give the bytes it has"
            raise RecordError(message, path=self.name, cure="open it in binary mode, and leave it as it is")
        return memoryview(data)

    def origin(self) -> Path | str:
        """Raise, since nothing but this process has the object."""
        return _reopened(self.name)

    def index(self, wanted: str | os.PathLike[str] | None) -> tuple[Path | str, bytes] | None:
        """Return the index that is wanted."""
        from birdsod.recordio._index import load_index

        return None if wanted is None else (Path(wanted), load_index(Path(wanted)))

    def close(self) -> None:
        """Leave the object to whoever opened it."""


def source_of(location: Location, options: Mapping[str, Any] | None = None) -> Source:
    """Return the source that a path, URL or file object names; ``options`` go to fsspec."""
    if isinstance(location, str) and "://" in location:
        from birdsod.recordio._remote import Remote

        return Remote(location, options)
    if options:
        raise RecordError("only a URL takes storage options", value=location, cure="leave them out")
    if isinstance(location, str | os.PathLike):
        path = Path(location)
        return Mapped(path, *mapped(path))
    if isinstance(location, io.BytesIO):
        # getvalue() copies nothing, unless the object is written to later.
        view = memoryview(location.getvalue())
        return Mapped(_name(location), view, (len(view),))
    if isinstance(location, io.BufferedReader | io.FileIO):
        with _reading(_name(location)):
            return Mapped(_name(location), *_map(location.fileno()))
    return _FileObject(location)


def mapped(path: Path) -> tuple[memoryview, tuple[int, int]]:
    """Return the bytes of a file, and its size and time of change."""
    with _reading(path), path.open("rb") as stream:
        return _map(stream.fileno())


def _map(descriptor: int) -> tuple[memoryview, tuple[int, int]]:
    status = os.fstat(descriptor)
    # Nothing cannot be mapped.
    view = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if status.st_size else b""
    return memoryview(view), (status.st_size, status.st_mtime_ns)


@contextlib.contextmanager
def _reading(name: Path | str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise RecordError("the record file is missing", path=name, cure="check the path, or pack it") from error
    except (OSError, ValueError) as error:
        cure = "check its rights, and that it is a file"
        raise RecordError("the record file cannot be read", path=name, cause=str(error), cure=cure) from error


def _name(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else f"<{type(file).__name__}>"


def _reopened(name: Path | str) -> Path:
    if isinstance(name, str):
        message = "a reader of a file object cannot go to another process"
        raise RecordError(message, path=name, cure="open the file by its path or URL")
    return name
