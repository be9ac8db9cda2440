"""Shards in a folder, merged into another folder or the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod import _files, _progress
from birdsod.errors import BirdsodError, RecordError
from birdsod.recordio._manifest import MANIFEST, checked, manifest_text, read_manifest
from birdsod.recordio._merge_files import (
    ENDINGS,
    check_whole,
    join_indexes,
    join_lists,
    join_records,
    merged_channel,
)
from birdsod.recordio._packed import Packed
from birdsod.recordio._staging import Staging, refuse_existing, writing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tqdm.std import tqdm

    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._sharded import Sharded, ShardedChannel

__all__ = ["merge_folder"]


def merge_folder(sharded: Sharded, folder: Path, *, overwrite: bool, verify: bool) -> Packed:
    """Write one record file, index and list a channel; all appear together."""
    for channel in sharded.channels.values():
        check_whole(channel, sharded.directory)
        for shard in channel.shards:
            checked(shard, verify=False)
    finals = [*merged_names(sharded.channels), MANIFEST]
    _refuse_shards(sharded, folder, finals)
    refuse_existing([folder / name for name in finals], overwrite=overwrite)
    with Staging(folder) as staging:
        merged = {
            name: _merge_channel(channel, folder, staging.folder, verify=verify)
            for name, channel in sharded.channels.items()
        }
        with writing(folder):
            _files.write_text(staging.folder / MANIFEST, manifest_text(merged, sharded.class_table))
        gone = _gone(sharded, folder, finals) if overwrite else ()
        staging.publish(finals, gone=gone, overwrite=overwrite)
    return Packed(folder, merged, sharded.class_table)


def merged_names(channels: Iterable[str]) -> list[str]:
    """Return the names of the files of whole channels."""
    return [f"{name}{ending}" for name in channels for ending in ENDINGS]


def _merge_channel(channel: ShardedChannel, folder: Path, staged: Path, *, verify: bool) -> PackedChannel:
    lst, rec, idx = (staged / f"{channel.name}{ending}" for ending in ENDINGS)
    shown: tqdm[None] = _progress.bar(total=channel.bytes, description=f"merging {channel.name}", unit="B")
    # The small ones first: what does not fit is told before gigabytes are copied.
    with writing(folder / lst.name):
        lst_sha256 = join_lists(channel, lst, verify=verify)
    with writing(folder / idx.name):
        idx_sha256 = join_indexes(channel.shards, idx, verify=verify)
    with shown as progress, writing(folder / rec.name):
        sha256 = join_records(channel.shards, rec, verify=verify, moved=progress.update)
    return merged_channel(channel, folder, (sha256, idx_sha256, lst_sha256))


def _shard_paths(sharded: Sharded) -> set[Path]:
    shards = [shard for channel in sharded.channels.values() for shard in channel.shards]
    return {path.resolve() for shard in shards for path in (shard.lst, shard.rec, shard.idx)}


def _refuse_shards(sharded: Sharded, folder: Path, finals: Iterable[str]) -> None:
    """Refuse to write over what is to be read."""
    shards = _shard_paths(sharded)
    for name in finals:
        if (folder / name).resolve() in shards:
            message = "a shard has the name of a merged file"
            raise RecordError(message, path=folder / name, cure="choose another folder")


def _gone(sharded: Sharded, folder: Path, finals: Iterable[str]) -> list[str]:
    """Return the files that were packed or merged before and have no successor; the shards are none of them."""
    try:
        previous, _ = read_manifest(folder)
    except BirdsodError:
        # Whoever wrote it, it does not say which files are its own.
        return []
    shards = _shard_paths(sharded)
    names = set(merged_names(previous)) - set(finals)
    return sorted(name for name in names if (folder / name).resolve() not in shards)
