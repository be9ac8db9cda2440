"""Work on many items at a time, with answers in order and a bounded number under way."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Executor, Future

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_KEPT = 16 << 20
AHEAD = 4
"""Items under way for each worker, so that none waits while the slowest is at work."""


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Answer], items: Iterable[Item], *, executor: Executor, ahead: int
) -> Generator[Answer, None, None]:
    """Yield ``function(item)`` in the order of the items, working so many items ahead.

    When the caller stops early, or an answer raises, what has not begun is cancelled.
    """
    remaining = iter(items)
    waiting: deque[Future[Answer]] = deque()
    try:
        waiting.extend(executor.submit(function, item) for item in islice(remaining, ahead))
        while waiting:
            answer = waiting.popleft().result()
            waiting.extend(executor.submit(function, item) for item in islice(remaining, 1))
            yield answer
    finally:
        for future in waiting:
            future.cancel()


def in_threads(function: Callable[[Item], Answer], items: Iterable[Item], *, threads: int) -> Iterator[Answer]:
    """Yield ``function(item)`` in the order of the items, worked on by so many threads of their own.

    For work that waits on files or runs outside the interpreter's lock.
    """
    with thread_pool(threads) as pool:
        yield from in_order(function, items, executor=pool, ahead=threads * AHEAD)


@contextlib.contextmanager
def thread_pool(threads: int) -> Iterator[Executor]:
    """Give threads; at the end what has not begun is dropped and what runs is awaited, also after an error."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="birdsod")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def keep_what_is_freed() -> None:
    """Have the memory of each decoded image used for the next one.

    The C library of GNU/Linux returns freed blocks to the system unless a larger one was freed before, and the
    system fills each with zeros again: a sixth of loading, a twentieth of packing. Elsewhere this does nothing.
    """
    import numpy as np

    np.empty(_KEPT, dtype=np.uint8)


_guard = threading.Lock()
_inside: list[int] = []  # OpenCV's number of threads as it was, once for each that is inside


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep OpenCV from splitting each image among all cores, while images are worked on side by side.

    The number is one for the whole process. What was set before comes back when the last of several that overlap
    is done.

    Yields
    ------
    None
    """
    import cv2

    with _guard:
        _inside.append(_inside[0] if _inside else cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _guard:
            before = _inside.pop()
            if not _inside:
                cv2.setNumThreads(before)
