"""SSD's choice of what to cut out of images: a part that overlaps an object enough, for several images at once.

The arithmetic of one image is some fifty operations on short arrays, and right behind a decoded image each of them
takes several times as long as in a loop of its own. For several images together they are as many.

Source
------
Liu et al., "SSD: Single Shot MultiBox Detector" (2016), and the settings of MXNet's SSD example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.ssd.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from birdsod.ssd.windows import Picture

    Numbers = npt.NDArray[np.float64]

__all__ = ["CropTrials", "choose_parts"]

_LEAST_OVERLAPS = (0.1, 0.3, 0.5, 0.7, 0.9)
_TRIALS = 25
_SCALES = (0.3, 1.0)
_RATIOS = (0.5, 2.0)
_BOXES_AT_ONCE = 64  # so that memory stays small where an image has thousands


class CropTrials(NamedTuple):
    """What the parts of one image are drawn from.

    Parameters
    ----------
    field : Window
        What they are parts of.
    picture : Picture
        The image and its objects.
    random : numpy.random.Generator
        Decides for this image, whichever others there are.
    """

    field: Window
    picture: Picture
    random: np.random.Generator


def choose_parts(trials: Sequence[CropTrials], least_seen: float) -> list[Window | None]:
    """Choose a part of each field that overlaps an object enough, by one of five measures in random order.

    Parameters
    ----------
    trials : sequence of CropTrials
        One an image.
    least_seen : float
        Share of an object's area that a part leaves in sight, of one object at least.

    Returns
    -------
    list of Window or None
        None where no trial of 125 gives such a part.
    """
    if not trials:
        return []
    fields, pictures, randoms = zip(*trials, strict=True)
    least = np.repeat([random.permutation(_LEAST_OVERLAPS) for random in randoms], _TRIALS, axis=1)
    parts = _drawn(fields, np.stack([random.random((4, least.shape[1])) for random in randoms], axis=1))
    # All trials at once: the one that is taken is the first that suits.
    suits = _suit(parts, _boxes(pictures), least, least_seen)
    suits[[not len(picture.boxes) for picture in pictures]] = True
    first = suits.argmax(axis=1)
    return [parts.window((image, at)) if suits[image, at] else None for image, at in enumerate(first.tolist())]


class _Parts(NamedTuple):
    """Rectangles, many at once."""

    left: Numbers
    top: Numbers
    right: Numbers
    bottom: Numbers

    @property
    def area(self) -> Numbers:
        return (self.right - self.left) * (self.bottom - self.top)

    def window(self, place: tuple[int, int]) -> Window:
        return Window(*(int(side[place]) for side in self))


def _drawn(fields: Sequence[Window], random: Numbers) -> _Parts:
    """Return as many parts of each field as there are numbers, ``(4, images, trials)``, in whole pixels."""
    scale, stretch, across, down = random
    left, top, right, bottom = np.array(fields, dtype=np.float64).T[:, :, None]
    sides = right - left, bottom - top
    scale = _SCALES[0] + (_SCALES[1] - _SCALES[0]) * scale
    shape, square = sides[0] / sides[1], scale * scale
    low, high = np.maximum(_RATIOS[0] / shape, square), np.minimum(_RATIOS[1] / shape, 1 / square)
    stretch = np.where(low < high, np.sqrt(low + (high - low) * stretch), 1.0)
    width = np.rint(sides[0] * scale * stretch).clip(1, sides[0])
    height = np.rint(sides[1] * scale / stretch).clip(1, sides[1])
    left = left + np.floor(across * (sides[0] - width + 1))
    top = top + np.floor(down * (sides[1] - height + 1))
    return _Parts(left, top, left + width, top + height)


def _boxes(pictures: Sequence[Picture]) -> _Parts:
    """Return the boxes of all pictures in pixels, ``(most boxes, images, 1)``; NaN, like no part, fills them up."""
    boxes = np.full((max(len(picture.boxes) for picture in pictures), len(pictures), 4), np.nan)
    for image, picture in enumerate(pictures):
        boxes[: len(picture.boxes), image] = picture.boxes * ((picture.width, picture.height) * 2)
    return _Parts(*boxes.transpose(2, 0, 1)[..., None])


def _suit(parts: _Parts, boxes: _Parts, least: Numbers, least_seen: float) -> npt.NDArray[np.bool_]:
    """Tell of each part whether it overlaps one box enough, shows enough of it, and holds the centre of one."""
    enough = centred = np.zeros(least.shape, dtype=np.bool_)
    for first in range(0, len(boxes.left), _BOXES_AT_ONCE):
        some = _Parts(*(side[first : first + _BOXES_AT_ONCE] for side in boxes))
        enough = enough | _overlap(parts, some, least, least_seen).any(axis=0)
        centred = centred | _hold_centre(parts, some).any(axis=0)
    return enough & centred


# Side by side, not corner by corner: operations along an axis of two numbers take several times as long.
def _overlap(parts: _Parts, boxes: _Parts, least: Numbers, least_seen: float) -> npt.NDArray[np.bool_]:
    shared = np.maximum(np.minimum(parts.right, boxes.right) - np.maximum(parts.left, boxes.left), 0)
    shared *= np.maximum(np.minimum(parts.bottom, boxes.bottom) - np.maximum(parts.top, boxes.top), 0)
    theirs = boxes.area
    enough: npt.NDArray[np.bool_] = shared >= least * (parts.area + theirs - shared)
    enough &= shared >= least_seen * theirs
    return enough


def _hold_centre(parts: _Parts, boxes: _Parts) -> npt.NDArray[np.bool_]:
    across, down = (boxes.left + boxes.right) / 2, (boxes.top + boxes.bottom) / 2
    inside: npt.NDArray[np.bool_] = (across >= parts.left) & (across <= parts.right)
    inside &= (down >= parts.top) & (down <= parts.bottom)
    return inside
