"""Where images for training come from: record files, or whatever gives pictures by position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from birdsod.errors import ImageError, RecordError
from birdsod.image._decode import MAX_PIXELS, decode_read
from birdsod.image._sources import oriented_size, read_image

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.image._formats import Header
    from birdsod.recordio import RecordReader
    from birdsod.ssd.windows import Picture

__all__ = ["RecordSource", "Source"]

_SLACK = 1e-4  # what four decimals in a list may put a box beyond the edge


class Source(Protocol):
    """Where pictures come from, by position."""

    def __len__(self) -> int: ...

    def load(self, position: int) -> tuple[int, Picture]:
        """Return the image id and the picture at a position; threads may call this side by side."""
        ...


@dataclass(frozen=True, slots=True)
class _Stored:
    """A picture that is decoded when its pixels are asked for."""

    width: int
    height: int
    boxes: npt.NDArray[np.float64]
    class_ids: npt.NDArray[np.int64]
    header: Header
    data: bytes
    reduce: bool
    place: tuple[Path | str, int]

    def pixels(self, reduction: int) -> tuple[npt.NDArray[np.uint8], int]:
        if not (self.reduce and self.header.kind == "image/jpeg"):
            reduction = 1
        try:
            return decode_read(self.header, self.data, reduction=reduction), reduction
        except ImageError as error:
            error.path, error.record = str(self.place[0]), self.place[1]
            raise


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Pictures of a ``.rec`` file, and nothing else.

    Parameters
    ----------
    reader : RecordReader
        The open file.
    num_classes : int, optional
        Class ids are below; unless given, any number from 0 will do.
    reduce : bool, default False
        Whether a JPEG may be decoded at a half, a quarter or an eighth, where what is drawn of it is still made
        of at least as many pixels as it has. Quicker on large photographs, and smoother than linear
        interpolation between pixels far apart; not what a model sees that is given whole images.
    """

    reader: RecordReader
    num_classes: int | None = None
    reduce: bool = False

    def __len__(self) -> int:
        return len(self.reader)

    def load(self, position: int) -> tuple[int, Picture]:
        """Return the image id and the picture at a position.

        Parameters
        ----------
        position : int
            Position in the file, from 0.

        Returns
        -------
        tuple of int and Picture
            The pixels are decoded when they are asked for.

        Raises
        ------
        RecordError
            If a label holds a class id or a box that cannot be.
        ImageError
            If the image cannot be decoded; from the picture too.
        """
        place = self.reader.path, position
        record = self.reader[position]
        try:
            label = record.boxes
            header, data = read_image(record.image, max_pixels=MAX_PIXELS)
        except (ImageError, RecordError) as error:
            error.path, error.record = str(place[0]), position
            raise
        boxes = np.asarray(label.boxes, dtype=np.float64).reshape(-1, 4)
        class_ids = np.asarray(label.class_ids, dtype=np.int64)
        _check(boxes, class_ids, self.num_classes, place)
        boxes = boxes.clip(0, 1)
        size = oriented_size(header)
        return int(record.header.id), _Stored(*size, boxes, class_ids, header, data, self.reduce, place)


def _check(
    boxes: npt.NDArray[np.float64],
    class_ids: npt.NDArray[np.int64],
    num_classes: int | None,
    place: tuple[Path | str, int],
) -> None:
    path, record = place
    # As Python's numbers: a record has few objects, and right behind a copied image each operation on arrays is slow.
    beyond = math.inf if num_classes is None else num_classes
    for class_id in class_ids.tolist():
        if not 0 <= class_id < beyond:
            below = "is negative" if num_classes is None else f"is not below num_classes, {num_classes}"
            message, cure = f"a class id {below}", "pack with the class ids 0, 1, 2, ..."
            raise RecordError(message, path=path, record=record, value=class_id, cure=cure)
    low, high = -_SLACK, 1 + _SLACK
    for box in boxes.tolist():
        left, top, right, bottom = box
        if not (low <= left < right <= high and low <= top < bottom <= high):
            message, cause = "a box is inverted or outside its image", "pixels where parts of width and height belong"
            raise RecordError(message, path=path, record=record, value=box, cause=cause)
