"""The files of a model archive, read into memory without trusting the archive."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

__all__ = ["check_members", "read_matching", "read_members"]

MOST_BYTES = 1 << 30
MOST_MEMBERS = 1000


# Names beyond the header's own hundred characters take a few hundred bytes; tarfile's search in them is quadratic.
MOST_EXTENSION = 1 << 14

_EXTENSIONS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)


class _TooLargeError(tarfile.ReadError):
    """A header claims more than an archive may hold."""


class _Entry(tarfile.TarInfo):
    """A header that is refused for what it claims before anything is skipped or read for it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> _Entry:
        entry = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]  # typed narrower than it is called
        _check_size(entry.size, MOST_EXTENSION if entry.type in _EXTENSIONS else MOST_BYTES)
        return entry


def _check_size(size: int, most: int) -> None:
    # tarfile goes on past the end of the file until as much is skipped as a header claims.
    if size > MOST_BYTES:
        raise _TooLargeError
    if not 0 <= size <= most:
        message = f"a header claims {size:,} bytes"
        raise tarfile.ReadError(message)


class _Bounded(io.BufferedIOBase):
    """A stream that ends with an error, not with a full memory, when it unpacks to more than it may."""

    def __init__(self, stream: gzip.GzipFile, file: Path) -> None:
        super().__init__()
        self._stream = stream
        self._left = MOST_BYTES
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._file)
        return data


def read_members(file: Path, *, wanted: Sequence[str]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the wanted files of an archive or folder, all of which must be there, and the names of the others."""
    found, ignored = read_matching(file, lambda name: name in wanted)
    check_members(file, wanted, found, ignored)
    return found, ignored


def check_members(file: Path, wanted: Sequence[str], found: Collection[str], others: Sequence[str]) -> None:
    """Raise if a wanted file is not among those that were found."""
    missing = [name for name in wanted if name not in found]
    if missing:
        if any(name.endswith(("-symbol.json", ".params")) for name in others):
            message = "this is an archive of the built-in algorithm (MXNet)"
            raise ArtifactError(message, path=file, value=sorted(others)[:5], cure="open it with birdsod.load_model")
        cause = "another kind of archive, or a folder that holds the archive itself"
        message = f"the archive lacks {', '.join(missing)}"
        raise ArtifactError(message, path=file, value=sorted(others)[:5], cause=cause)


def read_matching(file: Path, matches: Callable[[str], bool]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the files of an archive or folder whose names match, and the names of the others."""
    if not file.exists():
        raise ArtifactError("no such model archive", path=file)
    found: dict[str, bytes] = {}
    ignored: list[str] = []
    for name, data in _folder(file, matches) if file.is_dir() else _archive(file, matches):
        if name in found:
            raise ArtifactError(f"the archive holds {name} twice", path=file)
        if data is None:
            ignored.append(name)
        else:
            found[name] = data
    return found, tuple(ignored)


def _folder(folder: Path, matches: Callable[[str], bool]) -> Iterator[tuple[str, bytes | None]]:
    for path in sorted(folder.iterdir()):
        if not (path.is_file() and matches(path.name)):
            yield path.name, None
            continue
        if path.stat().st_size > MOST_BYTES:
            raise ArtifactError(f"the file has more than {MOST_BYTES:,} bytes", path=path)
        yield path.name, path.read_bytes()


def _archive(file: Path, matches: Callable[[str], bool]) -> Iterator[tuple[str, bytes | None]]:
    try:
        with (
            gzip.open(file, "rb") as stream,
            tarfile.open(fileobj=_Bounded(stream, file), mode="r|", tarinfo=_Entry) as archive,
        ):
            for entry in _files(archive, file):
                yield _member(archive, entry, file, matches)
            _drain(stream)
    except ArtifactError:  # also a ValueError, and already says what is wrong
        raise
    except _TooLargeError as error:
        raise _too_large(file) from error
    except (EOFError, ValueError, RecursionError, zlib.error, tarfile.TarError, gzip.BadGzipFile) as error:
        cause = "a copy or download that broke off, or another kind of file"
        raise ArtifactError(
            "the file is no complete model archive (.tar.gz)",
            path=file,
            value=str(error),
            cause=cause,
            cure="get it again",
        ) from error


def _too_large(file: Path) -> ArtifactError:
    return ArtifactError(f"the archive unpacks to more than {MOST_BYTES:,} bytes", path=file)


def _files(archive: tarfile.TarFile, file: Path) -> Iterator[tarfile.TarInfo]:
    for count, entry in enumerate(archive):
        if count >= MOST_MEMBERS:
            raise ArtifactError(f"the archive holds more than {MOST_MEMBERS:,} files", path=file)
        # A later part of the header may have changed it.
        _check_size(entry.size, MOST_BYTES)
        if not entry.isdir():
            yield entry


def _member(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, file: Path, matches: Callable[[str], bool]
) -> tuple[str, bytes | None]:
    place = PurePosixPath(entry.name)
    if place.is_absolute() or ".." in place.parts or "\\" in entry.name:
        raise ArtifactError("the archive holds a name that leads out of it", path=file, value=entry.name)
    # A sparse file unpacks to more than its bytes.
    if not entry.isreg() or entry.issparse():
        message = "the archive holds something that is no plain file: a link or a device, or one with holes"
        raise ArtifactError(message, path=file, value=entry.name)
    name = str(place)
    stream = archive.extractfile(entry) if matches(name) else None
    return name, stream.read() if stream else None


def _drain(stream: gzip.GzipFile) -> None:
    """Read to the end, so that the checksum there is compared."""
    while stream.read(1 << 20):
        pass
