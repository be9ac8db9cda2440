"""Outlines: closed curves, ellipses, strokes and hulls as arrays of points, x to the right and y down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Points = npt.NDArray[np.float64]


def points(*pairs: Sequence[float]) -> Points:
    """Return points as an array."""
    return np.array(pairs, dtype=np.float64)


def turned(outline: Points, angle: float) -> Points:
    """Turn points about the origin; a positive angle lifts what lies to the right."""
    cosine, sine = np.cos(angle), np.sin(angle)
    turn: Points = np.array([[cosine, -sine], [sine, cosine]], dtype=np.float64)
    return outline @ turn


def smooth(corners: Points, steps: int = 7) -> Points:
    """Return the closed Catmull-Rom curve through the corners."""
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None, None]
    count = np.arange(len(corners))
    before, after, beyond = corners[count - 1], corners[count + 1 - len(count)], corners[count + 2 - len(count)]
    curve = corners + 0.5 * t * (
        (after - before)
        + t * (2.0 * before - 5.0 * corners + 4.0 * after - beyond)
        + t**2 * (3.0 * corners - before - 3.0 * after + beyond)
    )
    return np.asarray(curve.transpose(1, 0, 2).reshape(-1, 2), dtype=np.float64)


def ellipse(centre: Sequence[float] | Points, radius: Sequence[float], angle: float = 0.0, steps: int = 28) -> Points:
    """Return an ellipse, turned by an angle."""
    t = np.linspace(0.0, 2.0 * np.pi, steps, endpoint=False)
    ring = np.stack([np.cos(t) * radius[0], np.sin(t) * radius[1]], axis=1)
    return turned(ring, angle) + np.asarray(centre, dtype=np.float64)


def stroke(path: Points, start: float, end: float) -> Points:
    """Return the outline of a line that is ``start`` wide at first and ``end`` wide at last."""
    along = np.empty_like(path)
    along[0], along[-1], along[1:-1] = path[1] - path[0], path[-1] - path[-2], path[2:] - path[:-2]
    half = np.linspace(start, end, len(path)) / (2.0 * np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9))
    across = np.stack([-along[:, 1] * half, along[:, 0] * half], axis=1)
    return np.concatenate([path + across, (path - across)[::-1]])


def hull(cloud: Points) -> Points:
    """Return the convex outline around points (Andrew's monotone chain)."""
    ordered = cloud[np.lexsort((cloud[:, 1], cloud[:, 0]))]
    return np.array(_half(ordered)[:-1] + _half(ordered[::-1])[:-1], dtype=np.float64)


def _half(ordered: Points) -> list[Points]:
    chain: list[Points] = []
    for point in ordered:
        while len(chain) > 1 and _turns_right(chain[-2], chain[-1], point):
            chain.pop()
        chain.append(point)
    return chain


def _turns_right(first: Points, second: Points, third: Points) -> bool:
    a, b = second - first, third - first
    return bool(a[0] * b[1] - a[1] * b[0] <= 0.0)
