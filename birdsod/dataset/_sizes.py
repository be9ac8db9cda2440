"""Image sizes: read from headers when first needed, many at a time, and kept for all slices and selections."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod import _progress
from birdsod._ordered import cores, in_threads
from birdsod.dataset._columns import DECLARED, READ
from birdsod.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    from tqdm.std import tqdm

    from birdsod.dataset._columns import Columns
    from birdsod.image import ImageSize

__all__ = ["Unreadable", "find_missing", "known_sizes", "missing_error", "require_files", "require_sizes"]

_CHUNK = 64
# Seconds an image from which on reading waits for a disk. From memory a header takes 20 microseconds, and threads
# would only take turns: eight of them read 19,000 headers a second where one reads 45,000.
_WAITING = 2e-4
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image whose size cannot be known, and why.

    Parameters
    ----------
    image_id : int
        The data set's own id.
    name : str
        The ``path`` column.
    error : ImageError or DatasetError
        What reading it said.
    """

    image_id: int
    name: str
    error: ImageError | DatasetError


def known_sizes(columns: Columns, rows: npt.NDArray[Any]) -> list[Unreadable]:
    """Fill the sizes of rows as far as their files can be read; return the others.

    A size that was declared (``sizes.txt``) is believed where the file is not there, and checked where it is.
    """
    todo = rows[columns.size_states[rows] != READ]
    chunks = [todo[start : start + _CHUNK] for start in range(0, len(todo), _CHUNK)]
    found: list[Unreadable] = []
    shown: tqdm[int] = _progress.bar(total=len(todo), description="reading sizes")
    with shown:
        for chunk, sizes in zip(chunks, _answers(_Reader(columns), chunks), strict=True):
            found.extend(_keep_all(columns, chunk, sizes))
            shown.update(len(chunk))
    return found


def _keep_all(
    columns: Columns, rows: npt.NDArray[Any], sizes: Sequence[ImageSize | ImageError | None]
) -> list[Unreadable]:
    read = np.array([isinstance(size, tuple) for size in sizes], dtype=bool)
    if read.all() and not (columns.size_states[rows] == DECLARED).any():
        columns.sizes[rows] = np.array(sizes)
        columns.size_states[rows] = READ
        return []
    pairs = zip(rows.tolist(), sizes, strict=True)
    return [bad for row, size in pairs if (bad := _keep(columns, row, size)) is not None]


def require_sizes(columns: Columns, rows: npt.NDArray[Any]) -> None:
    """Fill the sizes of rows, or say how many cannot be known and name the first few."""
    unreadable = known_sizes(columns, rows)
    if not unreadable:
        return
    broken = [image for image in unreadable if isinstance(image.error, ImageError)]
    if not broken:
        raise missing_error(columns, [image.name for image in unreadable], len(rows))
    if len(unreadable) == 1:
        raise broken[0].error
    message = f"{len(unreadable)} of {len(rows)} images cannot be read: {_few([image.name for image in unreadable])}"
    raise DatasetError(
        message, path=columns.root, cause=str(broken[0].error), cure="replace them, or go on with dataset.readable()"
    ) from broken[0].error


def find_missing(columns: Columns, rows: npt.NDArray[Any]) -> list[int]:
    """Return the rows whose files are not there."""
    return [row for row in rows.tolist() if not columns.path(row).is_file()]


def require_files(columns: Columns, rows: npt.NDArray[Any]) -> None:
    """Say how many files are not there and name the first few."""
    missing = find_missing(columns, rows)
    if missing:
        raise missing_error(columns, [columns.names[row] for row in missing], len(rows))


def missing_error(columns: Columns, names: Sequence[str], total: int) -> DatasetError:
    """Build the error that counts missing images and names the first few."""
    return DatasetError(
        f"{len(names)} of {total} images are missing: {_few(names)}",
        path=columns.root,
        cause="the set was unpacked in part, or moved",
        cure="fetch the images, or select classes whose images are there",
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    columns: Columns

    def __call__(self, rows: npt.NDArray[Any]) -> list[ImageSize | ImageError | None]:
        from birdsod.image import read_size

        # Text, since making a Path takes as long as reading a header.
        root, names = os.fspath(self.columns.root), self.columns.names
        return [self._read(read_size, os.path.join(root, names[row])) for row in rows.tolist()]  # noqa: PTH118 - see above

    @staticmethod
    def _read(read_size: Callable[[str], ImageSize], path: str) -> ImageSize | ImageError | None:
        try:
            return read_size(path)
        except ImageError as error:
            missing = isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError))
            return None if missing else error


def _keep(columns: Columns, row: int, size: ImageSize | ImageError | None) -> Unreadable | None:
    state = columns.size_states[row]
    if isinstance(size, ImageError):
        return _unreadable(columns, row, size)
    if size is None:
        if state == DECLARED:
            return None
        return _unreadable(columns, row, missing_error(columns, [columns.names[row]], 1))
    if state == DECLARED and (size.width, size.height) != tuple(columns.sizes[row].tolist()):
        raise _contradiction(columns, row, size)
    columns.sizes[row] = (size.width, size.height)
    columns.size_states[row] = READ
    return None


def _contradiction(columns: Columns, row: int, size: ImageSize) -> DatasetError:
    width, height = columns.sizes[row].tolist()
    turned = (height, width) == (size.width, size.height)
    return DatasetError(
        f"image {columns.image_ids[row]} is {size.width} x {size.height} pixels by its header, "
        f"but {width} x {height} by the given sizes",
        path=columns.path(row),
        cause="width and height are swapped, or an EXIF orientation was ignored" if turned else "another set's sizes",
        cure="delete the list of sizes, so that headers are read, or write it again",
    )


def _unreadable(columns: Columns, row: int, error: ImageError | DatasetError) -> Unreadable:
    return Unreadable(int(columns.image_ids[row]), columns.names[row], error)


def _answers(reader: _Reader, chunks: Sequence[npt.NDArray[Any]]) -> Iterator[list[ImageSize | ImageError | None]]:
    """Yield the answers in order: one thread while files come from memory, many once they wait on a disk."""
    for number, chunk in enumerate(chunks):
        begun = time.perf_counter()
        answers = reader(chunk)
        waited = time.perf_counter() - begun > _WAITING * len(chunk)
        yield answers
        if waited:
            yield from in_threads(reader, chunks[number + 1 :], threads=4 * cores())
            return


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
