"""A training process that trains nothing: ``python fake_job.py MODE JOB_DIR``."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod import training_log
from birdsod.ssd._process import ProcessMark
from birdsod.ssd.job_files import COMPLETED, FAILED, IN_PROGRESS, STOPPED, JobFiles, JobSpec, JobStatus, now

if TYPE_CHECKING:
    from types import FrameType


class Stop(Exception):  # noqa: N818 - a wish, not an error
    """SIGTERM came."""


def on_term(_number: int, _frame: FrameType | None) -> None:
    raise Stop


def say(files: JobFiles, *lines: str) -> None:
    with files.log.open("a") as log:
        for line in lines:
            log.write(line + "\n")


def epoch(files: JobFiles, number: int) -> None:
    say(
        files,
        training_log.stamped(training_log.quality_line(number, 9, "cross_entropy", 1.0 / (number + 1))),
        training_log.map_line(number, 0.25 * (number + 1)),
        training_log.progress_line(50.0 * (number + 1)),
    )


def main(mode: str, directory: Path) -> None:
    files = JobFiles(directory)
    if mode == "early":
        say(files, "not ready for signals yet")
        time.sleep(600)
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, on_term)
    spec = JobSpec.read(files.spec)
    status = JobStatus(status=IN_PROGRESS, process=ProcessMark.of(os.getpid()), started=now())
    if mode == "silent":
        sys.exit(0)
    if mode == "crashes":
        sys.exit("out of luck")
    status.write(files.status)
    say(files, f"training {spec.name} on {spec.data}")
    try:
        train(mode, files, status)
    except Stop:
        files.checkpoint.mkdir(exist_ok=True)
        replace(status, status=STOPPED, ended=now(), reason="told to stop", epoch=1).write(files.status)


def train(mode: str, files: JobFiles, status: JobStatus) -> None:
    epoch(files, 0)
    if mode == "fails":
        replace(status, status=FAILED, ended=now(), reason="the loss is not finite").write(files.status)
        sys.exit(1)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode in {"sleeps", "deaf"} and not files.checkpoint.exists():
        say(files, "asleep")
        time.sleep(600)
    epoch(files, 1)
    files.artifact.write_bytes(b"a model")
    replace(status, status=COMPLETED, ended=now(), epoch=2, updates=18, seconds=1.5).write(files.status)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
