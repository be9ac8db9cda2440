"""An image with its objects, and what a window onto it shows; boxes move with their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["FILL", "Sample", "Window", "centred", "look_through", "mirror", "whole"]

FILL = 127
"""The grey beyond the edges of an image."""


class Sample(NamedTuple):
    """An image with its objects.

    Parameters
    ----------
    image : ndarray of uint8
        RGB, ``(height, width, 3)``.
    boxes : ndarray of float64
        Relative corners, ``(k, 4)``.
    class_ids : ndarray of int64
        ``(k,)``.
    """

    image: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float64]
    class_ids: npt.NDArray[np.int64]


class Window(NamedTuple):
    """A part of the plane of an image in whole pixels; it may reach beyond the image."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.bottom - self.top


def whole(sample: Sample, *, size: int) -> Sample:
    """Return the whole image, ``size`` pixels wide and high: what validation sees.

    Parameters
    ----------
    sample : Sample
        The image and its objects.
    size : int
        Side of the result.

    Returns
    -------
    Sample
    """
    height, width = sample.image.shape[:2]
    return look_through(sample, Window(0, 0, width, height), size=size, interpolation=1)


def mirror(sample: Sample) -> Sample:
    """Return the mirror image with its objects.

    Parameters
    ----------
    sample : Sample
        The image and its objects.

    Returns
    -------
    Sample
    """
    left, top, right, bottom = sample.boxes.T
    return sample._replace(image=sample.image[:, ::-1], boxes=np.stack([1 - right, top, 1 - left, bottom], axis=1))


def centred(window: Window, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which boxes, in pixels, have their centre inside the window.

    Parameters
    ----------
    window : Window
        The part of the plane.
    boxes : ndarray of float64
        Corners in pixels, ``(k, 4)``.

    Returns
    -------
    ndarray of bool
        ``(k,)``.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: npt.NDArray[np.bool_] = np.all((centres >= window[:2]) & (centres <= window[2:]), axis=1)
    return inside


def look_through(sample: Sample, window: Window, *, size: int, interpolation: int = 1) -> Sample:
    """Return what a window shows, drawn ``size`` pixels wide and high; beyond the image it shows grey.

    Parameters
    ----------
    sample : Sample
        The image and its objects.
    window : Window
        The part of the plane.
    size : int
        Side of the result.
    interpolation : int, default 1
        OpenCV's number of the way to resize: 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos.

    Returns
    -------
    Sample
        Objects whose centre is outside the window are gone, the others are cut at its edges.
    """
    height, width = sample.image.shape[:2]
    seen = Window(max(window.left, 0), max(window.top, 0), min(window.right, width), min(window.bottom, height))
    across = _Axis.of(seen.left, seen.right, window.left, window.right, size)
    down = _Axis.of(seen.top, seen.bottom, window.top, window.bottom, size)
    image = np.full((size, size, 3), FILL, dtype=np.uint8)
    if across.drawn and down.drawn:
        part = sample.image[seen.top : seen.bottom, seen.left : seen.right]
        image[down.start : down.stop, across.start : across.stop] = _resize(part, across, down, interpolation)
    boxes = sample.boxes * (width, height, width, height)
    kept = centred(window, boxes)
    moved = np.stack([axis(boxes[kept, column]) for column, axis in enumerate((across, down, across, down))], axis=1)
    moved = np.clip(moved / size, 0.0, 1.0)
    open_ = ((moved[:, 2:] - moved[:, :2]) * size > 1e-3).all(axis=1)  # noqa: PLR2004 - a thousandth of a pixel
    return Sample(image, moved[open_], sample.class_ids[kept][open_])


class _Axis(NamedTuple):
    """Where the seen pixels ``first`` to ``last`` of one axis are drawn: from ``start`` to ``stop``."""

    first: int
    last: int
    start: int
    stop: int

    @classmethod
    def of(cls, first: int, last: int, low: int, high: int, size: int) -> _Axis:
        scale = size / (high - low)
        start = min(size - 1, round((first - low) * scale))
        return cls(first, last, start, min(size, max(start + 1, round((last - low) * scale))))

    @property
    def drawn(self) -> bool:
        return self.last > self.first

    def __call__(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if not self.drawn:
            return places * 0.0
        return self.start + (places - self.first) * ((self.stop - self.start) / (self.last - self.first))


def _resize(part: npt.NDArray[np.uint8], across: _Axis, down: _Axis, interpolation: int) -> npt.NDArray[np.uint8]:
    import cv2

    shape = (across.stop - across.start, down.stop - down.start)
    return cv2.resize(np.ascontiguousarray(part), shape, interpolation=interpolation).astype(np.uint8, copy=False)
