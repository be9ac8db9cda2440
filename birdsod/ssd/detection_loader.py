"""Batches of a record file for a training loop of one's own, with any framework."""

from __future__ import annotations

import contextlib
import functools
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod import _ordered
from birdsod.errors import HyperparameterError, RecordError
from birdsod.recordio import RecordReader
from birdsod.ssd.batch_form import BatchForm
from birdsod.ssd.filling import Drawn, Filled, Memory, Place, filled, label_rows
from birdsod.ssd.filling_processes import FillingProcesses
from birdsod.ssd.loader import RecordSource, shuffled
from birdsod.ssd.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import numpy.typing as npt

    from birdsod.recordio._sources import Location
    from birdsod.ssd.augmentation import Augmentation

__all__ = ["DetectionBatch", "DetectionLoader"]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionBatch:
    """Images with their objects.

    Parameters
    ----------
    images : ndarray
        As the loader's form says, ``(B, 3, size, size)`` unless it says otherwise. ``torch.from_numpy`` takes it
        without a copy. The memory is used again when nothing refers to it any more, so keep what you keep.
    labels : ndarray of float32
        Rows ``class, xmin, ymin, xmax, ymax``, relative to the image and filled up with -1, ``(B, most, 5)``.
    image_ids : ndarray of uint64
        Of the records.
    epoch, number : int
        The place in the run; ``loader.epoch(batch.epoch, first=batch.number + 1)`` goes on behind it.
    """

    images: npt.NDArray[Any]
    labels: npt.NDArray[np.float32]
    image_ids: npt.NDArray[np.uint64]
    epoch: int
    number: int


class DetectionLoader:
    """Batches out of a ``.rec`` file: decoded, changed, resized and put together in threads, ahead of their use.

    What a batch holds depends on the seed, the epoch and its number alone: not on the number of threads or processes,
    and not on where a run was interrupted. Nothing is remembered from one call to the next, so that a loop that wants
    another order and other changes in each epoch says which epoch it is in.

    An epoch that is open, begun and not at its end, has threads, and keeps OpenCV at one thread an image, in the
    whole process: each image is decoded by one core, side by side with others. Both are given back when the epoch
    ends, by an error too, when nothing refers to it any more, as after a ``break``, or is closed, and at the latest
    when the loader is: by :meth:`close`, or at the end of a ``with`` block.

    Parameters
    ----------
    records : RecordReader, path-like or binary file
        Where the images come from.
    batch_size : int, default 32
        Images a batch.
    image_shape : int, default 300
        Width and height of the images, which are stretched to it.
    shuffle : bool, default True
        Whether each epoch has an order of its own, not that of the file.
    seed : int, default 0
        Of order and changes.
    augmentation : Augmentation, optional
        How much the images are changed; without it they are resized and nothing else.
    form : BatchForm, optional
        How the pixels are given: float32 from 0 to 255, channels first, unless it says otherwise.
    most_objects : int, optional
        Rows of labels an image; by default as many as the image with the most objects of the batch needs.
    drop_last : bool, default False
        Whether the last batch is left out where it would be smaller.
    shard, shards : int, default 0 and 1
        Which part of how many this loader gives, for several that train together. All get the same number of
        images; those that are left over change from epoch to epoch.
    reduce : bool, default False
        Whether a JPEG may be decoded at a half, a quarter or an eighth, where what is drawn of it is still made
        of at least as many pixels as it has: quicker on large photographs. The pixels differ, so evaluate without.
    threads : int, optional
        How many images are worked on at a time; by default as many as there are cores.
    processes : int, default 0
        How many processes of their own work on images, one each, in place of threads of this one. They begin with the
        first epoch, under ``if __name__ == "__main__":`` in a script, and end with the loader. Worth their second to
        begin and their memory where images are changed: Python lets only one thread of a process choose at a time.
    ahead : int, default 2
        How many batches are under way beside the one that is being used.

    Raises
    ------
    HyperparameterError
        If a parameter is out of range.
    RecordError
        If the file is missing or malformed, or holds no record.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from birdsod import image
    >>> from birdsod.recordio import RecordWriter
    >>> from birdsod.ssd import Augmentation, BatchForm, DetectionLoader
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "birds.rec"
    >>> with RecordWriter(file) as writer:
    ...     photo = image.encode(np.zeros((60, 80, 3), np.uint8))
    ...     for key in (17, 36, 47):
    ...         writer.write_record(key, [2, 5, 3, 0.25, 0.25, 0.5, 0.75], photo)
    >>> form = BatchForm(mean=(123.68, 116.78, 103.94))
    >>> with DetectionLoader(file, batch_size=2, image_shape=64, augmentation=Augmentation(), form=form) as loader:
    ...     for epoch in range(2):
    ...         for batch in loader.epoch(epoch):
    ...             print(batch.epoch, batch.number, batch.images.shape, batch.images.dtype, batch.labels.shape)
    0 0 (2, 3, 64, 64) float32 (2, 1, 5)
    0 1 (1, 3, 64, 64) float32 (1, 1, 5)
    1 0 (2, 3, 64, 64) float32 (2, 1, 5)
    1 1 (1, 3, 64, 64) float32 (1, 1, 5)
    >>> folder.cleanup()
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own, all named
        self,
        records: RecordReader | Location,
        *,
        batch_size: int = 32,
        image_shape: int = 300,
        shuffle: bool = True,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        form: BatchForm | None = None,
        most_objects: int | None = None,
        drop_last: bool = False,
        shard: int = 0,
        shards: int = 1,
        reduce: bool = False,
        threads: int | None = None,
        processes: int = 0,
        ahead: int = 2,
    ) -> None:
        given = {"most_objects": most_objects, "threads": threads}
        at_least_one = {"batch_size": batch_size, "image_shape": image_shape, "shards": shards}
        _check(1, at_least_one | {name: value for name, value in given.items() if value is not None})
        _check(0, {"seed": seed, "shard": shard, "ahead": ahead, "processes": processes})
        if processes and threads is not None:
            raise HyperparameterError("both threads and processes are given", value=threads, cure="choose one of them")
        if shard >= shards:
            raise HyperparameterError("shard is out of range", value=shard, cure=f"choose 0 to {shards - 1}")
        self._is_own = not isinstance(records, RecordReader)
        self.reader: RecordReader = records if isinstance(records, RecordReader) else RecordReader(records)
        self._epochs: weakref.WeakSet[Generator[DetectionBatch]] = weakref.WeakSet()
        self._processes: FillingProcesses | None = None
        self._closed = False
        if len(self.reader) < shards:
            self.close()
            message = (
                "the file holds no record" if shards == 1 else "the file holds fewer records than there are shards"
            )
            cure = "pack more images, or share them among fewer"
            raise RecordError(message, path=self.reader.path, value=len(self.reader), cure=cure)
        self.batch_size: int = batch_size
        self.image_shape: int = image_shape
        self.form: BatchForm = form or BatchForm()
        self._order = seed if shuffle else None
        self._most, self._drop_last = most_objects, drop_last
        self._part = shard, shards
        source = RecordSource(self.reader, reduce=reduce)
        prepare = Preparation(source, image_shape, seed, augmentation, self.form)
        shape = self.form.shape(batch_size, image_shape)
        if processes:
            self._processes = FillingProcesses(prepare, shape, self.form.dtype, processes=processes, ahead=ahead)
            self._fill = self._processes.filled
        else:
            memory = Memory(shape, self.form.dtype, keep=ahead + 2)
            threads = _ordered.cores() if threads is None else threads
            self._fill = functools.partial(filled, prepare, memory=memory, threads=threads, ahead=ahead)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all epochs that are open, and close the record file if the loader has opened it.

        Threads are awaited, and OpenCV gets back its number of threads. An epoch that is in use ends where it is.

        Raises
        ------
        RecordError
            If another thread waits for a batch at this moment.
        """
        self._closed = True
        for epoch in list(self._epochs):
            try:
                epoch.close()
            except ValueError as error:
                message = "a batch of this loader is being made for another thread"
                cure = "close the loader in the thread that uses its batches"
                raise RecordError(message, path=self.reader.path, cure=cure) from error
        if self._processes is not None:
            self._processes.close()
        if self._is_own:
            self.reader.close()

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        images = len(self.reader) // self._part[1]
        return images // self.batch_size if self._drop_last else -(-images // self.batch_size)

    def __repr__(self) -> str:
        return f"DetectionLoader({self.reader!r}, {len(self)} batches of {self.batch_size})"

    def epoch(self, number: int = 0, *, first: int = 0) -> Generator[DetectionBatch]:
        """Yield the batches of one turn through all images, each of them once.

        Parameters
        ----------
        number : int, default 0
            Which epoch; each has an order and changes of its own.
        first : int, default 0
            The batch to begin with.

        Yields
        ------
        DetectionBatch

        Raises
        ------
        HyperparameterError
            If the epoch is negative, or there is no such batch.
        RecordError, ImageError
            If the loader is closed; for the first image that cannot be given, with its record.
        """
        if self._closed:
            cure = "make another, or use it within its with block"
            raise RecordError("the loader is closed", path=self.reader.path, cure=cure)
        _check(0, {"number": number, "first": first})
        if first > len(self):
            raise HyperparameterError("there is no such batch", value=first, cure=f"choose 0 to {len(self)}")
        positions = self._positions(number)
        starts = range(first * self.batch_size, len(self) * self.batch_size, self.batch_size)
        plan = ([Place(number, k) for k in positions[start : start + self.batch_size]] for start in starts)
        epoch = self._batches(self._fill(plan), number, first)
        self._epochs.add(epoch)
        return epoch

    def _positions(self, epoch: int) -> list[int]:
        total, (shard, shards) = len(self.reader), self._part
        order = np.arange(total) if self._order is None else shuffled(total, self._order, epoch)
        positions: list[int] = order[: total - total % shards][shard::shards].tolist()
        return positions

    def _batches(self, batches: Generator[Filled], epoch: int, first: int) -> Generator[DetectionBatch]:
        with contextlib.closing(batches):
            for number, batch in enumerate(batches, first):
                ids = np.array([image.image_id for image in batch.drawn], dtype=np.uint64)
                labels = label_rows(batch.drawn, self._rows(batch.drawn))
                yield DetectionBatch(batch.images, labels, ids, epoch, number)

    def _rows(self, drawn: Sequence[Drawn]) -> int:
        most = max(1, *(len(image.class_ids) for image in drawn))
        if self._most is None:
            return most
        if most > self._most:
            image = max(drawn, key=lambda image: len(image.class_ids))
            message = f"image {image.image_id} has {most} objects, more than most_objects"
            raise RecordError(message, path=self.reader.path, value=self._most, cure=f"choose at least {most}")
        return self._most


def _check(least: int, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise HyperparameterError(
                f"{name} is out of range", value=value, cure=f"choose a whole number from {least}"
            )
