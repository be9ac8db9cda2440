"""Array-likes to checked arrays: boxes, and the sizes of their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import BoxError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["as_boxes", "as_scale"]


def as_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    try:
        result = np.array(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BoxError("boxes must be numbers, four a box", cause=str(error)) from error
    if result.shape == (0,):
        return result.reshape(0, 4)
    if result.ndim == 0 or result.shape[-1] != 4:  # noqa: PLR2004 - a box has four numbers
        message = "the last axis of boxes must hold four numbers"
        raise BoxError(message, value=result.shape, cure="give an array of shape (..., 4)")
    return result


def as_scale(
    boxes: NDArray[np.float64], width: ArrayLike, height: ArrayLike, *, finite: bool = True
) -> NDArray[np.float64]:
    """Return ``width height width height`` for each box, checked."""
    sides = []
    for name, given in (("width", width), ("height", height)):
        side = np.asarray(given, dtype=np.float64)
        if not (side > 0).all() or (finite and np.isinf(side).any()):
            message = f"the {name} of an image must be a positive number"
            raise BoxError(
                message, value=side[~((side > 0) & np.isfinite(side))].tolist() if side.ndim else side.item()
            )
        sides.append(side)
    try:
        both = np.stack(np.broadcast_arrays(*sides), axis=-1)
        np.broadcast_shapes(boxes.shape[:-1], both.shape[:-1])
    except ValueError as error:
        shapes = (boxes.shape, sides[0].shape, sides[1].shape)
        message = "width and height do not broadcast over the boxes"
        raise BoxError(message, value=shapes, cure="give one number, or one for each box") from error
    return np.concatenate([both, both], axis=-1)
