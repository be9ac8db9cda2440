"""The brush: antialiased masks, noise, and birds painted over a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod.dataset._drawing.species import PALETTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from birdsod.dataset._drawing.layers import Layer
    from birdsod.dataset._drawing.shapes import Points

    Picture = npt.NDArray[np.float32]
    Mask = npt.NDArray[np.float32]

_SUBPIXEL = 4  # binary digits after the point that OpenCV keeps


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a bird stands in the picture: pixels a body length, tilt, side, and its origin."""

    scale: float
    angle: float
    mirrored: bool
    origin: tuple[float, float]

    def __call__(self, outline: Points) -> Points:
        """Return points of a bird as points of the picture."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        placed: Points = outline @ np.array([[cosine, -sine], [sine, cosine]]) * self.scale
        if self.mirrored:
            placed = placed * np.array([-1.0, 1.0])
        moved: Points = placed + np.asarray(self.origin)
        return moved


def filled(outlines: Iterable[Points], height: int, width: int) -> Mask:
    """Return how much of each pixel the outlines cover, from 0 to 1."""
    import cv2

    mask = np.zeros((height, width), np.uint8)
    for outline in outlines:
        corners = np.rint(outline * (1 << _SUBPIXEL)).astype(np.int32)
        cv2.fillPoly(mask, [corners], (255,), cv2.LINE_AA, _SUBPIXEL)
    return mask.astype(np.float32) / np.float32(255.0)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a picture that a bird reaches."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def cut(self) -> tuple[slice, slice]:
        """The same as slices of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


def window_around(outlines: Sequence[Points], height: int, width: int, *, margin: int = 3) -> Window:
    """Return the window that holds the outlines, cut to the picture."""
    cloud = np.concatenate(outlines)
    low, high = np.floor(cloud.min(axis=0)).astype(int) - margin, np.ceil(cloud.max(axis=0)).astype(int) + margin
    left, top = min(max(int(low[0]), 0), width - 1), min(max(int(low[1]), 0), height - 1)
    return Window(left, top, max(min(int(high[0]), width), left + 1), max(min(int(high[1]), height), top + 1))


def blend(picture: Picture, colour: npt.NDArray[Any] | Sequence[float], cover: Mask) -> None:
    """Lay a colour, or a whole picture, over a picture in place."""
    paint = np.asarray(colour, np.float32)
    # One channel at a time: a last axis of three is seven times slower.
    for channel in range(3):
        below = picture[..., channel]
        below += (paint[..., channel] - below) * cover


def paint(
    picture: Picture, colour: npt.NDArray[Any] | Sequence[float], outlines: Iterable[Points], opacity: float = 1.0
) -> None:
    """Fill outlines with a colour, in place."""
    height, width = picture.shape[:2]
    for outline in outlines:
        window = window_around([outline], height, width, margin=1)
        shift = np.array([window.left, window.top], np.float64)
        blend(picture[window.cut], colour, filled([outline - shift], *window.size) * np.float32(opacity))


def blurred(picture: Picture, sigma: float) -> Picture:
    """Return a picture out of focus."""
    import cv2

    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32) if sigma > 0.3 else picture  # noqa: PLR2004 - unseen


def enlarged(picture: Picture, height: int, width: int) -> Picture:
    """Return a smooth picture in a larger size."""
    import cv2

    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def noise(rng: np.random.Generator, height: int, width: int, cell: tuple[float, float]) -> Mask:
    """Return smooth noise from 0 to 1 whose grain is ``cell`` (across, down) pixels large."""
    import cv2

    rows, columns = int(height / cell[1]) + 3, int(width / cell[0]) + 3
    coarse = rng.random((rows, columns), dtype=np.float32)
    return np.clip(np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32), 0.0, 1.0)


def clouded(rng: np.random.Generator, height: int, width: int, cell: float, *, flat: float = 1.0) -> Mask:
    """Return noise of four grains, each half as large and half as strong as the one before."""
    grains = [noise(rng, height, width, (max(cell * flat / 2**k, 1.5), max(cell / 2**k, 1.5))) for k in range(4)]
    weights = np.array([8.0, 4.0, 2.0, 1.0], np.float32) / np.float32(15.0)
    total: Mask = np.sum([weight * grain for weight, grain in zip(weights, grains, strict=True)], axis=0)
    return total


def paint_bird(
    picture: Picture, layers: Sequence[Layer], placement: Placement, rng: np.random.Generator
) -> tuple[Window, Mask]:
    """Paint a bird over a picture in place and return where, and its silhouette there."""
    placed = {index: [placement(one) for one in layer.outlines] for index, layer in enumerate(layers)}
    solid = [one for index, layer in enumerate(layers) if layer.inside is None for one in placed[index]]
    height, width = picture.shape[:2]
    window = window_around(solid, height, width)
    shift = np.array([window.left, window.top], np.float64)
    coats = [(layer, [one - shift for one in placed[index]]) for index, layer in enumerate(layers)]
    plumage, silhouette = _coated(coats, window.size, placement.scale, _tints(rng))
    plumage *= _shading(silhouette, placement.scale, rng)[..., None]
    blend(picture[window.cut], plumage, silhouette)
    return window, silhouette


def _tints(rng: np.random.Generator) -> Mapping[str, npt.NDArray[np.float32]]:
    """Return the palette as this one bird wears it: no two are of quite the same colours."""
    light = rng.uniform(0.78, 1.12)
    return {
        name: np.clip(np.asarray(colour) * light * rng.uniform(0.93, 1.07, 3) + rng.uniform(-8, 8), 0, 255).astype(
            np.float32
        )
        for name, colour in PALETTE.items()
    }


def _coated(
    coats: Sequence[tuple[Layer, list[Points]]],
    size: tuple[int, int],
    scale: float,
    tints: Mapping[str, npt.NDArray[np.float32]],
) -> tuple[Picture, Mask]:
    plumage: Picture = np.empty((*size, 3), np.float32)
    plumage[:] = tints[coats[0][0].colour]
    silhouette: Mask = np.zeros(size, np.float32)
    masks: dict[str, Mask] = {}
    for layer, outlines in coats:
        shape = filled(outlines, *size)
        if layer.shadow:
            blend(plumage, (20.0, 18.0, 20.0), blurred(shape, 0.06 * scale) * np.float32(layer.shadow))
        cover = blurred(shape, layer.soft * scale) if layer.soft else shape
        if layer.inside is None:
            masks[layer.name] = shape
            silhouette = np.maximum(silhouette, shape)
        else:
            cover = cover * masks[layer.inside]
        blend(plumage, tints[layer.colour] * np.float32(layer.shade), cover * np.float32(layer.opacity))
        if layer.rim:
            inner = np.clip((shape - blurred(shape, 0.025 * scale)) * np.float32(2.5), 0.0, 1.0)
            blend(plumage, (15.0, 14.0, 16.0), inner * np.float32(layer.rim))
    return plumage, silhouette


def _shading(silhouette: Mask, scale: float, rng: np.random.Generator) -> Mask:
    """Return the light on a rounded body, from above and one side, and the grain of its feathers."""
    import cv2

    relief = blurred(silhouette, 0.13 * scale)
    side = rng.uniform(-0.6, 0.6)
    across, down = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3)
    slope = (down + np.float32(side) * across) * np.float32(0.13 * scale / 8.0)
    height, width = silhouette.shape
    feathers = noise(rng, height, width, (max(0.05 * scale, 2.0), max(0.02 * scale, 1.5)))
    mottle = noise(rng, height, width, (max(0.16 * scale, 3.0), max(0.12 * scale, 3.0)))
    light: Mask = 1.0 + np.float32(1.1) * slope
    light += np.float32(0.34) * (feathers - 0.5) + np.float32(0.22) * (mottle - 0.5)
    return light
