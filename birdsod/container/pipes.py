"""Channels in Pipe mode: copied to disk once, since every epoch reads the records in another order."""

from __future__ import annotations

import os
import select
import shutil
from typing import TYPE_CHECKING

from birdsod.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Stopped", "most_bytes", "spool"]

_BLOCK = 1 << 20
_WAIT_MILLISECONDS = 200
_SHARE = 0.9


class Stopped(Exception):  # noqa: N818 - no error: the job was told to stop
    """The job was told to stop before it had learned anything."""


def most_bytes(folder: Path) -> int:
    """Return how much may be copied into a folder: nine tenths of what its disk has left.

    Parameters
    ----------
    folder : pathlib.Path
        Where it goes.

    Returns
    -------
    int
    """
    return int(shutil.disk_usage(folder).free * _SHARE)


def spool(pipe: Path, target: Path, *, most: int, stop: Callable[[], bool]) -> int:
    """Copy what comes through a pipe to a file.

    Parameters
    ----------
    pipe : pathlib.Path
        The pipe, which another process writes to.
    target : pathlib.Path
        The file.
    most : int
        Bytes that it may have.
    stop : callable
        Asked now and then whether to end.

    Returns
    -------
    int
        Bytes copied.

    Raises
    ------
    TrainingError
        If there is no such pipe, or more comes through it than may be copied.
    Stopped
        If asked to stop.
    """
    copied = 0
    with target.open("wb") as stream:
        for block in _blocks(pipe, stop):
            copied += len(block)
            if copied > most:
                cure = "give the job a larger volume (volume_gb), or the channel in File mode"
                raise TrainingError(f"the channel holds more than the {most:,} bytes of room", path=pipe, cure=cure)
            stream.write(block)
    return copied


def _blocks(pipe: Path, stop: Callable[[], bool]) -> Iterator[bytes]:
    descriptor = _opened(pipe)
    try:
        # Polled, not read: a read would wait for a writer, whoever asks to stop meanwhile.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not stop():
            happened = poll.poll(_WAIT_MILLISECONDS)
            if not happened:
                continue
            block = os.read(descriptor, _BLOCK)
            if not block:
                return
            yield block
    finally:
        os.close(descriptor)
    raise Stopped


def _opened(pipe: Path) -> int:
    try:
        if pipe.is_fifo():
            return os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise TrainingError("the pipe cannot be opened", path=pipe, cause=error.strerror) from error
    cause = "the channel is not in Pipe mode, or was read before"
    raise TrainingError("there is no such pipe", path=pipe, cause=cause)
