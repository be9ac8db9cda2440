"""All files of a manifest checked: each for itself, and whether they are all there and belong together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from birdsod.errors import BirdsodError, RecordError
from birdsod.recordio._finding_kinds import FindingKind
from birdsod.recordio._findings import Findings, Verification
from birdsod.recordio._manifest import MANIFEST, read_manifest
from birdsod.recordio._shard_manifest import (
    SHARDS,
    difference,
    is_manifest,
    is_shard_file,
    parts_in,
    read_part,
    shard_stem,
)
from birdsod.recordio._verify_manifest import broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from birdsod.recordio._findings import Finding
    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._shard_manifest import Part
    from birdsod.recordio._sharded import Shard

__all__ = ["manifests_of", "verify_set"]


def manifests_of(path: Path) -> list[Path] | None:
    """Return the manifests that a folder has, or that is named; None where a path is neither's."""
    if path.is_dir():
        whole = path / SHARDS
        shards = [whole] if whole.is_file() else sorted(parts_in(path))
        found = [*([path / MANIFEST] if (path / MANIFEST).is_file() else []), *shards]
    elif path.name in {MANIFEST, SHARDS}:
        found = [path] if path.is_file() else []
    elif is_manifest(path.name):
        # One part tells too little: the others of its folder are looked for.
        found = sorted(parts_in(path.parent)) if path.is_file() else []
    else:
        return None
    if not found:
        message = f"there is no {path.name}" if path.suffix == ".json" else "there is no packed.json or shards.json"
        raise RecordError(message, path=path, cause="another folder, or packing did not end", cure="name the .rec file")
    return found


def verify_set(
    path: Path, manifests: Sequence[Path], check: Callable[[Path], Verification], *, deep: bool, most: int | None
) -> Verification:
    """Check all files that some manifests of one folder name.

    Parameters
    ----------
    path : Path
        What was asked for.
    manifests : sequence of Path
        The manifests.
    check : callable
        Checks one record file.
    deep : bool
        Whether it decodes images.
    most : int or None
        How many findings of each kind to keep.
    """
    findings = Findings(most)
    folder = manifests[0].parent
    channels: list[PackedChannel] = []
    parts: list[Part] = []
    for manifest in manifests:
        try:
            if manifest.name == MANIFEST:
                channels += read_manifest(folder)[0].values()
            else:
                parts.append(read_part(manifest))
        except BirdsodError as error:
            broken(manifest, error, findings)
    is_known = not findings.counts
    shards = _check_parts(parts, findings)
    if parts and is_known:
        _check_extra(folder, parts, findings)
    for channel in [*channels, *shards]:
        for file in (channel.rec, channel.idx, channel.lst):
            if not file.is_file():
                findings.add(FindingKind.FILE_MISSING, path=file)
    results = [check(channel.rec) for channel in [*channels, *shards] if channel.rec.is_file()]
    return _together(path, findings, results, deep=deep)


def _check_parts(parts: Sequence[Part], findings: Findings) -> list[Shard]:
    """Check that parts belong together, and return the shards of those that do."""
    seen: dict[tuple[str, int], Shard] = {}
    for part in parts:
        other = difference(parts[0], part)
        if other:
            value = f"other {other} than {parts[0].path.name}"
            findings.add(FindingKind.SHARD_MIXED, path=part.path, value=value)
            continue
        for name, channel in part.channels.items():
            for shard in channel.shards:
                if (name, shard.index) in seen:
                    findings.add(FindingKind.SHARD_REPEATED, path=part.path, value=shard.name)
                seen.setdefault((name, shard.index), shard)
    for name, channel in parts[0].channels.items() if parts else ():
        here = sorted((shard for (of, _), shard in seen.items() if of == name), key=lambda shard: shard.index)
        _check_channel(name, channel.of, here, parts[0].path.parent, findings)
    return list(seen.values())


def _check_channel(name: str, of: int, shards: Sequence[Shard], folder: Path, findings: Findings) -> None:
    here = {shard.index for shard in shards}
    for index in range(of):
        if index not in here:
            findings.add(FindingKind.SHARD_MISSING, path=folder / f"{shard_stem(name, index, of)}.rec")
    rows, following = 0, 0
    for shard in shards:
        if shard.index == following and shard.first_row != rows:
            value = f"image {shard.first_row}, not {rows}"
            findings.add(FindingKind.SHARD_ROWS, path=shard.rec, value=value)
        rows, following = shard.first_row + shard.listed, shard.index + 1


def _check_extra(folder: Path, parts: Sequence[Part], findings: Findings) -> None:
    shards = [shard for part in parts for channel in part.channels.values() for shard in channel.shards]
    known = {path.name for shard in shards for path in (shard.lst, shard.rec, shard.idx)}
    names = {name for part in parts for name in part.channels}
    for path in sorted(folder.iterdir()):
        if is_shard_file(path.name, names) and path.name not in known:
            findings.add(FindingKind.SHARD_EXTRA, path=path)


def _together(path: Path, findings: Findings, results: Iterable[Verification], *, deep: bool) -> Verification:
    told: list[Finding] = list(findings.in_order(path))
    counts: Counter[FindingKind] = Counter(findings.counts)
    records = 0
    for result in results:
        records += result.records
        # A manifest that cannot be read was told already.
        told += [finding for finding in result.findings if finding.kind is not FindingKind.MANIFEST_BROKEN]
        counts.update({kind: n for kind, n in result.counts.items() if kind is not FindingKind.MANIFEST_BROKEN})
    ordered = {kind: counts[kind] for kind in FindingKind if counts[kind]}
    return Verification(path=path, records=records, deep=deep, findings=tuple(told), counts=ordered)
