"""A training run with an own image: birdsod's local engine on what was uploaded."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING

from birdsod import training_log as log
from birdsod.errors import BirdsodError
from birdsod.testing._fake_sagemaker import s3
from birdsod.testing._fake_sagemaker.local_data import packed_from
from birdsod.testing._fake_sagemaker.runs import ALIVE, Progress
from birdsod.testing._fake_sagemaker.scripted_run import TRAINING_LOGS, final_metrics

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.estimator import LocalJob
    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["LocalRun"]

_LOOK_SECONDS = 0.5
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 5.0
_REASON = 1024


class LocalRun:
    """Trains in a process of its own, watched by a thread that ends with the fake.

    Parameters
    ----------
    region : Region
        Where it runs.
    request : dict
        What the job was created with.
    """

    def __init__(self, region: Region, request: Json) -> None:
        self._region = region
        self._request = request
        self._name: str = request["TrainingJobName"]
        self._begun = time.monotonic()
        self._said = 0
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._closing = threading.Event()
        self.progress = Progress("Starting", [])
        self.progress.become("Starting", region.world.now())
        self._folder: Path = region.world.folder / f"job-{region.world.number()}"
        self._thread = threading.Thread(target=self._work, name="birdsod-fake-job", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the state changes, but not for long: whoever polls without a pause would ask all the time."""
        if self.progress.status in ALIVE:
            self._changed.wait(_LOOK_SECONDS)
            self._changed.clear()

    def step(self) -> None:
        """Nothing to do: it goes on by itself."""

    def stop(self) -> None:
        """Stop it; it is over a moment later."""
        self._become("Stopping")
        self._stopping.set()

    def close(self) -> None:
        """End the process at once."""
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._become("Downloading")
            job = self._start()
            try:
                self._watch(job)
            finally:
                _kill(job)
            if not self._closing.is_set():
                self._settle(job)
        except BirdsodError as error:
            self._fail(f"ClientError: {error}")
        except Exception as error:  # noqa: BLE001 - whatever happened, the job says so
            self._fail(f"InternalServerError: {type(error).__name__}: {error}")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> LocalJob:
        from birdsod.estimator import LocalJob
        from birdsod.estimator._launch import JobProcess, new_job_directory
        from birdsod.estimator._local_job import TRAIN
        from birdsod.hyperparameters import Hyperparameters
        from birdsod.ssd.job_files import JobFiles, JobSpec
        from birdsod.ssd.options import LocalOptions

        data = self._folder / "data"
        data.mkdir(parents=True)
        packed = packed_from(self._region, self._request, data)
        params = Hyperparameters.from_request(self._request.get("HyperParameters", {}))
        # Not through the estimator: it would warn in this thread of what the log of the job tells.
        files = JobFiles(new_job_directory(self._folder / "jobs"))
        JobSpec.of(files.directory.name, params, LocalOptions(), packed).write(files.spec)
        job = LocalJob(files.directory, JobProcess.start(files, TRAIN))
        self._become("Training")
        return job

    def _watch(self, job: LocalJob) -> None:
        told = False
        while job.status in ALIVE and not self._closing.is_set():
            self._copy_log(job)
            if self._stopping.is_set() and not told:
                told = True
                job.stop()
            self._closing.wait(_POLL_SECONDS)

    def _settle(self, job: LocalJob) -> None:
        self._copy_log(job)
        state = job.state()
        if state.status == "Failed":
            self._fail(f"AlgorithmError: {state.reason}", say=False)
            return
        if state.status == "Completed":
            self._become("Uploading")
            home = self._request["OutputDataConfig"]["S3OutputPath"]
            uri = s3.join(home, f"{self._name}/output/model.tar.gz")
            s3.put(self._region, uri, job.artifact.read_bytes())
            self.progress.artifact = uri
        self._keep_checkpoint(job)
        self._end(state.status)

    def _keep_checkpoint(self, job: LocalJob) -> None:
        home = self._request.get("CheckpointConfig", {}).get("S3Uri")
        folder = job.directory / "checkpoint"
        if home and folder.is_dir():
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                s3.put(self._region, s3.join(home, file.relative_to(folder).as_posix()), file.read_bytes())

    def _copy_log(self, job: LocalJob) -> None:
        lines = job.logs()
        fresh, self._said = lines[self._said :], len(lines)
        self._say(fresh)

    def _say(self, lines: list[str]) -> None:
        if lines:
            self._region.logs.write(TRAINING_LOGS, f"{self._name}/algo-1-1700000000", lines)
            self.progress.metrics.update(final_metrics(lines))

    def _fail(self, reason: str, *, say: bool = True) -> None:
        self.progress.reason = reason[:_REASON]
        if say:
            self._say([log.stamped(log.error_line(reason), level="ERROR")])
        self._end("Failed")

    def _end(self, status: str) -> None:
        seconds = max(1, round(time.monotonic() - self._begun))
        self.progress.seconds = self.progress.billable = seconds
        self._become(status)

    def _become(self, secondary: str) -> None:
        with self._region.world.lock:
            # What was told to stop says so until it has.
            if self.progress.secondary != "Stopping" or secondary in {"Stopped", "Failed", "Completed"}:
                self.progress.become(secondary, self._region.world.now())
        self._changed.set()


def _kill(job: LocalJob) -> None:
    """End whatever is left of a job's process, and take note of its end."""
    from birdsod.estimator._launch import JobProcess
    from birdsod.ssd.job_files import JobFiles

    JobProcess.find(JobFiles(job.directory)).terminate(_GRACE_SECONDS)
    job.state()
