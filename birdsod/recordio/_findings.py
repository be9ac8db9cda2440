"""What checking a record file tells: findings as values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from birdsod.recordio._finding_kinds import FindingKind, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Finding", "Findings", "Verification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Parameters
    ----------
    kind : FindingKind
        What it is.
    path : Path
        The file at fault.
    record : int, optional
        Position of the record among those that are whole, counted from 0.
    line : int, optional
        Line of the index or list, counted from 1.
    offset : int, optional
        Byte of the record file at which the record, or the stretch that is none, begins.
    end : int, optional
        The first byte after such a stretch.
    value : object, optional
        What was found there.
    cause : str, optional
        Its likely cause.

    Examples
    --------
    >>> from pathlib import Path
    >>> finding = Finding(kind=FindingKind.EMPTY_BOX, path=Path("train.rec"), record=3, offset=1200, value=[0.1, 0.1])
    >>> print(finding)
    train.rec, record 3, byte 1200: error: empty-box: a box has no area (got [0.1, 0.1]). Cure: write more decimals.
    """

    kind: FindingKind
    path: Path
    record: int | None = None
    line: int | None = None
    offset: int | None = None
    end: int | None = None
    value: object = None
    cause: str | None = None

    @property
    def name(self) -> str:
        """The kind as it is printed, such as ``empty-box``."""
        return self.kind.name.lower().replace("_", "-")

    @property
    def severity(self) -> Severity:
        """Error, warning or note."""
        return self.kind.value.severity

    @property
    def message(self) -> str:
        """What is wrong, in one sentence."""
        return self.kind.value.message

    @property
    def cure(self) -> str | None:
        """What to do about it."""
        return self.kind.value.cure

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values.

        Returns
        -------
        dict
        """
        return {
            "kind": self.name,
            "severity": self.severity.value,
            "path": str(self.path),
            "record": self.record,
            "line": self.line,
            "offset": self.offset,
            "end": self.end,
            "value": None if self.value is None else _plain(self.value),
            "message": self.message,
            "cause": self.cause,
            "cure": self.cure,
        }

    def __str__(self) -> str:
        numbers = {"line": self.line, "record": self.record, "byte": self.offset, "up to": self.end}
        place = ", ".join([str(self.path), *(f"{what} {at}" for what, at in numbers.items() if at is not None)])
        value = "" if self.value is None else f" (got {self.value!r})"
        advice = [f"Likely cause: {self.cause}."] * bool(self.cause) + [f"Cure: {self.cure}."] * bool(self.cure)
        return " ".join([f"{place}: {self.severity.value}: {self.name}: {self.message}{value}.", *advice])


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What checking a record file told.

    Parameters
    ----------
    path : Path
        The file.
    records : int
        Whole records in it.
    deep : bool
        Whether the images were decoded.
    findings : tuple of Finding
        In the order of the record file, then index, list and manifest; of a folder first what concerns all its
        files. Of each kind the first ones.
    counts : mapping of FindingKind to int
        How many there are of each kind, shown or not.
    """

    path: Path
    records: int
    deep: bool
    findings: tuple[Finding, ...]
    counts: Mapping[FindingKind, int]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings and notes may be there."""
        return not self.number(Severity.ERROR)

    def number(self, severity: Severity) -> int:
        """Return how many findings weigh so much, shown or not.

        Parameters
        ----------
        severity : Severity

        Returns
        -------
        int
        """
        return sum(count for kind, count in self.counts.items() if kind.value.severity is severity)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values.

        Returns
        -------
        dict
        """
        return {
            "path": str(self.path),
            "records": self.records,
            "deep": self.deep,
            "ok": self.ok,
            "counts": {kind.name.lower().replace("_", "-"): count for kind, count in self.counts.items()},
            "findings": [finding.to_json() for finding in self.findings],
        }

    def __str__(self) -> str:
        told = ", ".join(f"{self.number(severity)} {severity.value}s" for severity in Severity)
        looked = "images decoded" if self.deep else "images not looked at"
        return f"{self.path}: {self.records} records, {told}; {looked}"


class Findings:
    """Findings as they come, of each kind no more than a number of them kept.

    Parameters
    ----------
    most : int or None
        How many to keep of each kind; None keeps all.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._kept: list[Finding] = []
        self.counts: Counter[FindingKind] = Counter()

    def add(
        self,
        kind: FindingKind,
        *,
        path: Path,
        record: int | None = None,
        line: int | None = None,
        offset: int | None = None,
        end: int | None = None,
        value: object = None,
        cause: str | None = None,
    ) -> None:
        """Count a finding, and keep it if there is room; the cause is that of its kind unless another is given."""
        self.counts[kind] += 1
        if self._most is None or self.counts[kind] <= self._most:
            known = kind.value.cause if cause is None else cause
            self._kept.append(
                Finding(
                    kind=kind,
                    path=path,
                    record=record,
                    line=line,
                    offset=offset,
                    end=end,
                    value=value,
                    cause=known,
                )
            )

    def in_order(self, rec: Path) -> tuple[Finding, ...]:
        """Return them by place: what has an offset in the record file first."""
        return tuple(sorted(self._kept, key=lambda finding: _place(finding, rec)))


def _place(finding: Finding, rec: Path) -> tuple[bool, str, int, int]:
    elsewhere = finding.path != rec
    nowhere = -1 if elsewhere else 1 << 63
    offset = finding.offset if finding.offset is not None and not elsewhere else nowhere
    return elsewhere, str(finding.path), offset, finding.line or 0


def _plain(value: object) -> object:
    """Return a value that JSON can hold; numbers that it has no words for become texts."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    return value if isinstance(value, str | int) else str(value)
