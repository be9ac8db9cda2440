"""A whole call of pack, after its options are checked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from birdsod import _files
from birdsod.errors import BirdsodError, RecordError
from birdsod.recordio._assembly import manifest_of, packed_channel, sharded_channel, staged_files
from birdsod.recordio._channel import check_filled, fill
from birdsod.recordio._listing import list_channel, tasks
from birdsod.recordio._manifest import MANIFEST, read_manifest
from birdsod.recordio._marks import Reach, Shelved
from birdsod.recordio._naming import Staged, publishing
from birdsod.recordio._resume import Begun, begin, head
from birdsod.recordio._shard_manifest import (
    SHARDS,
    is_manifest,
    is_shard_file,
    part_name,
    parts_in,
    read_part,
    shard_files,
    shard_stem,
)
from birdsod.recordio._shelf import Shelf
from birdsod.recordio._staging import Staging, refuse_existing, writing
from birdsod.recordio._taking import START_ANEW, Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset
    from birdsod.recordio._channel import Run
    from birdsod.recordio._journal import Journal
    from birdsod.recordio._listing import Listing
    from birdsod.recordio._marks import Filled
    from birdsod.recordio._packed import Packed, PackedChannel
    from birdsod.recordio._shard_plan import Cuts, Plan
    from birdsod.recordio._sharded import Sharded, ShardedChannel

__all__ = ["Request", "pack_channels"]

_ENDINGS = (".lst", ".rec", ".idx")


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is to be packed, how and where."""

    channels: Mapping[str, DetectionDataset]
    class_table: ClassTable
    folder: Path
    plan: Plan
    run: Run
    outside: Literal["clip", "raise"]
    overwrite: bool
    resume: bool

    @property
    def purpose(self) -> Purpose:
        """What is packed, told from what other runs pack."""
        return Purpose(tuple(self.channels), self.plan.count, self.plan.most_bytes, self.plan.only)

    @property
    def manifest(self) -> str:
        """The name of the file that vouches for the others."""
        if self.plan.only is not None and self.plan.count is not None:
            return part_name(self.plan.only, self.plan.count)
        return SHARDS if self.plan.is_sharded else MANIFEST


def pack_channels(request: Request) -> Packed | Sharded:
    """Pack all channels; their files appear together."""
    if not request.resume:
        refuse_existing(_known_files(request), overwrite=request.overwrite)
    with Staging(request.folder, purpose=request.purpose, resume=request.resume) as staging:
        # A run that is resumed may have been stopped while its files took these names.
        refuse_existing(_known_files(request), overwrite=request.overwrite)
        packed, staged = _pack_into(staging.folder, request)
        finals = {file.name: file.final for file in staged}
        gone = sorted(_gone(request, finals.values())) if request.overwrite else ()
        staging.publish(finals, gone=gone, overwrite=request.overwrite)
    return packed


def _pack_into(folder: Path, request: Request) -> tuple[Packed | Sharded, list[Staged]]:
    """Pack all channels into a folder; return what to tell of them, and their files."""
    staged: list[Staged] = []
    channels: list[PackedChannel | ShardedChannel] = []
    listings = _listings(request, folder)
    with _beginning(request, folder, listings) as (journal, shelves):
        for listing in listings:
            filled = _fill(request, listing, journal, shelves.get(listing.name, Shelved()))
            with writing(request.folder):
                channel = _channel(request, listing, filled)
            # One part of many may be empty where the others are not.
            records = channel.records if request.plan.only is None else 1
            check_filled(channel.name, records, channel.refused, request.run, channel.listed, calls=4)
            channels.append(channel)
            staged += staged_files(channel, filled, listing.lst)
        packed, pieces = manifest_of(request.folder, channels, request.class_table)
        with writing(request.folder):
            manifest = folder / request.manifest
            _files.write_pieces(manifest, pieces)
            # The last one vouches for the others.
            staged.append(Staged(manifest.name, manifest.name, _files.sha256(manifest)))
            journal.add(publishing(staged))
    return packed, staged


@contextlib.contextmanager
def _beginning(request: Request, folder: Path, listings: Sequence[Listing]) -> Iterator[Begun]:
    """Begin or resume, and close the journal at the end."""
    with writing(request.folder):
        first = head(request.purpose, request.run.options, listings, outside=request.outside)
        reaches = {each.name: Reach(_cuts(request, each), each.dataset.image_ids) for each in listings}
        begun = begin(folder, first, reaches)
    with contextlib.closing(begun.journal):
        _check_refused(request, begun)
        yield begun


def _check_refused(request: Request, begun: Begun) -> None:
    """Refuse to go on as if no image had been refused."""
    tallies = [part.tally for shelf in begun.shelves.values() for part in (*shelf.filled, shelf.opened) if part]
    refused = [image for tally in tallies for image in tally.refused]
    if request.run.on_error == "raise" and refused:
        message = f"the run that was stopped here refused {len(refused)} images"
        cure = f'pack with on_error="skip" or "collect", {START_ANEW}'
        raise RecordError(message, path=request.folder, value=refused[0].name, cause=refused[0].reason, cure=cure)


def _known_files(request: Request) -> list[Path]:
    """Return the files that will be written, and of shards those whose number is not known yet if they are there."""
    folder, plan = request.folder, request.plan
    if not plan.is_sharded:
        names = [f"{name}{ending}" for name in request.channels for ending in _ENDINGS]
    elif plan.only is not None and plan.count is not None:
        stems = [shard_stem(name, plan.only, plan.count) for name in request.channels]
        # It would speak for all shards, and the parts would not be asked.
        names = [*(f"{stem}{ending}" for stem in stems for ending in _ENDINGS), SHARDS]
    else:
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        names = [name for name in there if is_shard_file(name, request.channels) or is_manifest(name)]
    return [folder / name for name in [*names, request.manifest]]


def _listings(request: Request, folder: Path) -> list[Listing]:
    """Write the lists of all channels, so that one that cannot be listed is found before the first is packed."""
    listings = []
    for name, dataset in request.channels.items():
        with writing(request.folder / f"{name}.lst"):
            lst = folder / f"{name}.lst"
            on_error, outside = request.run.on_error, request.outside
            listings.append(list_channel(name, dataset, lst, on_error=on_error, outside=outside))
    return listings


def _cuts(request: Request, listing: Listing) -> Cuts:
    return request.plan.cuts(listing.positions, len(listing.dataset))


def _fill(request: Request, listing: Listing, journal: Journal, shelved: Shelved) -> list[Filled]:
    """Pack the images of a channel that are not packed yet."""
    cuts = _cuts(request, listing)
    if shelved.holds_all_of(cuts):
        return shelved.filled
    with writing(request.folder / f"{listing.name}.rec"):
        shelf = Shelf(listing.lst.parent, listing.name, cuts, journal, shelved)
        with contextlib.closing(shelf):
            done, total = shelf.row - cuts.begin, cuts.end - cuts.begin
            remaining = tasks(listing, shelf.row, cuts.end)
            fill(remaining, shelf.put, request.run, name=listing.name, total=total, done=done)
            return shelf.finish()


def _channel(request: Request, listing: Listing, filled: Sequence[Filled]) -> PackedChannel | ShardedChannel:
    folder, options = request.folder, request.run.options
    if request.plan.is_sharded:
        return sharded_channel(folder, listing, filled, options, request.plan)
    return packed_channel(folder, listing, filled[0], options)


def _gone(request: Request, finals: Iterable[str]) -> set[str]:
    """Return the files that were packed before and have no successor."""
    folder, plan = request.folder, request.plan
    if plan.only is not None:
        # What it spoke for may be what the other jobs of the array have just packed.
        return {SHARDS}
    if plan.is_sharded:
        manifests = [path for path in (folder / SHARDS, *parts_in(folder)) if path.is_file()]
        return {name for path in manifests for name in (path.name, *_vouched_for(path))} - set(finals)
    with contextlib.suppress(BirdsodError):
        previous, _ = read_manifest(folder)
        return {f"{name}{ending}" for name in previous for ending in _ENDINGS} - set(finals)
    return set()


def _vouched_for(manifest: Path) -> list[str]:
    """Return the files of shards that a manifest tells of; none if it cannot be read, whoever wrote it."""
    with contextlib.suppress(BirdsodError):
        return shard_files(read_part(manifest).channels)
    return []
