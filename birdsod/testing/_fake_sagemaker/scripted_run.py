"""A training run that is scripted: its states, log, metrics, checkpoints and artifact."""

from __future__ import annotations

import io
import json
import math
import tarfile
from typing import TYPE_CHECKING

from birdsod import training_log as log
from birdsod.testing._fake_sagemaker.runs import ALIVE, Progress
from birdsod.testing._fake_sagemaker.s3 import join, put
from birdsod.testing._fake_sagemaker.scripted_log import NOTICE, scripted_log

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.scripts import TrainingScript
    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["TRAINING_LOGS", "ScriptedRun", "final_metrics"]

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
_SPOT_SHARE = 0.3


class ScriptedRun:
    """Goes through its states, one a look.

    Parameters
    ----------
    region : Region
        Where it runs.
    request : dict
        What the job was created with.
    script : TrainingScript
        How it goes.
    fault : str, optional
        Why it fails for its own reasons, such as a missing object.
    """

    def __init__(self, region: Region, request: Json, script: TrainingScript, fault: str | None = None) -> None:
        self._region = region
        self._request = request
        self._script = script
        self._fault = fault or script.failure
        self._left = _states(script, self._fault)
        self._name: str = request["TrainingJobName"]
        self._lines = self._all_lines()
        self._shares = max(1, self._left.count("Training"))
        self._seen = False
        self.progress = Progress(self._left[0], [])
        self._enter()

    def wait(self) -> None:
        """Nothing happens by itself."""

    def step(self) -> None:
        """Go on to the next state; the first look finds the first."""
        if self._seen and self.progress.status in ALIVE and self._left:
            self._enter()
        self._seen = True

    def stop(self) -> None:
        """Stop at the next look."""
        self._left = ["Stopping", "Stopped"]
        self._enter()

    def close(self) -> None:
        """Nothing runs."""

    def _enter(self) -> None:
        state = self._left.pop(0)
        if state == "Training":
            self._say(self._shares)
            self._shares = max(1, self._shares - 1)
            self._checkpoint()
        if state in {"Completed", "Failed", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Stopped"}:
            self._finish(state)
        self.progress.become(state, self._region.world.now())

    def _finish(self, state: str) -> None:
        if state == "Failed":
            self.progress.reason = self._fault or "InternalServerError: the script says so"
        if state in {"Completed", "Failed"}:
            self._say(1)
        if state == "Completed" or (state in {"Stopped", "MaxRuntimeExceeded"} and self._told()):
            self._write_artifact()
        seconds, spot = self._script.seconds, self._request.get("EnableManagedSpotTraining", False)
        self.progress.seconds = seconds
        self.progress.billable = self._script.billable
        if self.progress.billable is None:
            self.progress.billable = round(seconds * _SPOT_SHARE) if spot else seconds

    def _all_lines(self) -> dict[str, list[str]]:
        hosts = [f"algo-{number}" for number in range(1, self._script.hosts + 1)]
        given, values = self._script.log, self._request.get("HyperParameters", {})
        lines = {
            host: scripted_log(values, host, self._script.objective) if given is None else list(given) for host in hosts
        }
        if given is not None:
            lines[hosts[0]] = [log.stamped(NOTICE), *lines[hosts[0]]]
        if self._fault:
            keep = 2 if self._fault is not self._script.failure else len(lines[hosts[0]])
            error = log.stamped(log.error_line(self._fault), level="ERROR")
            lines = {host: [*some[:keep], error] for host, some in lines.items()}
        return lines

    def _told(self) -> bool:
        return any(name == "Training" for name, _ in self.progress.transitions)

    def _say(self, shares: int) -> None:
        """Write the next lines: an equal share of those that are left."""
        for host, lines in self._lines.items():
            count = -(-len(lines) // shares)
            now, self._lines[host] = lines[:count], lines[count:]
            self._region.logs.write(TRAINING_LOGS, self.stream(host), now)
            self.progress.metrics.update(final_metrics(now))

    def stream(self, host: str) -> str:
        """Return the name of a host's log stream."""
        return f"{self._name}/{host}-1700000000"

    def _checkpoint(self) -> None:
        uri = self._request.get("CheckpointConfig", {}).get("S3Uri")
        if uri:
            put(self._region, join(uri, "scripted-checkpoint.json"), json.dumps({"notice": NOTICE}).encode())

    def _write_artifact(self) -> None:
        uri = join(self._request["OutputDataConfig"]["S3OutputPath"], f"{self._name}/output/model.tar.gz")
        put(self._region, uri, self._script.artifact or _archive(self._request.get("HyperParameters", {})))
        self.progress.artifact = uri


def final_metrics(lines: list[str]) -> dict[str, float]:
    """Return the last value of each metric that the lines tell.

    Parameters
    ----------
    lines : list of str
        Of a log.

    Returns
    -------
    dict of str to float
    """
    return {
        event.kind.value: event.value
        for event in log.events(lines)
        if event.kind in log.METRIC_DEFINITIONS and math.isfinite(event.value)
    }


def _states(script: TrainingScript, fault: str | None) -> list[str]:
    states = list(script.states)
    if fault is None or states[-1] == "Failed":
        return states
    if fault is not script.failure:
        return [*(state for state in states if state in {"Starting", "Downloading"}), "Failed"]
    return [*(state for state in states if state not in {"Uploading", "Completed"}), "Failed"]


def _archive(hyperparameters: Json) -> bytes:
    stream = io.BytesIO()
    data = json.dumps({**hyperparameters, "_scripted": NOTICE}, indent=2, sort_keys=True).encode()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        entry = tarfile.TarInfo("hyperparams.json")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()
