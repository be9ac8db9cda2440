"""``packed.json``: what was packed, kept beside the files."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, replace
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Any, TypedDict, cast

from birdsod import _files
from birdsod.classes import ClassTable
from birdsod.errors import RecordError
from birdsod.recordio._names import check_names
from birdsod.recordio._options import PackOptions
from birdsod.recordio._packed import PackedChannel
from birdsod.recordio._values import DroppedBox, RefusedImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from birdsod.lstwriter import ClippedBox

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "Notes",
    "channel_json",
    "checked",
    "fields",
    "manifest_pieces",
    "manifest_text",
    "pieces",
    "read_content",
    "read_manifest",
    "told",
]

MANIFEST = "packed.json"
SCHEMA = 1
"""Of this manifest and of that of shards."""

# Fields of notes, as JSON has them.
_NOTES: dict[str, type | tuple[type, ...]] = {
    "image_id": (int, type(None)),
    "name": str,
    "reason": str,
    "object_index": int,
    **dict.fromkeys(("before", "after", "box"), list),
}
_AGAIN = "pack again"
_BLOCK = 1 << 20
_NUMBERS = ("listed", "records", "objects", "most_objects", "longest_label", "bytes")
_HASHES = ("sha256", "idx_sha256", "lst_sha256")


class Notes(TypedDict):
    """Boxes and images that did not go in as they were."""

    clipped: tuple[ClippedBox, ...]
    dropped: tuple[DroppedBox, ...]
    refused: tuple[RefusedImage, ...]


def manifest_text(channels: Mapping[str, PackedChannel], class_table: ClassTable) -> str:
    """Return the text of ``packed.json``: the same for the same data, wherever and whenever it is packed."""
    return "".join(manifest_pieces(channels, class_table))


def manifest_pieces(channels: Mapping[str, PackedChannel], class_table: ClassTable) -> Iterator[str]:
    """Return the text of ``packed.json`` piece by piece."""
    content = {
        "schema": SCHEMA,
        "classes": class_table.to_json(),
        "channels": {name: channel_json(channel) for name, channel in channels.items()},
    }
    return pieces(content)


def pieces(content: Mapping[str, object]) -> Iterator[str]:
    """Yield the text of a manifest piece by piece: it may tell of a million boxes, each a row of its own."""
    yield from json.JSONEncoder(indent=1, ensure_ascii=False, default=_row).iterencode(content)
    yield "\n"


def _row(told: ClippedBox | DroppedBox | RefusedImage) -> dict[str, object]:
    # Not asdict, which copies what each field holds.
    return {field.name: getattr(told, field.name) for field in dataclass_fields(told)}


def read_manifest(folder: Path) -> tuple[dict[str, PackedChannel], ClassTable]:
    """Read ``packed.json`` of a folder."""
    path = folder / MANIFEST
    content = read_content(path)
    with told(path):
        check_names(list(content["channels"]))
        channels = {
            name: PackedChannel(name=name, **fields(folder, name, row)) for name, row in content["channels"].items()
        }
        return channels, ClassTable.from_json(content["classes"])


def read_content(path: Path) -> dict[str, Any]:
    """Read a manifest as far as its schema."""
    name = path.name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        cause, cure = "another folder, or packing did not end", _AGAIN
        if name == MANIFEST and any(path.parent.glob("shards*.json")):
            cause, cure = "the folder holds shards", "merge them with birdsod.recordio.merge, or birdsod merge"
        raise RecordError(f"there is no {name}", path=path, cause=cause, cure=cure) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{name} cannot be read", path=path, cause=str(error), cure=_AGAIN) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        cause = "a newer birdsod wrote it, or another program"
        raise RecordError(f"{name} has an unknown schema", path=path, value=schema, cause=cause, cure=_AGAIN)
    return cast("dict[str, Any]", content)


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell what a manifest lacks as an error with its path."""
    try:
        yield
    except RecordError as error:
        error.path = error.path or str(path)
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise RecordError(f"{path.name} is malformed", path=path, cause=cause, cure=_AGAIN) from error


def checked(channel: PackedChannel, *, verify: bool) -> PackedChannel:
    """Check that the files of a channel are there and have the size, or the hash, that they were packed with.

    Returns the channel, with the hash of its record file also where the manifest knows only those of its stretches.
    """
    for path in (channel.lst, channel.rec, channel.idx):
        if not path.is_file():
            raise RecordError("a packed file is missing", path=path, cause="it was moved or deleted", cure=_AGAIN)
    size = channel.rec.stat().st_size
    if size != channel.bytes:
        message = f"the record file has {size} bytes, {channel.bytes} were packed"
        raise RecordError(message, path=channel.rec, cause="it was replaced or cut short", cure=_AGAIN)
    if channel.stretches:
        channel = replace(channel, sha256=_hash_of_stretches(channel), stretches=())
    if not verify:
        return channel
    for path, expected in zip((channel.rec, channel.idx, channel.lst), _hashes(channel), strict=True):
        found = _files.sha256(path)
        if found != expected:
            message = f"the file has SHA-256 {found}, {expected} was packed"
            raise RecordError(message, path=path, cause="it was changed after packing", cure=_AGAIN)
    return channel


def _hash_of_stretches(channel: PackedChannel) -> str:
    """Return the SHA-256 of a record file after comparing those of its stretches."""
    whole = hashlib.sha256()
    begin = 0
    with channel.rec.open("rb") as stream:
        for size, expected in channel.stretches:
            own, left = hashlib.sha256(), size
            while left and (block := stream.read(min(left, _BLOCK))):
                own.update(block)
                whole.update(block)
                left -= len(block)
            if own.hexdigest() != expected:
                message = f"the bytes from {begin} to {begin + size} have SHA-256 {own.hexdigest()}, not {expected}"
                raise RecordError(message, path=channel.rec, cause="it was changed after packing", cure=_AGAIN)
            begin += size
    return whole.hexdigest()


def _hashes(channel: PackedChannel) -> tuple[str, ...]:
    return channel.sha256, channel.idx_sha256, channel.lst_sha256


def channel_json(channel: PackedChannel) -> dict[str, object]:
    """Return the row of a channel, or of a shard."""
    # Nobody has read the whole file that such stretches vouch for.
    unread = {"sha256": None, "stretches": [list(pair) for pair in channel.stretches]} if channel.stretches else {}
    return {
        **{name: getattr(channel, name) for name in (*_NUMBERS, *_HASHES)},
        **unread,
        "options": asdict(channel.options),
        **{name: getattr(channel, name) for name in ("clipped", "dropped", "refused")},
    }


def fields(folder: Path, stem: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row says, for files of a name."""
    return {
        **{ending: folder / f"{stem}.{ending}" for ending in ("lst", "rec", "idx")},
        **{name: int(row[name]) for name in _NUMBERS},
        **{name: str(row[name]) for name in _HASHES},
        **_stretches(row),
        "options": PackOptions(**row["options"]),
        **notes(row),
    }


def _stretches(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["sha256"] is not None:
        return {}
    stretches = tuple((int(size), str(sha256)) for size, sha256 in row["stretches"])
    if sum(size for size, _ in stretches) != int(row["bytes"]) or any(size < 0 for size, _ in stretches):
        message = "the stretches are not the whole file"
        raise ValueError(message)
    return {"sha256": "", "stretches": stretches}


def notes(row: Mapping[str, Any]) -> Notes:
    """Return what a row says of boxes and images that did not go in as they were.

    Raises
    ------
    KeyError, TypeError
        If it says something else.
    """
    from birdsod.lstwriter import ClippedBox

    return {
        "clipped": tuple(ClippedBox(**_checked_note(box)) for box in row["clipped"]),
        "dropped": tuple(DroppedBox(**_checked_note(box)) for box in row["dropped"]),
        "refused": tuple(RefusedImage(**_checked_note(image)) for image in row["refused"]),
    }


def _checked_note(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a note with tuples where JSON has lists; which fields there are, its class checks."""
    if not isinstance(row, dict):
        raise TypeError(f"a note is not {type(row).__name__}")
    for name, value in row.items():
        if not isinstance(value, _NOTES.get(name, object)):
            raise TypeError(f"{name} is not {type(value).__name__}")
    boxes = {name: _box(row[name]) for name in ("before", "after", "box") if name in row}
    return {**row, **boxes}


def _box(sides: list[Any]) -> tuple[float, ...]:
    if not all(isinstance(side, int | float) for side in sides):
        raise TypeError("a side of a box is no number")
    return tuple(sides)
