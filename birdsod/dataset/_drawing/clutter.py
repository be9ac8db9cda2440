"""What stands among, behind and before birds: branches, leaves, stones, blossoms, berries, fruit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.dataset._drawing.paint import blend, blurred, filled, noise, paint, window_around
from birdsod.dataset._drawing.shapes import Points, ellipse, points, smooth, stroke, turned
from birdsod.dataset._drawing.species import PALETTE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from birdsod.dataset._drawing.paint import Mask, Picture

Colour = tuple[int, int, int]

GREENS: tuple[Colour, ...] = (
    (62, 92, 40), (96, 128, 52), (44, 70, 38), (128, 146, 70), (84, 96, 44), (150, 150, 84)
)  # fmt: skip
EARTHS: tuple[Colour, ...] = ((112, 92, 66), (92, 76, 58), (140, 120, 88), (76, 66, 54), (160, 144, 112))
BARKS: tuple[Colour, ...] = ((96, 78, 60), (122, 108, 92), (70, 58, 48), (140, 128, 112))
BIRDLIKE: tuple[Colour, ...] = tuple(colour for name, colour in PALETTE.items() if name not in {"black", "grey"})
_TWIG_ODDS = 0.4


class Branch(NamedTuple):
    """A branch: points along its middle, and its outline."""

    path: Points
    outline: Points


def pick(rng: np.random.Generator, colours: Sequence[Colour], spread: float = 12.0) -> npt.NDArray[np.float64]:
    """Return one of the colours, a little off."""
    chosen = np.asarray(colours[int(rng.integers(len(colours)))], np.float64)
    return np.clip(chosen + rng.uniform(-spread, spread, 3), 0.0, 255.0)


def anywhere(rng: np.random.Generator, picture: Picture) -> Points:
    """Return a place in a picture."""
    height, width = picture.shape[:2]
    return np.array([rng.uniform(0, width), rng.uniform(0, height)])


def leaf(rng: np.random.Generator, centre: Points, length: float) -> Points:
    """Return a leaf that points anywhere."""
    slim = rng.uniform(0.16, 0.4)
    blade = smooth(
        points((-0.5, 0.0), (-0.15, -slim), (0.25, -0.7 * slim), (0.5, 0.0), (0.25, 0.7 * slim), (-0.15, slim)), 3
    )
    return turned(blade * length, rng.uniform(0.0, 2.0 * np.pi)) + centre


def stone(picture: Picture, rng: np.random.Generator, radius: float) -> None:
    """Paint a stone."""
    corners = ellipse(anywhere(rng, picture), (radius, radius * rng.uniform(0.5, 0.8)), rng.uniform(-0.4, 0.4), 7)
    outline = smooth(corners + rng.uniform(-0.15, 0.15, corners.shape) * radius, 4)
    _rounded(picture, outline, pick(rng, (*EARTHS, (150, 150, 150), (196, 192, 184))), radius)


def _rounded(picture: Picture, outline: Points, colour: npt.NDArray[np.float64], radius: float) -> None:
    """Paint a body lit from above."""
    window = window_around([outline], picture.shape[0], picture.shape[1], margin=1)
    outline = outline - np.array([window.left, window.top])
    middle = outline.mean(axis=0)
    shape = filled([outline], *window.size)
    lit = filled([middle + (outline - middle) * 0.86 - np.array([0.0, 0.1 * radius])], *window.size)
    blend(picture[window.cut], colour * 0.55, shape)
    blend(picture[window.cut], colour, blurred(lit, min(0.14 * radius, 4.0)) * shape * np.float32(0.9))


def branch(
    picture: Picture, rng: np.random.Generator, through: Points, thickness: float, *, steep: float = 0.6
) -> Branch:
    """Paint a branch that passes a point."""
    height, width = picture.shape[:2]
    angle = rng.uniform(-steep, steep)
    along = np.linspace(-1.0, 1.0, 25)[:, None] * points((np.cos(angle), np.sin(angle))) * float(max(height, width))
    bend = np.cumsum(rng.normal(0.0, 0.3 * thickness, 25))
    path = through + along + (bend - bend[12])[:, None] * points((0.0, 1.0))
    taper = thickness * rng.uniform(0.5, 1.4, 2)
    limb = Branch(path, stroke(path, *taper))
    _bark(picture, rng, limb, stroke(path - np.array([0.0, 0.14 * thickness]), *(0.55 * taper)), thickness)
    return limb


def _bark(picture: Picture, rng: np.random.Generator, limb: Branch, ridge: Points, thickness: float) -> None:
    window = window_around([limb.outline], picture.shape[0], picture.shape[1], margin=1)
    corner = np.array([window.left, window.top])
    colour = pick(rng, BARKS)
    cover = filled([limb.outline - corner], *window.size)
    grain = noise(rng, *window.size, (rng.uniform(3.0, 9.0), 2.5))
    lit = blurred(filled([ridge - corner], *window.size), 0.12 * thickness) * cover
    lit *= np.float32(0.6) * grain + np.float32(0.35)
    blend(picture[window.cut], colour * 0.62, cover)
    blend(picture[window.cut], np.clip(colour * 1.3, 0.0, 255.0), lit)


def leafy(picture: Picture, rng: np.random.Generator, limb: Branch, count: int) -> None:
    """Paint leaves that grow from a branch."""
    roots = limb.path[rng.integers(0, len(limb.path), count)] + rng.normal(0.0, 9.0, (count, 2))
    for half in (roots[::2], roots[1::2]):
        if len(half):
            batch = [leaf(rng, root, rng.uniform(18.0, 48.0)) for root in half]
            paint(picture, pick(rng, GREENS) * rng.uniform(0.7, 1.2), batch)


def strewn(picture: Picture, rng: np.random.Generator, anchors: Points | None) -> None:
    """Scatter what wears the birds' colours and is no bird: blossoms, berries, fruit, coloured leaves.

    They hang at the anchors, or grow on stems from below where there are none.
    """
    kinds: tuple[Callable[[Picture, np.random.Generator, Points], None], ...]
    kinds = (_blossom, _berries, _fruit, _coloured_leaves)
    for _ in range(int(rng.integers(3, 9))):
        kind = kinds[int(rng.integers(len(kinds)))]
        if anchors is None:
            place = anywhere(rng, picture)
            _stem(picture, rng, place)
        else:
            place = anchors[int(rng.integers(len(anchors)))] + rng.uniform(-4.0, 14.0, 2)
        kind(picture, rng, place)


def _stem(picture: Picture, rng: np.random.Generator, top: Points) -> None:
    height = picture.shape[0]
    foot = np.array([top[0] + rng.normal(0.0, 40.0), height + 10.0])
    middle = (top + foot) / 2.0 + np.array([rng.normal(0.0, 18.0), 0.0])
    line = stroke(np.stack([top, middle, foot]), 1.6, 4.0)
    paint(picture, pick(rng, (*GREENS, *BARKS)), [line], 0.9)


def _blossom(picture: Picture, rng: np.random.Generator, centre: Points) -> None:
    radius, petals = rng.uniform(8.0, 30.0), int(rng.integers(4, 9))
    angles = rng.uniform(0.0, 6.0) + np.arange(petals) * 2.0 * np.pi / petals
    corolla = [
        ellipse(centre + 0.6 * radius * np.array([np.cos(a), -np.sin(a)]), (0.5 * radius, 0.28 * radius), a)
        for a in angles
    ]
    paint(picture, pick(rng, BIRDLIKE), corolla)
    heart = ellipse(centre, (0.24 * radius, 0.24 * radius))
    paint(picture, pick(rng, BIRDLIKE), [heart])


def _berries(picture: Picture, rng: np.random.Generator, centre: Points) -> None:
    radius = rng.uniform(3.0, 9.0)
    spots = centre + rng.normal(0.0, 2.4 * radius, (int(rng.integers(3, 12)), 2))
    twigs = [stroke(np.stack([centre, spot]), 2.0, 1.2) for spot in spots]
    paint(picture, pick(rng, BARKS), twigs)
    colour = pick(rng, (*BIRDLIKE, PALETTE["black"]))
    paint(picture, colour, [ellipse(spot, (radius, radius), steps=16) for spot in spots])
    glints = [ellipse(spot - 0.3 * radius, (0.3 * radius, 0.3 * radius), steps=10) for spot in spots]
    paint(picture, np.clip(colour + 90.0, 0.0, 255.0), glints, 0.7)


def _fruit(picture: Picture, rng: np.random.Generator, centre: Points) -> None:
    size = rng.uniform(10.0, 42.0)
    body = ellipse(centre + np.array([0.0, 0.6 * size]), (size, size * rng.uniform(0.55, 0.95)), rng.uniform(0.0, 3.1))
    _rounded(picture, body, pick(rng, BIRDLIKE), size)


def _coloured_leaves(picture: Picture, rng: np.random.Generator, centre: Points) -> None:
    length = rng.uniform(30.0, 100.0)
    batch = [leaf(rng, centre + rng.normal(0.0, 0.3 * length, 2), length) for _ in range(int(rng.integers(1, 5)))]
    paint(picture, pick(rng, (*BIRDLIKE, PALETTE["grey"])), batch, 0.9)


def foreground(rng: np.random.Generator, shape: tuple[int, int], centre: Points, reach: float) -> tuple[Picture, Mask]:
    """Return leaves or a twig that stand before a bird, and what they cover."""
    picture: Picture = np.zeros((*shape, 3), np.float32)
    cover: Mask = np.zeros(shape, np.float32)
    near = centre + rng.uniform(-0.6, 0.6, 2) * reach
    if rng.random() < _TWIG_ODDS:
        limb = branch(picture, rng, near, rng.uniform(3.0, 8.0), steep=1.4)
        return picture, filled([limb.outline], *shape)
    for _ in range(int(rng.integers(1, 5))):
        blade = leaf(rng, near + rng.normal(0.0, 0.3 * reach, 2), reach * rng.uniform(0.3, 0.7))
        mask = filled([blade], *shape)
        blend(picture, pick(rng, GREENS) * rng.uniform(0.7, 1.2), mask)
        cover = np.maximum(cover, mask)
    return picture, cover
