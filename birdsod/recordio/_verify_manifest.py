"""What ``packed.json``, or the manifest of shards, says of a record file, its index and its list."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from birdsod import _files
from birdsod.errors import BirdsodError
from birdsod.recordio._finding_kinds import FindingKind
from birdsod.recordio._manifest import MANIFEST, read_manifest
from birdsod.recordio._shard_manifest import manifests_naming, read_part

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from birdsod.classes import ClassTable
    from birdsod.recordio._findings import Findings
    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._verify_labels import LabelChecks

__all__ = ["Vouched", "broken", "check_counts", "check_hashes", "vouched"]

_BLOCK = 1 << 20


class Vouched(NamedTuple):
    """What a manifest says of a record file."""

    manifest: Path
    channel: PackedChannel
    class_table: ClassTable


def vouched(rec: Path, findings: Findings) -> Vouched | None:
    """Return what the manifest beside a record file says of it, if there is one and it does."""
    packed = rec.parent / MANIFEST
    at_fault = False
    for manifest in [*([packed] if packed.exists() else []), *manifests_naming(rec)]:
        try:
            channels, table = _read(manifest)
        except BirdsodError as error:
            broken(manifest, error, findings)
            at_fault = True
            continue
        for channel in channels:
            if channel.rec.name == rec.name:
                return Vouched(manifest, channel, table)
    if not at_fault:
        findings.add(FindingKind.NO_CHECKSUM, path=rec)
    return None


def broken(manifest: Path, error: BaseException, findings: Findings) -> None:
    """Tell that a manifest cannot be read."""
    findings.add(FindingKind.MANIFEST_BROKEN, path=manifest, cause=getattr(error, "cause", None) or str(error))


def _read(manifest: Path) -> tuple[Iterable[PackedChannel], ClassTable]:
    if manifest.name == MANIFEST:
        channels, table = read_manifest(manifest.parent)
        return channels.values(), table
    part = read_part(manifest)
    return [shard for channel in part.channels.values() for shard in channel.shards], part.class_table


def check_hashes(channel: PackedChannel, rec: Path, buffer: memoryview, findings: Findings) -> None:
    """Compare size and SHA-256 of the record file, and the SHA-256 of index and list."""
    if len(buffer) != channel.bytes:
        value = f"{len(buffer)} bytes, not {channel.bytes}"
        findings.add(FindingKind.MANIFEST_SIZE, path=rec, value=value)
    else:
        _check_stretches(channel.stretches or ((channel.bytes, channel.sha256),), rec, buffer, findings)
    others = (
        (FindingKind.MANIFEST_INDEX, channel.idx, channel.idx_sha256),
        (FindingKind.MANIFEST_LIST, channel.lst, channel.lst_sha256),
    )
    for kind, path, expected in others:
        if path.is_file() and (found := _files.sha256(path)) != expected:
            findings.add(kind, path=path, value=found)


def _check_stretches(stretches: tuple[tuple[int, str], ...], rec: Path, buffer: memoryview, findings: Findings) -> None:
    begin = 0
    for size, expected in stretches:
        found = _sha256(buffer[begin : begin + size])
        if found != expected:
            offset, end = (None, None) if size == len(buffer) else (begin, begin + size)
            findings.add(FindingKind.MANIFEST_HASH, path=rec, offset=offset, end=end, value=found)
        begin += size


def check_counts(known: Vouched, labels: LabelChecks, records: int, findings: Findings) -> None:
    """Compare the counts of records, objects and label numbers."""
    channel = known.channel
    counted = {
        "records": (records, channel.records),
        "objects": (labels.objects, channel.objects),
        "most_objects": (labels.most_objects, channel.most_objects),
        "longest_label": (labels.longest, channel.longest_label),
    }
    for name, (found, expected) in counted.items():
        if found != expected:
            value = f"{found} {name}, not {expected}"
            findings.add(FindingKind.MANIFEST_COUNT, path=known.manifest, value=value)


def _sha256(buffer: memoryview) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(buffer), _BLOCK):
        digest.update(buffer[start : start + _BLOCK])
    return digest.hexdigest()
