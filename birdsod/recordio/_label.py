"""Detection labels: classes and boxes in a row of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from birdsod.errors import RecordError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["LONGEST_OBJECT", "DetectionLabel", "detection_label", "is_detection_label", "object_count"]

Array = TypeVar("Array", bound="NDArray[Any]")

LONGEST_OBJECT = 1 << 27
"""Numbers of the longest object: a record holds no more, and no array has longer rows, even where it has none."""

_LEAST_HEADER = 2
_LEAST_OBJECT = 5
_CAUSE = "a label for classification, or packed without --pack-label"


@dataclass(frozen=True, slots=True, eq=False)
class DetectionLabel:
    """The objects of an image.

    Parameters
    ----------
    header_width : int
        Numbers before the first object, 2 as a rule.
    object_width : int
        Numbers an object, 5 as a rule.
    class_ids : int64 array of shape (n,)
        Zero-based class of each object.
    boxes : float64 array of shape (n, 4)
        ``xmin ymin xmax ymax`` relative to the image.
    extra : float32 array of shape (n, object_width - 5)
        What follows the box.
    header_extra : float32 array of shape (header_width - 2,)
        What follows the two widths.
    """

    header_width: int
    object_width: int
    class_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    extra: NDArray[np.float32]
    header_extra: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.class_ids)

    @property
    def numbers(self) -> NDArray[np.float32]:
        """The label as the row of numbers that a record holds."""
        objects = np.hstack([self.class_ids[:, None], self.boxes, self.extra], dtype=np.float32, casting="unsafe")
        widths = np.array([self.header_width, self.object_width], dtype=np.float32)
        return np.concatenate([widths, self.header_extra, objects.ravel()], dtype=np.float32)


def is_detection_label(label: ArrayLike) -> bool:
    """Tell whether a label has the layout of a detection label."""
    return _fault(np.asarray(label, dtype=np.float32)) is None


def object_count(label: NDArray[np.float32]) -> int:
    """Return the number of objects of a label, 0 if it is no detection label."""
    return 0 if _fault(label) else (label.size - int(label[0])) // int(label[1])


def detection_label(label: ArrayLike, *, record_id: int | None = None) -> DetectionLabel:
    """Return the typed view of a label; ``record_id`` is named in errors."""
    numbers = np.asarray(label, dtype=np.float32)
    fault = _fault(numbers)
    if fault is not None:
        whose = "" if record_id is None else f" of image {record_id}"
        value = numbers.ravel()[:8].tolist()
        message, cure = f"the label{whose} is no detection label: {fault}", "pack it with all numbers of its row"
        raise RecordError(message, value=value, cause=_CAUSE, cure=cure)
    header, width = int(numbers[0]), int(numbers[1])
    objects = numbers[header:].reshape(-1, width)
    return DetectionLabel(
        header_width=header,
        object_width=width,
        class_ids=_frozen(objects[:, 0].astype(np.int64)),
        boxes=_frozen(objects[:, 1:_LEAST_OBJECT].astype(np.float64)),
        extra=_frozen(objects[:, _LEAST_OBJECT:].copy()),
        header_extra=_frozen(numbers[_LEAST_HEADER:header].copy()),
    )


def _fault(numbers: NDArray[np.float32]) -> str | None:
    if numbers.ndim != 1 or len(numbers) < _LEAST_HEADER:
        return "it needs at least the two widths"
    header, width = numbers[:_LEAST_HEADER].tolist()
    if not (header.is_integer() and _LEAST_HEADER <= header <= len(numbers)):
        return "the width of the header must be a whole number from 2 to the length of the label"
    if not (width.is_integer() and _LEAST_OBJECT <= width <= LONGEST_OBJECT):
        return "the width of an object must be a whole number from 5 to 2^27"
    if (len(numbers) - header) % width:
        return "the objects do not fill it"
    # As Python's numbers: labels are short, and few of them are quicker than an array.
    if not all(map(float.is_integer, numbers[int(header) :: int(width)].tolist())):
        return "a class id is not a whole number"
    return None


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array
