"""Record files checked from the first byte to the last, without changing any."""

from __future__ import annotations

import os
import struct
from array import array
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdsod import _progress
from birdsod.errors import RecordError
from birdsod.recordio._finding_kinds import FindingKind
from birdsod.recordio._findings import Findings, Verification
from birdsod.recordio._index import index_path
from birdsod.recordio._options import check_jobs
from birdsod.recordio._pipeline import in_order, workers
from birdsod.recordio._sources import mapped
from birdsod.recordio._verify_images import Picture, check_image
from birdsod.recordio._verify_index import Places, check_index
from birdsod.recordio._verify_labels import LabelChecks
from birdsod.recordio._verify_list import LabelPrints, check_list
from birdsod.recordio._verify_manifest import check_counts, check_hashes, vouched
from birdsod.recordio._verify_set import manifests_of, verify_set
from birdsod.recordio._walk import Gap, payload_of, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tqdm.std import tqdm

    from birdsod.classes import ClassTable
    from birdsod.recordio._framing import Payload
    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._walk import Whole

__all__ = ["verify"]

_HEAD = struct.Struct("<IfQQ")
_MOST = 1000


def verify(
    path: str | os.PathLike[str],
    *,
    deep: bool = False,
    classes: int | ClassTable | None = None,
    index: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    most: int | None = _MOST,
) -> Verification:
    """Check a record file, and the index, list and manifest beside it; or all files of a manifest.

    Every fault is found, not only the first: after damage the check goes on at the next record. No file is
    changed. RecordIO has no checksum, so changed bytes within an image are only seen where ``packed.json``,
    ``shards.json`` or the manifest of a part vouches for the file, or, by ``deep``, where they make it undecodable.

    Parameters
    ----------
    path : path-like
        The ``.rec`` file; or a manifest, or the folder of one: then also whether all files are there and, of
        shards, whether they are all of one run and follow each other.
    deep : bool, default False
        Also decode every image.
    classes : int or ClassTable, optional
        How many classes there are; by default those of the manifest, or as many as occur.
    index : path-like, optional
        The ``.idx`` file; by default the one beside it. Not for a folder or manifest.
    jobs : int, optional
        Images decoded at a time; by default as many as there are cores. The result does not depend on it.
    most : int or None, default 1000
        How many findings of each kind to keep; all are counted. None keeps all.

    Returns
    -------
    Verification

    Raises
    ------
    RecordError
        If the record file is missing or cannot be read, a folder has no manifest, or ``jobs`` is not positive.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "birds.rec"
    >>> from birdsod.recordio import RecordWriter
    >>> with RecordWriter(file) as writer:
    ...     writer.write_record(17, [2, 5, 0, 0.1, 0.2, 54.1, 60.3], b"the image")
    >>> result = verify(file)
    >>> result.ok, [(finding.name, finding.record, finding.cause) for finding in result.findings if finding.record == 0]
    (False, [('outside', 0, 'percent, not ratio')])
    >>> folder.cleanup()
    """
    path = Path(path)
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    check_jobs(jobs)
    manifests = manifests_of(path)
    if manifests is not None:
        if index is not None:
            raise RecordError("an index is that of one record file", path=index, cure="leave it out")
        one = partial(verify, deep=deep, classes=classes, jobs=jobs, most=most)
        return verify_set(path, manifests, one, deep=deep, most=most)
    buffer, _ = mapped(path)
    check = _Check(path, buffer, classes, Findings(most))
    if deep:
        check.deeply(jobs)
    else:
        deque(check.pictures(deep=False), maxlen=0)
    check.beside(None if index is None else Path(index))
    return check.verification(deep=deep)


class _Check:
    """One file under check."""

    def __init__(self, path: Path, buffer: memoryview, classes: int | ClassTable | None, findings: Findings) -> None:
        self._path = path
        self._buffer = buffer
        self._findings = findings
        self._vouched = vouched(path, findings)
        self._channel = self._vouched and self._vouched.channel
        known = self._vouched.class_table if self._vouched and classes is None else classes
        count = known if known is None or isinstance(known, int) else len(known)
        self._labels = LabelChecks(path, findings, classes=count)
        self._prints = LabelPrints()
        self._offsets: array[int] = array("q")
        self._ids: array[int] = array("Q")
        self._named: array[int] = array("b")

    def pictures(self, *, deep: bool) -> Iterator[Picture]:
        """Check frames, heads and labels, and yield the images if they are to be looked at."""
        if not self._buffer and (self._channel is None or self._channel.bytes):
            self._findings.add(FindingKind.EMPTY_FILE, path=self._path, offset=0)
        aligned = 0
        bar: tqdm[None]
        with _progress.bar(total=len(self._buffer), description=self._path.name, unit="B") as bar:
            for stretch in walk(self._buffer):
                bar.update(stretch.end - stretch.start)
                if isinstance(stretch, Gap):
                    self._tell(stretch)
                    continue
                record = len(self._offsets)
                if stretch.start % 4 not in {0, aligned}:
                    self._findings.add(FindingKind.MISALIGNED, path=self._path, record=record, offset=stretch.start)
                aligned = stretch.start % 4
                image = self._check(stretch, record)
                if deep and image is not None:
                    yield Picture(record, stretch.start, bytes(image))

    def deeply(self, jobs: int) -> None:
        """Check everything, the images in threads."""
        options = None if self._channel is None else self._channel.options
        work = partial(check_image, options=options)
        with workers(jobs) as (executor, ahead):
            for picture, faults in in_order(work, self.pictures(deep=True), executor=executor, ahead=ahead):
                for fault in faults:
                    self._findings.add(
                        fault.kind,
                        path=self._path,
                        record=picture.record,
                        offset=picture.offset,
                        value=fault.value,
                        cause=fault.cause,
                    )

    def beside(self, index: Path | None) -> None:
        """Check what lies beside the file."""
        places = Places(
            np.frombuffer(self._offsets, dtype=np.int64),
            np.frombuffer(self._ids, dtype=np.uint64),
            np.frombuffer(self._named, dtype=np.bool_),
        )
        self._labels.finish()
        self._check_ids(places)
        found = index_path(self._path) if index is None else index
        if index is None and not found.is_file():
            self._findings.add(FindingKind.INDEX_ABSENT, path=self._path)
        else:
            check_index(found, self._path, places, self._findings, size=len(self._buffer))
        self._check_list(places)
        if self._vouched is not None:
            check_hashes(self._vouched.channel, self._path, self._buffer, self._findings)
            check_counts(self._vouched, self._labels, len(self._offsets), self._findings)

    def verification(self, *, deep: bool) -> Verification:
        """Return what was found."""
        counts = {kind: self._findings.counts[kind] for kind in FindingKind if self._findings.counts[kind]}
        return Verification(
            path=self._path,
            records=len(self._offsets),
            deep=deep,
            findings=self._findings.in_order(self._path),
            counts=counts,
        )

    def _tell(self, gap: Gap) -> None:
        record = len(self._offsets)
        self._findings.add(gap.kind, path=self._path, record=record, offset=gap.start, end=gap.end, value=gap.value)

    def _check(self, stretch: Whole, record: int) -> Payload | None:
        """Check a record, and return its image if it has the place for one."""
        add = partial(self._findings.add, path=self._path, record=record, offset=stretch.start)
        stop = stretch.parts[-1][1]
        if any(self._buffer[stop : stretch.end]):
            add(FindingKind.PADDING, value=bytes(self._buffer[stop : stretch.end]))
        payload = payload_of(self._buffer, stretch)
        self._offsets.append(stretch.start)
        if len(payload) < _HEAD.size:
            add(FindingKind.SHORT_RECORD, value=len(payload))
            self._keep(None, b"", scalar=False)
            return None
        count, label, image_id, _ = _HEAD.unpack_from(payload)
        start = _HEAD.size + 4 * count
        if start > len(payload):
            add(FindingKind.LONG_LABEL, value=f"{count} numbers in {len(payload)} bytes")
            self._keep(image_id, b"", scalar=False)
            return None
        if count:
            numbers = bytes(payload[_HEAD.size : start])
            self._labels.check(np.frombuffer(numbers, "<f4"), record, stretch.start)
            self._keep(image_id, numbers, scalar=False)
        else:
            self._labels.check_scalar(label, record, stretch.start)
            self._keep(image_id, bytes(payload[4:8]), scalar=True)
        return payload[start:]

    def _keep(self, image_id: int | None, label: bytes, *, scalar: bool) -> None:
        self._ids.append(image_id or 0)
        self._named.append(image_id is not None)
        self._prints.append(label, scalar=scalar)

    def _check_ids(self, places: Places) -> None:
        named = np.flatnonzero(places.named)
        order = named[np.argsort(places.ids[named], kind="stable")]
        again = np.sort(order[1:][places.ids[order[1:]] == places.ids[order[:-1]]])
        for record in again.tolist():
            offset, value = int(places.offsets[record]), int(places.ids[record])
            self._findings.add(FindingKind.DUPLICATE_ID, path=self._path, record=record, offset=offset, value=value)

    def _check_list(self, places: Places) -> None:
        lst = self._path.with_suffix(".lst")
        if lst == self._path or not lst.is_file():
            return
        refused, moved = _changed(self._channel)
        check_list(lst, self._path, places, self._prints, self._findings, refused=refused, moved=moved)


def _changed(channel: PackedChannel | None) -> tuple[set[int | None], bool]:
    """Return which listed images were refused, and whether a centre crop has moved boxes."""
    if channel is None:
        return set(), False
    return {image.image_id for image in channel.refused}, channel.options.center_crop
