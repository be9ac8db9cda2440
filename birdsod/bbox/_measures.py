"""Area and overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.bbox._arrays import as_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["area", "iou"]


def area(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return the area of boxes.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin xmax ymax``.

    Returns
    -------
    float64 array of shape (...)
        Width times height; 0 for an inverted box.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers.

    Examples
    --------
    >>> area([[0, 0, 4, 5], [3, 3, 3, 9]]).tolist()
    [20.0, 0.0]
    """
    given = as_boxes(boxes)
    size = np.maximum(given[..., 2:] - given[..., :2], 0.0)
    return np.asarray(size[..., 0] * size[..., 1])


def iou(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Return how much each box overlaps each of the others: intersection over union.

    Parameters
    ----------
    boxes : array-like of shape (..., N, 4)
        ``xmin ymin xmax ymax``.
    others : array-like of shape (..., M, 4)
        In the same unit.

    Returns
    -------
    float64 array of shape (..., N, M)
        Between 0 and 1; 0 where both boxes are empty.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers.

    Examples
    --------
    >>> iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]]).round(4).tolist()
    [[1.0, 0.3333, 0.0]]
    """
    left = np.atleast_2d(as_boxes(boxes))
    right = np.atleast_2d(as_boxes(others))
    low = np.maximum(left[..., :, None, :2], right[..., None, :, :2])
    high = np.minimum(left[..., :, None, 2:], right[..., None, :, 2:])
    shared = area(np.concatenate([low, high], axis=-1))
    union = area(left)[..., :, None] + area(right)[..., None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
