"""The photographs of one species in a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import InputError
from birdsod.viz._canvas import INK, finished, new_figure
from birdsod.viz._pictures import draw_picture, thumbnail
from birdsod.viz._style import readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from birdsod.dataset import DetectionDataset

__all__ = ["show_species"]

CELL_WIDTH, CELL_HEIGHT, TITLE, GAP = 1.55, 1.4, 0.45, 0.06
"""Inches."""

THUMBNAIL = 240
"""Pixels of the longer side."""


def show_species(
    dataset: DetectionDataset, species: int | str, *, columns: int = 6, limit: int | None = None
) -> Figure:
    """Show the photographs of one class in a grid, in the order of the data set, each with its id.

    Pictures are decoded small, one after the other, so that memory does not grow with their size.

    Parameters
    ----------
    dataset : DetectionDataset
        Where the images are.
    species : int or str
        Id as the data set writes it, or class name.
    columns : int, default 6
        Pictures in a row.
    limit : int, optional
        Most pictures that are shown; all by default.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each picture.

    Raises
    ------
    DatasetError
        If there is no such class.
    ImageError
        If an image cannot be read; it is named.
    InputError
        If ``columns`` is below 1 or ``limit`` below 0.

    Examples
    --------
    >>> import tempfile
    >>> import birdsod as bd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     birds = bd.synthetic_birds(folder, seed=0, classes=1, per_class=4)
    ...     figure = bd.viz.show_species(birds, birds.class_table.names[0])
    >>> len(figure.axes)
    4
    """
    if columns < 1:
        raise InputError("a grid has at least one column", value=columns)
    if limit is not None and limit < 0:
        raise InputError("a limit is not negative", value=limit)
    kind = dataset.class_table.find(species)
    images = _with_class(dataset, kind)
    shown = images[:limit]
    figure = _grid(shown, columns)
    name = readable(dataset.class_table.names[kind])
    counted = f"{len(images)} image{'' if len(images) == 1 else 's'}"
    some = "" if len(shown) == len(images) else f"{len(shown)} of "
    figure.suptitle(f"{name}: {some}{counted}", fontsize=12, color=INK, y=1 - 0.5 * TITLE / figure.get_figheight())
    return finished(figure, ours=True)


def _with_class(dataset: DetectionDataset, class_id: int) -> DetectionDataset:
    """Return the images that hold a class; the other classes of the set stay."""
    objects = dataset.objects
    holding = objects.loc[objects["class_id"] == class_id, "image_id"]
    return dataset[np.isin(dataset.image_ids, holding.to_numpy())]


def _grid(images: DetectionDataset, columns: int) -> Figure:
    """Return a figure with a place for each image and for nothing else, filled row by row."""
    across = max(1, min(columns, len(images)))
    down = -(-len(images) // columns)
    # A title needs room even above a single picture.
    width, height = max(3.2, across * CELL_WIDTH), TITLE + down * CELL_HEIGHT
    figure = new_figure(width, height)
    margin = (width - across * CELL_WIDTH) / 2
    for position, record in enumerate(images):
        row, column = divmod(position, columns)
        left, bottom = margin + column * CELL_WIDTH + GAP, height - TITLE - (row + 1) * CELL_HEIGHT + GAP
        cell = (left / width, bottom / height, (CELL_WIDTH - 2 * GAP) / width, (CELL_HEIGHT - 0.25) / height)
        axes = figure.add_axes(cell)
        draw_picture(axes, thumbnail(record.path, THUMBNAIL), record.width, record.height)
        axes.set_title(str(record.image_id), fontsize=7, color=INK, pad=2)
    return figure
