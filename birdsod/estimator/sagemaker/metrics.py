"""What the log of a job in the cloud tells: its course epoch by epoch, and what happened on the way.

A job on spare capacity may be interrupted and go on from its last checkpoint: then epochs come twice in its log,
and what it had told about them no longer holds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from birdsod import training_log
from birdsod.training_log import Event, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from tqdm.std import tqdm

__all__ = ["Gauge", "Incident", "incidents", "to_frame", "to_long"]

_COLUMNS = {
    Kind.CROSS_ENTROPY: "cross_entropy",
    Kind.SMOOTH_L1: "smooth_l1",
    Kind.MAP: "map",
    Kind.THROUGHPUT: "throughput",
}
_LOSSES = (Kind.CROSS_ENTROPY, Kind.SMOOTH_L1)
_TOLD = (*_COLUMNS, Kind.PROGRESS)
_WHOLE = 100.0
_EPOCHS = re.compile(r"""configuration.*?['"]epochs['"]:\s*u?['"]?(\d+)""")
_SKIPPED = re.compile(
    r"Expected number of batches:\s*(\d+),?\s*did not match the number of batches processed:\s*(\d+)", re.IGNORECASE
)

Place: TypeAlias = tuple[int, Kind, str]


@dataclass(frozen=True, slots=True)
class Incident:
    """Something on the way that whoever reads the figures should know.

    Parameters
    ----------
    kind : {"restart", "images skipped"}
        What it is about.
    line : int
        Line in the log, counted from 1.
    host : str
        The machine; empty where the log does not name it.
    message : str
        What happened, and what it means.
    """

    kind: Literal["restart", "images skipped"]
    line: int
    host: str
    message: str


def to_frame(lines: Iterable[str]) -> pd.DataFrame:
    """Return one row an epoch, with what the log tells last about it; several hosts are averaged.

    Epochs that were done again after an interruption appear once, as they were done last.

    Parameters
    ----------
    lines : iterable of str
        The log.

    Returns
    -------
    pandas.DataFrame
        Columns ``epoch``, ``cross_entropy``, ``smooth_l1``, ``map`` and ``throughput``, as every engine has them;
        what the log does not tell is missing (NaN).
    """
    import pandas as pd

    epochs: dict[int, dict[Kind, list[float]]] = {}
    for (epoch, kind, _), value in _values(lines).items():
        if kind in _COLUMNS:
            epochs.setdefault(epoch, {}).setdefault(kind, []).append(value)
    rows = [
        {"epoch": epoch, **{column: _mean(told.get(kind, [])) for kind, column in _COLUMNS.items()}}
        for epoch, told in sorted(epochs.items())
    ]
    columns = list(_COLUMNS.values())
    return pd.DataFrame(rows, columns=["epoch", *columns]).astype(
        {"epoch": "int64", **dict.fromkeys(columns, "float64")}
    )


def to_long(lines: Iterable[str]) -> pd.DataFrame:
    """Return one row for each figure of each host, progress included.

    Parameters
    ----------
    lines : iterable of str
        The log.

    Returns
    -------
    pandas.DataFrame
        Columns ``epoch``, ``metric`` (``train:cross_entropy``, ..., as SageMaker names them), ``host`` and
        ``value``; sorted by the first three.
    """
    import pandas as pd

    rows = [(epoch, kind.value, host, value) for (epoch, kind, host), value in _values(lines).items()]
    frame = pd.DataFrame(sorted(rows), columns=["epoch", "metric", "host", "value"])
    return frame.astype({"epoch": "int64", "metric": "str", "host": "str", "value": "float64"})


def incidents(lines: Iterable[str]) -> list[Incident]:
    """Return what happened on the way: restarts, and images that the algorithm passed over.

    Parameters
    ----------
    lines : iterable of str
        The log.

    Returns
    -------
    list of Incident
        In the order of the log.

    Examples
    --------
    >>> line = "Expected number of batches: 1932, did not match the number of batches processed: 616"
    >>> incidents([line])[0].message
    '1316 of 1932 batches were missing: the algorithm passes over images that it cannot read, and says no more'
    """
    course = _Course()
    found: list[Incident] = []
    for number, line in enumerate(lines, start=1):
        skipped = _SKIPPED.search(line)
        if skipped:
            found.append(_skipped(int(skipped[1]), int(skipped[2]), number))
        for event in training_log.events([line]):
            if course.goes_back(event):
                found.append(_restart(event, number))
            course.take(event)
    return found


class Gauge:
    """Moves a progress bar by the lines of a log, with the losses and the validation mAP behind it.

    Where the log does not tell how much is done, its epochs do.

    Parameters
    ----------
    progress : tqdm
        A bar whose whole is 100.
    """

    def __init__(self, progress: tqdm[None]) -> None:
        self._progress = progress
        self._epochs: int | None = None
        self._done: dict[str, float] = {}
        self._shown: dict[str, str] = {}
        self._tells_progress: set[str] = set()

    def __call__(self, line: str) -> None:
        """Take the next line of the log.

        Parameters
        ----------
        line : str
            The line.
        """
        configured = _EPOCHS.search(line)
        if configured:
            self._epochs = int(configured[1])
        for event in training_log.events([line]):
            self._move(event)
            self._show(event)

    def _move(self, event: Event) -> None:
        if event.kind is Kind.PROGRESS and math.isfinite(event.value):
            self._tells_progress.add(event.host)
            self._done[event.host] = event.value
        elif event.kind is Kind.MAP and event.epoch is not None and self._epochs and not self._tells_progress:
            self._done[event.host] = _WHOLE * (event.epoch + 1) / self._epochs
        else:
            return
        # The slowest machine is how far the job is; after a restart that is less than before.
        self._progress.update(min(*self._done.values(), _WHOLE) - self._progress.n)

    def _show(self, event: Event) -> None:
        if event.kind in (*_LOSSES, Kind.MAP):
            name = "mAP" if event.kind is Kind.MAP else _COLUMNS[event.kind]
            self._shown[name] = f"{event.value:.3f}"
            self._shown["epoch"] = str(event.epoch)
            self._progress.set_postfix(self._shown, refresh=event.kind is Kind.MAP)


class _Course:
    """How far each host is, and whether a figure tells that it has gone back."""

    def __init__(self) -> None:
        self.latest: dict[str, int] = {}
        self._batches: dict[tuple[str, Kind], int] = {}

    def goes_back(self, event: Event) -> bool:
        """Whether this is a loss of an epoch that the host was past, or of a batch that it has told before."""
        latest = self.latest.get(event.host)
        if event.batch is None or event.epoch is None or latest is None or event.epoch > latest:
            return False
        return event.epoch < latest or event.batch <= self._batches.get((event.host, event.kind), -1)

    def take(self, event: Event) -> None:
        if event.epoch is None:
            return
        if event.batch is None:
            self.latest[event.host] = max(event.epoch, self.latest.get(event.host, event.epoch))
            return
        if event.epoch != self.latest.get(event.host) or self.goes_back(event):
            for kind in _LOSSES:
                self._batches.pop((event.host, kind), None)
        self.latest[event.host] = event.epoch
        self._batches[event.host, event.kind] = event.batch


def _values(lines: Iterable[str]) -> dict[Place, float]:
    """Return the last value by epoch, kind and host; a figure without an epoch belongs to its host's latest one."""
    course = _Course()
    told: dict[Place, float] = {}
    for event in training_log.events(lines):
        if course.goes_back(event):
            void = [key for key in told if key[2] == event.host and event.epoch is not None and key[0] >= event.epoch]
            for key in void:
                del told[key]
        course.take(event)
        epoch = course.latest.get(event.host) if event.epoch is None else event.epoch
        if event.kind in _TOLD and epoch is not None:
            told[epoch, event.kind, event.host] = event.value
    return told


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _restart(event: Event, number: int) -> Incident:
    message = (
        f"{event.host} went on from epoch {event.epoch} again, as a job on spare capacity does after an interruption: "
        "the figures of the epochs since then are the new ones"
    )
    return Incident("restart", number, event.host, message)


def _skipped(expected: int, processed: int, number: int) -> Incident:
    missing = f"{expected - processed} of {expected} batches were missing"
    message = f"{missing}: the algorithm passes over images that it cannot read, and says no more"
    return Incident("images skipped", number, "", message)
