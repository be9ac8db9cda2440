"""From anyone's tables to checked columns."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod.dataset._columns import DECLARED, SPLITS, UNKNOWN, Columns, narrow, narrow_boxes
from birdsod.dataset._paths import PathColumn, smallest
from birdsod.errors import BoxError, DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pandas as pd

    from birdsod.dataset._columns import Objects

    Table = Mapping[str, Any] | pd.DataFrame

CONTROL = frozenset("\0\n\r\t")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def build_columns(images: Table, objects: Table, *, root: Path, classes: int) -> Columns:
    """Check two tables and lay them out as columns, objects sorted by image."""
    image_ids = _image_ids(images)
    sizes, states = _sizes(images, len(image_ids))
    image_rows = _image_rows(image_ids, integers(objects, "image_id", len(_column(objects, "image_id"))))
    class_ids = _class_ids(objects, len(image_rows), classes)
    order = np.argsort(image_rows, kind="stable")
    counts = np.bincount(image_rows, minlength=len(image_ids))
    boxes = _boxes(objects, len(image_rows))[order]
    groups, mirror_of = _families(images, image_ids)
    return Columns(
        root=root,
        image_ids=smallest(image_ids),
        names=PathColumn.of(_names(images, root, len(image_ids))),
        object_starts=smallest(np.concatenate([[0], np.cumsum(counts)])),
        class_ids=smallest(class_ids[order]),
        boxes=narrow_boxes(boxes),
        sizes=sizes,
        size_states=states,
        groups=narrow(groups),
        mirror_of=narrow(mirror_of),
    )


def objects_table(objects: Objects, image_ids: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Lay objects out as a table; ``image_ids`` are those that their rows count."""
    table = {"image_id": image_ids[objects.image_rows], "class_id": objects.class_ids}
    return table | {side: objects.boxes[:, place] for place, side in enumerate(_SIDES)}


def split_codes(images: Table, length: int) -> npt.NDArray[np.int8]:
    """Return the split column as positions in ``SPLITS``; a table without one is not split."""
    if "split" not in images:
        return np.zeros(length, dtype=np.int8)
    names = _strings(images, "split", length)
    unknown = next((row for row, name in enumerate(names) if name not in SPLITS), None)
    if unknown is not None:
        raise DatasetError(
            "no such split", record=unknown, value=names[unknown], cure="use 'train', 'validation' or '' for neither"
        )
    return np.array([SPLITS.index(name) for name in names], dtype=np.int8)


def integers(table: Table, name: str, length: int) -> npt.NDArray[np.int64]:
    """Return a column of whole numbers."""
    values = np.asarray(_column(table, name))
    if values.size == 0:
        values = values.astype(np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DatasetError(
            f"column {name!r} must hold whole numbers", value=f"{values.dtype} of shape {values.shape}", cure=_CAST
        )
    return _of_length(values, name, length).astype(np.int64)


_CAST = "convert the column to int64; missing values make pandas turn it to floats"


def _column(table: Table, name: str) -> Any:  # noqa: ANN401 - anything that numpy takes as an array
    if name not in table:
        raise DatasetError(f"column {name!r} is missing", value=sorted(map(str, table)), cure=f"add {name!r}")
    return table[name]


def _of_length(values: npt.NDArray[Any], name: str, length: int) -> npt.NDArray[Any]:
    if len(values) != length:
        message = f"column {name!r} has {len(values)} rows where {length} are expected"
        raise DatasetError(message, cure="give columns of equal length")
    return values


def _optional(table: Table, name: str, length: int) -> npt.NDArray[np.int64] | None:
    return integers(table, name, length) if name in table else None


def _strings(table: Table, name: str, length: int) -> list[str]:
    values = [os.fspath(value) if isinstance(value, PurePath) else value for value in _column(table, name)]
    wrong = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if wrong is not None:
        raise DatasetError(f"column {name!r} must hold text", record=wrong, value=values[wrong], cure="give strings")
    if len(values) != length:
        message = f"column {name!r} has {len(values)} rows where {length} are expected"
        raise DatasetError(message, cure="give columns of equal length")
    return values


def _families(
    images: Table, image_ids: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.int64] | None]:
    """Return groups and originals, None where each image stands for itself."""
    mirror_of, groups = (_optional(images, name, len(image_ids)) for name in ("mirror_of", "group"))
    if mirror_of is not None and (mirror_of < 0).all():
        mirror_of = None
    if groups is None and mirror_of is not None:
        groups = np.where(mirror_of < 0, image_ids, mirror_of)
    if groups is not None and np.array_equal(groups, image_ids):
        groups = None
    return groups, mirror_of


def _image_ids(images: Table) -> npt.NDArray[np.int64]:
    ids = integers(images, "image_id", len(_column(images, "image_id")))
    if ids.size and ids.min() < 0:
        row = int(np.argmax(ids < 0))
        raise DatasetError("an image id is negative", record=row, value=int(ids[row]), cure="number images from 0")
    again = first_repeat(ids)
    if again is not None:
        raise DatasetError("an image id occurs twice", record=again, value=int(ids[again]), cure="give each its own id")
    return ids


def first_repeat(values: npt.NDArray[Any]) -> int | None:
    """Return the first position whose value has occurred before."""
    order = np.argsort(values, kind="stable")
    again = order[1:][values[order[1:]] == values[order[:-1]]]
    return int(again.min()) if again.size else None


def _image_rows(image_ids: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    order = np.argsort(image_ids)
    places = np.searchsorted(image_ids, wanted, sorter=order)
    found = np.zeros(len(wanted), dtype=bool)
    inside = places < len(image_ids)
    found[inside] = image_ids[order[places[inside]]] == wanted[inside]
    if not found.all():
        row = int(np.argmin(found))
        raise DatasetError(
            "an object's image is not in the images table",
            record=row,
            value=int(wanted[row]),
            cure="add the image, or leave out the object",
        )
    return order[places].astype(np.int64)


def _class_ids(objects: Table, length: int, classes: int) -> npt.NDArray[np.int64]:
    ids = integers(objects, "class_id", length)
    outside = (ids < 0) | (ids >= classes)
    if outside.any():
        row = int(np.argmax(outside))
        raise DatasetError(
            "an object's class is not in the class table",
            record=row,
            value=int(ids[row]),
            cure=f"use zero-based class ids from 0 to {classes - 1}",
        )
    return ids


def _boxes(objects: Table, length: int) -> npt.NDArray[np.float64]:
    sides = [_of_length(np.asarray(_column(objects, side), dtype=np.float64), side, length) for side in _SIDES]
    boxes = np.stack(sides, axis=1)
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    if not good.all():
        row = int(np.argmin(good))
        what = "is empty or inverted" if np.isfinite(boxes[row]).all() else "is not finite"
        raise BoxError(f"a box {what}", record=row, value=boxes[row].tolist(), cure="give xmin < xmax and ymin < ymax")
    return boxes


def _sizes(images: Table, length: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    sizes = np.zeros((length, 2), dtype=np.int32)
    if "width" in images or "height" in images:
        sizes[:, 0] = _extent(images, "width", length)
        sizes[:, 1] = _extent(images, "height", length)
    half = (sizes > 0).sum(axis=1) == 1
    if half.any():
        row = int(np.argmax(half))
        raise DatasetError(
            "a size is known by half", record=row, value=sizes[row].tolist(), cure="give both or neither"
        )
    return sizes, np.where(sizes[:, 0] > 0, DECLARED, UNKNOWN).astype(np.int8)


def _extent(images: Table, name: str, length: int) -> npt.NDArray[np.int32]:
    column = _column(images, name)
    # A column of pandas marks an unknown size as <NA>, which numpy alone cannot turn to a number.
    nullable = column.to_numpy(dtype=np.float64, na_value=np.nan) if hasattr(column, "to_numpy") else column
    values = _of_length(np.asarray(nullable, dtype=np.float64), name, length)
    values = np.where(np.isnan(values), 0, values)
    wrong = (values < 0) | (values != np.floor(values)) | (values > np.iinfo(np.int32).max)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DatasetError(
            f"a {name} is no number of pixels",
            record=row,
            value=float(values[row]),
            cure="give whole numbers above 0, or 0 where it is not known",
        )
    return values.astype(np.int32)


def _names(images: Table, root: Path, length: int) -> list[str]:
    names = [_name(text, row, root) for row, text in enumerate(_strings(images, "path", length))]
    seen: set[str] = set()
    for row, name in enumerate(names):
        if name in seen:
            raise DatasetError(
                "a path occurs twice",
                record=row,
                value=name,
                cause="one image under two ids could stand on both sides of a split",
                cure="give each file one image id",
            )
        seen.add(name)
    return names


def _name(text: str, row: int, root: Path) -> str:
    if not text or set(text) & CONTROL:
        raise DatasetError("a path is empty or holds a control character", record=row, value=text, cure="rename it")
    path = text.replace(os.sep, "/")
    # pathlib would intern each part of a million paths
    if not (os.path.isabs(path) or ".." in path or "//" in path or "./" in path):  # noqa: PTH117 - see above
        return path
    return relative_name(root / path, root)


def relative_name(path: Path, root: Path) -> str:
    """Return a path as the ``path`` column has it: POSIX, relative to the root, absolute if outside it."""
    plain = Path(posixpath.normpath(path.as_posix()))
    return plain.relative_to(root).as_posix() if plain.is_relative_to(root) else plain.as_posix()
