"""A place in a file's bytes that moves on as numbers are taken, and never beyond the end."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    import os

__all__ = ["Cursor"]


@dataclass(slots=True)
class Cursor:
    """A place in a file's bytes.

    Parameters
    ----------
    data : memoryview
        The whole file.
    path : path-like, optional
        Its name, for errors.
    """

    data: memoryview
    path: str | os.PathLike[str] | None = None
    offset: int = 0

    @property
    def left(self) -> int:
        """How many bytes follow."""
        return len(self.data) - self.offset

    def take(self, count: int) -> memoryview:
        """Return the next bytes and move on."""
        if not 0 <= count <= self.left:
            raise self.fault(
                f"{count} bytes should follow byte {self.offset}, {self.left} do", cause="it was cut short"
            )
        start = self.offset
        self.offset += count
        return self.data[start : self.offset]

    def number(self, kind: str) -> int:
        """Return the next whole number, of a kind that ``struct`` names."""
        form = struct.Struct(f"<{kind}")
        return int(form.unpack(self.take(form.size))[0])

    def numbers(self, kind: str, count: int) -> tuple[int, ...]:
        """Return the next whole numbers."""
        if not 0 <= count <= self.left // struct.calcsize(kind):
            raise self.fault(f"{count} numbers cannot follow byte {self.offset}", cause="it was cut short or damaged")
        form = struct.Struct(f"<{count}{kind}")
        return form.unpack(self.take(form.size))

    def fault(self, message: str, *, value: object = None, cause: str | None = None) -> ArtifactError:
        """Return the error that tells what is wrong with the file."""
        return ArtifactError(message, path=self.path, value=value, cause=cause, cure="get the file again")
