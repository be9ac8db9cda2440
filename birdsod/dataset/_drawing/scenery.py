"""Backgrounds: foliage, sky, water, ground, reeds and gardens out of focus, each full of things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.dataset._drawing.clutter import (
    BIRDLIKE,
    EARTHS,
    GREENS,
    anywhere,
    branch,
    leaf,
    leafy,
    pick,
    stone,
    strewn,
)
from birdsod.dataset._drawing.paint import blend, blurred, clouded, enlarged, noise, paint
from birdsod.dataset._drawing.shapes import ellipse, points, stroke

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from birdsod.dataset._drawing.clutter import Colour
    from birdsod.dataset._drawing.paint import Picture
    from birdsod.dataset._drawing.shapes import Points

_SKIES = ((150, 184, 220), (196, 208, 218), (112, 156, 208), (216, 214, 206), (176, 178, 184))
_WATERS = ((74, 98, 110), (96, 126, 140), (60, 78, 76), (128, 146, 150), (70, 110, 140))
_CLOUDS = ((240, 240, 240), (206, 206, 212))


def background(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Return a scene without birds."""
    scenes: tuple[Callable[[np.random.Generator, int, int], Picture], ...]
    scenes = (_foliage, _foliage, _sky, _water, _ground, _reeds, _garden)
    return scenes[int(rng.integers(len(scenes)))](rng, height, width)


def _mixed(
    rng: np.random.Generator, height: int, width: int, colours: Sequence[Colour], cell: float, flat: float = 1.0
) -> Picture:
    # Clouds are smooth, so half the size is enough to mix them.
    small = height // 2, width // 2
    picture: Picture = np.empty((*small, 3), np.float32)
    picture[:] = pick(rng, colours)
    for _ in range(3):
        cover = np.clip((clouded(rng, *small, cell / 2.0, flat=flat) - 0.42) * np.float32(5.0), 0.0, 1.0)
        blend(picture, pick(rng, colours), cover)
    return enlarged(picture, height, width)


def _leaves(picture: Picture, rng: np.random.Generator, count: int, length: float, colours: Sequence[Colour]) -> None:
    for _ in range(6):
        places = [anywhere(rng, picture) for _ in range(count // 6)]
        batch = [leaf(rng, place, length * rng.uniform(0.6, 1.4)) for place in places]
        paint(picture, pick(rng, colours) * rng.uniform(0.6, 1.15), batch)


def _branches(picture: Picture, rng: np.random.Generator, least: int, most: int, leaves: int) -> Points:
    """Paint branches and return points along them that lie in the picture."""
    height, width = picture.shape[:2]
    paths = []
    for _ in range(int(rng.integers(least, most + 1))):
        limb = branch(picture, rng, anywhere(rng, picture), rng.uniform(4.0, 13.0))
        leafy(picture, rng, limb, int(rng.integers(0, leaves + 1)))
        paths.append(limb.path)
    path = np.concatenate(paths)
    inside = (path >= 0.0).all(axis=1) & (path < np.array([width, height])).all(axis=1)
    return path[inside] if inside.any() else path


def _foliage(rng: np.random.Generator, height: int, width: int) -> Picture:
    picture = _mixed(rng, height, width, GREENS, 60.0)
    for sigma, count, length in ((5.0, 60, 70.0), (2.0, 60, 50.0), (0.0, 42, 36.0)):
        _leaves(picture, rng, count, length * rng.uniform(0.7, 1.2), GREENS)
        picture = blurred(picture, sigma * rng.uniform(0.4, 1.2))
    strewn(picture, rng, _branches(picture, rng, 1, 3, 16))
    return picture


def _sky(rng: np.random.Generator, height: int, width: int) -> Picture:
    top, bottom = pick(rng, _SKIES), pick(rng, _SKIES)
    fall = np.linspace(0.0, 1.0, height)[:, None, None]
    picture: Picture = np.broadcast_to(top + (bottom - top) * fall, (height, width, 3)).astype(np.float32)
    clouds = np.clip((clouded(rng, height, width, 120.0, flat=1.8) - 0.45) * np.float32(4.0), 0.0, 0.9)
    blend(picture, pick(rng, _CLOUDS), clouds)
    strewn(picture, rng, _branches(picture, rng, 1, 4, 26))
    return picture


def _water(rng: np.random.Generator, height: int, width: int) -> Picture:
    picture = _mixed(rng, height, width, _WATERS, 40.0, flat=5.0)
    ripples = noise(rng, height, width, (26.0, 3.0)) * noise(rng, height, width, (60.0, 12.0))
    blend(picture, (225.0, 230.0, 232.0), np.clip((ripples - 0.3) * np.float32(2.5), 0.0, 0.6))
    for _ in range(int(rng.integers(2, 8))):
        stone(picture, rng, rng.uniform(12.0, 55.0))
    _blades(picture, rng, int(rng.integers(0, 30)), (*GREENS, *EARTHS), tall=True)
    strewn(picture, rng, None)
    return picture


def _ground(rng: np.random.Generator, height: int, width: int) -> Picture:
    picture = _mixed(rng, height, width, EARTHS, 50.0, flat=1.6)
    grain = noise(rng, height, width, (3.0, 2.0))
    picture += (grain[..., None] - 0.5) * np.float32(50.0)
    for _ in range(int(rng.integers(8, 24))):
        stone(picture, rng, rng.uniform(4.0, 26.0))
    _leaves(picture, rng, int(rng.integers(12, 40)), 30.0, (*EARTHS, *BIRDLIKE))
    _blades(picture, rng, int(rng.integers(0, 60)), GREENS)
    strewn(picture, rng, None)
    return picture


def _reeds(rng: np.random.Generator, height: int, width: int) -> Picture:
    picture = blurred(_mixed(rng, height, width, (*GREENS, *EARTHS, *_WATERS), 90.0), 2.0)
    for sigma in (3.0, 1.0, 0.0):
        _blades(picture, rng, int(rng.integers(40, 90)), (*GREENS, *EARTHS), tall=True)
        picture = blurred(picture, sigma)
    strewn(picture, rng, None)
    return picture


def _garden(rng: np.random.Generator, height: int, width: int) -> Picture:
    picture = _mixed(rng, height, width, GREENS, 90.0)
    for _ in range(5):
        discs = [ellipse(anywhere(rng, picture), (radius, radius)) for radius in rng.uniform(8.0, 34.0, 5)]
        paint(picture, pick(rng, BIRDLIKE), discs, rng.uniform(0.4, 0.9))
    picture = blurred(picture, rng.uniform(3.0, 8.0))
    strewn(picture, rng, _branches(picture, rng, 1, 3, 16))
    return picture


def _blades(
    picture: Picture, rng: np.random.Generator, count: int, colours: Sequence[Colour], *, tall: bool = False
) -> None:
    """Paint blades of grass, or reeds as tall as the picture."""
    for _ in range(5):
        batch = [_blade(picture, rng, tall=tall) for _ in range(count // 5)]
        paint(picture, pick(rng, colours) * rng.uniform(0.6, 1.2), batch)


def _blade(picture: Picture, rng: np.random.Generator, *, tall: bool) -> Points:
    height, width = picture.shape[:2]
    foot = np.array([rng.uniform(-20, width + 20), height * (1.05 if tall else rng.uniform(0.4, 1.1))])
    rise = height * (rng.uniform(0.4, 1.2) if tall else rng.uniform(0.06, 0.22))
    lean = rng.normal(0.0, 0.18) * rise
    return stroke(foot + points((0, 0), (0.3 * lean, -0.5 * rise), (lean, -rise)), rng.uniform(2, 8), 1.0)
