"""``packed.json``: what was packed, kept beside the files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from birdsod import _files
from birdsod.classes import ClassTable
from birdsod.errors import RecordError
from birdsod.recordio._names import check_names
from birdsod.recordio._options import PackOptions
from birdsod.recordio._packed import PackedChannel
from birdsod.recordio._values import DroppedBox, RefusedImage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MANIFEST", "checked", "manifest_text", "read_manifest"]

MANIFEST = "packed.json"
_SCHEMA = 1
_AGAIN = "pack again"
_NUMBERS = ("listed", "records", "objects", "most_objects", "longest_label", "bytes")
_HASHES = ("sha256", "idx_sha256", "lst_sha256")


def manifest_text(channels: Mapping[str, PackedChannel], class_table: ClassTable) -> str:
    """Return the text of ``packed.json``: the same for the same data, wherever and whenever it is packed."""
    content = {
        "schema": _SCHEMA,
        "classes": class_table.to_json(),
        "channels": {name: _channel_json(channel) for name, channel in channels.items()},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> tuple[dict[str, PackedChannel], ClassTable]:
    """Read ``packed.json`` of a folder."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        cause = "another folder, or packing did not end"
        raise RecordError("there is no packed.json", path=path, cause=cause, cure=_AGAIN) from error
    except (OSError, ValueError) as error:
        raise RecordError("packed.json cannot be read", path=path, cause=str(error), cure=_AGAIN) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != _SCHEMA:
        cause = "a newer birdsod wrote it, or another program"
        raise RecordError("packed.json has an unknown schema", path=path, value=schema, cause=cause, cure=_AGAIN)
    try:
        check_names(list(content["channels"]))
        channels = {name: _channel(folder, name, row) for name, row in content["channels"].items()}
        return channels, ClassTable.from_json(content["classes"])
    except RecordError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise RecordError("packed.json is malformed", path=path, cause=cause, cure=_AGAIN) from error


def checked(channel: PackedChannel, *, verify: bool) -> None:
    """Check that the files of a channel are there and have the size, or the hash, that they were packed with."""
    for path in (channel.lst, channel.rec, channel.idx):
        if not path.is_file():
            raise RecordError("a packed file is missing", path=path, cause="it was moved or deleted", cure=_AGAIN)
    size = channel.rec.stat().st_size
    if size != channel.bytes:
        message = f"the record file has {size} bytes, {channel.bytes} were packed"
        raise RecordError(message, path=channel.rec, cause="it was replaced or cut short", cure=_AGAIN)
    if not verify:
        return
    for path, expected in zip((channel.rec, channel.idx, channel.lst), _hashes(channel), strict=True):
        found = _files.sha256(path)
        if found != expected:
            message = f"the file has SHA-256 {found}, {expected} was packed"
            raise RecordError(message, path=path, cause="it was changed after packing", cure=_AGAIN)


def _hashes(channel: PackedChannel) -> tuple[str, ...]:
    return channel.sha256, channel.idx_sha256, channel.lst_sha256


def _channel_json(channel: PackedChannel) -> dict[str, object]:
    return {
        **{name: getattr(channel, name) for name in (*_NUMBERS, *_HASHES)},
        "options": asdict(channel.options),
        **{name: [asdict(row) for row in getattr(channel, name)] for name in ("clipped", "dropped", "refused")},
    }


def _channel(folder: Path, name: str, row: Mapping[str, Any]) -> PackedChannel:
    from birdsod.lstwriter import ClippedBox

    return PackedChannel(
        name=name,
        lst=folder / f"{name}.lst",
        rec=folder / f"{name}.rec",
        idx=folder / f"{name}.idx",
        listed=int(row["listed"]),
        records=int(row["records"]),
        objects=int(row["objects"]),
        most_objects=int(row["most_objects"]),
        longest_label=int(row["longest_label"]),
        bytes=int(row["bytes"]),
        sha256=str(row["sha256"]),
        idx_sha256=str(row["idx_sha256"]),
        lst_sha256=str(row["lst_sha256"]),
        options=PackOptions(**row["options"]),
        clipped=tuple(ClippedBox(**_tuples(box)) for box in row["clipped"]),
        dropped=tuple(DroppedBox(**_tuples(box)) for box in row["dropped"]),
        refused=tuple(RefusedImage(**image) for image in row["refused"]),
    )


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with tuples where JSON has lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
