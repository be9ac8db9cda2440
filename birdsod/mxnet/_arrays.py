"""What a ``.params`` file holds: the words of the format, and arrays of which only a part is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

__all__ = ["BFLOAT16", "DTYPES", "LIST_MAGIC", "NUMPY_MAGIC", "V1_MAGIC", "V2_MAGIC", "SparseArray"]

LIST_MAGIC = 0x112
V1_MAGIC = 0xF993FAC8
V2_MAGIC = 0xF993FAC9
NUMPY_MAGIC = 0xF993FACA
"""Arrays of NumPy semantics: no dimension means one number, and a dimension may be zero."""

DTYPES: dict[int, np.dtype[np.generic]] = {
    number: np.dtype(name) for number, name in enumerate(("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?"))
}
"""MXNet's numbers of the data types."""

BFLOAT16 = 12
"""NumPy has no such type: it is read as float32, which holds each of its values."""


@dataclass(frozen=True, slots=True)
class SparseArray:
    """An array of which only some rows or elements are stored.

    Parameters
    ----------
    kind : {"row_sparse", "csr"}
        Whole rows, or the elements of a matrix row by row.
    shape : tuple of int
        Shape of the whole array.
    values : ndarray
        What is stored: rows, or elements.
    indices : ndarray of int
        Row of each stored row, or column of each element.
    row_starts : ndarray of int, optional
        For ``"csr"``: where in ``values`` each row begins, and the end of the last.

    Examples
    --------
    >>> SparseArray("row_sparse", (3, 2), np.ones((1, 2)), np.array([1])).dense().tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """

    kind: Literal["row_sparse", "csr"]
    shape: tuple[int, ...]
    values: Array
    indices: npt.NDArray[np.integer]
    row_starts: npt.NDArray[np.integer] | None = None

    def dense(self) -> Array:
        """Return the whole array, zero where nothing is stored.

        Returns
        -------
        ndarray

        Raises
        ------
        ArtifactError
            If an index lies outside, or no memory holds the whole array.
        """
        whole = self._empty()
        try:
            whole[self._places()] = self.values
        except (IndexError, ValueError) as error:
            raise ArtifactError("an index of the sparse array lies outside it", value=self.shape) from error
        return whole

    def _empty(self) -> Array:
        try:
            return np.zeros(self.shape, dtype=self.values.dtype)
        except (MemoryError, ValueError) as error:
            raise ArtifactError("the sparse array is too large to be made whole", value=self.shape) from error

    def _places(self) -> tuple[npt.NDArray[np.integer], ...]:
        if np.any(self.indices < 0):
            raise IndexError
        if self.row_starts is None:
            return (self.indices,)
        return (np.repeat(np.arange(self.shape[0]), np.diff(self.row_starts)), self.indices)
