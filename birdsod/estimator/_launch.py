"""Starting the process of a local training job, and telling whether and how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from birdsod._files import write_text
from birdsod.errors import TrainingError
from birdsod.ssd._process import ProcessMark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from birdsod.ssd.job_files import JobFiles

__all__ = ["GRACE_SECONDS", "JobProcess", "claimed", "new_job_directory"]

_POLL_SECONDS = 0.05
GRACE_SECONDS = 10.0
_PLACES = frozenset({"RANK", "WORLD_SIZE"})


def new_job_directory(output: Path) -> Path:
    """Make an empty folder whose name is a valid and unused job name.

    Parameters
    ----------
    output : pathlib.Path
        Folder that it is made in; made too if need be.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    TrainingError
        If nothing can be written there.
    """
    while True:
        moment = datetime.now().astimezone()
        directory = output / f"birdsod-{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03d}"
        try:
            output.mkdir(parents=True, exist_ok=True)
            directory.mkdir()
        except FileExistsError:
            if not output.is_dir():
                raise TrainingError("this is no folder", path=output, cure="name a folder for the jobs") from None
            time.sleep(0.001)
        except OSError as error:
            cure = "name a folder that can be written"
            raise TrainingError("no folder for the job", path=output, cause=error.strerror, cure=cure) from error
        else:
            return directory


@contextmanager
def claimed(files: JobFiles) -> Iterator[None]:
    """Keep other sessions from resuming a job meanwhile; the system lets go of the claim of one that died.

    Parameters
    ----------
    files : JobFiles
        Files of the job.

    Raises
    ------
    TrainingError
        If another session has it.
    """
    import fcntl

    with files.claim.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cure = "wait for it with LocalJob.attach(directory).wait()"
            raise TrainingError("another session resumes this job", path=files.directory, cure=cure) from None
        yield


class _Outliving(subprocess.Popen[bytes]):
    """A process that may outlive the value that stands for it, without a warning."""

    def __del__(self) -> None:
        pass


# Kept, so that those that ended are taken note of, and leave no zombies, whatever became of their jobs.
_STARTED: list[_Outliving] = []


class JobProcess:
    """The process that trains: one that we started, or one that an earlier session did.

    Parameters
    ----------
    mark : ProcessMark
        Which process it is.
    started : subprocess.Popen, optional
        The handle, where this session started it.
    """

    def __init__(self, mark: ProcessMark, started: _Outliving | None = None) -> None:
        self.mark = mark
        self._started = started

    @classmethod
    def start(cls, files: JobFiles, command: Sequence[str]) -> JobProcess:
        """Start the process and note which it is."""
        _STARTED[:] = [known for known in _STARTED if known.poll() is None]
        # Until the note can name the process it names us, so that a look from outside sees a living job.
        _write_mark(files, ProcessMark.of(os.getpid()))
        with files.output.open("ab") as output:
            started = _Outliving(
                [*command, os.fspath(files.directory)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A job is a run of its own, also when torchrun started the process that starts it.
                env={name: value for name, value in os.environ.items() if name not in _PLACES},
                # Ctrl-C in the terminal reaches the parent only, which then stops the job in good order.
                start_new_session=True,
            )
        _STARTED.append(started)
        process = cls(ProcessMark.of(started.pid), started)
        try:
            _write_mark(files, process.mark)
        except BaseException:
            # Nobody gets to know it, so nobody else could end it.
            process.terminate(GRACE_SECONDS)
            raise
        return process

    @classmethod
    def find(cls, files: JobFiles) -> JobProcess:
        """Return the process that an earlier session started, running or not."""
        try:
            return cls(ProcessMark.from_json(json.loads(files.process.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(ProcessMark(0, None))

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.mark.alive if self._started is None else self._started.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: negative for a signal; None where it runs or was not ours."""
        return None if self._started is None else self._started.poll()

    def terminate(self, grace: float) -> None:
        """Ask it to end, wait, and kill it if it does not."""
        self._send(signal.SIGTERM)
        try:
            self._wait(grace)
        finally:
            # Also after a second interrupt: then the user wants it gone at once.
            if self.running:
                self._send(signal.SIGKILL)
                self._wait(grace)

    def _send(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.mark.pid, number)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _write_mark(files: JobFiles, mark: ProcessMark) -> None:
    write_text(files.process, json.dumps(asdict(mark)) + "\n")
