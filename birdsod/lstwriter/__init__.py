"""Lists (``.lst``): the rows from which im2rec and :func:`birdsod.pack` build a record file.

A row is ``id, header width, object width, (class, xmin, ymin, xmax, ymax) for each object, path``, separated
by tabs; boxes are relative, classes count from zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.lstwriter._read import read
    from birdsod.lstwriter._rows import ListRow, label_row, rows
    from birdsod.lstwriter._write import ClippedBox, Listable, ListedImage, Written, check, write

__all__ = [
    "ClippedBox",
    "ListRow",
    "Listable",
    "ListedImage",
    "Written",
    "check",
    "label_row",
    "read",
    "rows",
    "write",
]

_HOME = {
    "ClippedBox": "_write",
    "ListRow": "_rows",
    "Listable": "_write",
    "ListedImage": "_write",
    "Written": "_write",
    "check": "_write",
    "label_row": "_rows",
    "read": "_read",
    "rows": "_rows",
    "write": "_write",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
