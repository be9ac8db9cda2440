"""The training process of a local job: ``python -m birdsod.ssd.job JOB_DIR``."""

from __future__ import annotations

import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod import training_log as log
from birdsod.errors import BirdsodError
from birdsod.ssd import job_files
from birdsod.ssd._process import ProcessMark
from birdsod.ssd.job_files import JobFiles, JobSpec, JobStatus
from birdsod.ssd.stopping import Stop

if TYPE_CHECKING:
    from birdsod.ssd.loop import Outcome

__all__ = ["main"]

_STATUS_EVERY = 1.0  # seconds


class _Diary:
    """Writes ``log.txt`` and ``status.json``; of several processes that ``torchrun`` started, only the first does."""

    def __init__(self, files: JobFiles) -> None:
        self._files = files
        self.silent: bool = os.environ.get("RANK", "0") != "0"
        self._written = -_STATUS_EVERY
        self.status = JobStatus(status=job_files.IN_PROGRESS, process=_own_mark(), started=job_files.now())
        self._write()

    def line(self, text: str, level: str = "INFO") -> None:
        if self.silent:
            return
        with self._files.log.open("a", encoding="utf-8") as stream:
            stream.write(log.stamped(text, level=level, thread=self.status.process.pid) + "\n")

    def progress(self, outcome: Outcome) -> None:
        self._take(outcome)
        if time.monotonic() - self._written >= _STATUS_EVERY:
            self._write()

    def end(self, status: str, outcome: Outcome | None = None, reason: str | None = None) -> None:
        if outcome is not None:
            self._take(outcome)
        self.status = replace(self.status, status=status, reason=reason, ended=job_files.now())
        self._write()

    def _take(self, outcome: Outcome) -> None:
        self.status = replace(
            self.status, epoch=outcome.epochs, updates=outcome.updates, seconds=round(outcome.seconds, 3)
        )

    def _write(self) -> None:
        self._written = time.monotonic()
        if not self.silent:
            self.status.write(self._files.status)


def main(arguments: list[str] | None = None) -> int:
    """Train the job in a folder to its end, or until a signal asks to stop; go on where a checkpoint lies.

    Parameters
    ----------
    arguments : list of str, optional
        The folder of the job; those of the command line, unless given.

    Returns
    -------
    int
        0 if the model is there or a stop was asked for, 1 if training failed, 2 if the arguments are wrong.
    """
    chosen = sys.argv[1:] if arguments is None else arguments
    if len(chosen) != 1:
        sys.stderr.write("usage: python -m birdsod.ssd.job JOB_DIR\n")
        return 2
    files, stop = JobFiles(Path(chosen[0])), Stop()
    with stop.listening():
        diary = _Diary(files)
        try:
            outcome = _train(files, diary, stop)
        except Exception as error:  # noqa: BLE001 - whatever happened, the job says so
            return _failed(diary, error)
        diary.end(job_files.COMPLETED if outcome.completed else job_files.STOPPED, outcome, outcome.reason)
        return 0


def _train(files: JobFiles, diary: _Diary, stop: Stop) -> Outcome:
    from birdsod.recordio import Packed
    from birdsod.ssd.loop import Reports
    from birdsod.ssd.surroundings import keep_memory
    from birdsod.ssd.training import train

    keep_memory()
    spec = JobSpec.read(files.spec)
    return train(
        Packed.open(spec.data),
        spec.parameters(),
        spec.local_options(),
        directory=files.directory,
        reports=Reports(line=diary.line, progress=diary.progress, stop=stop),
        model=spec.model,
    )


def _failed(diary: _Diary, error: Exception) -> int:
    if not isinstance(error, BirdsodError):
        traceback.print_exception(error)
    reason = str(error) if isinstance(error, BirdsodError) else f"{type(error).__name__}: {error}"
    if diary.silent:
        sys.stderr.write(f"{reason}\n")
    diary.line(log.error_line(reason), level="ERROR")
    diary.end(job_files.FAILED, reason=" ".join(reason.split()))
    return 1


def _own_mark() -> ProcessMark:
    return ProcessMark.of(os.getpid())


if __name__ == "__main__":
    sys.exit(main())
