"""A CUB archive unpacked with suspicion: nothing outside the folder, no links, no devices, bounded, at once."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from birdsod._files import flush_folder
from birdsod._progress import bar
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tqdm.std import tqdm

__all__ = ["FOLDER", "is_whole", "unpack"]

FOLDER = "CUB_200_2011"
TABLES = ("bounding_boxes.txt", "classes.txt", "image_class_labels.txt", "images.txt", "train_test_split.txt")
MOST_BYTES = 4 << 30  # the real one unpacks to 1.2 GB
MOST_MEMBERS = 50_000  # the real one has 12,005
_LONGEST_READ = 1 << 20  # a header that is longer is an attack on the memory
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, OSError)


class _Bounded(gzip.GzipFile):
    """A gzip stream that yields no more than it may, neither in all nor at once."""

    def __init__(self, archive: Path, most: int) -> None:
        super().__init__(archive, "rb")
        self._archive = archive
        self._most = most

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise _unsafe(self._archive, "a header is longer than any honest one")
        self._check(self.tell() + size)
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check(offset)
        return super().seek(offset, whence)

    def _check(self, position: int) -> None:
        # Tar files end in padding, which is read though it holds nothing.
        if position > self._most + 2 * _LONGEST_READ:
            raise _unsafe(self._archive, f"it unpacks to more than {self._most:,} bytes")


def is_whole(folder: Path) -> bool:
    """Tell whether a folder holds the five tables and every image that they list."""
    if not all((folder / table).is_file() for table in TABLES):
        return False
    rows = (folder / "images.txt").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    names = [row.split(maxsplit=1)[1].strip() for row in rows if len(row.split()) > 1]
    return all(_filled(folder / "images" / name) for name in names)


def _filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def unpack(archive: Path, directory: Path, *, most_bytes: int = MOST_BYTES, most_members: int = MOST_MEMBERS) -> Path:
    """Unpack a CUB archive below ``directory``; the folder appears whole or not at all.

    What lies beside the folder in the archive (CUB's ``attributes.txt``) is put inside it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{FOLDER}.", suffix=".part", dir=directory))
    try:
        _extract(archive, temporary, most_bytes, most_members)
        made = _gathered(archive, temporary)
        target = directory / FOLDER
        made.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    flush_folder(directory)
    return target


def _extract(archive: Path, folder: Path, most_bytes: int, most_members: int) -> None:
    progress: tqdm[None]
    try:
        with (
            _Bounded(archive, most_bytes) as stream,
            tarfile.TarFile(fileobj=stream, errorlevel=1) as tar,
            bar(description="unpacking", unit="file") as progress,
        ):
            for member in _members(archive, tar, most_bytes, most_members):
                tar.extract(member, folder, filter="data")
                progress.update()
            while stream.read(_LONGEST_READ):
                """Only at its very end does a gzip stream tell whether it was damaged."""
    except tarfile.FilterError as error:
        raise _unsafe(archive, str(error)) from error
    except _BROKEN as error:
        raise DatasetError(
            "the archive cannot be unpacked",
            path=archive,
            cause=f"it is truncated, damaged or no .tgz ({str(error) or type(error).__name__})",
            cure="download it again",
        ) from error


def _members(archive: Path, tar: tarfile.TarFile, most_bytes: int, most_members: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members after a look at each; the first one that is not harmless ends it all."""
    total = 0
    for count, member in enumerate(tar, start=1):
        total += member.size
        if count > most_members:
            raise _unsafe(archive, f"it holds more than {most_members:,} files")
        if total > most_bytes:
            raise _unsafe(archive, f"it unpacks to more than {most_bytes:,} bytes")
        if not (member.isreg() or member.isdir()):
            raise _unsafe(archive, f"{member.name!r} is neither a file nor a folder")
        if not _stays_inside(member.name):
            raise _unsafe(archive, f"{member.name!r} lies outside the folder")
        yield member


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    harmless = not any(mark in name for mark in ("\\", ":", "\0"))
    return harmless and not path.is_absolute() and ".." not in path.parts


def _unsafe(archive: Path, reason: str) -> DatasetError:
    return DatasetError(
        "the archive is not safe to unpack", path=archive, cause=reason, cure="take it from its publisher"
    )


def _gathered(archive: Path, temporary: Path) -> Path:
    """Return the unpacked CUB folder, with what lay beside it put inside."""
    made = temporary / FOLDER
    if not is_whole(made):
        raise DatasetError(
            f"the archive holds no whole {FOLDER} folder",
            path=archive,
            cause=f"one of {', '.join(TABLES)}, or an image that images.txt lists, is missing",
        )
    for beside in sorted(temporary.iterdir()):
        if beside != made and not (made / beside.name).exists():
            beside.rename(made / beside.name)
    return made
