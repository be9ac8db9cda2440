"""Anchors: the boxes that the detector starts from, laid out as MXNet's ``MultiBoxPrior`` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Float32Array = npt.NDArray[np.float32]

__all__ = ["SSD_ANCHORS", "TOP_DOWN_ANCHORS", "AnchorLayer", "anchors_by_cell", "anchors_for", "multibox_prior"]


@dataclass(frozen=True, slots=True)
class AnchorLayer:
    """The anchors of one feature map.

    Parameters
    ----------
    sizes : tuple of float
        Side lengths relative to the image; the first is used with every aspect ratio.
    ratios : tuple of float
        Aspect ratios, width over height; the first is used with every size.
    clip : bool, default False
        Whether the anchors are cut at the image's edges.
    steps : tuple of float, default (-1.0, -1.0)
        Distance of the centres down and across; -1 spreads them evenly.
    offsets : tuple of float, default (0.5, 0.5)
        Place of the centre in its cell, down and across.

    Examples
    --------
    >>> AnchorLayer(sizes=(0.1, 0.141421), ratios=(1.0, 2.0, 0.5)).per_cell
    4
    """

    sizes: tuple[float, ...]
    ratios: tuple[float, ...]
    clip: bool = False
    steps: tuple[float, float] = (-1.0, -1.0)
    offsets: tuple[float, float] = (0.5, 0.5)

    @property
    def per_cell(self) -> int:
        """How many anchors each cell of the feature map has."""
        return len(self.sizes) + len(self.ratios) - 1

    def boxes(self, height: int, width: int) -> Float32Array:
        """Return the anchors of a feature map, ``(height * width * per_cell, 4)`` relative corners.

        Parameters
        ----------
        height, width : int
            Cells of the feature map.

        Returns
        -------
        ndarray of float32
        """
        return multibox_prior(
            height,
            width,
            sizes=self.sizes,
            ratios=self.ratios,
            clip=self.clip,
            steps=self.steps,
            offsets=self.offsets,
        )


_THREE = (1.0, 2.0, 0.5)
_FIVE = (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0)

SSD_ANCHORS = (
    AnchorLayer((0.1, 0.141421), _THREE),
    AnchorLayer((0.2, 0.272029), _FIVE),
    AnchorLayer((0.37, 0.44699), _FIVE),
    AnchorLayer((0.54, 0.619193), _FIVE),
    AnchorLayer((0.71, 0.790443), _THREE),
    AnchorLayer((0.88, 0.961249), _THREE),
)
"""The six layers of anchors of the built-in algorithm, finest feature map first."""

TOP_DOWN_ANCHORS = (
    tuple(AnchorLayer((size,), _THREE) for size in (0.1, 0.2, 0.33, 0.5)),
    (*(AnchorLayer((size,), _THREE) for size in (0.6, 0.8)), AnchorLayer((0.97,), (1.0,))),
)
"""The anchors of our own network's two feature maps, several layers each: large boxes on fine maps, so that many
cells see each object."""


def anchors_for(layers: Sequence[AnchorLayer], shapes: Sequence[tuple[int, int]]) -> Float32Array:
    """Return the anchors of several feature maps, one after the other.

    Parameters
    ----------
    layers : sequence of AnchorLayer
        One for each feature map.
    shapes : sequence of tuple of int
        Height and width of each feature map.

    Returns
    -------
    ndarray of float32
        Shape ``(N, 4)``, relative ``xmin, ymin, xmax, ymax``.

    Examples
    --------
    >>> anchors_for(SSD_ANCHORS, [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]).shape
    (2268, 4)
    """
    return np.concatenate([layer.boxes(*shape) for layer, shape in zip(layers, shapes, strict=True)])


def anchors_by_cell(maps: Sequence[Sequence[AnchorLayer]], shapes: Sequence[tuple[int, int]]) -> Float32Array:
    """Return the anchors of several feature maps that have several layers each, cell by cell.

    Parameters
    ----------
    maps : sequence of sequence of AnchorLayer
        The layers of each feature map; a cell has their anchors one after the other.
    shapes : sequence of tuple of int
        Height and width of each feature map.

    Returns
    -------
    ndarray of float32
        Shape ``(N, 4)``, relative ``xmin, ymin, xmax, ymax``.

    Examples
    --------
    >>> anchors_by_cell(TOP_DOWN_ANCHORS, [(19, 19), (10, 10)]).shape
    (5032, 4)
    """
    parts = [
        np.concatenate([layer.boxes(*shape).reshape(-1, layer.per_cell, 4) for layer in layers], axis=1).reshape(-1, 4)
        for layers, shape in zip(maps, shapes, strict=True)
    ]
    return np.concatenate(parts)


def multibox_prior(
    height: int,
    width: int,
    *,
    sizes: Sequence[float],
    ratios: Sequence[float],
    clip: bool = False,
    steps: tuple[float, float] = (-1.0, -1.0),
    offsets: tuple[float, float] = (0.5, 0.5),
) -> Float32Array:
    """Return the anchors of one feature map, bit for bit as MXNet's ``MultiBoxPrior`` computes them.

    Cells are visited row by row. Each cell first gets every size with the first ratio, then the first size with
    every other ratio.

    Parameters
    ----------
    height, width : int
        Cells of the feature map.
    sizes : sequence of float
        Side lengths relative to the image.
    ratios : sequence of float
        Aspect ratios, width over height.
    clip : bool, default False
        Cut the anchors at the image's edges.
    steps : tuple of float, default (-1.0, -1.0)
        Distance of the centres down and across; if either is not positive, ``1 / height`` and ``1 / width``.
    offsets : tuple of float, default (0.5, 0.5)
        Place of the centre in its cell, down and across.

    Returns
    -------
    ndarray of float32
        Shape ``(height * width * (len(sizes) + len(ratios) - 1), 4)``, relative ``xmin, ymin, xmax, ymax``.

    Raises
    ------
    InputError
        If the map is empty, or a size or ratio is missing or not positive.

    Source
    ------
    Apache MXNet 1.9.1, operator ``_contrib_MultiBoxPrior``.

    Examples
    --------
    >>> multibox_prior(1, 1, sizes=[0.5], ratios=[1.0])
    array([[0.25, 0.25, 0.75, 0.75]], dtype=float32)
    """
    _check(height, width, sizes, ratios)
    # MXNet works in float32 throughout, and in this order: another order differs in the last bit.
    half = _half_extents(height, width, sizes, ratios)
    step_y, step_x = (
        steps if min(steps) > 0 else (np.float32(1) / np.float32(height), np.float32(1) / np.float32(width))
    )
    rows = (np.arange(height, dtype=np.float32) + np.float32(offsets[0])) * np.float32(step_y)
    columns = (np.arange(width, dtype=np.float32) + np.float32(offsets[1])) * np.float32(step_x)
    centres = np.stack(np.broadcast_arrays(columns[None, :], rows[:, None]), axis=-1)[:, :, None, :]
    boxes = np.concatenate([centres - half, centres + half], axis=-1).reshape(-1, 4)
    return np.clip(boxes, np.float32(0), np.float32(1)) if clip else boxes


def _check(height: int, width: int, sizes: Sequence[float], ratios: Sequence[float]) -> None:
    if height < 1 or width < 1:
        raise InputError("a feature map needs at least one cell", value=(height, width))
    for name, values in (("sizes", sizes), ("ratios", ratios)):
        if not len(values) or not all(value > 0 for value in values):
            raise InputError(f"anchors need positive {name}, at least one", value=tuple(values))


def _half_extents(height: int, width: int, sizes: Sequence[float], ratios: Sequence[float]) -> Float32Array:
    size = np.asarray([*sizes, *[sizes[0]] * (len(ratios) - 1)], dtype=np.float32)
    root = np.sqrt(np.asarray([*[ratios[0]] * len(sizes), *ratios[1:]], dtype=np.float32))
    half_width = size * np.float32(height) / np.float32(width) * root / np.float32(2)
    half_height = size / root / np.float32(2)
    return np.stack([half_width, half_height], axis=-1)
