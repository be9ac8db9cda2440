"""The columns that a data set and all its slices and selections share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from birdsod.dataset._paths import PathColumn, frozen, smallest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

SPLITS: Final = ("", "train", "validation")
UNKNOWN, DECLARED, READ = 0, 1, 2


class Objects(NamedTuple):
    """Objects of some images: row of the image among those asked for, class and box."""

    image_rows: npt.NDArray[np.int64]
    class_ids: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Images and objects by row; objects are sorted by image, so that an image's objects are one slice.

    ``sizes`` and ``size_states`` are the one thing that changes: they are filled as headers are read.
    ``groups`` names the group that must not part in a split, ``mirror_of`` the original's id or -1.
    """

    root: Path
    image_ids: npt.NDArray[Any]
    names: PathColumn
    object_starts: npt.NDArray[Any]
    class_ids: npt.NDArray[Any]
    boxes: npt.NDArray[Any]
    sizes: npt.NDArray[np.int32]
    size_states: npt.NDArray[np.int8]
    groups: npt.NDArray[Any] | None
    mirror_of: npt.NDArray[Any] | None

    @property
    def nbytes(self) -> int:
        """Bytes held by all columns."""
        arrays = (self.image_ids, self.object_starts, self.class_ids, self.boxes, self.sizes, self.size_states)
        optional = [column.nbytes for column in (self.groups, self.mirror_of) if column is not None]
        return self.names.nbytes + sum(array.nbytes for array in arrays) + sum(optional)

    def path(self, row: int) -> Path:
        """Where the file of a row lies."""
        return self.root / self.names[row]

    def objects(self, rows: npt.NDArray[Any]) -> Objects:
        """Gather the objects of some rows, in their order."""
        starts = self.object_starts[rows].astype(np.int64)
        counts = self.object_starts[rows.astype(np.int64) + 1] - starts
        image_rows = np.repeat(np.arange(len(rows), dtype=np.int64), counts)
        skipped = starts - (np.cumsum(counts) - counts)
        picked = np.arange(len(image_rows), dtype=np.int64) + skipped[image_rows]
        return Objects(image_rows, self.class_ids[picked].astype(np.int64), self.boxes[picked].astype(np.float64))

    def group_of(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Which images belong together: the group column, or each image for itself."""
        column = self.image_ids if self.groups is None else self.groups
        return np.asarray(column[rows], dtype=np.int64)

    def originals(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Ids of the images that rows mirror, -1 where a row is no mirrored image."""
        if self.mirror_of is None:
            return np.full(len(rows), -1, dtype=np.int64)
        return np.asarray(self.mirror_of[rows], dtype=np.int64)


def narrow_boxes(boxes: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Keep boxes at half the width where that loses nothing, as with whole pixels."""
    with np.errstate(over="ignore"):
        half = boxes.astype(np.float32)
    return frozen(half if np.array_equal(half, boxes) else boxes.copy())


def narrow(values: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    """Keep an optional column of integers in the narrowest type."""
    return None if values is None else smallest(values)
