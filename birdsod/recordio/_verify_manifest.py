"""What ``packed.json`` says of a record file, its index and its list."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from birdsod import _files
from birdsod.errors import BirdsodError
from birdsod.recordio._finding_kinds import FindingKind
from birdsod.recordio._manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.classes import ClassTable
    from birdsod.recordio._findings import Findings
    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._verify_labels import LabelChecks

__all__ = ["channel_of", "check_counts", "check_hashes"]

_BLOCK = 1 << 20


def channel_of(rec: Path, findings: Findings) -> tuple[PackedChannel | None, ClassTable | None]:
    """Return what the ``packed.json`` beside a record file says of it, if there is one and it does."""
    manifest = rec.parent / MANIFEST
    if not manifest.exists():
        findings.add(FindingKind.NO_CHECKSUM, path=rec)
        return None, None
    try:
        channels, table = read_manifest(rec.parent)
    except (BirdsodError, RecursionError, OverflowError) as error:
        findings.add(FindingKind.MANIFEST_BROKEN, path=manifest, cause=getattr(error, "cause", None) or str(error))
        return None, None
    channel = next((channel for channel in channels.values() if channel.rec.name == rec.name), None)
    if channel is None:
        findings.add(FindingKind.NO_CHECKSUM, path=rec)
        return None, None
    return channel, table


def check_hashes(channel: PackedChannel, rec: Path, buffer: memoryview, findings: Findings) -> None:
    """Compare size and SHA-256 of the record file, and the SHA-256 of index and list."""
    if len(buffer) != channel.bytes:
        value = f"{len(buffer)} bytes, not {channel.bytes}"
        findings.add(FindingKind.MANIFEST_SIZE, path=rec, value=value)
    elif (found := _sha256(buffer)) != channel.sha256:
        findings.add(FindingKind.MANIFEST_HASH, path=rec, value=found)
    others = (
        (FindingKind.MANIFEST_INDEX, channel.idx, channel.idx_sha256),
        (FindingKind.MANIFEST_LIST, channel.lst, channel.lst_sha256),
    )
    for kind, path, expected in others:
        if path.is_file() and (found := _files.sha256(path)) != expected:
            findings.add(kind, path=path, value=found)


def check_counts(channel: PackedChannel, rec: Path, labels: LabelChecks, records: int, findings: Findings) -> None:
    """Compare the counts of records, objects and label numbers."""
    counted = {
        "records": (records, channel.records),
        "objects": (labels.objects, channel.objects),
        "most_objects": (labels.most_objects, channel.most_objects),
        "longest_label": (labels.longest, channel.longest_label),
    }
    for name, (found, expected) in counted.items():
        if found != expected:
            value = f"{found} {name}, not {expected}"
            findings.add(FindingKind.MANIFEST_COUNT, path=rec.parent / MANIFEST, value=value)


def _sha256(buffer: memoryview) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(buffer), _BLOCK):
        digest.update(buffer[start : start + _BLOCK])
    return digest.hexdigest()
