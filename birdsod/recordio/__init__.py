"""Record files (``.rec`` and ``.idx``): read, written and packed without MXNet, with MXNet's bytes.

:func:`pack` makes them of data sets, :func:`pack_list` of one ``.lst``; :func:`make_lists` and :func:`im2rec` are the
two halves of im2rec; :class:`RecordReader` and :class:`RecordWriter` work on any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.recordio._decoded import DecodedRecord, DecodedRecords
    from birdsod.recordio._finding_kinds import FindingKind, Severity
    from birdsod.recordio._findings import Finding, Verification
    from birdsod.recordio._framing import MAGIC
    from birdsod.recordio._im2rec import im2rec
    from birdsod.recordio._label import DetectionLabel
    from birdsod.recordio._list_making import MadeLists, make_lists
    from birdsod.recordio._merge import merge
    from birdsod.recordio._options import OnError, PackOptions
    from birdsod.recordio._pack import pack
    from birdsod.recordio._pack_list import pack_list
    from birdsod.recordio._packed import Packed, PackedChannel
    from birdsod.recordio._reader import RecordReader, Records
    from birdsod.recordio._record import Record, RecordHeader
    from birdsod.recordio._reindex import reindex
    from birdsod.recordio._repair import LeftOut, Repaired, repair
    from birdsod.recordio._sharded import Shard, Sharded, ShardedChannel
    from birdsod.recordio._stored import Stored, StoredChannel
    from birdsod.recordio._unpack import Inexact, Unpacked, unpack
    from birdsod.recordio._values import DroppedBox, RefusedImage
    from birdsod.recordio._verify import verify
    from birdsod.recordio._writer import RecordWriter

__all__ = [
    "MAGIC",
    "DecodedRecord",
    "DecodedRecords",
    "DetectionLabel",
    "DroppedBox",
    "Finding",
    "FindingKind",
    "Inexact",
    "LeftOut",
    "MadeLists",
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
    "Repaired",
    "Severity",
    "Shard",
    "Sharded",
    "ShardedChannel",
    "Stored",
    "StoredChannel",
    "Unpacked",
    "Verification",
    "im2rec",
    "make_lists",
    "merge",
    "pack",
    "pack_list",
    "reindex",
    "repair",
    "unpack",
    "verify",
]

_HOME = {
    "MAGIC": "_framing",
    "DecodedRecord": "_decoded",
    "DecodedRecords": "_decoded",
    "DetectionLabel": "_label",
    "DroppedBox": "_values",
    "Finding": "_findings",
    "FindingKind": "_finding_kinds",
    "Inexact": "_unpack",
    "LeftOut": "_repair",
    "MadeLists": "_list_making",
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
    "Repaired": "_repair",
    "Severity": "_finding_kinds",
    "Shard": "_sharded",
    "Sharded": "_sharded",
    "ShardedChannel": "_sharded",
    "Stored": "_stored",
    "StoredChannel": "_stored",
    "Unpacked": "_unpack",
    "Verification": "_findings",
    "im2rec": "_im2rec",
    "make_lists": "_list_making",
    "merge": "_merge",
    "pack": "_pack",
    "pack_list": "_pack_list",
    "reindex": "_reindex",
    "repair": "_repair",
    "unpack": "_unpack",
    "verify": "_verify",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
