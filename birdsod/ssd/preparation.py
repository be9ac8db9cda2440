"""What is done to each image of a record file before it stands in a batch."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod.ssd.loader import changed, unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from birdsod.ssd.augmentation import Augmentation
    from birdsod.ssd.batch_form import BatchForm
    from birdsod.ssd.filling import Draw, Drawn, Place
    from birdsod.ssd.sources import Source

__all__ = ["Preparation"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to each image: a value, so that other processes can be told.

    Parameters
    ----------
    source : Source
        The images.
    size : int
        Side of the result.
    seed : int
        Of the changes.
    augmentation : Augmentation or None
        How much the images are changed; None resizes them and nothing else.
    form : BatchForm
        How their pixels are given.
    """

    source: Source
    size: int
    seed: int
    augmentation: Augmentation | None
    form: BatchForm

    def __call__(self, places: Sequence[Place]) -> list[Draw]:
        """Read and choose all about some images but their pixels.

        Parameters
        ----------
        places : sequence of Place
            Which ones, and in which turn.

        Returns
        -------
        list of callable
            One an image: puts its pixels into their slot, and tells of it.
        """
        if self.augmentation is None:
            draws = unchanged(self.source, places)
        else:
            draws = changed(self.source, places, self.seed, self.augmentation)
        if self.form.dtype == "uint8" and self.form.layout == "NHWC":
            return draws
        return [functools.partial(self._convert, draw) for draw in draws]

    def _convert(self, draw: Draw, slot: npt.NDArray[Any]) -> Drawn:
        pixels = np.empty((self.size, self.size, 3), dtype=np.uint8)
        drawn = draw(pixels)
        self.form.write(pixels, slot)
        return drawn
