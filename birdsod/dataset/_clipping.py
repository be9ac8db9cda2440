"""Boxes that reach outside their image, cut to it and told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from birdsod.errors import BoxError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from birdsod.dataset._record import ImageRecord

__all__ = ["ClippedBox", "boxes_inside"]

_NOISE = 1e-6
_CURE = "correct the box, or take the image out of the set"


@dataclass(frozen=True, slots=True)
class ClippedBox:
    """A box that reached outside its image and was cut.

    Parameters
    ----------
    image_id : int
        Number of the image.
    name : str
        Path of the image, as in the list.
    object_index : int
        Which of the image's objects, counted from 0.
    before, after : tuple of float
        ``xmin ymin xmax ymax`` in pixels.
    """

    image_id: int
    name: str
    object_index: int
    before: tuple[float, ...]
    after: tuple[float, ...]


def boxes_inside(
    image: ImageRecord, *, outside: Literal["clip", "raise"]
) -> tuple[NDArray[np.float64], tuple[ClippedBox, ...]]:
    """Return the boxes of an image cut to it, and those that were cut.

    Raises
    ------
    BoxError
        If a box lies wholly outside its image, or reaches outside it under ``outside="raise"``.
    """
    from birdsod import bbox

    limits = {"width": image.width, "height": image.height}
    inside, cut = bbox.clip(image.boxes, **limits)
    try:
        bbox.validate(image.boxes, **(limits if outside == "raise" else {}), tolerance=_NOISE)
        bbox.validate(inside)
    except BoxError as error:
        index = error.record or 0
        message = f"object {index} of image {image.image_id}: {error.message}"
        raise BoxError(message, path=image.name, value=image.boxes[index].tolist(), cure=_CURE) from error
    clipped = tuple(
        ClippedBox(image.image_id, image.name, row, tuple(image.boxes[row].tolist()), tuple(inside[row].tolist()))
        for row in np.flatnonzero((cut > _NOISE).any(axis=-1)).tolist()
    )
    return inside, clipped
