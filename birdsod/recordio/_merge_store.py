"""Shards in the object store, merged by the store itself."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod import _ordered, _progress
from birdsod.errors import BirdsodError, CloudError, RecordError
from birdsod.recordio._manifest import MANIFEST, manifest_text, read_manifest
from birdsod.recordio._merge_files import changed, check_whole, join_indexes, join_lists, merged_channel
from birdsod.recordio._merge_folder import merged_names
from birdsod.recordio._merge_parts import REAL, Stretch, plan_parts
from birdsod.recordio._shard_manifest import SHARDS, is_manifest, read_shards, shard_files
from birdsod.recordio._staging import writing
from birdsod.recordio._store import Prefix, s3_client
from birdsod.recordio._store_appearing import appearing
from birdsod.recordio._store_parts import THREADS, Growing, Source
from birdsod.recordio._stored import Stored, StoredChannel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import boto3
    from tqdm.std import tqdm

    from birdsod.recordio._merge_parts import Limits
    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._sharded import ShardedChannel
    from birdsod.recordio._store import Found

__all__ = ["merge_store"]

_BLOCK = 8 << 20


def merge_store(
    source: str,
    target: str,
    *,
    overwrite: bool,
    verify: bool,
    session: boto3.Session | None,
    limits: Limits = REAL,
) -> Stored:
    """Merge what lies below one address into objects below another."""
    client = s3_client(session)
    here, there = Prefix.of(client, source), Prefix.of(client, target)
    with _workshop(here.uri) as folder:
        listed = here.listing()
        _fetch(here, listed, _manifests(listed), folder)
        channels, table = read_shards(folder)
        _check_shards(channels, here, listed)
        finals = [*merged_names(channels), MANIFEST]
        before = there.listing()
        _check_target(channels, here, there, finals, [] if overwrite else before)
        small = [name for name in shard_files(channels) if not name.endswith(".rec")]
        _fetch(here, listed, small, folder)
        gone = _gone(there, before, finals, [] if here.uri != there.uri else shard_files(channels))
        # All that can be found wrong is found before the first byte is sent.
        merged = {name: _join(channel, here, listed, folder, verify=verify) for name, channel in channels.items()}
        uploads: list[Growing] = []
        with appearing(there, before, uploads) as appear:
            for name, channel in channels.items():
                uploads.append(Growing(there, f"{name}.rec"))
                _grow(uploads[-1], channel, here, listed, limits)
            appear(merged, manifest_text(merged, table))
        for name in gone:
            there.delete(name)
    return Stored(there.uri, {name: _stored(channel, there) for name, channel in merged.items()}, table)


def _manifests(listed: Mapping[str, Found]) -> list[str]:
    return [SHARDS] if SHARDS in listed else [name for name in listed if is_manifest(name)]


def _fetch(place: Prefix, listed: Mapping[str, Found], names: Sequence[str], folder: Path) -> None:
    def fetch(name: str) -> None:
        (folder / name).write_bytes(place.read(name, listed[name]))

    with _ordered.thread_pool(THREADS) as pool:
        for _ in _ordered.in_order(fetch, names, executor=pool, ahead=2 * THREADS):
            pass


def _check_shards(channels: Mapping[str, ShardedChannel], here: Prefix, listed: Mapping[str, Found]) -> None:
    for channel in channels.values():
        check_whole(channel, here.uri)
    missing = [name for name in shard_files(channels) if name not in listed]
    if missing:
        message = f"{len(missing)} packed files are missing, the first of them {missing[0]}"
        raise RecordError(message, path=here.uri, cause="they were not uploaded, or deleted", cure="upload them")
    for channel in channels.values():
        for shard in channel.shards:
            found = listed[shard.rec.name].size
            if found != shard.bytes:
                raise changed(here.uri + shard.rec.name, f"the shard has {found} bytes, {shard.bytes} were packed")


def _check_target(
    channels: Mapping[str, ShardedChannel],
    here: Prefix,
    there: Prefix,
    finals: Iterable[str],
    taken: Iterable[str],
) -> None:
    shards = set(shard_files(channels)) if here.uri == there.uri else set()
    for name in finals:
        if name in shards:
            message = "a shard has the name of a merged file"
            raise RecordError(message, path=there.uri + name, cure="choose another address")
        if name in taken:
            cure = "pass overwrite=True, or choose another address"
            raise RecordError("the object exists already", path=there.uri + name, cure=cure)


def _join(
    channel: ShardedChannel, here: Prefix, listed: Mapping[str, Found], folder: Path, *, verify: bool
) -> PackedChannel:
    """Make index and list of a channel here, and return what is to be told of it."""
    lst_sha256 = join_lists(channel, folder / f"{channel.name}.lst", verify=verify)
    idx_sha256 = join_indexes(channel.shards, folder / f"{channel.name}.idx", verify=verify)
    sha256 = _hash(channel, here, listed) if verify else ""
    merged = merged_channel(channel, folder, (sha256, idx_sha256, lst_sha256))
    # Where the whole was not read its shards vouch for it.
    stretches = () if verify else tuple((shard.bytes, shard.sha256) for shard in channel.shards)
    return replace(merged, stretches=stretches)


def _hash(channel: ShardedChannel, here: Prefix, listed: Mapping[str, Found]) -> str:
    """Read all shards once, compare their hashes, and return that of all together."""
    whole = hashlib.sha256()
    source = Source(here, [(shard.rec.name, listed[shard.rec.name]) for shard in channel.shards])
    shown: tqdm[None] = _progress.bar(total=channel.bytes, description=f"checking {channel.name}", unit="B")
    with shown as progress, _ordered.thread_pool(THREADS) as pool:
        for number, shard in enumerate(channel.shards):
            own = hashlib.sha256()
            blocks = (
                Stretch(number, begin, min(begin + _BLOCK, shard.bytes)) for begin in range(0, shard.bytes, _BLOCK)
            )
            with contextlib.closing(_ordered.in_order(source.read, blocks, executor=pool, ahead=THREADS)) as answers:
                for block in answers:
                    own.update(block)
                    whole.update(block)
                    progress.update(len(block))
            if own.hexdigest() != shard.sha256:
                message = f"the file has SHA-256 {own.hexdigest()}, {shard.sha256} was packed"
                raise changed(here.uri + shard.rec.name, message)
    return whole.hexdigest()


def _grow(upload: Growing, channel: ShardedChannel, here: Prefix, listed: Mapping[str, Found], limits: Limits) -> None:
    source = Source(here, [(shard.rec.name, listed[shard.rec.name]) for shard in channel.shards])
    parts = plan_parts([shard.bytes for shard in channel.shards], limits)
    shown: tqdm[None] = _progress.bar(total=channel.bytes, description=f"merging {channel.name}", unit="B")
    with shown as progress:
        upload.grow(parts, source, limits, progress.update)


def _gone(there: Prefix, before: Mapping[str, Found], finals: Iterable[str], shards: Iterable[str]) -> list[str]:
    """Return the objects that were packed or merged before and have no successor."""
    if MANIFEST not in before:
        return []
    with tempfile.TemporaryDirectory(prefix="birdsod-merge-") as folder:
        _fetch(there, before, [MANIFEST], Path(folder))
        try:
            previous, _ = read_manifest(Path(folder))
        except BirdsodError:
            # Whoever wrote it, it does not say which objects are its own.
            return []
    return sorted(set(merged_names(previous)) - set(finals) - set(shards))


def _stored(channel: PackedChannel, there: Prefix) -> StoredChannel:
    return StoredChannel(
        name=channel.name,
        uri=f"{there.uri}{channel.name}.rec",
        listed=channel.listed,
        records=channel.records,
        objects=channel.objects,
        most_objects=channel.most_objects,
        longest_label=channel.longest_label,
        bytes=channel.bytes,
        sha256=channel.sha256 or None,
    )


@contextlib.contextmanager
def _workshop(uri: str) -> Iterator[Path]:
    """Give a folder for the small files of an address; what is wrong with them is told by the address."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="birdsod-merge-")))
        stack.enter_context(writing(folder))
        stack.enter_context(_told_far(folder, uri))
        yield folder


@contextlib.contextmanager
def _told_far(folder: Path, uri: str) -> Iterator[None]:
    try:
        yield
    except CloudError:
        raise
    except BirdsodError as error:
        if error.path is not None and Path(error.path).is_relative_to(folder):
            error.path = uri + Path(error.path).name if Path(error.path) != folder else uri
        raise
