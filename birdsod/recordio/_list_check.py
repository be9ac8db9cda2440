"""A list read through before it is packed: what packing it would lose."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from birdsod import lstwriter
from birdsod.errors import ListError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from birdsod.lstwriter import ListRow
    from birdsod.recordio._losses import Losses

__all__ = ["endless_label", "read_through"]

_ENDLESS = "the label is not finite, so training would see no box in it"
_FINITE = "write numbers that a float32 can hold"


class _Flaw:
    """A flaw that many rows may have."""

    def __init__(self) -> None:
        self.count = 0
        self.first: ListRow | None = None

    def meet(self, row: ListRow) -> None:
        self.first = self.first or row
        self.count += 1

    def tell(self, message: str, lst: Path, losses: Losses, *, cure: str) -> None:
        if self.first is not None:
            error = ListError(f"{message} (rows: {self.count})", path=lst, line=self.first.line, cure=cure)
            losses.lose(error)


def read_through(lst: Path, losses: Losses, *, pack_label: bool) -> int:
    """Return the number of rows of a list that can be packed, after looking for what would be lost of them."""
    ids, cut, endless = array("Q"), _Flaw(), _Flaw()
    # What is skipped leniently is told when the list is packed.
    for row in lstwriter.rows(lst, on_skip=(lambda _: None) if losses.lenient else None):
        ids.append(row.image_id)
        label = row.label if pack_label else row.label[:1]
        if label.size < row.label.size:
            cut.meet(row)
        if not np.isfinite(label).all():
            endless.meet(row)
    if not ids:
        losses.lose(
            ListError("the list has no row that can be packed", path=lst, cure="remove it, or list images in it")
        )
    cut.tell("all but the first number of the label would be lost", lst, losses, cure="pack_label=True, --pack-label")
    endless.tell(_ENDLESS, lst, losses, cure=_FINITE)
    _tell_repeated(ids, lst, losses)
    return len(ids)


def endless_label(label: NDArray[np.float32], lst: Path, line: int) -> ListError | None:
    """Return what is wrong with a label that is not finite."""
    finite = np.isfinite(label)
    if finite.all():
        return None
    return ListError(_ENDLESS, path=lst, line=line, value=float(label[~finite][0]), cure=_FINITE)


def _tell_repeated(ids: array[int], lst: Path, losses: Losses) -> None:
    numbers, counts = np.unique(np.frombuffer(ids, dtype=np.uint64), return_counts=True)
    repeated = numbers[counts > 1]
    if len(repeated):
        first = int(repeated[0])
        losses.say(f"{lst}: {len(repeated)} ids occur more than once, such as {first}: by key only the last is found")
