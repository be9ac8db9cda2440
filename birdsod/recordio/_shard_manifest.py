"""``shards.json``: what was packed into shards, in one piece or by the jobs of an array, each with its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from birdsod.classes import ClassTable
from birdsod.errors import RecordError
from birdsod.recordio._manifest import SCHEMA, channel_json, fields, pieces, read_content, told
from birdsod.recordio._names import check_names
from birdsod.recordio._shard_plan import MOST_SHARDS
from birdsod.recordio._sharded import Shard, ShardedChannel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "SHARDS",
    "Part",
    "difference",
    "is_manifest",
    "is_shard_file",
    "manifests_naming",
    "part_name",
    "parts_in",
    "read_part",
    "read_shards",
    "shard_files",
    "shard_stem",
    "shards_pieces",
]

SHARDS = "shards.json"
_PART = re.compile(r"shards-\d{5}-of-\d{5}\.json")
_FILE = re.compile(r"(.+)-\d{5}-of-\d{5}\.(?:lst|rec|idx)")
_SHOWN = 8


class Part(NamedTuple):
    """What one manifest tells."""

    path: Path
    channels: dict[str, ShardedChannel]
    class_table: ClassTable


def is_manifest(file: str) -> bool:
    """Say whether a file has the name of the manifest of a job."""
    return _PART.fullmatch(file) is not None


def manifests_naming(rec: Path) -> list[Path]:
    """Return the manifests that may vouch for a file, by its name: of all shards, or of one job."""
    match = _FILE.fullmatch(rec.name)
    if match is None:
        return []
    part = rec.name.removesuffix(rec.suffix).removeprefix(match[1])
    return [path for path in (rec.parent / SHARDS, rec.parent / f"shards{part}.json") if path.exists()]


def part_name(index: int, of: int) -> str:
    """Return the name of the manifest of one job of an array."""
    return f"shards-{index:05d}-of-{of:05d}.json"


def shard_stem(name: str, index: int, of: int) -> str:
    """Return the name that the three files of a shard have before their endings."""
    return f"{name}-{index:05d}-of-{of:05d}"


def is_shard_file(file: str, names: Iterable[str]) -> bool:
    """Say whether a file has a name that a shard of these channels could have."""
    match = _FILE.fullmatch(file)
    return match is not None and match[1] in names


def shard_files(channels: Mapping[str, ShardedChannel]) -> list[str]:
    """Return the names of all files of all shards."""
    shards = [shard for channel in channels.values() for shard in channel.shards]
    return [path.name for shard in shards for path in (shard.lst, shard.rec, shard.idx)]


def shards_pieces(channels: Mapping[str, ShardedChannel], class_table: ClassTable) -> Iterator[str]:
    """Return the text of a manifest, piece by piece: the same for the same data, wherever and whenever it is packed."""
    content = {
        "schema": SCHEMA,
        "classes": class_table.to_json(),
        "channels": {
            name: {
                "of": channel.of,
                "lst_sha256": channel.lst_sha256,
                "shards": [_shard_json(shard) for shard in channel.shards],
            }
            for name, channel in channels.items()
        },
    }
    return pieces(content)


def read_shards(folder: Path) -> tuple[dict[str, ShardedChannel], ClassTable]:
    """Read ``shards.json`` of a folder, or the manifests of all jobs of an array."""
    whole = folder / SHARDS
    paths = [] if whole.exists() else sorted(parts_in(folder))
    parts = [read_part(path) for path in paths or [whole]]
    first = parts[0]
    _refuse_mixed(parts)
    channels = {name: _joined([part.channels[name] for part in parts], name, parts) for name in first.channels}
    return channels, first.class_table


def parts_in(folder: Path) -> list[Path]:
    """Return the manifests of all jobs that there are in a folder."""
    return [path for path in folder.iterdir() if is_manifest(path.name)] if folder.is_dir() else []


def _shard_json(shard: Shard) -> dict[str, object]:
    return {"index": shard.index, "first_row": shard.first_row, **channel_json(shard)}


def read_part(path: Path) -> Part:
    """Read one manifest, whatever the others tell."""
    content = read_content(path)
    with told(path):
        check_names(list(content["channels"]))
        channels = {name: _channel(path.parent, name, row) for name, row in content["channels"].items()}
        return Part(path, channels, ClassTable.from_json(content["classes"]))


def _channel(folder: Path, name: str, row: Mapping[str, Any]) -> ShardedChannel:
    of = int(row["of"])
    if not 1 <= of <= MOST_SHARDS:
        message = f"channel {name!r} cannot have {of} shards"
        raise ValueError(message)
    shards = tuple(_shard(folder, name, shard, of) for shard in row["shards"])
    if not shards:
        message = f"channel {name!r} has no shard"
        raise ValueError(message)
    return ShardedChannel(name=name, of=of, lst_sha256=str(row["lst_sha256"]), shards=shards)


def _shard(folder: Path, name: str, row: Mapping[str, Any], of: int) -> Shard:
    index = int(row["index"])
    if not 0 <= index < of:
        message = f"shard {index} of {of}"
        raise ValueError(message)
    stem = shard_stem(name, index, of)
    return Shard(name=stem, index=index, of=of, first_row=int(row["first_row"]), **fields(folder, stem, row))


def _refuse_mixed(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        other = difference(first, part)
        if other:
            message = f"{first.path.name} and {part.path.name} are parts of different runs: they have other {other}"
            cure = "move the parts that do not belong together into folders of their own, or pack them again"
            raise RecordError(message, path=part.path, cure=cure)


def difference(first: Part, part: Part) -> str | None:
    """Return in what two parts differ that parts of one run have in common."""
    if list(first.channels) != list(part.channels):
        return "channels"
    if first.class_table != part.class_table:
        return "classes"
    for name, channel in first.channels.items():
        other = part.channels[name]
        if channel.of != other.of:
            return "numbers of shards"
        if channel.lst_sha256 != other.lst_sha256:
            return f"lists of {name}"
        if any(shard.options != channel.options for shard in (*channel.shards, *other.shards)):
            return "options"
    return None


def _joined(found: Sequence[ShardedChannel], name: str, parts: Sequence[Part]) -> ShardedChannel:
    """Return a channel of all its shards."""
    of, folder = found[0].of, parts[0].path.parent
    seen: dict[int, str] = {}
    for channel, part in zip(found, parts, strict=True):
        for shard in channel.shards:
            if shard.index in seen:
                message = f"shard {shard.index} of {name} is in {seen[shard.index]} and again in {part.path.name}"
                raise RecordError(message, path=part.path, cure="remove the copy")
            seen[shard.index] = part.path.name
    missing = [index for index in range(of) if index not in seen]
    if missing:
        raise _incomplete(missing, of, folder, name)
    shards = tuple(sorted((shard for channel in found for shard in channel.shards), key=lambda shard: shard.index))
    _check_rows(shards, name, folder)
    return replace(found[0], shards=shards)


def _incomplete(missing: Sequence[int], of: int, folder: Path, name: str) -> RecordError:
    few = ", ".join(shard_stem(name, index, of) for index in missing[:_SHOWN])
    more = ", ..." if len(missing) > _SHOWN else ""
    message = f"{len(missing)} of {of} shards are missing: {few}{more}"
    cause = "their jobs have not ended, or failed"
    return RecordError(message, path=folder, cause=cause, cure="pack them, or wait for them")


def _check_rows(shards: Sequence[Shard], name: str, folder: Path) -> None:
    rows = 0
    for shard in shards:
        if shard.first_row != rows:
            message = f"shard {shard.index} of {name} begins at image {shard.first_row}, not at {rows}"
            cause = "the parts were packed of different data"
            raise RecordError(message, path=folder, cause=cause, cure="pack them again")
        rows += shard.listed
