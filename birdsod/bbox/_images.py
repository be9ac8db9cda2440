"""Boxes and the size of their image: relative and absolute, cut to the image, mirrored with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.bbox._arrays import as_boxes, as_scale

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Clipped", "absolute_to_relative", "clip", "flip_horizontal", "relative_to_absolute"]


class Clipped(NamedTuple):
    """Boxes cut to their image, and what was cut.

    Parameters
    ----------
    boxes : float64 array of shape (..., 4)
        ``xmin ymin xmax ymax`` inside the image.
    cut : float64 array of shape (..., 4)
        How far each side moved, in pixels, never negative; zero where the box lay inside.
    """

    boxes: NDArray[np.float64]
    cut: NDArray[np.float64]


def absolute_to_relative(boxes: ArrayLike, *, width: ArrayLike, height: ArrayLike) -> NDArray[np.float64]:
    """Divide boxes in pixels by the size of their image.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin xmax ymax`` in pixels.
    width, height : array-like
        Size of the image; one number for all boxes, or an array that broadcasts over the boxes (one a box).

    Returns
    -------
    float64 array of shape (..., 4)
        Boxes whose inside is 0 to 1.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers, or a size is not a positive number or does not broadcast.

    Examples
    --------
    >>> absolute_to_relative([[50, 20, 100, 40], [0, 0, 30, 30]], width=[200, 60], height=[80, 60]).tolist()
    [[0.25, 0.25, 0.5, 0.5], [0.0, 0.0, 0.5, 0.5]]
    """
    given = as_boxes(boxes)
    return given / as_scale(given, width, height)


def relative_to_absolute(boxes: ArrayLike, *, width: ArrayLike, height: ArrayLike) -> NDArray[np.float64]:
    """Multiply relative boxes by the size of their image.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin xmax ymax`` as parts of the width and height.
    width, height : array-like
        Size of the image; one number for all boxes, or an array that broadcasts over the boxes (one a box).

    Returns
    -------
    float64 array of shape (..., 4)
        Boxes in pixels.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers, or a size is not a positive number or does not broadcast.

    Examples
    --------
    >>> relative_to_absolute([0.25, 0.25, 0.5, 0.5], width=200, height=80).tolist()
    [50.0, 20.0, 100.0, 40.0]
    """
    given = as_boxes(boxes)
    return given * as_scale(given, width, height)


def clip(boxes: ArrayLike, *, width: ArrayLike, height: ArrayLike) -> Clipped:
    """Cut boxes to their image and tell what was cut.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin xmax ymax`` in pixels.
    width, height : array-like
        Size of the image; one number for all boxes, or an array that broadcasts over the boxes (one a box).

    Returns
    -------
    Clipped
        ``boxes`` inside ``[0, width] x [0, height]``, and ``cut``: how far each side moved. A box that lies
        wholly outside ends empty on the border, which :func:`validate` finds.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers, or a size is not a positive number or does not broadcast.

    Examples
    --------
    >>> boxes, cut = clip([-5, 10, 80, 130], width=100, height=120)
    >>> boxes.tolist(), cut.tolist()
    ([0.0, 10.0, 80.0, 120.0], [5.0, 0.0, 0.0, 10.0])
    """
    given = as_boxes(boxes)
    inside = np.clip(given, 0.0, as_scale(given, width, height))
    return Clipped(inside, np.abs(given - inside))


def flip_horizontal(boxes: ArrayLike, *, width: ArrayLike) -> NDArray[np.float64]:
    """Mirror boxes left to right together with their image.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin xmax ymax`` in pixels.
    width : array-like
        Width of the image; one number for all boxes, or an array that broadcasts over the boxes (one a box).

    Returns
    -------
    float64 array of shape (..., 4)
        ``width - xmax, ymin, width - xmin, ymax``: the pixels inside are the mirrored pixels.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers, or a width is not a positive number or does not broadcast.

    Examples
    --------
    >>> flip_horizontal([60, 27, 385, 331], width=500).tolist()
    [115.0, 27.0, 440.0, 331.0]
    """
    given = as_boxes(boxes)
    scale = as_scale(given, width, 1.0)
    result = np.broadcast_to(given, np.broadcast_shapes(given.shape, scale.shape)).copy()
    result[..., [0, 2]] = scale[..., [0, 2]] - result[..., [2, 0]]
    return result
