"""Batches for training and validation: decoded, changed and resized in threads or processes, ahead of the network.

Which images a batch holds, and how they are changed, depends on the seed and the number of the update alone:
not on how many make them, and not on where a run was interrupted.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.ssd.augmentation import Augmentation, choose_changes
from birdsod.ssd.filling import Draw, Drawn, Memory, Place, filled, label_rows
from birdsod.ssd.filling_processes import FillingProcesses
from birdsod.ssd.sources import RecordSource, Source
from birdsod.ssd.windows import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    import numpy.typing as npt

    from birdsod.ssd.windows import Sample

__all__ = ["Batch", "RecordSource", "Source", "Stream", "changed", "in_order", "shuffled", "unchanged"]

_ALL = slice(None)
_ORDER, _CHANGES = 0, 1  # apart, so that the order of images tells nothing about their changes


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
    share : slice, optional
        Which images of each batch are made, where other processes make the others; all, unless given.
    """

    source: Source
    size: int
    batch_size: int
    seed: int
    augmentation: Augmentation
    share: slice = field(default_factory=lambda: _ALL)

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
        with contextlib.closing(self.batches(update, update + 1, threads=1, ahead=0)) as batches:
            return next(batches)

    def batches(
        self, first: int, last: int, *, threads: int = 2, processes: int = 0, ahead: int = 2
    ) -> Generator[Batch, None, None]:
        """Yield the batches of the updates from ``first`` up to, not including, ``last``.

        Parameters
        ----------
        first, last : int
            Updates, counted from 0.
        threads : int, default 2
            How many samples are made at a time.
        processes : int, default 0
            How many processes make them in place of the threads.
        ahead : int, default 2
            How many batches are under way beside the one that is being used.

        Yields
        ------
        Batch
        """
        plan = (self._places(update) for update in range(first, last))
        images = len(range(self.batch_size)[self.share])
        return _batches(self._begin, plan, (images, self.size), threads=threads, processes=processes, ahead=ahead)

    def _places(self, update: int) -> list[Place]:
        number, first = len(self.source), update * self.batch_size
        turns = (divmod(k, number) for k in range(first, first + self.batch_size)[self.share])
        return [Place(turn, int(shuffled(number, self.seed, turn)[k])) for turn, k in turns]

    def _begin(self, places: Sequence[Place]) -> list[Draw]:
        return changed(self.source, places, self.seed, self.augmentation)


def changed(source: Source, places: Sequence[Place], seed: int, augmentation: Augmentation) -> list[Draw]:
    """Return what draws images as they are changed in a turn.

    Parameters
    ----------
    source : Source
        The images.
    places : sequence of Place
        Which ones, and in which turn.
    seed : int
        Of the changes.
    augmentation : Augmentation
        How much they are changed.

    Returns
    -------
    list of callable
        One an image: takes the place for the pixels, ``(size, size, 3)``, and tells of them.
    """
    loaded = [(place.turn, *source.load(place.position)) for place in places]
    randoms = [np.random.default_rng([seed, _CHANGES, turn, image_id]) for turn, image_id, _ in loaded]
    changes = choose_changes([picture for *_, picture in loaded], randoms, augmentation)
    draws = [functools.partial(change.draw, picture) for change, (*_, picture) in zip(changes, loaded, strict=True)]
    return [functools.partial(_draw, image_id, draw) for draw, (_, image_id, _) in zip(draws, loaded, strict=True)]


def unchanged(source: Source, places: Sequence[Place]) -> list[Draw]:
    """Return what draws images as they are, but for their size.

    Parameters
    ----------
    source : Source
        The images.
    places : sequence of Place
        Which ones.

    Returns
    -------
    list of callable
        One an image: takes the place for the pixels, ``(size, size, 3)``, and tells of them.
    """
    loaded = [source.load(place.position) for place in places]
    return [functools.partial(_draw, image_id, functools.partial(whole, picture)) for image_id, picture in loaded]


def _draw(image_id: int, draw: Callable[..., Sample], out: npt.NDArray[np.uint8]) -> Drawn:
    sample = draw(size=len(out), out=out)
    return Drawn(image_id, sample.boxes, sample.class_ids)


@functools.lru_cache(maxsize=8)
def shuffled(number: int, seed: int, turn: int) -> npt.NDArray[np.int64]:
    """Return the order in which so many images pass in a turn; read-only.

    Parameters
    ----------
    number : int
        How many images there are.
    seed : int
        Of the order.
    turn : int
        Counted from 0.

    Returns
    -------
    ndarray of int64
    """
    order = np.random.default_rng([seed, _ORDER, turn]).permutation(number)
    order.setflags(write=False)
    return order


def in_order(
    source: Source, *, size: int, batch_size: int, threads: int = 2, ahead: int = 2, share: slice = _ALL
) -> Generator[Batch, None, None]:
    """Yield images once, unchanged but for their size, in the order of the file; the last batch may be smaller.

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
    share : slice, optional
        Of the positions: which images; all, unless given.

    Yields
    ------
    Batch
    """
    places = [Place(0, position) for position in range(len(source))[share]]
    plan = (places[first : first + batch_size] for first in range(0, len(places), batch_size))
    begin = functools.partial(unchanged, source)
    return _batches(begin, plan, (batch_size, size), threads=threads, ahead=ahead)


def _batches(
    begin: Callable[[Sequence[Place]], list[Draw]],
    plan: Iterable[Sequence[Place]],
    shape: tuple[int, int],
    *,
    threads: int,
    processes: int = 0,
    ahead: int,
) -> Generator[Batch, None, None]:
    batch_size, size = shape
    form = (batch_size, size, size, 3), np.uint8
    # Closed here and not by the collector: whoever stops early gets threads and processes back at once.
    with contextlib.ExitStack() as stack:
        if processes:
            crew = FillingProcesses(begin, *form, processes=processes, ahead=ahead)
            batches = stack.enter_context(contextlib.closing(crew)).filled(plan)
        else:
            batches = filled(begin, plan, Memory(*form, keep=ahead + 1), threads=threads, ahead=ahead)
        for batch in stack.enter_context(contextlib.closing(batches)):
            most = max(1, *(len(image.class_ids) for image in batch.drawn))
            yield Batch(batch.images, label_rows(batch.drawn, most))
