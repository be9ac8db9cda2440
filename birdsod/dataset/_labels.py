"""Boxes of an image as the built-in algorithm and Ground Truth write them in JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from birdsod.classes import ClassTable

__all__ = ["LabelError", "categories", "label_json", "read_boxes", "read_extent"]

_CHANNELS = 3
_SIDES = ("left", "top", "width", "height")


class LabelError(Exception):
    """A label says something that it cannot mean: a message, and the value at fault."""


def label_json(width: int, height: int, class_ids: NDArray[Any], boxes: NDArray[Any]) -> dict[str, Any]:
    """Return ``image_size`` and ``annotations`` of an image; whole numbers of pixels are written as such.

    Examples
    --------
    >>> import numpy as np
    >>> label_json(50, 40, np.array([1]), np.array([[2.0, 3.0, 12.5, 23.0]]))["annotations"]
    [{'class_id': 1, 'left': 2, 'top': 3, 'width': 10.5, 'height': 20}]
    """
    objects = zip(class_ids.tolist(), boxes.tolist(), strict=True)
    return {
        "image_size": [{"width": int(width), "height": int(height), "depth": _CHANNELS}],
        "annotations": [{"class_id": int(class_id), **_extent(*box)} for class_id, box in objects],
    }


def _extent(xmin: float, ymin: float, xmax: float, ymax: float) -> dict[str, float]:
    values = (xmin, ymin, _length(xmin, xmax), _length(ymin, ymax))
    # The zero takes the sign off a negative zero.
    plain = (int(value) if value.is_integer() else value + 0.0 for value in values)
    return dict(zip(_SIDES, plain, strict=True))


def _length(start: float, end: float) -> float:
    """Return a length that, added to the start, does not reach beyond the end: the image may end there."""
    length = end - start
    return math.nextafter(length, 0.0) if start + length > end else length


def categories(table: ClassTable, class_ids: NDArray[Any]) -> list[dict[str, Any]]:
    """Return the classes of an image as its annotation file names them."""
    return [{"class_id": class_id, "name": table.names[class_id]} for class_id in sorted(set(class_ids.tolist()))]


def read_extent(label: object) -> tuple[int, int]:
    """Return width and height that a label gives its image."""
    sizes = label.get("image_size") if isinstance(label, dict) else None
    first = sizes[0] if isinstance(sizes, list) and sizes else None
    sides: list[Any] = [first.get(side) for side in ("width", "height")] if isinstance(first, dict) else []
    if not sides or not all(_is_number(side) and side >= 1 and float(side).is_integer() for side in sides):
        message = "the label has no image_size with width and height in whole pixels"
        raise LabelError(message, sizes)
    return int(sides[0]), int(sides[1])


def read_boxes(label: Any) -> Iterable[tuple[int, tuple[float, float, float, float]]]:  # noqa: ANN401 - any JSON
    """Yield class and corners of each object of a label."""
    rows = label.get("annotations")
    if not isinstance(rows, list):
        message = "the label has no list of annotations"
        raise LabelError(message, rows)
    for row in rows:
        numbers: list[Any] = [row.get(side) for side in _SIDES] if isinstance(row, dict) else []
        if not numbers or not all(map(_is_number, numbers)):
            message = "an annotation has not left, top, width and height as numbers"
            raise LabelError(message, row)
        if type(row.get("class_id")) is not int or row["class_id"] < 0:
            message = "a class id is no whole number from 0"
            raise LabelError(message, row.get("class_id"))
        yield row["class_id"], _corners(numbers)


def _corners(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, width, height = numbers
    corners = (float(left), float(top), float(left) + width, float(top) + height)
    if not (corners[0] < corners[2] and corners[1] < corners[3]):
        message = "a box has no area"
        raise LabelError(message, list(numbers))
    return corners


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**31
