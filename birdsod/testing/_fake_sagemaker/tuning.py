"""Tuning jobs: created, described, stopped, listed, with their trials."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.errors import ServiceError
from birdsod.testing._fake_sagemaker.listing import listed, page
from birdsod.testing._fake_sagemaker.runs import ALIVE
from birdsod.testing._fake_sagemaker.training import summary
from birdsod.testing._fake_sagemaker.tuning_rules import check_tuning
from birdsod.testing._fake_sagemaker.tuning_run import TuningRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.world import Json, Kept, Region

__all__ = ["OPERATIONS", "WAITING"]

_NAME = "HyperParameterTuningJobName"


def create_tuning_job(region: Region, request: Json) -> Json:
    name = request[_NAME]
    if name in region.tuning:
        message = "Hyper parameter tuning job names must be unique within an AWS account and region, and a job with "
        raise ServiceError("ResourceInUse", f"{message}this name already exists ({region.tuning[name].arn})")
    check_tuning(region, request)
    kept = region.keep("hyper-parameter-tuning-job", name, request)
    kept.run = TuningRun(region, request, kept.arn)
    region.tuning[name] = kept
    return {"HyperParameterTuningJobArn": kept.arn}


def describe_tuning_job(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    kept.run.step()
    kept.modified = kept.run.progress.transitions[-1][1]
    best = kept.run.best()
    asked = {name: value for name, value in kept.request.items() if name not in {"Tags", "Autotune"}}
    return {
        **asked,
        **_row(kept),
        **({"FailureReason": kept.run.progress.reason} if kept.run.progress.reason else {}),
        **({"BestTrainingJob": _trial_row(kept, best)} if best is not None else {}),
    }


def stop_tuning_job(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    if kept.run.progress.status == "InProgress":
        kept.run.stop()
    return {}


def delete_tuning_job(region: Region, request: Json) -> Json:
    kept = region.tuning.get(request[_NAME])
    if kept is not None:
        if kept.run.progress.status in ALIVE:
            raise ServiceError("ResourceInUse", f"The tuning job is in status {kept.run.progress.status}.")
        region.drop(kept, region.tuning)
    return {}


def list_tuning_jobs(region: Region, request: Json) -> Json:
    return listed(region.tuning.values(), request, "HyperParameterTuningJobSummaries", _summary, _status)


def list_trials(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    rows = [_trial_row(kept, trial) for trial in kept.run.trials]
    if "StatusEquals" in request:
        rows = [row for row in rows if row["TrainingJobStatus"] == request["StatusEquals"]]
    rows.sort(key=_order(request.get("SortBy", "Name")), reverse=request.get("SortOrder") == "Descending")
    return page(rows, request, "TrainingJobSummaries")


def _order(by: str) -> Callable[[Json], tuple[object, ...]]:
    def key(row: Json) -> tuple[object, ...]:
        if by == "FinalObjectiveMetricValue":
            return (row.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value", float("-inf")),)
        return (row[{"CreationTime": "CreationTime", "Status": "TrainingJobStatus"}.get(by, "TrainingJobName")],)

    return key


def _row(kept: Kept) -> Json:
    states = Counter(trial.run.progress.status for trial in kept.run.trials)
    reached = sum(kept.run.objective(trial) is not None for trial in kept.run.trials)
    running = states["InProgress"] + states["Stopping"]
    over = _status(kept) not in ALIVE
    return {
        _NAME: kept.name,
        "HyperParameterTuningJobArn": kept.arn,
        "HyperParameterTuningJobStatus": _status(kept),
        "CreationTime": kept.created,
        "LastModifiedTime": kept.modified,
        **({"HyperParameterTuningEndTime": kept.modified} if over else {}),
        "TrainingJobStatusCounters": {
            "Completed": states["Completed"],
            "InProgress": running,
            "RetryableError": 0,
            "NonRetryableError": states["Failed"],
            "Stopped": states["Stopped"],
        },
        "ObjectiveStatusCounters": {
            "Succeeded": reached,
            "Pending": running,
            "Failed": len(kept.run.trials) - running - reached,
        },
    }


def _summary(kept: Kept) -> Json:
    config = kept.request["HyperParameterTuningJobConfig"]
    return {**_row(kept), "Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}


def _trial_row(kept: Kept, trial: Kept) -> Json:
    tried = {name: value for name, value in trial.request["HyperParameters"].items() if not name.startswith("_")}
    static = kept.request["TrainingJobDefinition"].get("StaticHyperParameters", {})
    value = kept.run.objective(trial)
    progress, row = trial.run.progress, summary(trial)
    row.pop("SecondaryStatus")
    row.pop("LastModifiedTime")
    begun = next((when for name, when in progress.transitions if name == "Training"), None)
    return {
        **row,
        "TunedHyperParameters": {name: text for name, text in tried.items() if name not in static},
        "ObjectiveStatus": "Pending" if progress.status in ALIVE else "Failed" if value is None else "Succeeded",
        **({"TrainingStartTime": begun} if begun else {}),
        **({"FailureReason": progress.reason} if progress.reason else {}),
        **({"FinalHyperParameterTuningJobObjectiveMetric": _metric(kept, value)} if value is not None else {}),
    }


def _metric(kept: Kept, value: float) -> Json:
    return {"MetricName": kept.run.metric, "Value": value}


def _status(kept: Kept) -> str:
    status: str = kept.run.progress.status
    return status


def _found(region: Region, request: Json) -> Kept:
    kept = region.tuning.get(request[_NAME])
    if kept is None:
        message = f"Amazon SageMaker can't find a tuning job called {request[_NAME]}. Check the name and try again."
        raise ServiceError("ResourceNotFound", message)
    return kept


def _wait(region: Region, request: Json) -> None:
    with region.world.lock:
        kept = region.tuning.get(request[_NAME])
    if kept is not None:
        kept.run.wait()


OPERATIONS: Mapping[str, Callable[[Region, Json], Json]] = {
    "CreateHyperParameterTuningJob": create_tuning_job,
    "DeleteHyperParameterTuningJob": delete_tuning_job,
    "DescribeHyperParameterTuningJob": describe_tuning_job,
    "ListHyperParameterTuningJobs": list_tuning_jobs,
    "ListTrainingJobsForHyperParameterTuningJob": list_trials,
    "StopHyperParameterTuningJob": stop_tuning_job,
}

WAITING: Mapping[str, Callable[[Region, Json], None]] = {"DescribeHyperParameterTuningJob": _wait}
