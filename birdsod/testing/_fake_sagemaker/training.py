"""Training jobs: created, described, stopped, listed, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.errors import ServiceError, invalid
from birdsod.testing._fake_sagemaker.listing import listed
from birdsod.testing._fake_sagemaker.runs import ALIVE, described
from birdsod.testing._fake_sagemaker.scripted_run import ScriptedRun
from birdsod.testing._fake_sagemaker.training_rules import check_training, fault_of, is_built_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.runs import Run
    from birdsod.testing._fake_sagemaker.scripts import TrainingScript
    from birdsod.testing._fake_sagemaker.world import Json, Kept, Region

__all__ = ["OPERATIONS", "WAITING", "start_training"]


def create_training_job(region: Region, request: Json) -> Json:
    name = request["TrainingJobName"]
    if name in region.training:
        message = "Training job names must be unique within an AWS account and region, and a training job with this "
        raise ServiceError("ResourceInUse", f"{message}name already exists ({region.training[name].arn})")
    check_training(region, request)
    return {"TrainingJobArn": start_training(region, request, region.world.scripts.training).arn}


def start_training(region: Region, request: Json, script: TrainingScript) -> Kept:
    """Start a run and take note of its job.

    Parameters
    ----------
    region : Region
        Where.
    request : dict
        Checked.
    script : TrainingScript
        How it goes, where it is scripted.

    Returns
    -------
    Kept
    """
    kept = region.keep("training-job", request["TrainingJobName"], request)
    kept.run = _run(region, request, script)
    region.training[kept.name] = kept
    return kept


def _run(region: Region, request: Json, script: TrainingScript) -> Run:
    if is_built_in(request["AlgorithmSpecification"].get("TrainingImage", "")):
        return ScriptedRun(region, request, script, fault_of(region, request))
    from birdsod.testing._fake_sagemaker.local_run import LocalRun

    return LocalRun(region, request)


def describe_training_job(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    kept.run.step()
    kept.modified = kept.run.progress.transitions[-1][1]
    asked = {name: value for name, value in kept.request.items() if name != "Tags"}
    return {
        **asked,
        "TrainingJobArn": kept.arn,
        "CreationTime": kept.created,
        **described(kept.run.progress),
        **kept.more,
    }


def stop_training_job(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    if kept.run.progress.status not in ALIVE:
        message = f"The request was rejected because the training job is in status {kept.run.progress.status}."
        raise invalid(message)
    if kept.run.progress.status != "Stopping":
        kept.run.stop()
    return {}


def delete_training_job(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    if kept.run.progress.status in ALIVE:
        raise ServiceError("ResourceInUse", f"The training job {kept.name} is in status {kept.run.progress.status}.")
    region.drop(kept, region.training)
    return {}


def list_training_jobs(region: Region, request: Json) -> Json:
    asked = {"SortOrder": "Ascending", **request}
    return listed(region.training.values(), asked, "TrainingJobSummaries", summary, _status)


def summary(kept: Kept) -> Json:
    """Return the row of a job in a list."""
    progress = kept.run.progress
    over = progress.status not in ALIVE
    return {
        "TrainingJobName": kept.name,
        "TrainingJobArn": kept.arn,
        "CreationTime": kept.created,
        "LastModifiedTime": kept.modified,
        "TrainingJobStatus": progress.status,
        "SecondaryStatus": progress.secondary,
        **({"TrainingEndTime": progress.transitions[-1][1]} if over else {}),
    }


def _status(kept: Kept) -> str:
    status: str = kept.run.progress.status
    return status


def _found(region: Region, request: Json) -> Kept:
    kept = region.training.get(request["TrainingJobName"])
    if kept is None:
        raise invalid("Requested resource not found.")
    return kept


def _wait(region: Region, request: Json) -> None:
    with region.world.lock:
        kept = region.training.get(request.get("TrainingJobName", ""))
    if kept is not None:
        kept.run.wait()


OPERATIONS: Mapping[str, Callable[[Region, Json], Json]] = {
    "CreateTrainingJob": create_training_job,
    "DeleteTrainingJob": delete_training_job,
    "DescribeTrainingJob": describe_training_job,
    "ListTrainingJobs": list_training_jobs,
    "StopTrainingJob": stop_training_job,
}

WAITING: Mapping[str, Callable[[Region, Json], None]] = {"DescribeTrainingJob": _wait}
"""What is done before an operation, without the lock that all operations share."""
