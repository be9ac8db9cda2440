"""Hidden folders of processes that were killed, told from those of processes that live."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod.errors import RecordError
from birdsod.recordio._journal import head_of
from birdsod.recordio._naming import ASIDE, alone, has_appeared, is_told, put_back

if TYPE_CHECKING:
    from typing import IO

__all__ = ["PREFIX", "Busy", "claim", "clear", "hidden_folders", "hold"]

PREFIX = ".birdsod-"
"""How the names of hidden folders begin."""

_OWNER = ".owner"


class Busy(Exception):  # noqa: N818 - no error of the user, but an answer
    """A folder is another's, or may be."""


def claim(folder: Path) -> contextlib.ExitStack:
    """Mark a folder as one's own until the result is closed or the process ends, however it ends.

    The mark is a lock, which the system takes back itself: a process id may be another's by now, or mean another
    process in another container. Where there are no locks there is no mark, and no one else clears the folder.
    """
    held = contextlib.ExitStack()
    unmarked = folder / f"{_OWNER}.new"
    try:
        stream = held.enter_context(unmarked.open("w", encoding="utf-8"))
        stream.write(platform.node())
        stream.flush()
        _lock(stream)
        # Locked first: a mark that is seen without its lock is that of a dead process.
        unmarked.replace(folder / _OWNER)
    except (OSError, ImportError):
        held.close()
        with contextlib.suppress(OSError):
            unmarked.unlink()
    return held


def hold(folder: Path, *, anywhere: bool = False) -> contextlib.ExitStack:
    """Claim a folder that another process has left, or raise :class:`Busy`.

    Parameters
    ----------
    folder : Path
        The folder.
    anywhere : bool, default False
        Whether it may be another machine's, whose locks may be out of sight, or one without a mark.
    """
    held = contextlib.ExitStack()
    try:
        # For writing, since some network file systems lock nothing else; never made anew.
        stream = held.enter_context(_plain(folder / _OWNER).open("r+", encoding="utf-8"))
        _take_over(stream, folder, anywhere=anywhere)
    except BaseException as error:
        held.close()
        if anywhere and isinstance(error, FileNotFoundError | ImportError) and folder.is_dir():
            return claim(folder)
        if isinstance(error, OSError | ImportError | ValueError):
            raise Busy from error
        raise
    return held


def hidden_folders(directory: Path) -> list[Path]:
    """Return the hidden folders in a directory."""
    try:
        with os.scandir(directory) as found:
            return sorted(Path(entry) for entry in found if entry.name.startswith(PREFIX) and _is_folder(entry))
    except OSError:
        return []


def clear(directory: Path) -> None:
    """Remove the hidden folders whose processes are dead; leave those of which that is not certain.

    Where one was killed while files took their names, this is undone first, unless all had them. A run that can be
    resumed is left to the next one that packs the same.
    """
    for folder in hidden_folders(directory):
        if head_of(folder) is None:
            # What cannot be cleared away is in nobody's way.
            with contextlib.suppress(Busy, OSError, RecordError), hold(folder):
                _undo(folder, directory)
                if not _holds_previous(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _undo(folder: Path, directory: Path) -> None:
    if is_told(folder):
        with alone(directory):
            if has_appeared(folder, directory):
                shutil.rmtree(folder / ASIDE)
            else:
                put_back(folder, directory)


def _holds_previous(folder: Path) -> bool:
    """Say whether previous files are here and may be nowhere else."""
    aside = folder / ASIDE
    return aside.is_dir() and any(aside.iterdir())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _take_over(stream: IO[str], folder: Path, *, anywhere: bool) -> None:
    if stream.read() != platform.node() and not anywhere:
        raise Busy
    _lock(stream)
    # Who held it may have removed it meanwhile.
    if not (folder / _OWNER).exists():
        raise Busy
    stream.seek(0)
    stream.truncate()
    stream.write(platform.node())
    stream.flush()


def _plain(path: Path) -> Path:
    """Return the path of a file; a pipe, which would be waited for without end, is as good as none."""
    if not path.is_file():
        raise FileNotFoundError(path)
    return path


def _lock(stream: IO[str]) -> None:
    """Lock a file or raise."""
    fcntl = import_module("fcntl")
    fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
