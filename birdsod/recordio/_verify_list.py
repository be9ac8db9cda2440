"""The list that a record file was packed from, compared with it row by row."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import ListError
from birdsod.recordio._finding_kinds import FindingKind

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from birdsod.recordio._findings import Findings
    from birdsod.recordio._verify_index import Places

__all__ = ["LabelPrints", "check_list"]

_SHOWN = 8


class LabelPrints:
    """What is kept of each record's label to compare it later: eight bytes, and whether it is one number."""

    def __init__(self) -> None:
        self.prints: array[int] = array("q")
        self.scalar: array[int] = array("b")

    def append(self, label: bytes, *, scalar: bool) -> None:
        """Keep the label of the next record."""
        self.prints.append(hash(label))
        self.scalar.append(scalar)


def check_list(
    path: Path,
    rec: Path,
    places: Places,
    labels: LabelPrints,
    findings: Findings,
    *,
    refused: Collection[int | None] = (),
    moved: bool = False,
) -> None:
    """Compare a list with the records; refused images may be missing, and moved labels are not compared."""
    add, matches = findings.add, _Matches(places)
    unpacked = False

    def skipped(error: ListError) -> None:
        add(FindingKind.LIST_LINE, path=path, line=error.line, value=error.value, cause=error.message)

    from birdsod import lstwriter

    try:
        for row in lstwriter.rows(path, on_skip=skipped):
            record = matches.take(row.image_id)
            if record is None:
                if row.image_id not in refused:
                    add(FindingKind.LIST_LOST, path=path, line=row.line, value=[row.image_id, row.path])
            elif labels.scalar[record] and len(row.label) > 1:
                if not unpacked:
                    add(FindingKind.UNPACKED_LABELS, path=rec, record=record, offset=int(places.offsets[record]))
                unpacked = True
            elif not moved and hash(row.label.astype("<f4").tobytes()) != labels.prints[record]:
                value = row.label[:_SHOWN].tolist()
                add(FindingKind.LIST_LABEL, path=path, line=row.line, record=record, value=value)
    except ListError as error:
        add(FindingKind.LIST_LINE, path=path, cause=error.cause or error.message)
        return
    for record in matches.left():
        offset, value = int(places.offsets[record]), int(places.ids[record])
        add(FindingKind.LIST_EXTRA, path=rec, record=record, offset=offset, value=value)


class _Matches:
    """Records that rows of a list stand for; those of the same id in order."""

    def __init__(self, places: Places) -> None:
        self._ids = places.ids
        self._taken = ~places.named
        self._sorted = np.argsort(places.ids, kind="stable")
        self._next = 0

    def take(self, image_id: int) -> int | None:
        """Return the next record of an id."""
        record = self._next
        if record >= len(self._ids) or self._taken[record] or int(self._ids[record]) != image_id:
            found = self._search(image_id)
            if found is None:
                return None
            record = found
        self._taken[record] = True
        self._next = record + 1
        return record

    def left(self) -> list[int]:
        """Return the records that no row stands for."""
        return np.flatnonzero(~self._taken).tolist()

    def _search(self, image_id: int) -> int | None:
        wanted = np.uint64(image_id)
        bounds = (np.searchsorted(self._ids, wanted, side=side, sorter=self._sorted) for side in ("left", "right"))
        same = self._sorted[slice(*map(int, bounds))]
        free = same[~self._taken[same]]
        return int(free[0]) if len(free) else None
