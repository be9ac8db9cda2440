"""What a test tells the fake cloud to do next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.scripts import (
    EndpointScript,
    LogScript,
    Planned,
    TrainingScript,
    TransformScript,
    TuningScript,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from birdsod.testing._fake_sagemaker.world import World

__all__ = ["Scripting"]


class Scripting(ABC):
    """The part of a fake cloud that scripts it."""

    @property
    @abstractmethod
    def _here(self) -> World:
        """What exists."""

    def elapse(self, seconds: float) -> None:
        """Put the fake's clock forward, as if what exists had been made so much earlier.

        Parameters
        ----------
        seconds : float
            How far.
        """
        self._here.elapse(seconds)

    def fail(
        self, operation: str, code: str, message: str = "planned", *, status: int = 400, times: int = 1, after: int = 0
    ) -> None:
        """Let an operation answer with an error; also operations of S3, IAM and STS.

        Parameters
        ----------
        operation : str
            Such as ``CreateTrainingJob``.
        code : str
            Such as ``ResourceLimitExceeded``.
        message : str
            What the error says.
        status : int, default 400
            HTTP status.
        times : int, default 1
            How often.
        after : int, default 0
            Calls that go well first.
        """
        with self._here.lock:
            self._here.scripts.planned.append(Planned(operation, code, message, status, times, after))

    def script_training(
        self,
        *,
        states: Sequence[str] | None = None,
        log: Iterable[str] | None = None,
        failure: str | None = None,
        billable: int | None = None,
        seconds: int = 180,
        hosts: int = 1,
        interruptions: int = 0,
        artifact: bytes | str | os.PathLike[str] | None = None,
    ) -> None:
        """Tell how jobs with the built-in image go that are created from now on.

        Parameters
        ----------
        states : sequence of str, optional
            Secondary states, one a describe call; the last is kept. Log lines are spread over ``Training``.
        log : iterable of str, optional
            Lines of each host's log; those of a run that goes well where they are left out.
        failure : str, optional
            The job fails for this reason.
        billable : int, optional
            Seconds that are paid for; with spot instances three tenths of the time, otherwise all of it.
        seconds : int, default 180
            Time of training.
        hosts : int, default 1
            Machines that write logs.
        interruptions : int, default 0
            How often the instances are taken away in the middle of training, and the job starts again; of jobs with
            an own image, too.
        artifact : bytes or path-like, optional
            The model archive; a small one that says it is scripted where it is left out.
        """
        data = artifact if artifact is None or isinstance(artifact, bytes) else Path(artifact).read_bytes()
        self._here.scripts.training = TrainingScript(
            states=_interrupted(TrainingScript().states if states is None else tuple(states), interruptions),
            log=None if log is None else tuple(log),
            failure=failure,
            billable=billable,
            seconds=seconds,
            hosts=hosts,
            artifact=data,
        )

    def script_endpoint(
        self, *, states: Sequence[str] | None = None, failure: str | None = None, deleting: int = 0
    ) -> None:
        """Tell how endpoints come up that are created from now on.

        Parameters
        ----------
        states : sequence of str, optional
            One a describe call; the last is kept. Twice ``Creating`` and then ``InService`` where left out.
        failure : str, optional
            They end as ``Failed`` for this reason.
        deleting : int, default 0
            Describe calls that find ``Deleting`` after a deletion.
        """
        chosen = EndpointScript().states if states is None else tuple(states)
        self._here.scripts.endpoint = EndpointScript(states=chosen, failure=failure, deleting=deleting)

    def script_predictions(
        self, rows: Iterable[Sequence[float]] | Callable[[bytes], Iterable[Sequence[float]]]
    ) -> None:
        """Tell what scripted models find.

        Parameters
        ----------
        rows : iterable of sequence of float, or callable
            Class, score, xmin, ymin, xmax, ymax, relative; or what makes them of an image's bytes. What it raises
            becomes the model's error.
        """
        if callable(rows):
            self._here.scripts.predictions = rows
        else:
            fixed = [list(row) for row in rows]
            self._here.scripts.predictions = lambda _: fixed

    def script_logs(
        self, *, page_size: int = 10_000, empty_pages: int = 0, late_lines: int = 0, late_streams: int = 0
    ) -> None:
        """Tell how hard logs are to read.

        Parameters
        ----------
        page_size : int, default 10000
            Events a page at most.
        empty_pages : int, default 0
            Empty pages, with a new token each, before every page that holds something.
        late_lines : int, default 0
            Last lines of each stream begun from now on that are only there after a reader met its end once.
        late_streams : int, default 0
            Looks at the streams of a job that do not find those of its second and further hosts yet.
        """
        self._here.scripts.logs = LogScript(
            page_size=page_size, empty_pages=empty_pages, late_lines=late_lines, late_streams=late_streams
        )

    def script_tuning(
        self,
        objectives: Sequence[float] | Callable[[Mapping[str, str]], float] | None = None,
        *,
        failures: Sequence[int] = (),
    ) -> None:
        """Tell what the trials of tuning jobs reach.

        Parameters
        ----------
        objectives : sequence of float or callable, optional
            Final value of the objective by trial, or what makes it of the trial's hyperparameters.
        failures : sequence of int
            Trials that fail, counted from 0.
        """
        self._here.scripts.tuning = TuningScript(objectives=objectives, failures=tuple(failures))

    def script_transform(self, *, states: Sequence[str] | None = None, failure: str | None = None) -> None:
        """Tell how batch transform jobs go that are created from now on.

        Parameters
        ----------
        states : sequence of str, optional
            One a describe call; ``InProgress`` and then ``Completed`` where left out.
        failure : str, optional
            They end as ``Failed`` for this reason, with no output.
        """
        chosen = TransformScript().states if states is None else tuple(states)
        self._here.scripts.transform = TransformScript(states=chosen, failure=failure)

    def script_quota(self, name: str, value: float) -> None:
        """Set a quota; more instances than that are refused.

        Parameters
        ----------
        name : str
            Such as ``ml.g4dn.xlarge for training job usage``.
        value : float
            Instances.
        """
        self._here.scripts.quotas[name] = value


def _interrupted(states: Sequence[str], times: int) -> tuple[str, ...]:
    if not times:
        return tuple(states)
    place = states.index("Training") + 1
    return (*states[:place], *("Interrupted", "Restarting", "Training") * times, *states[place:])
