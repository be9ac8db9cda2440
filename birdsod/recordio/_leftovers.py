"""Hidden folders of processes that were killed, told from those of processes that live."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

__all__ = ["ASIDE", "PREFIX", "claim", "clear"]

PREFIX = ".birdsod-"
"""How the names of hidden folders begin."""

ASIDE = "aside"
"""Where previous files wait in one while new ones take their names."""

_OWNER = ".owner"


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


def clear(directory: Path) -> None:
    """Remove the hidden folders whose processes are dead; leave those of which that is not certain."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        found = [Path(entry) for entry in entries if entry.name.startswith(PREFIX) and _is_folder(entry)]
        for folder in found:
            with contextlib.suppress(OSError, ImportError, ValueError):
                _clear_one(folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _clear_one(folder: Path) -> None:
    # For writing, since some network file systems lock nothing else; never made anew.
    with (folder / _OWNER).open("r+", encoding="utf-8") as stream:
        # The locks of another machine may be out of sight.
        if stream.read() != platform.node():
            return
        _lock(stream)
        aside = folder / ASIDE
        # Killed while files took their names: the previous ones may be nowhere else.
        if aside.is_dir() and any(aside.iterdir()):
            return
        shutil.rmtree(folder, ignore_errors=True)


def _lock(stream: IO[str]) -> None:
    """Lock a file or raise."""
    fcntl = import_module("fcntl")
    fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
