"""Work on many images at a time, with answers in order and a bounded number under way."""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

__all__ = ["in_order", "one_core_each", "workers"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AHEAD = 4


def in_order(
    function: Callable[[Item], Answer], items: Iterable[Item], *, executor: Executor | None, ahead: int = 1
) -> Iterator[Answer]:
    """Yield ``function(item)`` in the order of the items; without an executor one after the other, here."""
    if executor is None:
        yield from map(function, items)
        return
    remaining = iter(items)
    waiting: deque[Future[Answer]] = deque(executor.submit(function, item) for item in islice(remaining, ahead))
    while waiting:
        answer = waiting.popleft().result()
        waiting.extend(executor.submit(function, item) for item in islice(remaining, 1))
        yield answer


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[tuple[Executor | None, int]]:
    """Give an executor for so many jobs and the number of items to keep under way; none for one job.

    Threads: decoding, resizing and encoding run outside the interpreter's lock, and a process would first have
    to start and import.
    """
    if jobs == 1:
        yield None, 1
        return
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="birdsod-pack")
    try:
        yield pool, jobs * _AHEAD
    finally:
        # After an error or Ctrl-C what has not begun is dropped, and what runs is awaited.
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def one_core_each(jobs: int) -> Iterator[None]:
    """Keep OpenCV from using all cores for each of several images at a time."""
    if jobs == 1:
        yield
        return
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
