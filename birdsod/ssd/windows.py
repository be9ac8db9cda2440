"""An image with its objects, and what a window onto it shows; boxes move with their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = ["FILL", "Picture", "Sample", "Window", "look_through", "mirror", "whole"]

FILL = 127
"""The grey beyond the edges of an image."""

_REDUCTIONS = (8, 4, 2)
_THINNEST = 1e-3
"""What is no wider or no higher, in pixels, is no object any more."""


class Picture(Protocol):
    """An image with its objects, whose pixels may still have to be decoded."""

    @property
    def width(self) -> int:
        """Pixels across."""
        ...

    @property
    def height(self) -> int:
        """Pixels down."""
        ...

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """Relative corners, ``(k, 4)``."""
        ...

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        """One an object, ``(k,)``."""
        ...

    def pixels(self, reduction: int) -> tuple[npt.NDArray[np.uint8], int]:
        """Return the RGB pixels, perhaps made smaller, and how many times smaller: at most what was asked for.

        Parameters
        ----------
        reduction : int
            1, 2, 4 or 8: as much smaller as they may be, rounded up.

        Returns
        -------
        tuple of uint8 array of shape (height, width, 3) and int
        """
        ...


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

    @property
    def width(self) -> int:
        """Pixels across."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Pixels down."""
        return int(self.image.shape[0])

    def pixels(self, reduction: int) -> tuple[npt.NDArray[np.uint8], int]:  # noqa: ARG002 - they are there already
        """Return the pixels as they are.

        Parameters
        ----------
        reduction : int
            Makes no difference.

        Returns
        -------
        tuple of uint8 array of shape (height, width, 3) and int
        """
        return self.image, 1


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

    def holds(self, across: float, down: float) -> bool:
        """Tell whether a point is inside.

        Parameters
        ----------
        across, down : float
            Pixels.

        Returns
        -------
        bool
        """
        return self.left <= across <= self.right and self.top <= down <= self.bottom


def whole(picture: Picture, *, size: int, out: npt.NDArray[np.uint8] | None = None) -> Sample:
    """Return the whole image, ``size`` pixels wide and high: what validation sees.

    Parameters
    ----------
    picture : Picture
        The image and its objects.
    size : int
        Side of the result.
    out : ndarray of uint8, optional
        Takes the pixels, ``(size, size, 3)``.

    Returns
    -------
    Sample
    """
    return look_through(picture, Window(0, 0, picture.width, picture.height), size=size, out=out)


def mirror(sample: Sample, *, out: npt.NDArray[np.uint8] | None = None) -> Sample:
    """Return the mirror image with its objects.

    Parameters
    ----------
    sample : Sample
        The image and its objects.
    out : ndarray of uint8, optional
        Takes the pixels; the sample's own are mirrored where they stand.

    Returns
    -------
    Sample
    """
    import cv2

    left, top, right, bottom = sample.boxes.T
    image = np.asarray(cv2.flip(sample.image, 1, dst=out), dtype=np.uint8)
    return sample._replace(image=image, boxes=np.array([1 - right, top, 1 - left, bottom]).T)


def look_through(
    picture: Picture,
    window: Window,
    *,
    size: int,
    interpolation: int = 1,
    out: npt.NDArray[np.uint8] | None = None,
    touch: Callable[[npt.NDArray[np.uint8]], None] | None = None,
) -> Sample:
    """Return what a window shows, drawn ``size`` pixels wide and high; beyond the image it shows grey.

    Parameters
    ----------
    picture : Picture
        The image and its objects.
    window : Window
        The part of the plane.
    size : int
        Side of the result.
    interpolation : int, default 1
        OpenCV's number of the way to resize: 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos.
    out : ndarray of uint8, optional
        Takes the pixels, ``(size, size, 3)``.
    touch : callable, optional
        Called with the pixels that were drawn, which it may edit; the grey is not among them.

    Returns
    -------
    Sample
        Objects whose centre is outside the window are gone, the others are cut at its edges.
    """
    pixels, reduction = picture.pixels(_reduction(window, size))
    window = _reduced(window, reduction)
    height, width = pixels.shape[:2]
    seen = Window(max(window.left, 0), max(window.top, 0), min(window.right, width), min(window.bottom, height))
    across = _Axis.of(seen.left, seen.right, window.left, window.right, size)
    down = _Axis.of(seen.top, seen.bottom, window.top, window.bottom, size)
    image = np.empty((size, size, 3), dtype=np.uint8) if out is None else out
    shown = image[down.start : down.stop, across.start : across.stop]
    drawn = across.drawn and down.drawn
    if not drawn or shown.shape != image.shape:
        image[:] = FILL
    if drawn:
        _resize(pixels[seen.top : seen.bottom, seen.left : seen.right], shown, interpolation)
        if touch is not None:
            touch(shown)
    return Sample(image, *_moved(picture, reduction, window, (across, down), size))


def _reduction(window: Window, size: int) -> int:
    """Return how much smaller the pixels may be without one of them being drawn more than once."""
    least = min(window.width, window.height)
    return next((reduction for reduction in _REDUCTIONS if least >= reduction * size), 1)


def _reduced(window: Window, by: int) -> Window:
    """Return the window in larger pixels, rounded outwards; boxes follow the rounded one."""
    if by == 1:
        return window
    return Window(window.left // by, window.top // by, -(-window.right // by), -(-window.bottom // by))


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

    def part(self, place: float, size: int) -> float:
        """Return where a place is drawn, as a part of the whole."""
        scale = (self.stop - self.start) / (self.last - self.first) if self.drawn else 0.0
        return min(max((place * scale + (self.start - self.first * scale)) / size, 0.0), 1.0)


def _moved(
    picture: Picture, reduction: int, window: Window, axes: tuple[_Axis, _Axis], size: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the boxes that are left as parts of what is drawn, and their classes."""
    across, down = axes
    wide, high = picture.width / reduction, picture.height / reduction
    moved, kept = [], []
    # As Python's numbers: a picture has few objects, and right behind its pixels each operation on arrays is slow.
    for box, class_id in zip(picture.boxes.tolist(), picture.class_ids.tolist(), strict=True):
        left, top, right, bottom = box[0] * wide, box[1] * high, box[2] * wide, box[3] * high
        if not window.holds((left + right) / 2, (top + bottom) / 2):
            continue
        low, far = (across.part(left, size), down.part(top, size)), (across.part(right, size), down.part(bottom, size))
        if min(far[0] - low[0], far[1] - low[1]) * size > _THINNEST:
            moved.append((*low, *far))
            kept.append(class_id)
    return np.array(moved, dtype=np.float64).reshape(-1, 4), np.array(kept, dtype=np.int64)


def _resize(part: npt.NDArray[np.uint8], shown: npt.NDArray[np.uint8], interpolation: int) -> None:
    import cv2

    cv2.resize(part, shown.shape[1::-1], dst=shown, interpolation=interpolation)
