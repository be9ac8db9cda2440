"""Who works on the images: this thread, some of our own, or whatever executor one has."""

from __future__ import annotations

import contextlib
from concurrent.futures import Executor
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from birdsod import _ordered
from birdsod.errors import BirdsodError, RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

__all__ = ["check_executor", "in_order", "through", "workers"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Images that travel to another process together: fewer journeys, each of a few hundred kilobytes. To a thread, too:
# after an image was decoded the processor's caches hold nothing of the interpreter, which four then share.
_TOGETHER = 4
# Groups under way for each worker of an executor: one that is worked on and one that waits beside it.
_GROUPS_AHEAD = 2
# Where an executor does not tell how many workers it has.
_WORKERS_UNKNOWN = 32


def in_order(
    function: Callable[[Item], Answer], items: Iterable[Item], *, executor: Executor | None, ahead: int = 1
) -> Iterator[Answer]:
    """Yield ``function(item)`` in the order of the items; without an executor one after the other, here.

    At most twice as many items as ``ahead`` are under way: groups, behind some single items at the beginning.
    """
    if executor is None:
        yield from map(function, items)
        return
    each, remaining = partial(_each, function), iter(items)
    # One by one at first, so that few items are shared by all threads too.
    groups = chain(([item] for item in islice(remaining, ahead)), _grouped(remaining))
    under_way = max(1, ahead * _GROUPS_AHEAD // _TOGETHER)
    with contextlib.closing(_ordered.in_order(each, groups, executor=executor, ahead=under_way)) as answers:
        for group in answers:
            yield from group


@contextlib.contextmanager
def workers(jobs: int, *, decoding: bool = True) -> Iterator[tuple[Executor | None, int]]:
    """Give an executor for so many jobs and the number of items to keep under way; none for one job.

    Threads: decoding, resizing and encoding run outside the interpreter's lock, and a process would first have
    to start and import. Where images are decoded, OpenCV does not use all cores for each of several meanwhile;
    elsewhere it need not be loaded.
    """
    _ordered.keep_what_is_freed()
    if jobs == 1:
        yield None, 1
        return
    alone = _ordered.one_thread_each() if decoding else contextlib.nullcontext()
    with alone, _ordered.thread_pool(jobs) as pool:
        yield pool, jobs * _ordered.AHEAD


def through(
    executor: Executor, function: Callable[[Item], Answer], items: Iterable[Item], *, jobs: int | None
) -> Generator[Answer, None, None]:
    """Yield ``function(item)`` in the order of the items, worked on by someone else's executor.

    It is not shut down; what has not begun when the caller stops is cancelled. Function, items and answers must be
    picklable where its workers are processes.
    """
    crew = getattr(executor, "_max_workers", _WORKERS_UNKNOWN) if jobs is None else jobs
    each, ahead = partial(_each, function), crew * _GROUPS_AHEAD
    with contextlib.closing(_ordered.in_order(each, _grouped(items), executor=executor, ahead=ahead)) as groups:
        for group in _told(groups):
            yield from group


def check_executor(executor: object) -> None:
    """Refuse what is no executor."""
    if executor is not None and not isinstance(executor, Executor):
        cure = "give one of concurrent.futures, or client.get_executor() of Dask"
        raise RecordError("the executor is none", value=executor, cure=cure)


def _each(function: Callable[[Item], Answer], items: list[Item]) -> list[Answer]:
    return [function(item) for item in items]


def _grouped(items: Iterable[Item]) -> Iterator[list[Item]]:
    remaining = iter(items)
    while group := list(islice(remaining, _TOGETHER)):
        yield group


def _told(groups: Iterator[list[Answer]]) -> Iterator[list[Answer]]:
    """Tell what befell the executor; what befell an image is told by the work itself."""
    try:
        yield from groups
    except BirdsodError:
        raise
    except Exception as error:
        cause = f"a worker was killed, or ran out of memory ({type(error).__name__}: {error})"
        cure = "give a new executor; packing with resume=True goes on with what is there"
        raise RecordError("the executor did not do its work", cause=cause, cure=cure) from error
