"""Following the log of a job while it grows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from birdsod import training_log
from birdsod._progress import bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tqdm.std import tqdm

__all__ = ["follow", "read_lines", "tail"]

_POLL_SECONDS = 0.1
_WHOLE = 100


def read_lines(path: Path) -> list[str]:
    """Return the lines of a log; one that is still being written is not among them, a missing log has none."""
    return list(_Reader(path).new_lines())


def tail(path: Path, count: int) -> list[str]:
    """Return the last lines that say something."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


def follow(path: Path, *, start: int, running: Callable[[], bool], description: str, show: bool) -> None:
    """Show the lines that are appended to a log, and a progress bar, until the job is over.

    Parameters
    ----------
    path : pathlib.Path
        The log.
    start : int
        Bytes at its beginning that are passed over.
    running : callable
        Whether the job still runs.
    description : str
        Title of the progress bar.
    show : bool
        Whether the lines are printed, or only the bar moves.
    """
    reader = _Reader(path, start)
    shown: tqdm[None] = bar(total=_WHOLE, description=description, unit="%")
    with shown as progress:
        over = False
        while not over:
            # Asked before reading: what a job wrote before it ended is read in any case.
            over = not running()
            for line in reader.new_lines():
                if show:
                    progress.write(line)
                for event in training_log.events([line]):
                    if event.kind is training_log.Kind.PROGRESS:
                        progress.update(event.value - progress.n)
            if not over:
                time.sleep(_POLL_SECONDS)


class _Reader:
    """Reads the whole lines that were appended to a file since it was last asked."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path = path
        self._position = start

    def new_lines(self) -> Iterator[str]:
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._position)
                block = stream.read()
        except FileNotFoundError:
            return
        whole, newline, _ = block.rpartition(b"\n")
        self._position += len(whole) + len(newline)
        if newline:
            yield from (line.rstrip("\r") for line in whole.decode("utf-8", "replace").split("\n"))
