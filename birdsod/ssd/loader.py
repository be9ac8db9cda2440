"""Batches for training and validation: decoded, changed and resized in threads, ahead of the network.

Which images a batch holds, and how they are changed, depends on the seed and the number of the update alone:
not on the number of threads, and not on where a run was interrupted.
"""

from __future__ import annotations

import functools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from birdsod.errors import RecordError
from birdsod.ssd.augmentation import Augmentation, augment
from birdsod.ssd.windows import Sample, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from os import PathLike

    import numpy.typing as npt

    from birdsod.recordio import RecordReader

__all__ = ["Batch", "RecordSource", "Source", "Stream", "in_order"]

_ORDER, _CHANGES = 0, 1  # apart, so that the order of images tells nothing about their changes
_SLACK = 1e-4  # what four decimals in a list may put a box beyond the edge


class Batch(NamedTuple):
    """Images and labels as the network and its targets take them.

    Parameters
    ----------
    images : ndarray of uint8
        RGB, ``(B, size, size, 3)``.
    labels : ndarray of float32
        Rows ``class, xmin, ymin, xmax, ymax``, filled up with -1, ``(B, most objects, 5)``.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.float32]


class Source(Protocol):
    """Where samples come from, by position."""

    def __len__(self) -> int: ...

    def load(self, position: int) -> tuple[int, Sample]:
        """Return the image id and the decoded sample at a position; threads may call this side by side."""
        ...


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Samples of a ``.rec`` file, and nothing else.

    Parameters
    ----------
    reader : RecordReader
        The open file.
    num_classes : int
        Class ids are below.
    """

    reader: RecordReader
    num_classes: int

    def __len__(self) -> int:
        return len(self.reader)

    def load(self, position: int) -> tuple[int, Sample]:
        """Return the image id and the decoded sample at a position.

        Parameters
        ----------
        position : int
            Position in the file, from 0.

        Returns
        -------
        tuple of int and Sample

        Raises
        ------
        RecordError
            If a label holds a class id or a box that cannot be.
        ImageError
            If the image cannot be decoded.
        """
        from birdsod.image import decode

        record = self.reader[position]
        label = record.boxes
        boxes = np.asarray(label.boxes, dtype=np.float64).reshape(-1, 4)
        class_ids = np.asarray(label.class_ids, dtype=np.int64)
        _check(boxes, class_ids, self.num_classes, self.reader.path, position)
        return int(record.header.id), Sample(decode(record.image), np.clip(boxes, 0, 1), class_ids)


def _check(
    boxes: npt.NDArray[np.float64],
    class_ids: npt.NDArray[np.int64],
    num_classes: int,
    path: str | PathLike[str],
    record: int,
) -> None:
    wrong = (class_ids < 0) | (class_ids >= num_classes)
    if wrong.any():
        message, cure = f"a class id is not below num_classes, {num_classes}", "pack with the class ids 0, 1, 2, ..."
        raise RecordError(message, path=path, record=record, value=int(class_ids[wrong][0]), cure=cure)
    outside = ~((boxes >= -_SLACK) & (boxes <= 1 + _SLACK)).all(axis=1)
    inverted = ~(boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    if (outside | inverted).any():
        value = boxes[outside | inverted][0].tolist()
        message, cause = "a box is inverted or outside its image", "pixels where parts of width and height belong"
        raise RecordError(message, path=path, record=record, value=value, cause=cause)


@dataclass(frozen=True)
class Stream:
    """The endless stream of training batches, by number of update.

    The images pass by again and again, each time in another order; a batch may hold the last of one pass and
    the first of the next, so that no image is ever left out.

    Parameters
    ----------
    source : Source
        The training images.
    size : int
        Side of the images.
    batch_size : int
        Images a batch.
    seed : int
        Of order and changes.
    augmentation : Augmentation
        How much the images are changed.
    """

    source: Source
    size: int
    batch_size: int
    seed: int
    augmentation: Augmentation

    def batch(self, update: int) -> Batch:
        """Return the batch of one update.

        Parameters
        ----------
        update : int
            Counted from 0.

        Returns
        -------
        Batch
        """
        return _stack([self._sample(place) for place in self._places(update)])

    def batches(self, first: int, last: int, *, threads: int = 2, ahead: int = 2) -> Generator[Batch, None, None]:
        """Yield the batches of the updates from ``first`` up to, not including, ``last``.

        Parameters
        ----------
        first, last : int
            Updates, counted from 0.
        threads : int, default 2
            How many samples are made at a time.
        ahead : int, default 2
            How many batches are under way beside the one that is being used.

        Yields
        ------
        Batch
        """
        samples = (functools.partial(self._sample, place) for u in range(first, last) for place in self._places(u))
        sizes = (self.batch_size for _ in range(first, last))
        return _ahead(samples, sizes, threads=threads, ahead=ahead)

    def _places(self, update: int) -> range:
        return range(update * self.batch_size, (update + 1) * self.batch_size)

    def _sample(self, place: int) -> Sample:
        turn, position = divmod(place, len(self.source))
        image_id, sample = self.source.load(int(self._order(turn)[position]))
        random = np.random.default_rng([self.seed, _CHANGES, turn, image_id])
        return augment(sample, random, size=self.size, settings=self.augmentation)

    def _order(self, turn: int) -> npt.NDArray[np.int64]:
        return _shuffled(len(self.source), self.seed, turn)


@functools.lru_cache(maxsize=8)
def _shuffled(number: int, seed: int, turn: int) -> npt.NDArray[np.int64]:
    order = np.random.default_rng([seed, _ORDER, turn]).permutation(number)
    order.setflags(write=False)
    return order


def in_order(
    source: Source, *, size: int, batch_size: int, threads: int = 2, ahead: int = 2
) -> Generator[Batch, None, None]:
    """Yield all images once, unchanged but for their size, in the order of the file; the last batch may be smaller.

    Parameters
    ----------
    source : Source
        The images.
    size : int
        Side of the images.
    batch_size : int
        Images a batch.
    threads, ahead : int
        As for :meth:`Stream.batches`.

    Yields
    ------
    Batch
    """

    def sample(position: int) -> Sample:
        return whole(source.load(position)[1], size=size)

    total = len(source)
    sizes = (min(batch_size, total - first) for first in range(0, total, batch_size))
    return _ahead((functools.partial(sample, k) for k in range(total)), sizes, threads=threads, ahead=ahead)


def _ahead(
    tasks: Iterable[Callable[[], Sample]], sizes: Iterable[int], *, threads: int, ahead: int
) -> Generator[Batch, None, None]:
    """Run tasks in threads and yield their results, so many at a time; no more than ``ahead`` batches wait."""
    todo, waiting = iter(tasks), deque[list[Future[Sample]]]()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="birdsod-loader")
    try:
        for size in sizes:
            waiting.append([pool.submit(next(todo)) for _ in range(size)])
            if len(waiting) > ahead:
                yield _stack([future.result() for future in waiting.popleft()])
        while waiting:
            yield _stack([future.result() for future in waiting.popleft()])
    finally:
        pool.shutdown(cancel_futures=True)


def _stack(samples: list[Sample]) -> Batch:
    most = max(1, *(len(sample.class_ids) for sample in samples))
    labels = np.full((len(samples), most, 5), -1, dtype=np.float32)
    for rows, sample in zip(labels, samples, strict=True):
        rows[: len(sample.class_ids), 0] = sample.class_ids
        rows[: len(sample.class_ids), 1:] = sample.boxes
    return Batch(np.stack([sample.image for sample in samples]), labels)
