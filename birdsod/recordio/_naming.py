"""Files that take their final names together: by one process at a time, and undone where it was killed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from birdsod import _files
from birdsod.errors import RecordError
from birdsod.recordio._journal import JOURNAL, entries, line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from birdsod.recordio._journal import Entry

__all__ = ["ASIDE", "Staged", "alone", "fingerprint", "has_appeared", "is_told", "publishing", "put_back", "tell"]

ASIDE = "aside"
"""Where previous files wait in a hidden folder while new ones take their names."""

_NAMES = ".names"
_PUBLISHING = "publishing"
_FINGERPRINT = "file "
_SECONDS = 60.0
_BETWEEN = 0.02


class Staged(NamedTuple):
    """A whole file: its name so far, the one that it is about to get, and its SHA-256 or its fingerprint."""

    name: str
    final: str
    sha256: str


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep others from giving files their names in a folder, or from taking names back there.

    The lock is the system's and lies on the folder itself, so no file is left behind and whoever is killed lets go.
    Where folders cannot be locked (on Windows, on some network file systems) nobody is kept out.

    Raises
    ------
    RecordError
        If another process keeps the folder for longer than some seconds: it has been halted.
    """
    descriptor = _locked(directory, time.monotonic() + _SECONDS)
    try:
        yield
    finally:
        if descriptor is not None:
            # By name, since a process that was forked meanwhile has the file open, too.
            _flock(descriptor, "LOCK_UN")
            os.close(descriptor)


def publishing(staged: Iterable[Staged]) -> Entry:
    """Return the entry that tells which files are about to take which names."""
    return {_PUBLISHING: {file.name: [file.final, file.sha256] for file in staged}}


def fingerprint(path: Path) -> str:
    """Return what tells a file or folder from others without reading it, and stays when it is renamed."""
    found = path.lstat()
    # A folder's time is that of the last file that came or went.
    told = f" {found.st_size} {found.st_mtime_ns}" if path.is_file() else ""
    return f"{_FINGERPRINT}{found.st_ino}{told}"


def tell(folder: Path, staged: Iterable[Staged]) -> None:
    """Write down which files of a hidden folder without a journal are about to take which names."""
    with (folder / _NAMES).open("wb") as stream:
        stream.write(line_of(publishing(staged)))
        stream.flush()
        os.fsync(stream.fileno())
    _files.flush_folder(folder)


def is_told(folder: Path) -> bool:
    """Say whether :func:`tell` has told of a hidden folder."""
    return bool(_published(folder))


def put_back(folder: Path, directory: Path) -> None:
    """Undo that files had begun to take their final names: the new come back, and then the previous ones."""
    aside = folder / ASIDE
    if not aside.is_dir():
        return
    for staged, (final, sha256) in _published(folder).items():
        # By what it is, since another may have taken the place.
        if not (folder / staged).exists() and _is_same(directory / final, sha256):
            (directory / final).rename(folder / staged)
    for previous in aside.iterdir():
        if not (directory / previous.name).exists():
            previous.rename(directory / previous.name)
    shutil.rmtree(aside)


def has_appeared(folder: Path, directory: Path) -> bool:
    """Say whether all files have their final names; the last vouches for the others, so it tells."""
    published = _published(folder)
    if not (folder / ASIDE).is_dir() or not published:
        return False
    staged, (final, sha256) = list(published.items())[-1]
    return not (folder / staged).exists() and _is_same(directory / final, sha256)


def _published(folder: Path) -> dict[str, tuple[str, str]]:
    """Return which files were about to take which names; names alone, for no file lies elsewhere."""
    found: object = {}
    path = folder / _NAMES if (folder / _NAMES).is_file() else folder / JOURNAL
    for entry, _ in entries(path) if path.is_file() else ():
        found = entry.get(_PUBLISHING, found)
    rows = found.items() if isinstance(found, dict) else ()
    return {staged: (told[0], told[1]) for staged, told in rows if _is_name(staged) and _is_final(told)}


def _is_same(path: Path, told: str) -> bool:
    if told.startswith(_FINGERPRINT):
        return os.path.lexists(path) and fingerprint(path) == told
    return path.is_file() and _files.sha256(path) == told


def _is_final(told: object) -> bool:
    """Say whether this is a final name and a hash."""
    return isinstance(told, list) and len(told) == 2 and _is_name(told[0]) and isinstance(told[1], str)  # noqa: PLR2004 - a pair


def _is_name(name: object) -> bool:
    """Say whether this names a file of a folder, and none elsewhere."""
    return isinstance(name, str) and name not in {"", ".", ".."} and not set(name) & {"/", os.sep, "\0"}


def _locked(directory: Path, end: float) -> int | None:
    """Return an open folder that is locked, or None where there are no such locks."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return None
    try:
        _wait(descriptor, directory, end)
    except (OSError, ImportError):
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _wait(descriptor: int, directory: Path, end: float) -> None:
    while not _flock(descriptor, "LOCK_EX"):
        if time.monotonic() > end:
            message = "another process gives files their names in this folder, and does not come to its end"
            cure = "end it, or choose another folder"
            raise RecordError(message, path=directory, cause="it has been halted", cure=cure)
        time.sleep(_BETWEEN)


def _flock(descriptor: int, how: str) -> bool:
    """Lock or let go; False if another has the lock."""
    fcntl = import_module("fcntl")
    try:
        fcntl.flock(descriptor, getattr(fcntl, how) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True
