"""Record files (``.rec`` and ``.idx``): read, written and packed without MXNet, with MXNet's bytes.

:func:`pack` makes them of data sets, :func:`pack_list` of one ``.lst`` as im2rec does; :class:`RecordReader` and
:class:`RecordWriter` work on any of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from birdsod.recordio._framing import MAGIC
    from birdsod.recordio._label import DetectionLabel
    from birdsod.recordio._options import OnError, PackOptions
    from birdsod.recordio._pack import pack
    from birdsod.recordio._pack_list import pack_list
    from birdsod.recordio._packed import Packed, PackedChannel
    from birdsod.recordio._reader import RecordReader, Records
    from birdsod.recordio._record import Record, RecordHeader
    from birdsod.recordio._values import DroppedBox, RefusedImage
    from birdsod.recordio._writer import RecordWriter

__all__ = [
    "MAGIC",
    "DetectionLabel",
    "DroppedBox",
    "OnError",
    "PackOptions",
    "Packed",
    "PackedChannel",
    "Record",
    "RecordHeader",
    "RecordReader",
    "RecordWriter",
    "Records",
    "RefusedImage",
    "pack",
    "pack_list",
]

_HOME = {
    "MAGIC": "_framing",
    "DetectionLabel": "_label",
    "DroppedBox": "_values",
    "OnError": "_options",
    "PackOptions": "_options",
    "Packed": "_packed",
    "PackedChannel": "_packed",
    "Record": "_record",
    "RecordHeader": "_record",
    "RecordReader": "_reader",
    "RecordWriter": "_writer",
    "Records": "_reader",
    "RefusedImage": "_values",
    "pack": "_pack",
    "pack_list": "_pack_list",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'birdsod.recordio' has no attribute {name!r}")
    found: object = getattr(import_module(f"birdsod.recordio.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
