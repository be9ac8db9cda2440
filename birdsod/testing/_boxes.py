"""Strategies for boxes and the sizes of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

__all__ = ["boxes_anywhere", "boxes_inside", "image_sizes", "whole_boxes_inside"]


def image_sizes(*, most: int = 4000) -> SearchStrategy[tuple[int, int]]:
    """Width and height of an image.

    Parameters
    ----------
    most : int, default 4000
        Longest side.

    Returns
    -------
    strategy of (int, int)

    Examples
    --------
    >>> from hypothesis import find
    >>> find(image_sizes(), lambda size: size[0] > size[1])
    (2, 1)
    """
    side = st.integers(1, most)
    return st.tuples(side, side)


@st.composite
def boxes_inside(
    draw: st.DrawFn, width: float, height: float, *, least: int = 0, most: int = 6, smallest: float = 1e-3
) -> NDArray[np.float64]:
    """Sound boxes inside an image: finite, open, ``0 <= xmin < xmax <= width``.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    width, height : float
        Size of the image.
    least, most : int, default 0 and 6
        How many boxes.
    smallest : float, default 1e-3
        Least width and height of a box, as a part of the image.

    Returns
    -------
    strategy of float64 array of shape (n, 4)

    Examples
    --------
    >>> from hypothesis import find
    >>> find(boxes_inside(100, 50, least=1), lambda boxes: True).shape
    (1, 4)
    """
    count = draw(st.integers(least, most))
    parts = draw(npst.arrays(np.float64, (count, 2, 2), elements=st.floats(0, 1, allow_subnormal=False)))
    low, high = parts.min(axis=1), parts.max(axis=1)
    low = np.minimum(low, 1 - smallest)
    high = np.maximum(high, low + smallest)
    size = np.array([width, height], dtype=np.float64)
    return np.concatenate([low * size, np.minimum(high, 1.0) * size], axis=1)


@st.composite
def whole_boxes_inside(
    draw: st.DrawFn, width: int, height: int, *, least: int = 0, most: int = 6
) -> NDArray[np.float64]:
    """Sound boxes whose corners lie between pixels, so that pixels can be counted.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    width, height : int
        Size of the image.
    least, most : int, default 0 and 6
        How many boxes.

    Returns
    -------
    strategy of float64 array of shape (n, 4)

    Examples
    --------
    >>> from hypothesis import find
    >>> find(whole_boxes_inside(3, 2, least=1), lambda boxes: True).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    rows = []
    for _ in range(draw(st.integers(least, most))):
        xmin, ymin = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        rows.append((xmin, ymin, draw(st.integers(xmin + 1, width)), draw(st.integers(ymin + 1, height))))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def boxes_anywhere(*, least: int = 0, most: int = 6, furthest: float = 1e6) -> SearchStrategy[NDArray[np.float64]]:
    """Any four finite numbers a box: outside, empty and inverted ones too.

    Parameters
    ----------
    least, most : int, default 0 and 6
        How many boxes.
    furthest : float, default 1e6
        Largest absolute coordinate.

    Returns
    -------
    strategy of float64 array of shape (n, 4)

    Examples
    --------
    >>> from hypothesis import find
    >>> find(boxes_anywhere(least=1), lambda boxes: bool((boxes[:, 2] < boxes[:, 0]).any())).shape
    (1, 4)
    """
    shapes = st.tuples(st.integers(least, most), st.just(4))
    numbers = st.floats(-furthest, furthest, allow_subnormal=False)
    return shapes.flatmap(lambda shape: npst.arrays(np.float64, shape, elements=numbers))
