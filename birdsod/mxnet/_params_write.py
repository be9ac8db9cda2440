"""``.params`` files, written with the bytes of MXNet 1.9.1."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from birdsod import _files
from birdsod.errors import ArtifactError
from birdsod.mxnet._arrays import DTYPES, LIST_MAGIC, V2_MAGIC

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy.typing as npt

__all__ = ["params_bytes", "write_params"]

_CPU = (1, 0)
_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


def params_bytes(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """Return the content of a ``.params`` file, byte for byte as MXNet 1.9.1 saves the same arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        By name, in the order in which they are written; at least one dimension each, none of them zero.

    Returns
    -------
    bytes

    Raises
    ------
    ArtifactError
        If an array has a type, or a shape, that the format does not have.

    Examples
    --------
    >>> len(params_bytes({"arg:bias": np.float32([0.5, 2.0])}))
    88
    """
    head = struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))
    names = [name.encode() for name in arrays]
    tail = [struct.pack("<Q", len(names)), *(struct.pack("<Q", len(name)) + name for name in names)]
    return b"".join([head, *(_array(name, array) for name, array in arrays.items()), *tail])


def write_params(path: str | os.PathLike[str], arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write a ``.params`` file, which appears whole or not at all.

    Parameters
    ----------
    path : path-like
        Where.
    arrays : mapping of str to ndarray
        As :func:`params_bytes` takes them.

    Raises
    ------
    ArtifactError
        As :func:`params_bytes`.
    """
    _files.write_bytes(path, params_bytes(arrays))


def _array(name: str, array: npt.NDArray[np.generic]) -> bytes:
    number = _NUMBERS.get(array.dtype.newbyteorder("<"))
    if number is None:
        cure = f"choose one of {', '.join(str(dtype) for dtype in _NUMBERS)}"
        raise ArtifactError(f"the format has no such type as {name} has", value=str(array.dtype), cure=cure)
    if not array.size or not array.ndim:
        raise ArtifactError(f"the format has no such shape as {name} has", value=array.shape)
    head = struct.pack(f"<IiI{array.ndim}q", V2_MAGIC, 0, array.ndim, *array.shape)
    return head + struct.pack("<iii", *_CPU, number) + np.ascontiguousarray(array, dtype=DTYPES[number]).tobytes()
