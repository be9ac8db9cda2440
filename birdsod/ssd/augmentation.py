"""SSD's random changes of training images: colours, mirror, zoom out, crop; boxes move with their pixels.

Zooming out and cropping are both a choice of a window in the plane of the image; only the last window is ever
drawn, so that a four times larger field costs no more than the image it becomes. Colours change last, on the pixels
that are drawn.

Source
------
Liu et al., "SSD: Single Shot MultiBox Detector" (2016), and the settings of MXNet's SSD example.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from birdsod.errors import HyperparameterError
from birdsod.ssd.cropping import CropTrials, choose_parts
from birdsod.ssd.windows import Sample, Window, look_through, mirror

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from birdsod.ssd.options import LocalOptions
    from birdsod.ssd.windows import Picture

__all__ = ["Augmentation", "Change", "choose_changes", "choose_windows", "jitter"]

_SMALLEST_FIELD = 1.05
# Of what the local engine trains on; measured, see docs/training.md.
_LEAST_SEEN = 0.9
_HUE, _LIGHTNESS, _SATURATION, _CONTRAST = 18.0, 32.0, 32.0, 0.5
_HIGHEST = np.array([[180.0], [255.0], [255.0], [255.0]])
# OpenCV's numbers. Lanczos is left out: it looks like cubic, and takes as long as decoding.
_WAYS = {"nearest": (0,), "linear": (1,), "cubic": (2,), "area": (3,), "random": (0, 1, 2, 3)}


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
    interpolation : {"random", "nearest", "linear", "cubic", "area"}
        How images are resized; at random, each of these is as likely as the others.
    least_seen : float
        Share of an object's area that a crop leaves in sight, of one object at least. SSD asks for none: three in
        five birds are then cut, and what is left of their boxes is not tight around what is left of them.

    Raises
    ------
    HyperparameterError
        If a value is out of range.

    Examples
    --------
    >>> Augmentation(mirror=0, crop=0, zoom_out=0, colour=0, interpolation="linear").largest_field
    2.0
    """

    mirror: float = 0.5
    crop: float = 5 / 6
    zoom_out: float = 0.25
    largest_field: float = 2.0
    colour: float = 1.0
    interpolation: Literal["random", "nearest", "linear", "cubic", "area"] = "random"
    least_seen: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mirror", "crop", "zoom_out", "colour", "least_seen"):
            if not 0 <= getattr(self, name) <= 1:
                value = getattr(self, name)
                raise HyperparameterError(f"{name} is out of range", value=value, cure="choose 0 to 1")
        if not self.largest_field >= 1:
            value = self.largest_field
            raise HyperparameterError("largest_field is out of range", value=value, cure="choose at least 1")
        if self.interpolation not in _WAYS:
            value, cure = self.interpolation, f"choose one of {', '.join(_WAYS)}"
            raise HyperparameterError("unknown interpolation", value=value, cure=cure)

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
            least_seen=_LEAST_SEEN,
        )


class Change(NamedTuple):
    """What becomes of one image, chosen before its pixels are there.

    Parameters
    ----------
    window : Window
        The part of the plane that is looked at.
    interpolation : int
        OpenCV's number of the way to resize.
    turned : bool
        Whether it is mirrored.
    touch : callable, optional
        Changes the colours of what is drawn.
    """

    window: Window
    interpolation: int
    turned: bool
    touch: Callable[[npt.NDArray[np.uint8]], None] | None

    def draw(self, picture: Picture, *, size: int, out: npt.NDArray[np.uint8] | None = None) -> Sample:
        """Return the changed copy.

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
        way, touch = self.interpolation, self.touch
        seen = look_through(picture, self.window, size=size, interpolation=way, out=out, touch=touch)
        return mirror(seen, out=seen.image) if self.turned else seen


def choose_changes(
    pictures: Sequence[Picture], randoms: Sequence[np.random.Generator], settings: Augmentation
) -> list[Change]:
    """Return what becomes of each image.

    Parameters
    ----------
    pictures : sequence of Picture
        The images and their objects; their pixels are not asked for.
    randoms : sequence of numpy.random.Generator
        Each decides for its image, whichever other images there are.
    settings : Augmentation
        How much is left to chance.

    Returns
    -------
    list of Change
        One an image.
    """
    ways = _WAYS[settings.interpolation]
    first = [(ways[int(random.integers(len(ways)))], random.random() < settings.mirror) for random in randoms]
    windows = choose_windows(pictures, randoms, settings)
    recolours = [_recolour(random, settings.colour) if settings.colour else None for random in randoms]
    return [Change(window, *each, touch) for window, each, touch in zip(windows, first, recolours, strict=True)]


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
    result = image.copy()
    _recolour(random, strength)(result)
    return result


def _recolour(random: np.random.Generator, strength: float) -> Callable[[npt.NDArray[np.uint8]], None]:
    limits = np.array([_HUE, _LIGHTNESS, _SATURATION, _CONTRAST]) * strength
    changes = random.uniform(-limits, limits) * (random.random(4) < 0.5)  # noqa: PLR2004 - half of the cases
    return functools.partial(_change_colours, shifts=changes[:3].astype(np.int64), contrast=float(changes[3]))


def _change_colours(image: npt.NDArray[np.uint8], shifts: npt.NDArray[np.int64], contrast: float) -> None:
    if shifts.any():
        _shift_hls(image, shifts)
    if contrast:
        import cv2

        cv2.convertScaleAbs(image, dst=image, alpha=1 + contrast)


def _shift_hls(image: npt.NDArray[np.uint8], shifts: npt.NDArray[np.int64]) -> None:
    """Clamped at the ends, as MXNet does, hue included."""
    import cv2

    hls = cv2.cvtColor(image, cv2.COLOR_RGB2HLS)
    # Saturated sums of all pixels at once; a table, or a sum with a negative number, takes several times as long.
    # OpenCV's scalars: columns of four.
    up, down = (np.append(np.maximum(change, 0), 0.0)[:, None] for change in (shifts, -shifts))
    if up.any():
        cv2.add(hls, up, dst=hls)
    if down.any():
        cv2.subtract(hls, down, dst=hls)
    if shifts[0] > 0:
        cv2.min(hls, _HIGHEST, dst=hls)
    cv2.cvtColor(hls, cv2.COLOR_HLS2RGB, dst=image)


def choose_windows(
    pictures: Sequence[Picture], randoms: Sequence[np.random.Generator], settings: Augmentation
) -> list[Window]:
    """Return the part of the plane that is looked at: perhaps a larger field, and perhaps a part of that.

    Parameters
    ----------
    pictures : sequence of Picture
        The images and their objects.
    randoms : sequence of numpy.random.Generator
        Each decides for its image.
    settings : Augmentation
        How often and how large.

    Returns
    -------
    list of Window
        One an image.
    """
    windows = [_field(picture, random, settings) for picture, random in zip(pictures, randoms, strict=True)]
    cut = [place for place, random in enumerate(randoms) if random.random() < settings.crop]
    asked = [CropTrials(windows[place], pictures[place], randoms[place]) for place in cut]
    for place, part in zip(cut, choose_parts(asked, settings.least_seen), strict=True):
        windows[place] = part or windows[place]
    return windows


def _field(picture: Picture, random: np.random.Generator, settings: Augmentation) -> Window:
    whole = Window(0, 0, picture.width, picture.height)
    return _larger(whole, random, settings.largest_field) if random.random() < settings.zoom_out else whole


def _larger(window: Window, random: np.random.Generator, largest: float) -> Window:
    scale = random.uniform(1, largest) if largest > 1 else 1.0
    if scale < _SMALLEST_FIELD:
        return window
    width, height = round(window.width * scale), round(window.height * scale)
    left = -int(random.integers(width - window.width + 1))
    top = -int(random.integers(height - window.height + 1))
    return Window(left, top, left + width, top + height)
