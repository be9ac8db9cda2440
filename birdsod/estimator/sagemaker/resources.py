"""Each kind of resource: how it is described, listed and ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from birdsod.estimator.sagemaker.faults import asking, is_missing, patient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_sagemaker.client import SageMakerClient

    from birdsod.estimator.sagemaker.ledger import Kind, Resource
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["OVER", "WAYS", "Way", "described", "end", "status_of", "tags_of"]

OVER = frozenset({"Completed", "Failed", "Stopped"})
_ALIVE = ({"StatusEquals": "InProgress"}, {"StatusEquals": "Stopping"})
# Models and configurations of endpoints have such names whatever the endpoint is called; accounts have many of both.
_OURS = ({"NameContains": "birdsod"},)


@dataclass(frozen=True, slots=True)
class Way:
    """How the service is asked about one kind of resource.

    Parameters
    ----------
    describe, end : callable
        Ask for all about it, and for its end: a job is stopped, anything else deleted.
    arn, status : str
        Keys of its description; there is no status where deleting takes no time.
    listing : str
        Operation that lists them.
    found : str
        Key of what is listed.
    name : str
        Key of a name in what is listed.
    searches : tuple of mapping
        Together these searches find all of birdsod's that are alive.
    """

    describe: Callable[[SageMakerClient, str], Mapping[str, Any]]
    end: Callable[[SageMakerClient, str], object]
    arn: str
    status: str | None
    listing: str
    found: str
    name: str
    searches: tuple[Mapping[str, str], ...]


WAYS: Mapping[Kind, Way] = {
    "tuning-job": Way(
        lambda client, name: client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
        lambda client, name: client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
        "HyperParameterTuningJobArn",
        "HyperParameterTuningJobStatus",
        "list_hyper_parameter_tuning_jobs",
        "HyperParameterTuningJobSummaries",
        "HyperParameterTuningJobName",
        _ALIVE,
    ),
    "training-job": Way(
        lambda client, name: client.describe_training_job(TrainingJobName=name),
        lambda client, name: client.stop_training_job(TrainingJobName=name),
        "TrainingJobArn",
        "TrainingJobStatus",
        "list_training_jobs",
        "TrainingJobSummaries",
        "TrainingJobName",
        _ALIVE,
    ),
    "transform-job": Way(
        lambda client, name: client.describe_transform_job(TransformJobName=name),
        lambda client, name: client.stop_transform_job(TransformJobName=name),
        "TransformJobArn",
        "TransformJobStatus",
        "list_transform_jobs",
        "TransformJobSummaries",
        "TransformJobName",
        _ALIVE,
    ),
    "endpoint": Way(
        lambda client, name: client.describe_endpoint(EndpointName=name),
        lambda client, name: client.delete_endpoint(EndpointName=name),
        "EndpointArn",
        "EndpointStatus",
        "list_endpoints",
        "Endpoints",
        "EndpointName",
        ({},),
    ),
    "endpoint-config": Way(
        lambda client, name: client.describe_endpoint_config(EndpointConfigName=name),
        lambda client, name: client.delete_endpoint_config(EndpointConfigName=name),
        "EndpointConfigArn",
        None,
        "list_endpoint_configs",
        "EndpointConfigs",
        "EndpointConfigName",
        _OURS,
    ),
    "model": Way(
        lambda client, name: client.describe_model(ModelName=name),
        lambda client, name: client.delete_model(ModelName=name),
        "ModelArn",
        None,
        "list_models",
        "Models",
        "ModelName",
        _OURS,
    ),
}


def described(cloud: Cloud, resource: Resource, *, seconds: float = 1.0) -> Mapping[str, Any] | None:
    """Return what the service tells about a resource; None if there is none.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    resource : Resource
        The resource.
    seconds : float, default 1.0
        Wait before a busy service is asked a second time.

    Returns
    -------
    mapping or None

    Raises
    ------
    CloudError
        If the service does not tell.
    """
    way = WAYS[resource.kind]
    with asking("describe", resource=str(resource)):
        try:
            return patient(lambda: way.describe(cloud.sagemaker, resource.name), seconds=seconds, renew=cloud.renewed)
        except Exception as error:
            if is_missing(error):
                return None
            raise


def status_of(resource: Resource, told: Mapping[str, Any]) -> str | None:
    """Return the status in a description; None for what has none."""
    status = WAYS[resource.kind].status
    return None if status is None else str(told[status])


def tags_of(cloud: Cloud, arn: str, *, seconds: float = 1.0) -> dict[str, str] | None:
    """Return the tags of what has this ARN; None if it is gone.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    arn : str
        The ARN.
    seconds : float, default 1.0
        Wait before a busy service is asked a second time.

    Returns
    -------
    dict or None

    Raises
    ------
    CloudError
        If the service does not tell.
    """

    def ask() -> dict[str, str]:
        pages = cloud.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    with asking("list the tags of", resource=arn):
        try:
            return patient(ask, seconds=seconds, renew=cloud.renewed)
        except Exception as error:
            if is_missing(error):
                return None
            raise


def end(cloud: Cloud, resource: Resource, *, seconds: float = 1.0) -> bool:
    """Ask for the end of a resource: stop a job, delete anything else.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    resource : Resource
        The resource.
    seconds : float, default 1.0
        Wait before a busy service is asked a second time.

    Returns
    -------
    bool
        Whether there was something to end.

    Raises
    ------
    CloudError
        If the service refuses.
    """
    way = WAYS[resource.kind]
    with asking("stop" if resource.kind.endswith("job") else "delete", resource=str(resource)):
        try:
            patient(lambda: way.end(cloud.sagemaker, resource.name), seconds=seconds, renew=cloud.renewed)
        except Exception as error:
            if is_missing(error):
                return False
            raise
    return True
