"""What a tuning job does: trials, a few at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.runs import ALIVE, Progress
from birdsod.testing._fake_sagemaker.training import start_training
from birdsod.testing._fake_sagemaker.tuning_rules import trial_request

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.scripts import TrainingScript
    from birdsod.testing._fake_sagemaker.world import Json, Kept, Region

__all__ = ["TuningRun"]

_ALL_FAILED = "All training jobs failed. Please take a look at the training jobs failures to get more details."


class TuningRun:
    """Brings on its trials with each look, and starts others as they end.

    Parameters
    ----------
    region : Region
        Where it runs.
    request : dict
        What the job was created with.
    arn : str
        Its ARN.
    """

    def __init__(self, region: Region, request: Json, arn: str) -> None:
        limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
        objective = request["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {})
        self._region = region
        self._request = request
        self._arn = arn
        self._most: int = limits.get("MaxNumberOfTrainingJobs", 10)
        self._parallel: int = limits["MaxParallelTrainingJobs"]
        self.metric: str = objective.get("MetricName", "")
        self._minimize = objective.get("Type") == "Minimize"
        self.trials: list[Kept] = []
        self.progress = Progress("InProgress", [])
        self.progress.become("InProgress", region.world.now())
        self._fill()

    def wait(self) -> None:
        """Wait a moment where a trial really runs."""
        for kept in self._running()[:1]:
            kept.run.wait()

    def step(self) -> None:
        """Bring on every running trial by one state."""
        if self.progress.status not in ALIVE:
            return
        for kept in self._running():
            kept.run.step()
        if self.progress.status == "InProgress":
            self._fill()
        if not self._running():
            self._end()

    def stop(self) -> None:
        """Stop all trials."""
        self.progress.become("Stopping", self._region.world.now())
        for kept in self._running():
            kept.run.stop()

    def close(self) -> None:
        """Nothing runs but the trials, which are jobs of their own."""

    def objective(self, kept: Kept) -> float | None:
        """Return what a trial reached."""
        value: float | None = kept.run.progress.metrics.get(self.metric)
        return value if kept.run.progress.status == "Completed" else None

    def best(self) -> Kept | None:
        """Return the best trial so far."""
        reached = [(value, kept) for kept in self.trials if (value := self.objective(kept)) is not None]
        if not reached:
            return None
        choose = min if self._minimize else max
        return choose(reached, key=lambda row: row[0])[1]

    def _running(self) -> list[Kept]:
        return [kept for kept in self.trials if kept.run.progress.status in ALIVE]

    def _fill(self) -> None:
        while len(self.trials) < self._most and len(self._running()) < self._parallel:
            number = len(self.trials)
            request = trial_request(self._request, number)
            kept = start_training(self._region, request, self._script(number, request))
            kept.more["TuningJobArn"] = self._arn
            self.trials.append(kept)

    def _script(self, number: int, request: Json) -> TrainingScript:
        script, tuning = self._region.world.scripts.training, self._region.world.scripts.tuning
        if number in tuning.failures:
            return replace(script, failure="AlgorithmError: this trial was scripted to fail")
        if callable(tuning.objectives):
            return replace(script, objective=tuning.objectives(request["HyperParameters"]))
        if tuning.objectives is not None:
            return replace(script, objective=tuning.objectives[number % len(tuning.objectives)])
        return replace(script, objective=round(0.3 + 0.05 * (number * 7 % 10), 6))

    def _end(self) -> None:
        failed = all(kept.run.progress.status == "Failed" for kept in self.trials)
        if self.progress.status == "Stopping":
            self.progress.become("Stopped", self._region.world.now())
            return
        self.progress.reason = _ALL_FAILED if failed else None
        self.progress.become("Failed" if failed else "Completed", self._region.world.now())
