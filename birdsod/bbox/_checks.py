"""Say which box is wrong, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.bbox._arrays import as_boxes, as_scale
from birdsod.errors import BoxError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["validate"]


_SIDES = ("xmin", "ymin", "xmax", "ymax")


def validate(
    boxes: ArrayLike,
    *,
    width: ArrayLike | None = None,
    height: ArrayLike | None = None,
    tolerance: float = 1e-6,
) -> None:
    """Raise for the first box that is not finite, inverted, empty or outside its image.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin xmax ymax``.
    width, height : array-like, optional
        Size of the image, in the unit of the boxes (1 for relative boxes); one number for all boxes, or an
        array that broadcasts over the boxes. Without them, "outside" is not checked on that axis.
    tolerance : float, default 1e-6
        How far outside a box may reach. It is there for float noise only.

    Raises
    ------
    BoxError
        With the row in ``record``, the box in ``value`` and what is wrong with it.

    Examples
    --------
    >>> validate([[60, 27, 385, 331]], width=500, height=335)
    >>> validate([[60, 27, 385, 331], [9, 0, 5, 5]], width=500, height=335)
    Traceback (most recent call last):
    ...
    birdsod.errors.BoxError: record 1: the box is inverted, xmax < xmin (got [9.0, 0.0, 5.0, 5.0])
    """
    given = as_boxes(boxes)
    outer = as_scale(given, np.inf if width is None else width, np.inf if height is None else height, finite=False)
    given = np.broadcast_to(given, np.broadcast_shapes(given.shape, outer.shape)).reshape(-1, 4)
    outer = np.broadcast_to(outer, given.shape) if outer.ndim == 1 else outer.reshape(-1, 4)
    inner = np.where(np.isinf(outer), -np.inf, 0.0)
    outside = (given < inner - tolerance) | (given > outer + tolerance)
    sound = np.isfinite(given).all(axis=-1) & (given[:, 2:] > given[:, :2]).all(axis=-1) & ~outside.any(axis=-1)
    if not sound.all():
        row = int(np.argmin(sound))
        message = f"the box {_fault(given[row], outer[row], outside[row])}"
        raise BoxError(message, record=row, value=given[row].tolist())


def _fault(box: NDArray[np.float64], outer: NDArray[np.float64], outside: NDArray[np.bool_]) -> str:
    for side, number in zip(_SIDES, box, strict=True):
        if not np.isfinite(number):
            return f"is not finite, {side} is {number}"
    for low, high in ((0, 2), (1, 3)):
        if box[high] <= box[low]:
            how, sign = ("inverted", "<") if box[high] < box[low] else ("empty", "==")
            return f"is {how}, {_SIDES[high]} {sign} {_SIDES[low]}"
    worst = int(np.argmax(outside))
    beyond = "below 0" if box[worst] < 0 else f"above {outer[worst]:g}"
    return f"lies outside its image, {_SIDES[worst]} is {beyond}"
