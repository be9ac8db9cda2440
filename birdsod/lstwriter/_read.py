"""A ``.lst`` file to a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from birdsod.errors import ListError
from birdsod.lstwriter._rows import HEADER_WIDTH, OBJECT_WIDTH, Cells, parsed

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["read"]

_OBJECT = ("class_id", "xmin", "ymin", "xmax", "ymax")
_WHOLE = ("header_width", "object_width", "class_id")


def read(path: str | os.PathLike[str], *, on_error: Literal["raise", "skip", "collect"] = "raise") -> pd.DataFrame:
    r"""Read a list into a table, one row an image.

    Parameters
    ----------
    path : path-like
        The ``.lst`` file.
    on_error : {"raise", "skip", "collect"}, default "raise"
        What to do with a row that im2rec would skip: raise for the first, pass over them, or pass over them
        and keep their errors in ``frame.attrs["skipped"]``. Blank lines hold nothing and never count.

    Returns
    -------
    pandas.DataFrame
        ``image_id``, ``header_width``, ``object_width``, further header cells as ``header_2``..., then
        ``class_id``, ``xmin``, ``ymin``, ``xmax``, ``ymax`` and further object cells as ``extra_5``... of the
        first object, of the second with ``_2`` behind the names and so on (missing where an image has fewer),
        ``path`` last. If any row is not a detection label: ``image_id``, ``label``, ``label_2``..., ``path``.

    Raises
    ------
    ListError
        With file, line and value, if the file cannot be read or, under ``"raise"``, a row cannot be packed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "train.lst"
    >>> _ = file.write_text("7\t2\t5\t0\t0.1\t0.2\t0.5\t0.6\ta.jpg\n8\t2\t5\tb.jpg\n")
    >>> read(file)[["image_id", "class_id", "xmax", "path"]]
       image_id  class_id  xmax   path
    0         7         0   0.5  a.jpg
    1         8      <NA>   NaN  b.jpg
    >>> folder.cleanup()
    """
    if on_error not in {"raise", "skip", "collect"}:
        raise ListError("unknown way to treat errors", value=on_error, cure='choose "raise", "skip" or "collect"')
    skipped: list[ListError] = []
    found = list(parsed(path, on_skip=None if on_error == "raise" else skipped.append))
    frame = _table(found)
    if on_error == "collect":
        frame.attrs["skipped"] = skipped
    return frame


def _table(found: Sequence[Cells]) -> pd.DataFrame:
    import pandas as pd

    named = _detection if all(_is_detection(row.label) for row in found) else _plain
    labels = [named(row.label) for row in found]
    names = _in_order(labels)
    if not found:
        names = ["header_width", "object_width", *_OBJECT]
    columns: dict[str, object] = {"image_id": np.array([row.image_id for row in found], dtype=_id_type(found))}
    for name in names:
        columns[name] = _column(name, np.array([label.get(name, np.nan) for label in labels], dtype=np.float64))
    columns["path"] = [row.path for row in found]
    return pd.DataFrame(columns)


def _is_detection(label: Sequence[float]) -> bool:
    if len(label) < HEADER_WIDTH:
        return False
    header, width = label[:HEADER_WIDTH]
    if not (float(header).is_integer() and float(width).is_integer()):
        return False
    return HEADER_WIDTH <= header <= len(label) and width >= OBJECT_WIDTH and (len(label) - header) % width == 0


def _detection(label: Sequence[float]) -> dict[str, float]:
    """Return the cells of a detection label by the names of their columns."""
    header, width = int(label[0]), int(label[1])
    cells = {"header_width": label[0], "object_width": label[1]}
    cells |= {f"header_{place}": label[place] for place in range(HEADER_WIDTH, header)}
    for number, start in enumerate(range(header, len(label), width), start=1):
        for place in range(width):
            name = _OBJECT[place] if place < OBJECT_WIDTH else f"extra_{place}"
            cells[name if number == 1 else f"{name}_{number}"] = label[start + place]
    return cells


def _plain(label: Sequence[float]) -> dict[str, float]:
    return {"label" if number == 1 else f"label_{number}": value for number, value in enumerate(label, start=1)}


def _in_order(labels: Sequence[dict[str, float]]) -> list[str]:
    """Return every column once: header, first object, second object, however long the rows are."""
    names = {name for label in labels for name in label}
    return sorted(names, key=_place)


def _place(name: str) -> tuple[int, int, int]:
    """Return what a column is sorted by: header before objects, then number of the object, then place in it."""
    stem, _, last = name.rpartition("_")
    if name in {"header_width", "object_width"}:
        return (0, 0, 0 if name == "header_width" else 1)
    if stem in {"header", "label"} or name == "label":
        return (0, 0, int(last) if last.isdigit() else 1)
    number = 1
    if stem in _OBJECT or stem.startswith("extra_"):
        name, number = stem, int(last)
    place = _OBJECT.index(name) if name in _OBJECT else int(name.removeprefix("extra_"))
    return (1, number, place)


def _column(name: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> object:
    """Return whole numbers as such: a class is 3, not 3.0; a missing one is missing."""
    import pandas as pd

    known = values[~np.isnan(values)]
    if not name.startswith(_WHOLE) or not (known == np.floor(known)).all() or np.isinf(known).any():
        return values
    if len(known) == len(values):
        return values.astype(np.int64)
    return pd.Series(values).astype("Int64")


def _id_type(found: Sequence[Cells]) -> type[np.int64 | np.uint64]:
    return np.uint64 if any(row.image_id > np.iinfo(np.int64).max for row in found) else np.int64
