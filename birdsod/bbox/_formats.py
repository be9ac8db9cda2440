"""What the four numbers of a box mean, and from one meaning to another."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import numpy as np

from birdsod.bbox._arrays import as_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["BoxFormat", "convert", "cxcywh_to_xyxy", "xywh_to_xyxy", "xyxy_to_cxcywh", "xyxy_to_xywh"]


class BoxFormat(enum.Enum):
    """What the four numbers of a box mean.

    Examples
    --------
    >>> BoxFormat("xywh")
    <BoxFormat.XYWH: 'xywh'>
    """

    XYXY = "xyxy"
    """``xmin ymin xmax ymax``: two corners. What birdsod, RecordIO and Pascal VOC use."""
    XYWH = "xywh"
    """``xmin ymin width height``: a corner and a size. What CUB and COCO use."""
    CXCYWH = "cxcywh"
    """``x y width height``: the centre and a size. What YOLO and anchors use."""


def convert(boxes: ArrayLike, source: BoxFormat, target: BoxFormat) -> NDArray[np.float64]:
    """Turn boxes of one format into another.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        Boxes in the format ``source``.
    source : BoxFormat
        What the numbers mean.
    target : BoxFormat
        What they shall mean.

    Returns
    -------
    float64 array of shape (..., 4)

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers.

    Examples
    --------
    >>> convert([10, 20, 30, 40], BoxFormat.XYWH, BoxFormat.CXCYWH).tolist()
    [25.0, 40.0, 30.0, 40.0]
    """
    if source is target:
        return as_boxes(boxes)
    corners = _TO_XYXY[source](boxes) if source is not BoxFormat.XYXY else as_boxes(boxes)
    return _FROM_XYXY[target](corners) if target is not BoxFormat.XYXY else corners


def xywh_to_xyxy(boxes: ArrayLike) -> NDArray[np.float64]:
    """Turn a corner and a size into two corners.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin width height``, as CUB and COCO write it.

    Returns
    -------
    float64 array of shape (..., 4)
        ``xmin ymin xmax ymax``.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers.

    Examples
    --------
    >>> xywh_to_xyxy([60, 27, 325, 304]).tolist()
    [60.0, 27.0, 385.0, 331.0]
    """
    result = as_boxes(boxes)
    result[..., 2:] += result[..., :2]
    return result


def xyxy_to_xywh(boxes: ArrayLike) -> NDArray[np.float64]:
    """Turn two corners into a corner and a size.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin xmax ymax``.

    Returns
    -------
    float64 array of shape (..., 4)
        ``xmin ymin width height``.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers.

    Examples
    --------
    >>> xyxy_to_xywh([60, 27, 385, 331]).tolist()
    [60.0, 27.0, 325.0, 304.0]
    """
    result = as_boxes(boxes)
    result[..., 2:] -= result[..., :2]
    return result


def cxcywh_to_xyxy(boxes: ArrayLike) -> NDArray[np.float64]:
    """Turn a centre and a size into two corners.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``x y width height`` with ``x y`` the centre, as YOLO writes it.

    Returns
    -------
    float64 array of shape (..., 4)
        ``xmin ymin xmax ymax``.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers.

    Examples
    --------
    >>> cxcywh_to_xyxy([25, 40, 30, 40]).tolist()
    [10.0, 20.0, 40.0, 60.0]
    """
    given = as_boxes(boxes)
    half = given[..., 2:] / 2
    return np.concatenate([given[..., :2] - half, given[..., :2] + half], axis=-1)


def xyxy_to_cxcywh(boxes: ArrayLike) -> NDArray[np.float64]:
    """Turn two corners into a centre and a size.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        ``xmin ymin xmax ymax``.

    Returns
    -------
    float64 array of shape (..., 4)
        ``x y width height`` with ``x y`` the centre.

    Raises
    ------
    BoxError
        If the last axis does not hold four numbers.

    Examples
    --------
    >>> xyxy_to_cxcywh([10, 20, 40, 60]).tolist()
    [25.0, 40.0, 30.0, 40.0]
    """
    given = as_boxes(boxes)
    size = given[..., 2:] - given[..., :2]
    return np.concatenate([given[..., :2] + size / 2, size], axis=-1)


_TO_XYXY = {BoxFormat.XYWH: xywh_to_xyxy, BoxFormat.CXCYWH: cxcywh_to_xyxy}
_FROM_XYXY = {BoxFormat.XYWH: xyxy_to_xywh, BoxFormat.CXCYWH: xyxy_to_cxcywh}
