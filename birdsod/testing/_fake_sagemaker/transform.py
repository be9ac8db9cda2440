"""Batch transform jobs: created, described, stopped, listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker import s3
from birdsod.testing._fake_sagemaker.errors import ServiceError, invalid
from birdsod.testing._fake_sagemaker.hosted_model import HostedModel
from birdsod.testing._fake_sagemaker.listing import listed
from birdsod.testing._fake_sagemaker.runs import ALIVE
from birdsod.testing._fake_sagemaker.training_rules import check_quota
from birdsod.testing._fake_sagemaker.transform_run import TransformRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.world import Json, Kept, Region

__all__ = ["OPERATIONS", "WAITING"]

_MOST_MEGABYTES = 100


def create_transform_job(region: Region, request: Json) -> Json:
    name = request["TransformJobName"]
    if name in region.transforms:
        arn = region.transforms[name].arn
        raise ServiceError("ResourceInUse", f"Job name must be unique, {name} exists already ({arn})")
    model = region.models.get(request["ModelName"])
    if model is None:
        raise invalid(f'Could not find model "{region.arn("model", request["ModelName"])}".')
    _check(region, request)
    kept = region.transforms[name] = region.keep("transform-job", name, request)
    kept.run = TransformRun(region, request, HostedModel(region, model.request["PrimaryContainer"].get("ModelDataUrl")))
    return {"TransformJobArn": kept.arn}


def _check(region: Region, request: Json) -> None:
    source = request["TransformInput"]["DataSource"].get("S3DataSource", {})
    if source.get("S3DataType") != "S3Prefix":
        raise invalid("the fake transforms what lies under an S3 prefix; give S3DataType S3Prefix")
    if not s3.keys(region, source["S3Uri"]):
        raise invalid(f"No S3 objects found under S3 URL {source['S3Uri']} given in input data source.")
    payload, parallel = request.get("MaxPayloadInMB", 6), request.get("MaxConcurrentTransforms", 1)
    if payload * max(1, parallel) > _MOST_MEGABYTES:
        raise invalid("MaxConcurrentTransforms * MaxPayloadInMB must be less than or equal to 100")
    if payload == 0:
        raise invalid("MaxPayloadInMB 0 is not supported by this algorithm")
    resources = request["TransformResources"]
    check_quota(region, resources["InstanceType"], resources["InstanceCount"], "transform job")


def describe_transform_job(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    kept.run.step()
    kept.modified = kept.run.progress.transitions[-1][1]
    asked = {name: value for name, value in kept.request.items() if name != "Tags"}
    progress = kept.run.progress
    over = progress.status not in ALIVE
    return {
        **asked,
        "TransformJobArn": kept.arn,
        "TransformJobStatus": progress.status,
        "CreationTime": kept.created,
        "TransformStartTime": progress.transitions[0][1],
        **({"TransformEndTime": kept.modified} if over else {}),
        **({"FailureReason": progress.reason} if progress.reason else {}),
    }


def stop_transform_job(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    if kept.run.progress.status not in ALIVE:
        raise invalid(f"The request was rejected because the job is in status {kept.run.progress.status}.")
    if kept.run.progress.status != "Stopping":
        kept.run.stop()
    return {}


def list_transform_jobs(region: Region, request: Json) -> Json:
    return listed(region.transforms.values(), request, "TransformJobSummaries", _row, _status)


def _row(kept: Kept) -> Json:
    return {
        "TransformJobName": kept.name,
        "TransformJobArn": kept.arn,
        "CreationTime": kept.created,
        "LastModifiedTime": kept.modified,
        "TransformJobStatus": _status(kept),
    }


def _status(kept: Kept) -> str:
    status: str = kept.run.progress.status
    return status


def _found(region: Region, request: Json) -> Kept:
    kept = region.transforms.get(request["TransformJobName"])
    if kept is None:
        raise invalid(f"Could not find requested job with name: {request['TransformJobName']}")
    return kept


def _wait(region: Region, request: Json) -> None:
    with region.world.lock:
        kept = region.transforms.get(request["TransformJobName"])
    if kept is not None:
        kept.run.wait()


OPERATIONS: Mapping[str, Callable[[Region, Json], Json]] = {
    "CreateTransformJob": create_transform_job,
    "DescribeTransformJob": describe_transform_job,
    "ListTransformJobs": list_transform_jobs,
    "StopTransformJob": stop_transform_job,
}

WAITING: Mapping[str, Callable[[Region, Json], None]] = {"DescribeTransformJob": _wait}
