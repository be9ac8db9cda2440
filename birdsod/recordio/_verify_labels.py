"""Labels, checked one after the other, and what can only be told of all of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from birdsod.recordio._finding_kinds import FindingKind
from birdsod.recordio._label import LONGEST_OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from birdsod.recordio._findings import Findings

__all__ = ["LabelChecks"]

_LEAST_HEADER = 2
_LEAST_OBJECT = 5
_BOX = slice(1, 5)
# Ratios are float32, and lists round them.
_TOLERANCE = 1e-6
_PERCENT = 100
# A box that leaves its image does so by less.
_SLIGHTLY = 1.5
_SHOWN = 10
_UNPACKED = "packed without --pack-label, which keeps the first number only: the width of the header"


class LabelChecks:
    """Checks of one file's labels.

    Parameters
    ----------
    path : Path
        The record file.
    findings : Findings
        Where what is found goes.
    classes : int or None
        How many classes there are; None where nobody knows.
    """

    def __init__(self, path: Path, findings: Findings, *, classes: int | None) -> None:
        self._path = path
        self._findings = findings
        self._classes = classes
        self._seen: set[float] = set()
        self._largest: tuple[float, int, int] = (-1.0, 0, 0)
        self._widths: tuple[float, float] | None = None
        self._scalars: list[float] = []
        self._first_scalar: tuple[int, int] | None = None
        self.objects = 0
        self.most_objects = 0
        self.longest = 0

    def check_scalar(self, value: float, record: int, offset: int) -> None:
        """Take in a record that has one number in place of a detection label."""
        if self._first_scalar is None:
            self._first_scalar = record, offset
        if len(self._scalars) < _SHOWN:
            self._scalars.append(value)
        self.longest = max(self.longest, 1)
        if self._widths is not None:
            self._findings.add(FindingKind.MIXED_LABELS, path=self._path, record=record, offset=offset, value=value)

    def check(self, numbers: NDArray[np.float32], record: int, offset: int) -> None:
        """Check one label."""
        add = partial(self._findings.add, path=self._path, record=record, offset=offset)
        self.longest = max(self.longest, len(numbers))
        fault = _layout_fault(numbers)
        if fault is not None:
            add(fault, value=numbers[:_SHOWN].tolist(), cause=_cause(fault))
            return
        header, width = int(numbers[0]), int(numbers[1])
        self._compare_widths((header, width), add, record)
        objects = numbers[header:].reshape(-1, width)
        self.objects += len(objects)
        self.most_objects = max(self.most_objects, len(objects))
        if not len(objects):
            add(FindingKind.NO_OBJECTS)
        elif np.isfinite(objects[:, : _BOX.stop]).all():
            self._check_classes(objects[:, 0], add, record, offset)
            _check_boxes(objects[:, _BOX], add)
        else:
            add(FindingKind.NOT_FINITE, value=_row(objects, ~np.isfinite(objects[:, : _BOX.stop]).all(axis=1)))

    def finish(self) -> None:
        """Tell what all labels together say."""
        if self._first_scalar is not None and self._widths is None:
            record, offset = self._first_scalar
            # Class 2 alone, and in every record, is far less likely than the width of a header.
            cause = _UNPACKED if set(self._scalars) == {float(_LEAST_HEADER)} else None
            kind, value = FindingKind.SCALAR_LABELS, list(self._scalars)
            self._findings.add(kind, path=self._path, record=record, offset=offset, value=value, cause=cause)
        self._tell_unused()

    def _compare_widths(self, widths: tuple[int, int], add: Callable[..., None], record: int) -> None:
        if self._widths is None:
            self._widths = widths
            if self._first_scalar is not None:
                add(FindingKind.MIXED_LABELS, record=self._first_scalar[0], offset=self._first_scalar[1])
        elif widths != self._widths:
            add(FindingKind.MIXED_WIDTHS, record=record, value=list(widths))

    def _check_classes(self, classes: NDArray[np.float32], add: Callable[..., None], record: int, offset: int) -> None:
        ids = set(classes.tolist())
        if ids <= self._seen:
            return
        wrong = {
            FindingKind.CLASS_NOT_WHOLE: {value for value in ids if not value.is_integer()},
            FindingKind.CLASS_NEGATIVE: {value for value in ids if value < 0},
            FindingKind.CLASS_UNKNOWN: {value for value in ids if self._classes is not None and value >= self._classes},
        }
        for kind, values in wrong.items():
            if values:
                add(kind, value=sorted(values)[:_SHOWN])
        fine = ids.difference(*wrong.values())
        self._seen |= fine
        self._largest = max(self._largest, (max(fine, default=-1.0), -record, -offset))

    def _tell_unused(self) -> None:
        largest, record, offset = self._largest
        known = self._classes if self._classes is not None else int(largest) + 1
        # Ids may be as large as float32 goes, so the missing ones are not listed to the end.
        missing = known - len(self._seen)
        if known and missing > 0:
            first = [value for value in range(min(known, len(self._seen) + _SHOWN)) if value not in self._seen]
            if self._classes is None:
                add = partial(self._findings.add, FindingKind.CLASS_GAP, record=-record, offset=-offset)
            else:
                add = partial(self._findings.add, FindingKind.CLASS_UNUSED)
            add(path=self._path, value=first[:_SHOWN])


def _layout_fault(numbers: NDArray[np.float32]) -> FindingKind | None:
    if len(numbers) < _LEAST_HEADER:
        return FindingKind.SHORT_LABEL
    header, width = numbers[:_LEAST_HEADER].tolist()
    if not (header.is_integer() and _LEAST_HEADER <= header <= len(numbers)):
        return FindingKind.HEADER_WIDTH
    if not (width.is_integer() and _LEAST_OBJECT <= width <= LONGEST_OBJECT):
        return FindingKind.OBJECT_WIDTH
    return FindingKind.LABEL_LENGTH if (len(numbers) - int(header)) % int(width) else None


def _cause(fault: FindingKind) -> str | None:
    if fault is FindingKind.LABEL_LENGTH:
        return None
    return "the two widths are missing before the objects, or the columns are shifted"


def _check_boxes(boxes: NDArray[np.float32], add: Callable[..., None]) -> None:
    low, high = float(boxes.min()), float(boxes.max())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        beyond = ((boxes < -_TOLERANCE) | (boxes > 1 + _TOLERANCE)).any(axis=1)
        add(FindingKind.OUTSIDE, value=_row(boxes, beyond), cause=_unit(high))
    size = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    if size.min() <= 0:
        for kind, rows in ((FindingKind.INVERTED_BOX, size < 0), (FindingKind.EMPTY_BOX, size == 0)):
            if rows.any():
                add(kind, value=_row(boxes, rows))


def _unit(largest: float) -> str | None:
    """Return what coordinates of that size probably are, if not ratios."""
    if largest > _PERCENT:
        return "pixels, not ratios"
    return "percent, not ratio" if largest > _SLIGHTLY else None


def _row(rows: NDArray[np.float32], chosen: NDArray[np.bool_] | np.bool_) -> list[float]:
    """Return the first chosen row."""
    # As many digits as float32 has, so that 0.1 is shown as 0.1.
    return [float(str(number)) for number in rows[int(chosen.argmax())]]
