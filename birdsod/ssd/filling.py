"""Batches that threads fill ahead of whoever uses them, in order, in memory that is used again."""

from __future__ import annotations

import functools
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from birdsod._ordered import keep_what_is_freed, one_thread_each

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    import numpy.typing as npt

__all__ = [
    "Begin",
    "Draw",
    "Drawn",
    "Filled",
    "Memory",
    "Place",
    "filled",
    "label_rows",
    "lent",
    "one_thread_each",
    "parts",
    "under_way",
]

_MOST_TOGETHER = 8  # images a task: choices for several at once take hardly longer than for one


class Place(NamedTuple):
    """The image at a position, as it is changed in a turn through all images."""

    turn: int
    position: int


class Drawn(NamedTuple):
    """What there is to tell of an image whose pixels are drawn: its id and its objects."""

    image_id: int
    boxes: npt.NDArray[np.float64]
    class_ids: npt.NDArray[np.int64]


Draw: TypeAlias = "Callable[[npt.NDArray[Any]], Drawn]"
"""Puts the pixels of an image that was chosen into their place, and tells of it."""

Begin: TypeAlias = "Callable[[Sequence[Place]], Sequence[Draw]]"
"""Reads and chooses all about the images of some places but their pixels, and returns what draws those."""


class Filled(NamedTuple):
    """Pixels of a batch, and what there is to tell of each image."""

    images: npt.NDArray[Any]
    drawn: list[Drawn]


class Memory:
    """Arrays of one shape, whose memory is used again once nothing refers to it any more.

    A batch is tens of megabytes; fresh from the system it costs nearly as much as resizing its images.

    Parameters
    ----------
    shape : tuple of int
        Of the arrays.
    dtype : numpy.dtype
        Of their numbers.
    keep : int
        How many unused ones are kept.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, keep: int) -> None:
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._size = int(np.prod(shape)) * self._dtype.itemsize
        # Threads may append and pop without a lock.
        self._unused: deque[npt.NDArray[np.uint8]] = deque(maxlen=keep)

    def take(self, length: int) -> npt.NDArray[Any]:
        """Return an array, cut to so many rows, with whatever was in it.

        Parameters
        ----------
        length : int
            At most the first number of the shape.

        Returns
        -------
        ndarray
        """
        try:
            block = self._unused.pop()
        except IndexError:
            block = np.empty(self._size, dtype=np.uint8)
        numbers = lent(block.data, self._dtype, functools.partial(self._unused.append, block))
        return numbers.reshape(self._shape)[:length]


def lent(memory: memoryview, dtype: npt.DTypeLike, give_back: Callable[[], object]) -> npt.NDArray[Any]:
    """Return memory as an array, and be told when nothing refers to it or to a view of it any more.

    Parameters
    ----------
    memory : memoryview
        Whole numbers of that type.
    dtype : numpy.dtype
        Of the numbers.
    give_back : callable
        Called then, but not where the program ends.

    Returns
    -------
    ndarray
        Of one dimension.
    """
    # All views of this array hold it, since what it is made of is no array; so when it goes, they are gone too.
    numbers = np.frombuffer(memory, dtype=dtype)
    weakref.finalize(numbers, give_back).atexit = False
    return numbers


def filled(
    begin: Begin,
    plan: Iterable[Sequence[Place]],
    memory: Memory,
    *,
    threads: int,
    ahead: int,
) -> Generator[Filled, None, None]:
    """Yield a batch for each step of a plan.

    Parameters
    ----------
    begin : callable
        Reads and chooses all about the images of some places but their pixels, and returns what draws those into
        their slots. Called in threads, for several images before the first of them is drawn: decoding leaves the
        processor's caches with nothing of Python, so that the same choices take twice as long right behind it.
    plan : iterable of sequence of Place
        The places of each batch.
    memory : Memory
        Gives the arrays.
    threads : int
        How many images are worked on at a time.
    ahead : int
        How many batches are under way beside the one that is being used.

    Yields
    ------
    Filled
    """

    def work(places: Sequence[Place], slots: npt.NDArray[Any]) -> list[Drawn]:
        return [draw(slot) for draw, slot in zip(begin(places), slots, strict=True)]

    def start(places: Sequence[Place]) -> Callable[[], Filled]:
        images = memory.take(len(places))
        tasks = [pool.submit(work, places[cut], images[cut]) for cut in parts(len(places), threads, ahead)]
        return lambda: Filled(images, [drawn for task in tasks for drawn in task.result()])

    pool = ThreadPoolExecutor(threads, thread_name_prefix="birdsod-loader")
    keep_what_is_freed()
    with one_thread_each():
        try:
            yield from under_way(start, plan, ahead)
        finally:
            pool.shutdown(cancel_futures=True)


def parts(length: int, workers: int, ahead: int) -> list[slice]:
    """Return what of a batch is worked on together.

    Parameters
    ----------
    length : int
        Images.
    workers : int
        How many work at a time.
    ahead : int
        How many batches are under way beside the one that is being used.

    Returns
    -------
    list of slice
    """
    # Two tasks for each worker at least, as far as batches are under way.
    each = min(max(1, length * (1 + ahead) // (2 * workers)), _MOST_TOGETHER)
    return [slice(first, min(first + each, length)) for first in range(0, length, each)]


def under_way(
    start: Callable[[Sequence[Place]], Callable[[], Filled]], plan: Iterable[Sequence[Place]], ahead: int
) -> Generator[Filled, None, None]:
    """Yield a batch for each step of a plan, with later ones started.

    Parameters
    ----------
    start : callable
        Has a batch made, and returns what waits for it.
    plan : iterable of sequence of Place
        The places of each batch.
    ahead : int
        How many batches are under way beside the one that is being used.

    Yields
    ------
    Filled
    """
    waiting: deque[Callable[[], Filled]] = deque()
    for places in plan:
        waiting.append(start(places))
        if len(waiting) > ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def label_rows(drawn: Sequence[Drawn], most: int) -> npt.NDArray[np.float32]:
    """Return rows ``class, xmin, ymin, xmax, ymax`` of each image, filled up with -1, ``(B, most, 5)``.

    Parameters
    ----------
    drawn : sequence of Drawn
        None has more than ``most`` objects.
    most : int
        Rows of each.

    Returns
    -------
    ndarray of float32
    """
    labels = np.full((len(drawn), most, 5), -1, dtype=np.float32)
    for rows, image in zip(labels, drawn, strict=True):
        rows[: len(image.class_ids), 0] = image.class_ids
        rows[: len(image.class_ids), 1:] = image.boxes
    return labels
