"""``.params`` files, read: of MXNet before 1.0 up to 1.9.1, dense and sparse."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import ArtifactError
from birdsod.mxnet._arrays import BFLOAT16, DTYPES, LIST_MAGIC, NUMPY_MAGIC, V1_MAGIC, V2_MAGIC, SparseArray
from birdsod.mxnet._cursor import Cursor

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    Array = npt.NDArray[np.generic]
    Saved = Array | SparseArray

__all__ = ["read_params"]

_MOST_DIMENSIONS = 32
_DENSE, _ROW_SPARSE, _CSR = 0, 1, 2


def read_params(source: str | os.PathLike[str] | bytes) -> dict[str, Array | SparseArray]:
    """Read a ``.params`` file, whatever version of MXNet wrote it.

    Nothing is unpickled or executed, and nothing is allocated that the size of the file does not account for.

    Parameters
    ----------
    source : path-like or bytes
        The file, or its content.

    Returns
    -------
    dict of str to ndarray or SparseArray
        In the order of the file. A model's names begin with ``arg:`` or ``aux:``; arrays that were saved without
        names have ``"0"``, ``"1"`` and so on. The numbers are little-endian, and read-only: they lie in the file's
        bytes. bfloat16 is read as float32.

    Raises
    ------
    ArtifactError
        If the file is missing, cut short, or no such file.

    Source
    ------
    Apache MXNet 1.9.1, ``NDArray::Save`` and ``NDArray::Load``.

    Examples
    --------
    >>> from birdsod.mxnet import params_bytes
    >>> read_params(params_bytes({"arg:bias": np.float32([0.5, 2.0])}))
    {'arg:bias': array([0.5, 2. ], dtype=float32)}
    """
    cursor = _opened(source)
    if cursor.left < 8 or cursor.number("Q") != LIST_MAGIC:  # noqa: PLR2004 - the magic number's size
        raise cursor.fault("the file does not begin as a .params file does", cause="another kind of file")
    cursor.number("Q")
    arrays = [_array(cursor) for _ in range(_count(cursor))]
    names = [_name(cursor) for _ in range(_count(cursor))]
    if cursor.left:
        raise cursor.fault(f"{cursor.left} bytes follow the last array", cause="two files in one, or damage")
    if not names:
        names = [str(number) for number in range(len(arrays))]
    if len(names) != len(arrays):
        raise cursor.fault(f"the file has {len(arrays)} arrays and {len(names)} names", cause="damage")
    found = dict(zip(names, arrays, strict=True))
    if len(found) != len(names):
        raise cursor.fault("two arrays have the same name", value=Counter(names).most_common(1)[0][0])
    return found


def _opened(source: str | os.PathLike[str] | bytes) -> Cursor:
    if isinstance(source, bytes):
        return Cursor(memoryview(source))
    path = Path(source)
    try:
        return Cursor(memoryview(path.read_bytes()), path)
    except OSError as error:
        raise ArtifactError("the file cannot be read", path=path, cause=error.strerror) from error


def _count(cursor: Cursor) -> int:
    """Return how many follow, each of which takes four bytes or more."""
    count = cursor.number("Q")
    if count > cursor.left // 4:
        raise cursor.fault(f"{count} arrays or names cannot follow byte {cursor.offset}", cause="it was cut short")
    return count


def _name(cursor: Cursor) -> str:
    raw = bytes(cursor.take(cursor.number("Q")))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise cursor.fault("a name is no text", value=raw[:40], cause="damage") from error


def _array(cursor: Cursor) -> Saved:
    magic = cursor.number("I")
    if magic in {V2_MAGIC, NUMPY_MAGIC}:
        return _current(cursor, numpy_shape=magic == NUMPY_MAGIC)
    # Before there was a magic number, the number of dimensions stood in its place, and each had four bytes.
    shape = _shape(cursor) if magic == V1_MAGIC else _dimensions(cursor, magic, "I")
    return _numbers(cursor, shape, _dtype(cursor)) if shape else _nothing()


def _current(cursor: Cursor, *, numpy_shape: bool) -> Saved:
    storage = cursor.number("i")
    if storage == _DENSE:
        shape = _shape(cursor)
        return _numbers(cursor, shape, _dtype(cursor)) if shape or numpy_shape else _nothing()
    if storage not in {_ROW_SPARSE, _CSR}:
        raise cursor.fault("the array has an unknown storage type", value=storage, cause="damage, or a newer MXNet")
    return _sparse(cursor, storage)


def _sparse(cursor: Cursor, storage: int) -> SparseArray:
    stored, shape, dtype = _shape(cursor), _shape(cursor), _dtype(cursor)
    kinds = [(_type(cursor), _shape(cursor)) for _ in range(storage)]
    (count,) = kinds[-1][1] if len(kinds[-1][1]) == 1 else (-1,)
    # The shape that a CSR array was saved with may be that of an empty one; its indices tell how many there are.
    stored = (count,) if storage == _CSR else stored
    values = _numbers(cursor, stored, dtype)
    parts = [_whole_numbers(cursor, part_shape, part_type) for part_type, part_shape in kinds]
    if storage == _ROW_SPARSE:
        if values.shape != (count, *shape[1:]):
            raise cursor.fault("the rows of the sparse array do not fit its shape", value=(stored, shape))
        return SparseArray("row_sparse", shape, values, parts[0])
    if len(shape) != 2 or parts[0].shape != (shape[0] + 1,) or not _rising(parts[0], count):  # noqa: PLR2004 - a matrix
        raise cursor.fault("the row starts of the sparse array do not fit its shape", value=shape)
    return SparseArray("csr", shape, values, parts[1], parts[0])


def _rising(starts: npt.NDArray[np.integer], count: int) -> bool:
    return bool(starts[0] == 0 and starts[-1] == count and np.all(starts[1:] >= starts[:-1]))


def _shape(cursor: Cursor) -> tuple[int, ...]:
    return _dimensions(cursor, cursor.number("I"), "q")


def _dimensions(cursor: Cursor, count: int, kind: str) -> tuple[int, ...]:
    if count > _MOST_DIMENSIONS:
        raise cursor.fault("the array has too many dimensions", value=count, cause="damage, or another kind of file")
    shape = cursor.numbers(kind, count)
    if min(shape, default=0) < 0:
        raise cursor.fault("a dimension is negative", value=shape, cause="damage")
    return shape


def _dtype(cursor: Cursor) -> int:
    """Return the type of the numbers; where they lay when they were saved is passed over."""
    cursor.numbers("i", 2)
    return _type(cursor)


def _type(cursor: Cursor) -> int:
    number = cursor.number("i")
    if number not in DTYPES and number != BFLOAT16:
        raise cursor.fault("the array has an unknown data type", value=number, cause="damage, or a newer MXNet")
    return number


def _numbers(cursor: Cursor, shape: tuple[int, ...], number: int) -> Array:
    dtype = np.dtype("<u2") if number == BFLOAT16 else DTYPES[number]
    raw = np.frombuffer(cursor.take(math.prod(shape) * dtype.itemsize), dtype=dtype)
    if number == BFLOAT16:
        # Its bits are the upper half of a float32's.
        raw = (raw.astype("<u4") << 16).view("<f4")
    try:
        return raw.reshape(shape)
    except ValueError as error:
        # Empty by one dimension, and by another larger than anything.
        raise cursor.fault("the array has an impossible shape", value=shape, cause="damage") from error


def _whole_numbers(cursor: Cursor, shape: tuple[int, ...], number: int) -> npt.NDArray[np.integer]:
    found = _numbers(cursor, shape, number)
    if not np.issubdtype(found.dtype, np.integer) or found.ndim != 1:
        raise cursor.fault("the indices of a sparse array are no row of whole numbers", value=str(found.dtype))
    return found.astype(np.int64)


def _nothing() -> Array:
    """Return what stands for an array that was never given a shape."""
    return np.zeros(0, dtype=np.float32)
