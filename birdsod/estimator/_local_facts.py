"""What is known of a training job on this machine: its folder, and the process that trains."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from birdsod import training_log
from birdsod.errors import TrainingError
from birdsod.estimator import _log
from birdsod.estimator._verdict import verdict
from birdsod.ssd.job_files import COMPLETED, FAILED, IN_PROGRESS, STOPPED, STOPPING, JobFiles, JobSpec, JobStatus, now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from birdsod.classes import ClassTable
    from birdsod.estimator._launch import JobProcess

__all__ = ["TRAIN", "LocalJobFacts"]

TRAIN = (sys.executable, "-m", "birdsod.ssd.job")
_OVER = frozenset({COMPLETED, FAILED, STOPPED})
_LAST_LINES = 4


class LocalJobFacts:
    """What is known of a training job on this machine; the part of a job that only looks.

    Parameters
    ----------
    directory : pathlib.Path
        Folder of the job.
    process : JobProcess
        The process that trains.
    command : sequence of str
        What starts a training process; the folder is appended.
    """

    def __init__(self, directory: Path, process: JobProcess, command: Sequence[str] = TRAIN) -> None:
        self._files = JobFiles(directory)
        self._spec = JobSpec.read(self._files.spec)
        self._process = process
        self._command = command
        self._stopping = False

    @property
    def name(self) -> str:
        """Name of the job."""
        return self._spec.name

    @property
    def directory(self) -> Path:
        """Folder of the job."""
        return self._files.directory

    @property
    def classes(self) -> ClassTable:
        """What the class ids of a prediction stand for."""
        return self._spec.classes

    @property
    def status(self) -> str:
        """``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``."""
        state = self.state()
        return STOPPING if self._stopping and state.status == IN_PROGRESS else state.status

    @property
    def artifact(self) -> Path:
        """The trained model, ``model.tar.gz``.

        Raises
        ------
        TrainingError
            If the job has none (yet).
        """
        if not self._files.artifact.is_file():
            message = f"the job has no model: its status is {self.status}"
            raise TrainingError(message, path=self.directory, cure="wait() for it, or resume() it")
        return self._files.artifact

    def state(self) -> JobStatus:
        """Return the status with all that belongs to it: reason, epochs and updates done, seconds trained.

        Returns
        -------
        JobStatus
        """
        # Asked before reading: what the process wrote before it ended is read in any case.
        running = self._process.running
        told = self._told()
        if told is not None and (told.status in _OVER or running or told.process.alive):
            return told
        if running:
            return JobStatus(status=IN_PROGRESS, process=self._process.mark, started=now())
        return self._settle(told)

    def logs(self) -> list[str]:
        """Return the log lines so far, oldest first.

        Returns
        -------
        list of str
        """
        return _log.read_lines(self._files.log)

    def metrics(self) -> pd.DataFrame:
        """Return what the log says about quality, one row an epoch.

        Returns
        -------
        pandas.DataFrame
            Columns ``epoch``, ``cross_entropy``, ``smooth_l1``, ``map`` and ``throughput``.
        """
        return training_log.to_frame(self.logs())

    def _running(self) -> bool:
        return self.state().status not in _OVER

    def _told(self) -> JobStatus | None:
        return JobStatus.read(self._files.status) if self._files.status.exists() else None

    def _settle(self, told: JobStatus | None) -> JobStatus:
        """Write the end of a job whose process is gone without having told it."""
        state = verdict(told, self._process.mark, self._process.exit_code, stopped=self._stopping)
        state.write(self._files.status)
        return state

    def _last_words(self) -> str:
        lines = _log.tail(self._files.log, _LAST_LINES) + _log.tail(self._files.output, _LAST_LINES)
        return " | ".join(lines) or "it said nothing"
