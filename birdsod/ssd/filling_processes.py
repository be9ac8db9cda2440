"""Batches that other processes fill, in memory that they share, where Python's lock makes none wait for another."""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_any
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from birdsod._ordered import keep_what_is_freed
from birdsod.errors import RecordError
from birdsod.ssd.filling import Filled, lent, parts, under_way

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from ctypes import Array, c_ubyte

    import numpy.typing as npt

    from birdsod.ssd.filling import Begin, Drawn, Place

__all__ = ["FillingProcesses", "SharedBatches"]

# Not forked: a copy of a process whose libraries have threads may stand still for ever.
_SPAWNING = multiprocessing.get_context("spawn")
_GONE = 1

Blocks: TypeAlias = "list[Array[c_ubyte]]"
Answer: TypeAlias = "tuple[list[Drawn], npt.NDArray[Any] | None]"
"""What there is to tell of each image, and their pixels if they do not stand in shared memory."""


class SharedBatches:
    """A number of arrays of one shape, in memory that processes share.

    It has no name, and goes with the last process that has it.

    Parameters
    ----------
    shape : tuple of int
        Of the arrays.
    dtype : numpy.dtype
        Of their numbers.
    number : int
        How many there are.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, number: int) -> None:
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.blocks: Blocks = [
            _SPAWNING.RawArray(ctypes.c_ubyte, int(np.prod(shape)) * self.dtype.itemsize) for _ in range(number)
        ]
        # Threads may append and pop without a lock.
        self._unused: deque[int] = deque(range(number))

    @property
    def is_short(self) -> bool:
        """Whether all arrays are in use."""
        return not self._unused

    def take(self, length: int) -> tuple[int | None, npt.NDArray[Any]]:
        """Return the number of an unused array and its first rows; where all are in use, None and rows of our own.

        Parameters
        ----------
        length : int
            At most the first number of the shape.

        Returns
        -------
        block : int or None
            It is used again once nothing refers to the rows any more.
        rows : ndarray
            With whatever was in it.
        """
        try:
            block = self._unused.pop()
        except IndexError:
            return None, np.empty((length, *self.shape[1:]), dtype=self.dtype)
        give_back = functools.partial(self._unused.append, block)
        numbers = lent(memoryview(self.blocks[block]), self.dtype, give_back)
        return block, numbers.reshape(self.shape)[:length]


class FillingProcesses:
    """Processes that fill batches, one thread each, until they are closed or nothing refers to them any more.

    Parameters
    ----------
    begin : callable
        As :func:`birdsod.ssd.filling.filled` takes it; it is copied to each process, so it is a value.
    shape : tuple of int
        Of a batch.
    dtype : numpy.dtype
        Of its numbers.
    processes : int
        How many.
    ahead : int
        How many batches are under way beside the one that is being used.
    """

    def __init__(
        self, begin: Begin, shape: tuple[int, ...], dtype: npt.DTypeLike, *, processes: int, ahead: int
    ) -> None:
        pickle.dumps(begin)  # so that what cannot be told to another process is refused here
        self._processes, self._ahead = processes, ahead
        # Under way, the next one, the one in use, and one more, so that no batch must be copied.
        self._memory = SharedBatches(shape, dtype, number=ahead + 3)
        self._pool = ProcessPoolExecutor(
            processes,
            mp_context=_SPAWNING,
            initializer=_join,
            initargs=(begin, self._memory.blocks, shape, self._memory.dtype.str),
        )

    def filled(self, plan: Iterable[Sequence[Place]]) -> Generator[Filled, None, None]:
        """Yield a batch for each step of a plan.

        Parameters
        ----------
        plan : iterable of sequence of Place
            The places of each batch.

        Yields
        ------
        Filled

        Raises
        ------
        RecordError
            If a process was ended.
        """
        open_tasks: deque[_Task] = deque()
        try:
            with _ended_processes_told():
                yield from under_way(functools.partial(self._start, open_tasks), plan, self._ahead)
        finally:
            # Whoever stops early leaves tasks that still write.
            wait([task.answer for task in open_tasks if not task.answer.cancel()])

    def close(self) -> None:
        """End the processes, once they are done with what they have begun."""
        self._pool.shutdown(cancel_futures=True)

    def _start(self, open_tasks: deque[_Task], places: Sequence[Place]) -> Callable[[], Filled]:
        block, images = self._memory.take(len(places))
        cuts = parts(len(places), self._processes, self._ahead)
        open_tasks.extend(_Task(self._pool.submit(_work, places[cut], block, cut), images) for cut in cuts)

        def done() -> Filled:
            drawn: list[Drawn] = []
            for cut in cuts:
                told, pixels = open_tasks[0].answer.result()
                open_tasks.popleft()
                drawn += told
                if pixels is not None:
                    images[cut] = pixels
            # Where batches are kept, a copy is kept: without shared memory the next ones would come through pipes.
            is_last = block is not None and self._memory.is_short
            return Filled(images.copy() if is_last else images, drawn)

        return done


class _Task(NamedTuple):
    """What a process does, with the memory that it writes into, which must not be used again before."""

    answer: Future[Answer]
    images: npt.NDArray[Any]


@contextmanager
def _ended_processes_told() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        message = "a process that made batches was ended"
        cause = "the system wanted its memory, or the script that began it does not ask whether it is __main__"
        cure = 'take fewer processes, or put the loop under if __name__ == "__main__":'
        raise RecordError(message, cause=cause, cure=cure) from error


class _Here(NamedTuple):
    """What a process works with."""

    begin: Begin
    batches: list[npt.NDArray[Any]]


_here: list[_Here] = []


def _join(begin: Begin, blocks: Blocks, shape: tuple[int, ...], dtype: str) -> None:
    """Make this process one that fills batches."""
    import cv2

    # Ctrl-C reaches all processes of a terminal, a scheduler's notice all of a job; the one that has the loop, and may
    # have something to save, ends the others.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    keep_what_is_freed()
    batches = [np.frombuffer(memoryview(block), np.dtype(dtype)).reshape(shape) for block in blocks]
    _here[:] = [_Here(begin, batches)]


def _end_with_parent() -> None:
    """End when the process is gone that has the loop: a kill leaves it no time to say so."""
    parent = multiprocessing.parent_process()
    if parent is not None:  # pragma: no branch - a process that was begun by another has one
        wait_for_any([parent.sentinel])
        os._exit(_GONE)


def _work(places: Sequence[Place], block: int | None, cut: slice) -> Answer:
    here = _here[0]
    slots = np.empty_like(here.batches[0][: len(places)]) if block is None else here.batches[block][cut]
    drawn = [draw(slot) for draw, slot in zip(here.begin(places), slots, strict=True)]
    return drawn, slots if block is None else None
