"""A column of file names in little memory: each folder once, and all file names in one run of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt


def smallest(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return integers in the narrowest signed type that holds them all, read-only."""
    largest = max(int(values.max()), -1 - int(values.min())) if values.size else 0
    for kind in (np.int8, np.int16, np.int32):
        if largest <= np.iinfo(kind).max:
            return frozen(values.astype(kind))
    return frozen(values.astype(np.int64))


def frozen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a read-only view, so that nobody edits what slices and selections share."""
    view = values.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True)
class PathColumn:
    """File names by row; ``column[row]`` puts one together again."""

    folders: tuple[str, ...]
    folder_codes: npt.NDArray[Any]
    starts: npt.NDArray[Any]
    text: bytes

    @classmethod
    def of(cls, names: Iterable[str]) -> PathColumn:
        """Pack names, in their order."""
        codes: dict[str, int] = {}
        folder_codes: list[int] = []
        text = bytearray()
        starts = [0]
        for name in names:
            folder, slash, base = name.rpartition("/")
            folder_codes.append(codes.setdefault(folder + slash, len(codes)))
            text += base.encode(errors="surrogateescape")
            starts.append(len(text))
        return cls(tuple(codes), smallest(np.array(folder_codes, np.int64)), smallest(np.array(starts)), bytes(text))

    def __getitem__(self, row: int) -> str:
        base = self.text[int(self.starts[row]) : int(self.starts[row + 1])]
        return self.folders[int(self.folder_codes[row])] + base.decode(errors="surrogateescape")

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        folders = sum(len(folder.encode(errors="surrogateescape")) for folder in self.folders)
        return folders + self.folder_codes.nbytes + self.starts.nbytes + len(self.text)
