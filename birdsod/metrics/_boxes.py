"""The two tables that are compared: what is there and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import BoxError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["GroundTruth", "Predictions"]


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """Objects of many images, a row each.

    Parameters
    ----------
    image_id : array-like of int, shape (m,)
        Which image the object is in.
    class_id : array-like of int, shape (m,)
        Zero-based class.
    boxes : array-like of float, shape (m, 4)
        ``xmin, ymin, xmax, ymax``, in pixels or relative, as long as :class:`Predictions` has the same.

    Raises
    ------
    BoxError
        If the columns do not fit together, or a value is not finite.

    Examples
    --------
    >>> len(GroundTruth([7, 7], [0, 1], [[0, 0, 9, 9], [5, 5, 9, 9]]))
    2
    """

    image_id: npt.NDArray[np.int64]
    class_id: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]

    if TYPE_CHECKING:

        def __init__(self, image_id: npt.ArrayLike, class_id: npt.ArrayLike, boxes: npt.ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_id", _whole("image id", self.image_id))
        object.__setattr__(self, "class_id", _whole("class id", self.class_id))
        object.__setattr__(self, "boxes", _finite("box", self.boxes, columns=4))
        _check_lengths(self.image_id, self.class_id, self.boxes)

    def __len__(self) -> int:
        return len(self.image_id)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Detections in many images, a row each, in any order.

    Where scores are equal, the image with the lower id comes first, and within an image the earlier row.

    Parameters
    ----------
    image_id : array-like of int, shape (n,)
        Which image it was found in.
    class_id : array-like of int, shape (n,)
        Zero-based class.
    score : array-like of float, shape (n,)
        Confidence; only the order counts.
    boxes : array-like of float, shape (n, 4)
        ``xmin, ymin, xmax, ymax``, in pixels or relative, as long as :class:`GroundTruth` has the same.

    Raises
    ------
    BoxError
        If the columns do not fit together, or a value is not finite.

    Examples
    --------
    >>> len(Predictions([7], [0], [0.9], [[0, 0, 9, 9]]))
    1
    """

    image_id: npt.NDArray[np.int64]
    class_id: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.float64]

    if TYPE_CHECKING:

        def __init__(
            self, image_id: npt.ArrayLike, class_id: npt.ArrayLike, score: npt.ArrayLike, boxes: npt.ArrayLike
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_id", _whole("image id", self.image_id))
        object.__setattr__(self, "class_id", _whole("class id", self.class_id))
        object.__setattr__(self, "score", _finite("score", self.score))
        object.__setattr__(self, "boxes", _finite("box", self.boxes, columns=4))
        _check_lengths(self.image_id, self.class_id, self.score, self.boxes)

    def __len__(self) -> int:
        return len(self.image_id)


def _whole(what: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    given = np.asarray(values)
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise BoxError(f"the {what}s are not whole numbers", value=str(given.dtype), cure="give an array of integers")
    array = np.array(given, dtype=np.int64)
    array.setflags(write=False)
    return array


def _finite(what: str, values: npt.ArrayLike, *, columns: int | None = None) -> npt.NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.size == 0 and columns is not None:
        array = array.reshape(0, columns)
    wrong = ~np.isfinite(array)
    if wrong.any():
        row = int(np.argwhere(wrong)[0, 0])
        raise BoxError(f"a {what} is not finite", record=row, value=array[row].tolist())
    array.setflags(write=False)
    return array


def _check_lengths(image_id: npt.NDArray[np.int64], *columns: npt.NDArray[np.generic]) -> None:
    count = image_id.size
    shapes = [image_id.shape, *(column.shape for column in columns)]
    wanted = [(count,)] * len(columns) + [(count, 4)]
    if shapes != wanted:
        raise BoxError("the columns do not fit together", value=shapes, cure=f"give columns of shapes {wanted}")
