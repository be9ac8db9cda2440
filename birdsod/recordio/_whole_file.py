"""A file on disk as one row of bytes, without reading it into memory."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from birdsod.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["whole_file"]


def whole_file(path: Path) -> memoryview:
    """Return the bytes of a record file, mapped into memory."""
    try:
        with path.open("rb") as stream:
            # Nothing cannot be mapped.
            empty = not stream.seek(0, 2)
            return memoryview(b"" if empty else mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise RecordError("the record file is missing", path=path, cure="check the path, or pack it") from error
    except (OSError, ValueError) as error:
        raise RecordError("the record file cannot be read", path=path, cause=str(error)) from error
