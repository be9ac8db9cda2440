"""Images of a data set by row: what slices and selections have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from birdsod.dataset import _sizes
from birdsod.dataset._columns import SPLITS, Columns, Objects
from birdsod.dataset._paths import frozen
from birdsod.dataset._record import ImageRecord
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Self

    import numpy.typing as npt

    from birdsod.classes import ClassTable

__all__ = ["View"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class View:  # noqa: PLW1641 - equal by value with arrays inside, so not hashable
    """Rows of shared columns, with splits and class numbers of their own."""

    _columns: Columns
    _rows: npt.NDArray[Any]
    _splits: npt.NDArray[np.int8]
    _classes: ClassTable
    _class_of: npt.NDArray[np.int64] | None
    _largest: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._rows)

    def __iter__(self) -> Iterator[ImageRecord]:
        """Yield an :class:`ImageRecord` for each image; all sizes are read first."""
        self.require_sizes()
        return (self._record(position) for position in range(len(self)))

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> ImageRecord: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[Any] | Sequence[int] | Sequence[bool]) -> Self: ...
    def __getitem__(
        self, index: int | np.integer[Any] | slice | npt.NDArray[Any] | Sequence[int] | Sequence[bool]
    ) -> ImageRecord | Self:
        """Return one image, or the data set of some: by slice, boolean mask or positions."""
        if isinstance(index, slice):
            return self._take(index)
        if isinstance(index, (int, np.integer)):
            position = range(len(self))[index]
            _sizes.require_sizes(self._columns, self._rows[position : position + 1])
            return self._record(position)
        return self._take(_positions(np.asarray(index), len(self)))

    def __eq__(self, other: object) -> bool:
        """Say whether two data sets hold the same images, objects, classes and splits in the same order."""
        if not isinstance(other, View):
            return NotImplemented
        if self.root != other.root or self._classes != other._classes or self.names != other.names:
            return False
        pairs = zip(self._arrays(), other._arrays(), strict=True)
        return all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    @property
    def root(self) -> Path:
        """The folder that relative paths start from; absolute."""
        return self._columns.root

    @property
    def class_table(self) -> ClassTable:
        """Which class a zero-based class id stands for."""
        return self._classes

    @property
    def image_ids(self) -> npt.NDArray[np.int64]:
        """Ids of the images, int64 of shape ``(n,)``, read-only."""
        return frozen(self._columns.image_ids[self._rows].astype(np.int64))

    @property
    def names(self) -> list[str]:
        """The ``path`` column: POSIX, relative to the root, absolute if outside it."""
        return [self._columns.names[row] for row in self._rows.tolist()]

    @property
    def splits(self) -> npt.NDArray[np.str_]:
        """``"train"``, ``"validation"`` or ``""`` for each image."""
        return frozen(np.array(SPLITS)[self._splits])

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Width and height of the images, int64 of shape ``(n, 2)``; headers are read where they were not yet."""
        self.require_sizes()
        return frozen(self._columns.sizes[self._rows].astype(np.int64))

    @property
    def num_objects(self) -> int:
        """Number of objects on all images."""
        return len(self._objects().class_ids)

    @property
    def largest_image_id(self) -> int:
        """The largest id of the whole set's own images, whatever was selected; mirrored images come after it."""
        return self._largest

    @property
    def mirror_of(self) -> npt.NDArray[np.int64]:
        """Id of the image that each image mirrors, -1 where it mirrors none."""
        return frozen(self._columns.originals(self._rows))

    @property
    def nbytes(self) -> int:
        """Bytes that the columns hold; slices and selections share them."""
        return self._columns.nbytes + self._rows.nbytes + self._splits.nbytes

    def require_sizes(self) -> None:
        """Read the sizes that are not known yet from the headers, many at a time.

        Raises
        ------
        DatasetError
            If images are missing (counted, the first few named) or a header contradicts the given size.
        ImageError
            If an image cannot be read.
        """
        _sizes.require_sizes(self._columns, self._rows)

    def require_images(self) -> None:
        """Check that all image files are there.

        Raises
        ------
        DatasetError
            If some are missing: how many, and the names of the first few.
        """
        _sizes.require_files(self._columns, self._rows)

    def _objects(self) -> Objects:
        objects = self._columns.objects(self._rows)
        if self._class_of is None:
            return objects
        class_ids = self._class_of[objects.class_ids]
        kept = class_ids >= 0
        return Objects(objects.image_rows[kept], class_ids[kept], objects.boxes[kept])

    def _groups(self) -> npt.NDArray[np.int64]:
        return self._columns.group_of(self._rows)

    def _images_table(self) -> dict[str, npt.NDArray[Any]]:
        """Return the images table with sizes as far as they are known, groups and originals."""
        sizes = self._columns.sizes[self._rows].astype(np.int64)
        return {
            "image_id": self.image_ids,
            "path": np.array(self.names, dtype=object),
            "width": sizes[:, 0],
            "height": sizes[:, 1],
            "split": self.splits,
            "group": self._groups(),
            "mirror_of": self.mirror_of,
        }

    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        return (self.image_ids, self._splits, self._groups(), self.mirror_of, *self._objects())

    def _take(self, positions: slice | npt.NDArray[Any]) -> Self:
        return replace(self, _rows=frozen(self._rows[positions]), _splits=frozen(self._splits[positions]))

    def _record(self, position: int) -> ImageRecord:
        row = int(self._rows[position])
        columns = self._columns
        held = slice(int(columns.object_starts[row]), int(columns.object_starts[row + 1]))
        class_ids, boxes = columns.class_ids[held].astype(np.int64), columns.boxes[held].astype(np.float64)
        if self._class_of is not None:
            class_ids = self._class_of[class_ids]
            class_ids, boxes = class_ids[class_ids >= 0], boxes[class_ids >= 0]
        width, height = columns.sizes[row].tolist()
        name = columns.names[row]
        split = SPLITS[self._splits[position]]
        return ImageRecord(
            int(columns.image_ids[row]),
            columns.root / name,
            name,
            width,
            height,
            split,
            frozen(class_ids),
            frozen(boxes),
        )


def _positions(index: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """Return a mask or positions that numpy may use, each image at most once."""
    if index.dtype == bool:
        if index.shape != (length,):
            message = f"a mask of shape {index.shape} does not fit {length} images"
            raise IndexError(message)
        return index
    if index.size == 0:
        return np.zeros(0, dtype=np.intp)
    if index.dtype.kind not in "iu" or index.ndim != 1:
        message = f"images are picked by position, slice or mask, not by {index.dtype} of shape {index.shape}"
        raise TypeError(message)
    positions = np.where(index < 0, index + length, index)
    if positions.min() < 0 or positions.max() >= length:
        message = f"position {index[(positions < 0) | (positions >= length)][0]} is outside {length} images"
        raise IndexError(message)
    if len(np.unique(positions)) < len(positions):
        raise DatasetError("an image is picked twice", cause="sampling with replacement", cure="pick each image once")
    return positions
