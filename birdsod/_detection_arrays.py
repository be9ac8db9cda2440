"""The columns of detections: taken in, frozen and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod.errors import BoxError, DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

COLUMNS_OF_A_PREDICTION = 6
"""Class, score and four box sides."""

SCORE_TOLERANCE = 1e-6
"""A softmax in single precision may exceed 1 by float noise."""


def float_array(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return an array of our own, or say what is no row of numbers."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BoxError("detections are rows of numbers of equal length", value=values) from error


def frozen(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return a read-only copy."""
    array = float_array(values)
    array.setflags(write=False)
    return array


def boxes(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return a read-only copy; nothing at all is no boxes."""
    array = float_array(values)
    return frozen(array.reshape(0, 4) if array.shape == (0,) else array)


def class_ids(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return a read-only copy as whole numbers, which a prediction writes as floats."""
    given = float_array(values)
    with np.errstate(invalid="ignore"):
        whole = given.astype(np.int64)
    row = first(np.atleast_1d(given != whole))
    if row is not None:
        raise DatasetError("a class id is not a whole number", record=row, value=float(given.flat[row]))
    whole.setflags(write=False)
    return whole


def prediction_rows(rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return rows of six columns."""
    table = float_array(rows)
    if table.shape == (0,):
        table = table.reshape(0, COLUMNS_OF_A_PREDICTION)
    if table.shape != (len(np.atleast_1d(table)), COLUMNS_OF_A_PREDICTION):
        message = "a prediction has rows of class, score, xmin, ymin, xmax, ymax"
        raise BoxError(message, value=table.shape, cure="give an array of shape (n, 6)")
    return table


def check_shapes(
    ids: npt.NDArray[np.int64], confidence: npt.NDArray[np.float64], xyxy: npt.NDArray[np.float64]
) -> None:
    """Refuse columns of different length."""
    shapes = (ids.shape, confidence.shape, xyxy.shape)
    if shapes != ((ids.size,), (ids.size,), (ids.size, 4)):
        message = "class ids, scores and boxes do not fit together"
        raise BoxError(message, value=shapes, cure="give arrays of shapes (n,), (n,) and (n, 4)")


def check_size(width: int, height: int) -> None:
    """Refuse an image without area."""
    if width <= 0 or height <= 0:
        raise ImageError("an image has a width and a height", value=(width, height))


def check_class_ids(ids: npt.NDArray[np.int64], count: int) -> None:
    """Refuse a class that the table does not name."""
    row = first((ids < 0) | (ids >= count))
    if row is not None:
        cure = f"give ids from 0 to {count - 1}, or the model's own class table"
        raise DatasetError("a class id is not in the table", record=row, value=int(ids[row]), cure=cure)


def check_confidence(confidence: npt.NDArray[np.float64]) -> None:
    """Refuse a score outside 0 to 1, for example a percentage."""
    row = first(~((confidence >= 0) & (confidence <= 1 + SCORE_TOLERANCE)))
    if row is not None:
        raise BoxError("a confidence is not between 0 and 1", record=row, value=float(confidence[row]))


def check_finite(xyxy: npt.NDArray[np.float64]) -> None:
    """Refuse boxes that are nowhere."""
    row = first(np.count_nonzero(~np.isfinite(xyxy), axis=1) > 0)
    if row is not None:
        raise BoxError("a box is not finite", record=row, value=xyxy[row].tolist())


def first(wrong: npt.NDArray[np.bool_]) -> int | None:
    """Return the first row that is wrong, if any is."""
    return int(np.argmax(wrong)) if wrong.any() else None


def row_selection(rows: int | slice | Sequence[int] | npt.NDArray[Any], count: int) -> slice | npt.NDArray[Any]:
    """Return what selects rows of an array and keeps them rows."""
    if isinstance(rows, slice):
        return rows
    array = np.atleast_1d(np.asarray(rows))
    if array.size == 0 and array.dtype != np.bool_:
        array = array.astype(np.int64)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_):
        raise IndexError(f"{count} detections are indexed by row numbers, a slice or a mask, not by {rows!r}")
    return array
