"""The files of a channel's shards, one after the other in one file of each kind."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from birdsod import _files
from birdsod.errors import DatasetError, RecordError
from birdsod.recordio._index import index_line
from birdsod.recordio._packed import PackedChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from birdsod.recordio._sharded import Shard, ShardedChannel

__all__ = ["ENDINGS", "changed", "check_whole", "join_indexes", "join_lists", "join_records", "merged_channel"]

ENDINGS = (".lst", ".rec", ".idx")
# Stays in the cache of a core, while three threads write and hash it.
_BLOCK = 1 << 20
_AGAIN = "pack the shard again"
_KEY_LIMIT = 1 << 64


def check_whole(channel: ShardedChannel, place: Path | str) -> None:
    """Refuse a channel that packing without shards would not have made."""
    here = [shard.index for shard in channel.shards]
    if here != list(range(channel.of)):
        lost = ", ".join(str(index) for index in range(channel.of) if index not in here)
        message = f"channel {channel.name!r} has shards {here} of {channel.of}" + (f", not {lost}" if lost else "")
        cure = "bring all parts into one folder, and merge the folder"
        raise RecordError(message, path=place, cause="it is one part of an array", cure=cure)
    if not channel.records:
        cause = channel.refused[0].reason if channel.refused else None
        message = f"channel {channel.name!r} has no record: all its images were refused"
        raise DatasetError(message, path=place, cause=cause, cure="look at the paths and files")


def merged_channel(channel: ShardedChannel, folder: Path, hashes: tuple[str, str, str]) -> PackedChannel:
    """Return what packing without shards would have returned; hashes are those of record file, index and list."""
    sha256, idx_sha256, lst_sha256 = hashes
    lst, rec, idx = (folder / f"{channel.name}{ending}" for ending in ENDINGS)
    return PackedChannel(
        name=channel.name,
        lst=lst,
        rec=rec,
        idx=idx,
        listed=channel.listed,
        records=channel.records,
        objects=channel.objects,
        most_objects=channel.most_objects,
        longest_label=channel.longest_label,
        bytes=channel.bytes,
        sha256=sha256,
        idx_sha256=idx_sha256,
        lst_sha256=lst_sha256,
        options=channel.options,
        clipped=channel.clipped,
        dropped=channel.dropped,
        refused=channel.refused,
    )


def join_records(shards: Sequence[Shard], target: Path, *, verify: bool, moved: Callable[[int], object]) -> str:
    """Write the record file of all shards in one pass, and return its SHA-256."""
    whole = hashlib.sha256()
    # Writing and both hashes side by side: each leaves the interpreter to the others.
    with _files.appearing(target) as stream, ThreadPoolExecutor(3) as team:
        for shard in shards:
            own, size = hashlib.sha256(), 0
            work = (stream.write, whole.update, own.update) if verify else (stream.write, whole.update)
            for block in _blocks(shard.rec):
                for done in [team.submit(step, block) for step in work]:
                    done.result()
                size += len(block)
                moved(len(block))
            if size != shard.bytes:
                raise changed(shard.rec, f"the shard has {size} bytes, {shard.bytes} were packed")
            if verify:
                _compare(shard.rec, own.hexdigest(), shard.sha256)
    return whole.hexdigest()


def join_indexes(shards: Sequence[Shard], target: Path, *, verify: bool) -> str:
    """Write the index of all shards, each offset moved to where its record is now, and return its SHA-256."""
    whole = hashlib.sha256()
    before = 0
    with _files.appearing(target) as stream:
        for shard in shards:
            own, lines = hashlib.sha256(), 0
            for line in _lines(shard.idx):
                own.update(line)
                lines += 1
                moved = _moved(line, before, shard, lines)
                whole.update(moved)
                stream.write(moved)
            if lines != shard.records:
                raise changed(shard.idx, f"the index has {lines} lines, {shard.records} records were packed")
            if verify:
                _compare(shard.idx, own.hexdigest(), shard.idx_sha256)
            before += shard.bytes
    return whole.hexdigest()


def join_lists(channel: ShardedChannel, target: Path, *, verify: bool) -> str:
    """Write the list of all shards, and return its SHA-256, which every part of the run has told."""
    whole = hashlib.sha256()
    with _files.appearing(target) as stream:
        for shard in channel.shards:
            own = hashlib.sha256()
            for block in _blocks(shard.lst):
                own.update(block)
                whole.update(block)
                stream.write(block)
            if verify:
                _compare(shard.lst, own.hexdigest(), shard.lst_sha256)
    if whole.hexdigest() != channel.lst_sha256:
        message = f"the lists of the shards together have SHA-256 {whole.hexdigest()}, {channel.lst_sha256} was packed"
        raise changed(channel.shards[0].lst, message)
    return channel.lst_sha256


def changed(path: Path | str, message: str) -> RecordError:
    """Return the error that tells of a file that is not what was packed."""
    return RecordError(message, path=path, cause="it was changed after packing", cure=_AGAIN)


def _compare(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise changed(path, f"the file has SHA-256 {found}, {expected} was packed")


def _moved(line: bytes, before: int, shard: Shard, number: int) -> bytes:
    key, _, offset = line.removesuffix(b"\n").partition(b"\t")
    if not (key.isdigit() and offset.isdigit()) or int(key) >= _KEY_LIMIT or int(offset) >= shard.bytes:
        message = "the line is not a key from 0 to 2**64 - 1, a tab and a byte offset within the shard"
        value = line.decode(errors="replace")
        raise RecordError(message, path=shard.idx, line=number, value=value, cure="birdsod reindex writes it again")
    return index_line(int(key), int(offset) + before)


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb", buffering=0) as stream:
            while block := stream.read(_BLOCK):
                yield block
    except OSError as error:
        raise _unread(path, error) from error


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from stream
    except OSError as error:
        raise _unread(path, error) from error


def _unread(path: Path, error: OSError) -> RecordError:
    return RecordError("the shard cannot be read", path=path, cause=error.strerror, cure="check the file and the disk")
