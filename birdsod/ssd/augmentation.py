"""SSD's random changes of training images: colours, mirror, zoom out, crop; boxes move with their pixels.

Zooming out and cropping are both a choice of a window in the plane of the image; only the last window is ever
drawn, so that a four times larger field costs no more than the image it becomes.

Source
------
Liu et al., "SSD: Single Shot MultiBox Detector" (2016), and the settings of MXNet's SSD example.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from birdsod.ssd.windows import Sample, Window, centred, look_through, mirror

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.ssd.options import LocalOptions

__all__ = ["Augmentation", "augment", "choose_window", "jitter"]

_SMALLEST_FIELD = 1.05
_LEAST_OVERLAPS = (0.1, 0.3, 0.5, 0.7, 0.9)
_TRIALS = 25
_SCALES = (0.3, 1.0)
_RATIOS = (0.5, 2.0)
_HUE, _LIGHTNESS, _SATURATION, _CONTRAST = 18.0, 32.0, 32.0, 0.5


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much is left to chance.

    Parameters
    ----------
    mirror, crop, zoom_out : float
        Shares of the images.
    largest_field : float
        At most this many times the image's own width and height.
    colour : float
        Strength of changes of colour.
    """

    mirror: float = 0.5
    crop: float = 5 / 6
    zoom_out: float = 0.25
    largest_field: float = 2.0
    colour: float = 1.0

    @classmethod
    def of(cls, options: LocalOptions) -> Augmentation:
        """Return what the options ask for.

        Parameters
        ----------
        options : LocalOptions
            Of the run.

        Returns
        -------
        Augmentation
        """
        return cls(
            mirror=0.5 if options.mirror else 0.0,
            crop=options.crop,
            zoom_out=options.zoom_out,
            largest_field=options.largest_field,
            colour=options.colour,
        )


def augment(sample: Sample, random: np.random.Generator, *, size: int, settings: Augmentation) -> Sample:
    """Return a changed copy, ``size`` pixels wide and high.

    Parameters
    ----------
    sample : Sample
        The image and its objects.
    random : numpy.random.Generator
        Decides everything; the same state gives the same result.
    size : int
        Side of the result.
    settings : Augmentation
        How much is left to chance.

    Returns
    -------
    Sample
        Objects whose centre fell outside are gone, the others are cut at the edges.
    """
    image = jitter(sample.image, random, settings.colour)
    changed = sample._replace(image=image)
    if random.random() < settings.mirror:
        changed = mirror(changed)
    window = choose_window(changed, random, settings)
    return look_through(changed, window, size=size, interpolation=int(random.integers(5)))


def jitter(image: npt.NDArray[np.uint8], random: np.random.Generator, strength: float) -> npt.NDArray[np.uint8]:
    """Return the image with other colours: hue, lightness, saturation and contrast, each in half of the cases.

    Parameters
    ----------
    image : ndarray of uint8
        RGB.
    random : numpy.random.Generator
        Decides which and how much.
    strength : float
        1 changes hue by up to 18 of 180, lightness and saturation by up to 32 of 255, contrast by up to a half.

    Returns
    -------
    ndarray of uint8
    """
    limits = np.array([_HUE, _LIGHTNESS, _SATURATION, _CONTRAST]) * strength
    changes = random.uniform(-limits, limits) * (random.random(4) < 0.5)  # noqa: PLR2004 - half of the cases
    result = _shift_hls(image, changes[:3].astype(np.int64))
    if changes[3]:
        import cv2

        result = cv2.convertScaleAbs(result, alpha=1 + float(changes[3])).astype(np.uint8, copy=False)
    return result


def _shift_hls(image: npt.NDArray[np.uint8], shifts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    if not shifts.any():
        return image
    import cv2

    # Clamped at the ends, as MXNet does, hue included.
    steps = np.arange(256)
    tables = np.stack([np.clip(steps + shift, 0, top) for shift, top in zip(shifts, (180, 255, 255), strict=True)], -1)
    hls = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HLS)
    shifted = cv2.LUT(hls, tables.astype(np.uint8)[None])
    return cv2.cvtColor(shifted, cv2.COLOR_HLS2RGB).astype(np.uint8, copy=False)


def choose_window(sample: Sample, random: np.random.Generator, settings: Augmentation) -> Window:
    """Return the part of the plane that is looked at: perhaps a larger field, and perhaps a part of that.

    Parameters
    ----------
    sample : Sample
        The image and its objects.
    random : numpy.random.Generator
        Decides.
    settings : Augmentation
        How often and how large.

    Returns
    -------
    Window
    """
    height, width = sample.image.shape[:2]
    field = Window(0, 0, width, height)
    if random.random() < settings.zoom_out:
        field = _larger(field, random, settings.largest_field)
    if random.random() < settings.crop:
        boxes = sample.boxes * (width, height, width, height)
        return _part(field, boxes, random) or field
    return field


def _larger(window: Window, random: np.random.Generator, largest: float) -> Window:
    scale = random.uniform(1, largest) if largest > 1 else 1.0
    if scale < _SMALLEST_FIELD:
        return window
    width, height = round(window.width * scale), round(window.height * scale)
    left = -int(random.integers(width - window.width + 1))
    top = -int(random.integers(height - window.height + 1))
    return Window(left, top, left + width, top + height)


def _part(field: Window, boxes: npt.NDArray[np.float64], random: np.random.Generator) -> Window | None:
    """Choose a part of ``field`` that overlaps an object enough, by one of five measures in random order."""
    for least in random.permutation(_LEAST_OVERLAPS):
        for _ in range(_TRIALS):
            window = _any_part(field, random)
            if _suits(window, boxes, least):
                return window
    return None


def _any_part(field: Window, random: np.random.Generator) -> Window:
    scale = random.uniform(*_SCALES)
    shape = field.width / field.height
    low, high = max(_RATIOS[0] / shape, scale**2), min(_RATIOS[1] / shape, 1 / scale**2)
    stretch = math.sqrt(random.uniform(low, high)) if low < high else 1.0
    width = min(field.width, max(1, round(field.width * scale * stretch)))
    height = min(field.height, max(1, round(field.height * scale / stretch)))
    left = field.left + int(random.integers(field.width - width + 1))
    top = field.top + int(random.integers(field.height - height + 1))
    return Window(left, top, left + width, top + height)


def _suits(window: Window, boxes: npt.NDArray[np.float64], least: float) -> bool:
    if not len(boxes):
        return True
    low, high = np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    together = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + window.width * window.height - shared
    return bool((shared >= least * together).any()) and bool(centred(window, boxes).any())
