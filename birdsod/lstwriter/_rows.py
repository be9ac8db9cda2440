"""Rows of a ``.lst`` file, parsed as im2rec parses them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from birdsod.errors import ListError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

__all__ = ["HEADER_WIDTH", "ID_LIMIT", "OBJECT_WIDTH", "Cells", "ListRow", "label_row", "parsed", "rows"]

HEADER_WIDTH = 2
OBJECT_WIDTH = 5
ID_LIMIT = 1 << 64
_LEAST_CELLS = 3
_LARGEST = float(np.finfo(np.float32).max)
_AS_IT_IS = contextlib.nullcontext()
_SHIFTED = "a cell that is empty or shifted, or blanks in place of tabs"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class ListRow:
    """One row of a list: an image and its label.

    Parameters
    ----------
    image_id : int
        The first cell.
    label : float32 array of shape (n,)
        All cells between the first and the last, as the record will hold them.
    path : str
        The last cell, relative to the image folder.
    line : int
        Line in the file, counted from 1.
    """

    image_id: int
    label: NDArray[np.float32]
    path: str
    line: int


class Cells(NamedTuple):
    """What a line says, in full precision."""

    image_id: int
    label: list[float]
    path: str
    line: int


def label_row(class_ids: ArrayLike, relative_boxes: ArrayLike) -> NDArray[np.float64]:
    """Return the label of an image: widths of header and object, then class and box of each object.

    Parameters
    ----------
    class_ids : array-like of shape (n,)
        Zero-based class ids.
    relative_boxes : array-like of shape (n, 4)
        ``xmin ymin xmax ymax`` from 0 to 1.

    Returns
    -------
    float64 array of shape (2 + 5 n,)
        ``[2, 5, class, xmin, ymin, xmax, ymax, ...]``.

    Raises
    ------
    ListError
        If there are not as many boxes as class ids.

    Examples
    --------
    >>> label_row([3], [[0.1, 0.2, 0.5, 0.6]]).tolist()
    [2.0, 5.0, 3.0, 0.1, 0.2, 0.5, 0.6]
    >>> label_row([], []).tolist()
    [2.0, 5.0]
    """
    classes = np.asarray(class_ids, dtype=np.float64).reshape(-1, 1)
    boxes = np.asarray(relative_boxes, dtype=np.float64).reshape(-1, 4)
    if len(classes) != len(boxes):
        message = f"{len(classes)} class ids but {len(boxes)} boxes"
        raise ListError(message, cure="give one class id for each box")
    return np.concatenate([[HEADER_WIDTH, OBJECT_WIDTH], np.hstack([classes, boxes]).ravel()])


def rows(path: str | os.PathLike[str], *, on_skip: Callable[[ListError], object] | None = None) -> Iterator[ListRow]:
    r"""Read a list row by row, taking exactly the rows that im2rec packs.

    Parameters
    ----------
    path : path-like
        The ``.lst`` file.
    on_skip : callable, optional
        Called with the error of each row that im2rec would skip; ``refused.append`` collects them. Without
        it, the first such row raises. Blank lines hold nothing and are passed over.

    Yields
    ------
    ListRow

    Raises
    ------
    ListError
        If the file cannot be read or, without ``on_skip``, a row cannot be packed: fewer than three cells, an
        id that is no whole number from 0 to 2**64 - 1, a label that is no number, or bytes that are not UTF-8.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "train.lst"
    >>> _ = file.write_text("7\t2\t5\t0\t0.1\t0.2\t0.5\t0.6\ta.jpg\nx\t1\tb.jpg\n")
    >>> refused = []
    >>> [(row.image_id, row.path, len(row.label)) for row in rows(file, on_skip=refused.append)]
    [(7, 'a.jpg', 7)]
    >>> refused[0].line, refused[0].value
    (2, 'x')
    >>> folder.cleanup()
    """
    for cells in parsed(path, on_skip=on_skip):
        yield ListRow(cells.image_id, _float32(cells.label), cells.path, cells.line)


def _float32(numbers: list[float]) -> NDArray[np.float32]:
    # A number beyond float32 becomes infinite, as in im2rec; the others need no setting of NumPy's for each row.
    with np.errstate(over="ignore") if any(abs(number) > _LARGEST for number in numbers) else _AS_IT_IS:
        return np.array(numbers, dtype=np.float32)


def parsed(path: str | os.PathLike[str], *, on_skip: Callable[[ListError], object] | None) -> Iterator[Cells]:
    """Yield the cells of each row that im2rec packs."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            yield _parse(line, path, number)
        except ListError as error:
            if on_skip is None:
                raise
            on_skip(error)


def _lines(path: str | os.PathLike[str]) -> Iterator[str]:
    try:
        # Bytes that are not UTF-8 must cost their own row only, so they are let through here and refused below.
        with Path(path).open(encoding="utf-8", errors="surrogateescape") as stream:
            yield from stream
    except FileNotFoundError as error:
        raise ListError("the list is missing", path=path) from error
    except OSError as error:
        raise ListError("the list cannot be read", path=path, cause=error.strerror) from error


def _parse(line: str, path: str | os.PathLike[str], number: int) -> Cells:
    # The line is stripped as a whole first: an empty last cell makes the last number the path, as in im2rec.
    cells = [cell.strip() for cell in line.strip().split("\t")]
    if len(cells) < _LEAST_CELLS:
        cure = "write id, label and path, separated by tabs"
        raise ListError("the row has fewer than three cells", path=path, line=number, value=line.strip(), cure=cure)
    if not cells[-1].isprintable() and any("\ud800" <= sign <= "\udfff" for sign in cells[-1]):
        cure = "save the list as UTF-8"
        raise ListError("the path is not UTF-8", path=path, line=number, value=cells[-1], cure=cure)
    image_id = _number(int, cells[0], "the id is not a whole number", path, number)
    if not 0 <= image_id < ID_LIMIT:
        message = "the id does not fit into a record"
        raise ListError(message, path=path, line=number, value=image_id, cure="choose 0 to 2**64 - 1")
    label = [_number(float, cell, "the label is not a number", path, number) for cell in cells[1:-1]]
    return Cells(image_id, label, cells[-1], number)


def _number(kind: Callable[[str], T], cell: str, message: str, path: str | os.PathLike[str], line: int) -> T:
    try:
        return kind(cell)
    except ValueError as error:
        raise ListError(message, path=path, line=line, value=cell, cause=_SHIFTED) from error
