"""The log lines of the built-in object detection algorithm, written and read.

Both engines write these lines, so that one reader, one chart and one set of metric definitions serve both.

Source
------
The metric definitions that SageMaker registers for jobs of the algorithm, and logs of such jobs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from birdsod._log_lines import (
    batches_line,
    best_line,
    checkpoint_line,
    configuration_line,
    error_line,
    map_line,
    progress_line,
    quality_line,
    stamped,
    throughput_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

__all__ = [
    "METRIC_DEFINITIONS",
    "Event",
    "Kind",
    "batches_line",
    "best_line",
    "checkpoint_line",
    "configuration_line",
    "error_line",
    "events",
    "map_line",
    "parse",
    "progress_line",
    "quality_line",
    "stamped",
    "throughput_line",
    "to_frame",
]

METRIC_DEFINITIONS: Mapping[str, str] = {
    "train:progress": r"#progress_metric: host=\S+, completed (\S+) %",
    "train:smooth_l1": r"#quality_metric: host=\S+, epoch=\S+, batch=\S+ train smooth_l1 <loss>=(\S+)",
    "train:cross_entropy": r"#quality_metric: host=\S+, epoch=\S+, batch=\S+ train cross_entropy <loss>=(\S+)",
    "train:throughput": r"#throughput_metric: host=\S+, train throughput=(\S+) records/second",
    "validation:mAP": r"#quality_metric: host=\S+, epoch=\S+, validation mAP <score>=\((\S+)\)",
}
"""Name and regular expression of each metric, as SageMaker registers them for the algorithm."""


class Kind(StrEnum):
    """What a line of the log tells."""

    CROSS_ENTROPY = "train:cross_entropy"
    SMOOTH_L1 = "train:smooth_l1"
    THROUGHPUT = "train:throughput"
    PROGRESS = "train:progress"
    MAP = "validation:mAP"
    BEST = "best"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a log line tells.

    Parameters
    ----------
    kind : Kind
        What it is about.
    value : float
        The number; not a number for an error.
    host : str
        The machine, such as ``algo-1``.
    epoch : int or None
        Counted from 0, where the line names it.
    batch : int or None
        Batches of the epoch so far, where the line names them.
    line : int
        Line in the log, counted from 1.
    text : str
        What an error line says.
    """

    kind: Kind
    value: float
    host: str
    epoch: int | None
    batch: int | None
    line: int
    text: str = ""


_NUMBER = r"\(?\s*(?P<value>[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?))\s*\)?"
_LINES = [
    (
        re.compile(
            r"#quality_metric:\s*host=(?P<host>[^\s,]+),\s*epoch=(?P<epoch>\d+),\s*batch=(?P<batch>\d+),?\s+"
            rf"train\s+(?P<name>cross_entropy|smooth_l1)\s+<loss>=\s*{_NUMBER}",
            re.IGNORECASE,
        ),
        None,
    ),
    (
        re.compile(
            r"#quality_metric:\s*host=(?P<host>[^\s,]+),\s*epoch=(?P<epoch>\d+),\s*"
            rf"validation\s+mAP\s+<score>=\s*{_NUMBER}",
            re.IGNORECASE,
        ),
        Kind.MAP,
    ),
    (
        re.compile(
            rf"#throughput_metric:\s*host=(?P<host>[^\s,]+),\s*train\s+throughput=\s*{_NUMBER}\s*records/second",
            re.IGNORECASE,
        ),
        Kind.THROUGHPUT,
    ),
    (
        re.compile(rf"#progress_metric:\s*host=(?P<host>[^\s,]+),\s*completed\s+{_NUMBER}\s*%", re.IGNORECASE),
        Kind.PROGRESS,
    ),
    (re.compile(rf"Updating the best model with validation-mAP=\s*{_NUMBER}", re.IGNORECASE), Kind.BEST),
    (re.compile(r"(?P<text>(?:Customer|Algorithm|Platform) Error: .*)"), Kind.ERROR),
]


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield what each line tells, as the lines come; lines that tell nothing are passed over.

    Values are taken with or without parentheses, with exponents, as ``nan`` or ``inf``, from any number
    of hosts, and from lines with or without the leading time stamp.

    Parameters
    ----------
    lines : iterable of str
        The log, or a part of it.

    Yields
    ------
    Event

    Examples
    --------
    >>> [event.value for event in events(["nothing", map_line(3, 0.25)])]
    [0.25]
    """
    for number, line in enumerate(lines, start=1):
        event = _event(line, number)
        if event is not None:
            yield event


def parse(lines: Iterable[str]) -> list[Event]:
    """Return what the lines of a log tell, in their order.

    Parameters
    ----------
    lines : iterable of str
        The log.

    Returns
    -------
    list of Event

    Examples
    --------
    >>> parse([stamped(quality_line(2, 9, "smooth_l1", 0.5))])[0].kind
    <Kind.SMOOTH_L1: 'train:smooth_l1'>
    """
    return list(events(lines))


def to_frame(lines: Iterable[str]) -> pd.DataFrame:
    """Return one row an epoch, with what the log tells last about it; several hosts are averaged.

    Parameters
    ----------
    lines : iterable of str
        The log.

    Returns
    -------
    pandas.DataFrame
        Columns ``epoch``, ``cross_entropy``, ``smooth_l1``, ``map`` and ``throughput``; what the log
        does not tell is missing (NaN).
    """
    import pandas as pd

    rows = [
        {"epoch": epoch, **{column: _mean(cells.get(kind, {})) for kind, column in _COLUMNS.items()}}
        for epoch, cells in sorted(_by_epoch(lines).items())
    ]
    return pd.DataFrame(rows, columns=["epoch", *_COLUMNS.values()]).astype(
        {"epoch": "int64", **dict.fromkeys(_COLUMNS.values(), "float64")}
    )


_COLUMNS = {
    Kind.CROSS_ENTROPY: "cross_entropy",
    Kind.SMOOTH_L1: "smooth_l1",
    Kind.MAP: "map",
    Kind.THROUGHPUT: "throughput",
}


def _by_epoch(lines: Iterable[str]) -> dict[int, dict[Kind, dict[str, float]]]:
    """Return the last value of each kind and host, by epoch; a throughput belongs to its host's latest epoch."""
    epochs: dict[int, dict[Kind, dict[str, float]]] = {}
    latest: dict[str, int] = {}
    for event in events(lines):
        epoch = latest.get(event.host) if event.epoch is None else event.epoch
        if event.kind not in _COLUMNS or epoch is None:
            continue
        latest[event.host] = epoch
        epochs.setdefault(epoch, {}).setdefault(event.kind, {})[event.host] = event.value
    return epochs


def _mean(by_host: Mapping[str, float]) -> float:
    return sum(by_host.values()) / len(by_host) if by_host else math.nan


def _event(line: str, number: int) -> Event | None:
    for pattern, kind in _LINES:
        found = pattern.search(line)
        if found:
            return _read(found.groupdict(), kind, number)
    return None


def _read(cells: Mapping[str, str], kind: Kind | None, number: int) -> Event:
    return Event(
        kind=kind or Kind(f"train:{cells['name'].lower()}"),
        value=float(cells.get("value", "nan")),
        host=cells.get("host", ""),
        epoch=_whole(cells.get("epoch")),
        batch=_whole(cells.get("batch")),
        line=number,
        text=cells.get("text", "").rstrip(),
    )


def _whole(text: str | None) -> int | None:
    return None if text is None else int(text)
