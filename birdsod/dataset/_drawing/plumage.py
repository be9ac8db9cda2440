"""The marks of a species, laid over its body, wings and head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.dataset._drawing.layers import Layer
from birdsod.dataset._drawing.shapes import ellipse, points, smooth, stroke, turned

if TYPE_CHECKING:
    from birdsod.dataset._drawing.layers import Frame
    from birdsod.dataset._drawing.shapes import Points
    from birdsod.dataset._drawing.species import Species


def mantle_marks(species: Species, pitch: float) -> tuple[Layer, ...]:
    """Return bars or streaks on the back."""
    if species.back_mark == "plain":
        return ()
    rows = np.linspace(-0.45, 0.4, 9)
    if species.back_mark == "barred":
        lines = [points((x + 0.03, -0.4), (x, -0.15), (x + 0.03, 0.05)) for x in rows]
        width = 0.045
    else:
        lines = [points((x, -0.3 + 0.05 * (k % 4)), (x - 0.13, -0.28 + 0.05 * (k % 4))) for k, x in enumerate(rows)]
        width = 0.03
    outlines = tuple(turned(stroke(line, width, width * 0.7), pitch) for line in lines)
    return (Layer("mantle marks", outlines, species.accent, inside="torso", opacity=0.85),)


def breast_marks(species: Species, pitch: float, rng: np.random.Generator) -> tuple[Layer, ...]:
    """Return the patch, band, spots or streaks of the breast."""
    if species.breast == "plain":
        return ()
    p = species.plump
    if species.breast == "patch":
        outlines: list[Points] = [ellipse((0.4, 0.08), (0.17, 0.24 * p), 0.3)]
    elif species.breast == "band":
        outlines = [stroke(points((0.12, 0.36 * p), (0.33, 0.16 * p), (0.42, -0.1), (0.45, -0.4)), 0.11, 0.09)]
    else:
        grid = np.stack(np.meshgrid(np.linspace(-0.3, 0.5, 9), np.linspace(0.06, 0.34 * p, 5)), axis=-1).reshape(-1, 2)
        grid[:, 0] += 0.04 * (np.arange(len(grid)) // 9 % 2) + rng.uniform(-0.015, 0.015, len(grid))
        outlines = [_fleck(species, spot) for spot in grid]
    return (
        Layer("breast", tuple(turned(one, pitch) for one in outlines), species.accent, inside="torso", opacity=0.92),
    )


def _fleck(species: Species, spot: Points) -> Points:
    if species.breast == "spots":
        return ellipse(spot, (0.026, 0.026), steps=10)
    return stroke(np.stack([spot, spot + np.array([-0.06, 0.035])]), 0.026, 0.014)


def wing_marks(species: Species, placed: Frame, *, spread: bool) -> tuple[Layer, ...]:
    """Return what a wing wears, in the frame of that wing."""
    if species.wing_mark == "plain":
        return ()
    outlines, colour = _spread_marks(species) if spread else _folded_marks(species)
    return (Layer("wing mark", tuple(placed(one) for one in outlines), colour, inside="wing", opacity=0.95),)


def _folded_marks(species: Species) -> tuple[list[Points], str]:
    p = species.plump
    if species.wing_mark == "bars":
        bars = [points((x + 0.07, -0.3 * p), (x, -0.03), (x - 0.02, 0.24 * p)) for x in (0.12, -0.1)]
        return [stroke(bar, 0.055, 0.055) for bar in bars], species.trim
    if species.wing_mark == "patch":
        return [smooth(points((0.12, -0.08), (-0.08, -0.14), (-0.3, -0.02), (-0.15, 0.1), (0.05, 0.08)))], species.trim
    if species.wing_mark == "tips":
        return [points((-0.4, -0.3), (-0.36, 0.3), (-1.0, 0.3), (-1.0, -0.3))], species.accent
    spots = [(x, y) for x in np.linspace(0.15, -0.55, 8) for y in (-0.12, -0.04, 0.04, 0.12)]
    return [ellipse(spot, (0.022, 0.022), steps=8) for spot in spots], species.trim


def _spread_marks(species: Species) -> tuple[list[Points], str]:
    if species.wing_mark == "bars":
        bars = [points((0.05, y), (0.5, y - 0.04), (0.9, y + 0.02)) for y in (0.02, 0.17)]
        return [stroke(bar, 0.06, 0.05) for bar in bars], species.trim
    if species.wing_mark == "patch":
        return [ellipse((0.45, 0.06), (0.22, 0.12))], species.trim
    if species.wing_mark == "tips":
        return [points((0.68, -0.5), (1.2, -0.5), (1.2, 0.8), (0.62, 0.8))], species.accent
    spots = [(x, y) for x in np.linspace(0.1, 0.9, 8) for y in (-0.1, 0.0, 0.1, 0.2, 0.3)]
    return [ellipse(spot, (0.02, 0.025), steps=8) for spot in spots], species.trim


def face_marks(species: Species, placed: Frame) -> tuple[Layer, ...]:
    """Return the cap, mask, brow or throat of a head whose radius is 1."""
    if species.face == "plain":
        return ()
    outline, colour = {
        "cap": (points((1.2, -0.42), (1.2, -1.4), (-1.4, -1.4), (-1.4, -0.1)), species.accent),
        "mask": (smooth(points((1.1, 0.05), (0.6, -0.45), (-0.2, -0.35), (-1.1, -0.1), (-0.2, 0.2), (0.6, 0.25))),
                 species.trim),
        "brow": (stroke(points((0.95, -0.4), (0.2, -0.62), (-0.9, -0.4)), 0.22, 0.3), species.trim),
        "throat": (points((1.2, 0.28), (-0.3, 0.4), (-0.7, 1.3), (1.2, 1.3)), species.accent),
    }[species.face]  # fmt: skip
    return (Layer("face", (placed(outline),), colour, inside="head"),)
