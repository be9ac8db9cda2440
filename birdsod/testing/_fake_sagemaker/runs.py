"""What a training run is to the service, scripted or real."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from birdsod.testing._fake_sagemaker.world import Json

__all__ = ["ALIVE", "Progress", "Run", "described", "status_of"]

ALIVE = frozenset({"InProgress", "Stopping"})
_ENDS = {
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopped": "Stopped",
    "MaxRuntimeExceeded": "Stopped",
    "MaxWaitTimeExceeded": "Stopped",
    "Stopping": "Stopping",
}


def status_of(secondary: str) -> str:
    """Return the status that goes with a secondary status.

    Parameters
    ----------
    secondary : str
        Such as ``Downloading``.

    Returns
    -------
    str

    Examples
    --------
    >>> status_of("Interrupted"), status_of("MaxWaitTimeExceeded")
    ('InProgress', 'Stopped')
    """
    return _ENDS.get(secondary, "InProgress")


@dataclass(slots=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    secondary : str
        Secondary status.
    transitions : list of (str, datetime)
        Every secondary status so far, and when it began.
    reason : str, optional
        Why it failed.
    metrics : dict
        Last value of each metric.
    artifact : str, optional
        Where the model lies.
    seconds, billable : int, optional
        Time of training.
    """

    secondary: str
    transitions: list[tuple[str, datetime]]
    reason: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    artifact: str | None = None
    seconds: int | None = None
    billable: int | None = None

    @property
    def status(self) -> str:
        """``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``."""
        return status_of(self.secondary)

    def become(self, secondary: str, when: datetime) -> None:
        """Enter a state."""
        self.secondary = secondary
        self.transitions.append((secondary, when))


class Run(Protocol):
    """One training run."""

    progress: Progress

    def wait(self) -> None:
        """Wait a moment for something to happen, where anything does by itself; called without any lock."""
        ...

    def step(self) -> None:
        """Go on, since someone looks."""
        ...

    def stop(self) -> None:
        """Begin to stop."""
        ...

    def close(self) -> None:
        """End whatever runs, at once."""
        ...


def described(progress: Progress) -> Json:
    """Return what a describe call tells of a run.

    Parameters
    ----------
    progress : Progress
        Of the run.

    Returns
    -------
    dict
    """
    begun = next((when for name, when in progress.transitions if name == "Training"), None)
    over = progress.status not in ALIVE
    ended = progress.transitions[-1][1]
    told = {
        "TrainingJobStatus": progress.status,
        "SecondaryStatus": progress.secondary,
        "SecondaryStatusTransitions": _transitions(progress),
        "FailureReason": progress.reason,
        "ModelArtifacts": {"S3ModelArtifacts": progress.artifact} if progress.artifact else None,
        "TrainingStartTime": begun,
        "TrainingEndTime": ended if over else None,
        "LastModifiedTime": ended,
        "FinalMetricDataList": [
            {"MetricName": name, "Value": value, "Timestamp": ended} for name, value in progress.metrics.items()
        ],
        "TrainingTimeInSeconds": progress.seconds if over else None,
        "BillableTimeInSeconds": progress.billable if over else None,
    }
    return {name: value for name, value in told.items() if value not in (None, [])}


_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Interrupted": "Training job interrupted: the managed spot instances were reclaimed",
    "Restarting": "Restarting the training job",
}


def _transitions(progress: Progress) -> list[Json]:
    rows: list[Json] = []
    for name, when in progress.transitions:
        if rows and rows[-1]["Status"] == name:
            continue
        if rows:
            rows[-1]["EndTime"] = when
        rows.append({"Status": name, "StartTime": when, "StatusMessage": _MESSAGES.get(name, name)})
    return rows
