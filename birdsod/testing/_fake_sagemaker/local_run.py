"""A training run with an own image: the very program of the container, on what was uploaded."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING

from birdsod import training_log as log
from birdsod.errors import BirdsodError
from birdsod.testing._fake_sagemaker import s3
from birdsod.testing._fake_sagemaker.local_container import Container, packed_model
from birdsod.testing._fake_sagemaker.runs import ALIVE, Progress
from birdsod.testing._fake_sagemaker.scripted_run import TRAINING_LOGS, final_metrics

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["LocalRun"]

_LOOK_SECONDS = 0.5
_POLL_SECONDS = 0.05
_REASON = 1024


class LocalRun:
    """Runs the program in a process for each machine, watched by a thread that ends with the fake.

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
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._closing = threading.Event()
        self._containers: list[Container] = []
        self._failed: Container | None = None
        self._interruptions = list(region.world.scripts.training.states).count("Interrupted")
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
        """End the processes at once."""
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._become("Downloading")
            for left in range(self._interruptions, -1, -1):
                self._attempt(interrupted=left > 0)
            if not self._closing.is_set():
                self._settle()
        except BirdsodError as error:
            self._fail(f"ClientError: {error}", say=True)
        except Exception as error:  # noqa: BLE001 - whatever happened, the job says so
            self._fail(f"InternalServerError: {type(error).__name__}: {error}", say=True)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _attempt(self, *, interrupted: bool) -> None:
        """Run on machines that are taken away after the first figures, or on such that are not."""
        if self._closing.is_set() or self._stopping.is_set() or self._failed is not None:
            return
        try:
            self._start()
            self._watch(interrupted=interrupted)
        finally:
            for container in self._containers:
                container.end()
        if interrupted and not self._stopping.is_set() and self._failed is None:
            self._keep_checkpoints()
            shutil.rmtree(self._folder)
            self._become("Interrupted")
            self._become("Restarting")

    def _start(self) -> None:
        count = self._request["ResourceConfig"].get("InstanceCount", 1)
        hosts = [f"algo-{number}" for number in range(1, count + 1)]
        self._containers = []
        for host in hosts:
            folder = self._folder / host
            folder.mkdir(parents=True)
            self._containers.append(Container(self._region, self._request, folder, host, hosts))
        # Names of machines lead nowhere here: all of them are this one.
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        for container in self._containers:
            container.start({"TRAINING_JOB_NAME": self._name, **meeting})
        self._become("Training")

    def _watch(self, *, interrupted: bool) -> None:
        """Wait until all have ended, or one has failed; the service ends the others then."""
        told, figures = False, False
        while not self._closing.is_set():
            codes = [container.exit_code for container in self._containers]
            figures = self._copy_logs() or figures
            self._failed = next((each for each, code in zip(self._containers, codes, strict=True) if code), None)
            if None not in codes or self._failed is not None:
                return
            if not told and (self._stopping.is_set() or (interrupted and figures)):
                told = True
                for container in self._containers:
                    container.stop()
            self._closing.wait(_POLL_SECONDS)

    def _settle(self) -> None:
        self._keep_checkpoints()
        if self._failed is not None and not self._stopping.is_set():
            self._fail(f"AlgorithmError: {self._failed.reason()}, exit code: {self._failed.exit_code}")
            return
        self._become("Uploading")
        self._keep_model()
        self._end("Stopped" if self._stopping.is_set() else "Completed")

    def _keep_model(self) -> None:
        model = packed_model(self._containers[0].tree.model)
        if model is not None:
            home = self._request["OutputDataConfig"]["S3OutputPath"]
            uri = s3.join(home, f"{self._name}/output/model.tar.gz")
            s3.put(self._region, uri, model)
            self.progress.artifact = uri

    def _keep_checkpoints(self) -> None:
        home = self._request.get("CheckpointConfig", {}).get("S3Uri")
        folder = self._containers[0].tree.checkpoints
        if home:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                s3.put(self._region, s3.join(home, file.relative_to(folder).as_posix()), file.read_bytes())

    def _copy_logs(self) -> bool:
        """Copy what was said to the logs, and tell whether there were figures in it."""
        figures = [self._say(container.new_lines(), container.host) for container in self._containers]
        return any(figures)

    def _say(self, lines: list[str], host: str) -> bool:
        figures = final_metrics(lines)
        if lines:
            self._region.logs.write(TRAINING_LOGS, f"{self._name}/{host}-1700000000", lines)
            self.progress.metrics.update(figures)
        return bool(figures)

    def _fail(self, reason: str, *, say: bool = False) -> None:
        self.progress.reason = reason[:_REASON]
        if say:
            self._say([log.stamped(log.error_line(reason), level="ERROR")], "algo-1")
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


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
