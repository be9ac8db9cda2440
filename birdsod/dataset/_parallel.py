"""Threads for work that waits on files or runs outside the interpreter, with answers in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AHEAD = 4


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_order(function: Callable[[Item], Answer], items: Iterable[Item], *, threads: int) -> Iterator[Answer]:
    """Yield ``function(item)`` in the order of the items, working a bounded number ahead.

    When the caller stops early, on an error or Ctrl-C, what has not begun is dropped and what runs is awaited.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="birdsod")
    remaining = iter(items)
    try:
        waiting: deque[Future[Answer]] = deque(
            pool.submit(function, item) for item in islice(remaining, threads * _AHEAD)
        )
        while waiting:
            answer = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(remaining, 1))
            yield answer
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
