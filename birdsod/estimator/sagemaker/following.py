"""Waiting for a training job: its states and log lines as they come, and how it ended."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from birdsod._progress import bar
from birdsod.errors import TrainingError
from birdsod.estimator.sagemaker.failures import failure_lines
from birdsod.estimator.sagemaker.job_facts import OVER
from birdsod.estimator.sagemaker.logs import TRAINING_JOBS, LogFollower
from birdsod.estimator.sagemaker.metrics import Gauge, incidents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tqdm.std import tqdm

    from birdsod.errors import CloudError
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["follow", "warn_of_limits", "warn_of_losses", "why_failed"]

_LIMITS = {
    "MaxRuntimeExceeded": "it reached its time limit: give it more with max_hours=",
    "MaxWaitTimeExceeded": "it waited too long for spare capacity: give it more with max_wait_hours=, or spot=False",
}
_LAST_LINES = 4
_WHOLE = 100


class _States:
    """The states that a job goes through, each told once."""

    def __init__(self, describe: Callable[[], Mapping[str, Any]], tell: Callable[[str], object]) -> None:
        self._describe = describe
        self._tell = tell
        self._told = 0
        self._message = ""

    def is_over(self) -> bool:
        told = self._describe()
        transitions: Sequence[Mapping[str, Any]] = told.get("SecondaryStatusTransitions", [])
        # The last one's message changes while it lasts.
        for number, each in enumerate(transitions[max(0, self._told - 1) :], start=max(0, self._told - 1)):
            message = f"{each['Status']}: {each.get('StatusMessage', '')}".rstrip(": ")
            if number >= self._told or message != self._message:
                self._tell(message)
            self._message = message
        self._told = len(transitions)
        return told["TrainingJobStatus"] in OVER


def follow(
    cloud: Cloud, name: str, describe: Callable[[], Mapping[str, Any]], *, poll_seconds: float, show: bool
) -> None:
    """Wait until a job is over; its states and log lines are shown meanwhile, and a progress bar.

    Parameters
    ----------
    cloud : Cloud
        Where it runs.
    name : str
        Its name.
    describe : callable
        Asks the service for it.
    poll_seconds : float
        Time between two looks.
    show : bool
        Whether states and lines are printed, or only the bar moves.

    Warns
    -----
    UserWarning
        If the caller may not read the log; then only the states are told.

    Raises
    ------
    CloudError
        If the service refuses; the job goes on.
    """
    shown: tqdm[None] = bar(total=_WHOLE, description=name, unit="%")
    with shown as progress:
        tell: Callable[[str], object] = progress.write if show else _silently
        states = _States(describe, tell)
        lines = LogFollower(cloud, TRAINING_JOBS, f"{name}/", poll_seconds=poll_seconds, denied=_Denied(name))
        gauge = Gauge(progress)
        for line in lines.follow(states.is_over):
            tell(line.text)
            gauge(line.text)


def why_failed(name: str, told: Mapping[str, Any], lines: Sequence[str]) -> TrainingError:
    """Return the error that tells why a job failed: the service's reason, the algorithm's own, and the last lines.

    Parameters
    ----------
    name : str
        Name of the job.
    told : mapping
        What the service tells about it.
    lines : sequence of str
        Its log.

    Examples
    --------
    >>> told = {"FailureReason": "ClientError: exit code 2"}
    >>> print(why_failed("birds-1", told, ["[ERROR] Customer Error: no images"]))
    birds-1 failed: ClientError: exit code 2. Likely cause: Customer Error: no images.
    """
    reason = " ".join(str(told.get("FailureReason") or "the service gives no reason").split()).rstrip(".")
    own = failure_lines(lines, before=_LAST_LINES)
    last = [line for line in lines if line.strip()][-_LAST_LINES:]
    # The reason is in the last of the lines that led to it.
    said = last if own is None else [own.reason, *own.lines[:-1]]
    parts = [part for part in said if part not in reason]
    return TrainingError(f"{name} failed: {reason}", cause=" | ".join(parts) or "it said nothing")


def warn_of_limits(name: str, told: Mapping[str, Any]) -> None:
    """Warn if a job was ended by a time limit."""
    met = [_LIMITS[each["Status"]] for each in told.get("SecondaryStatusTransitions", []) if each["Status"] in _LIMITS]
    if told.get("SecondaryStatus") in _LIMITS:
        met.append(_LIMITS[told["SecondaryStatus"]])
    if met:
        warnings.warn(f"{name} was stopped: {met[-1]}", UserWarning, stacklevel=3)


def warn_of_losses(name: str, lines: Sequence[str]) -> None:
    """Warn if the algorithm passed over images without a word of its own."""
    for incident in incidents(lines):
        if incident.kind == "images skipped":
            warnings.warn(f"{name}: {incident.message}", UserWarning, stacklevel=3)


class _Denied:
    """Warn once that the log may not be read; how the job stands is told all the same."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told = False

    def __call__(self, error: CloudError) -> None:
        if not self._told:
            self._told = True
            warnings.warn(f"{self._name} is waited for without its log: {error}", UserWarning, stacklevel=2)


def _silently(text: str) -> None:
    """Say nothing."""
