"""What was packed, put together as the values that tell of it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from birdsod import _files
from birdsod.recordio._listing import cut_lists, in_row_order
from birdsod.recordio._manifest import manifest_pieces
from birdsod.recordio._naming import Staged
from birdsod.recordio._packed import Packed, PackedChannel
from birdsod.recordio._shard_manifest import shard_stem, shards_pieces
from birdsod.recordio._sharded import Shard, Sharded, ShardedChannel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from birdsod.classes import ClassTable
    from birdsod.recordio._listing import Listing, Told
    from birdsod.recordio._marks import Filled
    from birdsod.recordio._options import PackOptions
    from birdsod.recordio._shard_plan import Plan

__all__ = ["manifest_of", "packed_channel", "sharded_channel", "staged_files"]


def packed_channel(folder: Path, listing: Listing, filled: Filled, options: PackOptions) -> PackedChannel:
    """Return the value of a channel in one record file."""
    rows = _rows(listing, [filled], [0, len(listing.dataset)])
    return PackedChannel(
        name=listing.name, **_fields(folder, listing.name, filled, listing.sha256, options), **next(rows)
    )


def sharded_channel(
    folder: Path, listing: Listing, filled: Sequence[Filled], options: PackOptions, plan: Plan
) -> ShardedChannel:
    """Cut the list of a channel where its record files begin, and return the value of all shards."""
    lists = [shard.rec.with_suffix(".lst") for shard in filled]
    cut_lists(listing.lst, [(lst, shard.begin, shard.end) for lst, shard in zip(lists, filled, strict=True)])
    of = plan.count or len(filled)
    edges = plan.edges(listing.positions, len(listing.dataset), [shard.begin for shard in filled])
    shards = []
    for rows, lst, part, edge in zip(_rows(listing, filled, edges), lists, filled, edges, strict=False):
        stem = shard_stem(listing.name, part.index, of)
        fields = _fields(folder, stem, part, _files.sha256(lst), options)
        shards.append(Shard(name=stem, index=part.index, of=of, first_row=edge, **fields, **rows))
    return ShardedChannel(name=listing.name, of=of, lst_sha256=listing.sha256, shards=tuple(shards))


def manifest_of(
    folder: Path, channels: Sequence[PackedChannel | ShardedChannel], table: ClassTable
) -> tuple[Packed | Sharded, Iterator[str]]:
    """Return the value of all channels and the text of its manifest, piece by piece."""
    whole = {channel.name: channel for channel in channels if isinstance(channel, PackedChannel)}
    if whole:
        return Packed(folder, whole, table), manifest_pieces(whole, table)
    sharded = {channel.name: channel for channel in channels if isinstance(channel, ShardedChannel)}
    return Sharded(folder, sharded, table), shards_pieces(sharded, table)


def staged_files(channel: PackedChannel | ShardedChannel, filled: Sequence[Filled], lst: Path) -> Iterator[Staged]:
    """Yield the files of a channel."""
    finals: Sequence[PackedChannel] = channel.shards if isinstance(channel, ShardedChannel) else [channel]
    for part, final in zip(filled, finals, strict=True):
        rows = part.rec.with_suffix(".lst") if isinstance(final, Shard) else lst
        yield Staged(rows.name, final.lst.name, final.lst_sha256)
        yield Staged(part.rec.name, final.rec.name, final.sha256)
        yield Staged(part.idx.name, final.idx.name, final.idx_sha256)


def _fields(folder: Path, stem: str, filled: Filled, lst_sha256: str, options: PackOptions) -> dict[str, Any]:
    """Return what a value tells of its files."""
    tally = filled.tally
    return {
        **{ending: folder / f"{stem}.{ending}" for ending in ("lst", "rec", "idx")},
        "records": tally.records,
        "objects": tally.objects,
        "most_objects": tally.most_objects,
        "longest_label": tally.longest_label,
        "bytes": filled.bytes,
        "sha256": filled.sha256,
        "idx_sha256": filled.idx_sha256,
        "lst_sha256": lst_sha256,
        "options": options,
    }


def _rows(listing: Listing, filled: Sequence[Filled], edges: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield for each record file what befell its images, in the order of the data set."""
    tallies = [part.tally for part in filled]
    clipped = [*listing.clipped, *(box for tally in tallies for box in tally.clipped)]
    dropped = [box for tally in tallies for box in tally.dropped]
    refused = [*listing.refused, *(image for tally in tallies for image in tally.refused)]
    cut = in_row_order(clipped, listing.dataset)
    gone = in_row_order(dropped, listing.dataset)
    out = in_row_order(refused, listing.dataset)
    for begin, end in pairwise(edges):
        yield {
            "listed": end - begin,
            "clipped": _between(cut, begin, end),
            "dropped": _between(gone, begin, end),
            "refused": _between(out, begin, end),
        }


def _between(rows: Sequence[tuple[int, Told]], begin: int, end: int) -> tuple[Told, ...]:
    return tuple(told for row, told in rows if begin <= row < end)
