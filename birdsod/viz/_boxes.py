"""Boxes on a picture: those of a data set, and those that a detector found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import DatasetError
from birdsod.viz._canvas import INK, figure_of, finished, place
from birdsod.viz._pictures import LONGEST, draw_picture, file_name, inches, shrunk
from birdsod.viz._style import class_style, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from birdsod.dataset import DetectionDataset, ImageRecord
    from birdsod.detections import Detections
    from birdsod.image import ImageSource

__all__ = ["show_boxes", "show_detections"]


def show_boxes(dataset: DetectionDataset, image: int | str | ImageRecord, ax: Axes | None = None) -> Figure:
    """Show an image of a data set with its boxes.

    Parameters
    ----------
    dataset : DetectionDataset
        Where the image is.
    image : int, str or ImageRecord
        The image's id, its path as in ``dataset.images``, or a record such as ``dataset[0]``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DatasetError
        If the data set has no such image.
    ImageError
        If the image cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import birdsod as bd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     birds = bd.synthetic_birds(folder, seed=0, classes=1, per_class=2)
    ...     figure = bd.viz.show_boxes(birds, birds[0])
    >>> len(figure.axes)
    1
    """
    from birdsod.image import decode

    record = _record(dataset, image)
    split = f", {record.split}" if record.split else ""
    title = f"{file_name(record.path)} (image {record.image_id}{split})"
    axes = place(ax, *inches(record.width, record.height))
    draw_picture(axes, shrunk(decode(record.path), LONGEST), record.width, record.height)
    names = [readable(dataset.class_table.names[k]) for k in record.class_ids]
    _draw_boxes(axes, record.boxes, record.class_ids, names)
    axes.set_title(title, fontsize=10, color=INK)
    return finished(figure_of(axes), ours=ax is None)


def show_detections(
    image: ImageSource, detections: Detections, *, threshold: float = 0.4, ax: Axes | None = None
) -> Figure:
    """Show an image with what was found in it, each with its name and confidence.

    Parameters
    ----------
    image : str, path-like, bytes or numpy.ndarray
        A file, its bytes, or an RGB array of shape (height, width, 3), ``uint8``.
    detections : Detections
        What was found.
    threshold : float, default 0.4
        Least confidence that is shown.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImageError
        If the image cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import birdsod as bd
    >>> table = bd.ClassTable((17,), ("017.Cardinal",))
    >>> found = bd.Detections([0], [0.9], [[0.2, 0.2, 0.8, 0.7]], 80, 60, table)
    >>> figure = bd.viz.show_detections(np.zeros((60, 80, 3), np.uint8), found)
    >>> figure.axes[0].get_title()
    '1 detection at 0.40 or more'
    """
    from birdsod.image import as_rgb

    shown = detections.above(threshold)
    pixels = as_rgb(image)
    height, width = pixels.shape[:2]
    axes = place(ax, *inches(width, height))
    draw_picture(axes, shrunk(pixels, LONGEST), width, height)
    named = zip(shown.names, shown.confidence, strict=True)
    labels = [f"{readable(name)} {score:.2f}" for name, score in named]
    # Relative boxes fit the picture whatever size it was when it was looked at.
    _draw_boxes(axes, shown.xyxy_relative * [width, height, width, height], shown.class_id, labels)
    counted = f"{len(shown)} detection{'' if len(shown) == 1 else 's'} at {threshold:.2f} or more"
    axes.set_title(": ".join(filter(None, [file_name(image), counted])), fontsize=10, color=INK)
    return finished(figure_of(axes), ours=ax is None)


def _record(dataset: DetectionDataset, image: int | str | ImageRecord) -> ImageRecord:
    if isinstance(image, str):
        found = [position for position, name in enumerate(dataset.names) if name == image]
    elif isinstance(image, (int, np.integer)):
        found = np.flatnonzero(dataset.image_ids == image).tolist()
    else:
        return image
    if not found:
        cure = "give an id or a path of dataset.images, or a record such as dataset[0]"
        raise DatasetError("the data set has no such image", value=image, cure=cure)
    return dataset[found[0]]


def _draw_boxes(
    ax: Axes, boxes: npt.NDArray[np.float64], class_ids: npt.NDArray[np.int64], texts: Sequence[str]
) -> None:
    """Draw boxes with labels; the first, which is the surest, chooses its place first and lies on top."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    from birdsod.viz._labels import Label

    labels: list[Label] = []
    for position, (box, kind, text) in enumerate(zip(boxes, class_ids.tolist(), texts, strict=True)):
        style = class_style(kind)
        width, height = box[2:] - box[:2]
        # A dark rim keeps a bright line visible on a bright picture.
        rim = [withStroke(linewidth=3.5, foreground="#000000", alpha=0.6)]
        frame = Rectangle((box[0], box[1]), width, height, fill=False, edgecolor=style.colour, linewidth=2)
        frame.set(linestyle=style.dashes, path_effects=rim, zorder=3 - position / (1 + len(boxes)))
        ax.add_patch(frame)
        Label(ax, text, box, style.colour, labels)
