"""Rules of training that no model of the service tells: refusals at once, and reasons to fail later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from birdsod.errors import HyperparameterError
from birdsod.testing._fake_sagemaker import s3
from birdsod.testing._fake_sagemaker.errors import ServiceError, invalid
from birdsod.testing._fake_sagemaker.training_inputs import inputs_fault

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["check_image", "check_quota", "check_role", "check_training", "fault_of", "is_built_in"]

_BUILT_IN = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.[a-z.]+/object-detection(?:[:@].+)?")
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z.]+/.+")
_GPU = re.compile(r"ml\.(?:p|g)\d[a-z]*\..+")
_REQUIRED = ("num_classes", "num_training_samples")
_NETWORKS = ("vgg-16", "resnet-50")
_RECORDS = ("train", "validation")
_IMAGES = ("train", "validation", "train_annotation", "validation_annotation")


def is_built_in(image: str) -> bool:
    """Whether an image is the built-in algorithm's.

    Examples
    --------
    >>> is_built_in("811284229777.dkr.ecr.us-east-1.amazonaws.com/object-detection:1")
    True
    """
    return _BUILT_IN.fullmatch(image) is not None


def check_training(region: Region, request: Json) -> None:
    """Refuse what the service refuses before a job begins.

    Parameters
    ----------
    region : Region
        Where.
    request : dict
        As the service's model allows it.

    Raises
    ------
    ServiceError
        If there is anything.
    """
    check_role(region, request["RoleArn"])
    _check_stopping(request)
    image = request["AlgorithmSpecification"].get("TrainingImage", "")
    check_image(region, image)
    if is_built_in(image):
        _check_built_in(request)
    _check_bucket(region, request["OutputDataConfig"]["S3OutputPath"])
    resources, spot = request["ResourceConfig"], request.get("EnableManagedSpotTraining", False)
    kind, count = resources.get("InstanceType", ""), resources.get("InstanceCount", 1)
    check_quota(region, kind, count, "spot training job" if spot else "training job")


def check_role(region: Region, arn: str) -> None:
    """Refuse a role that IAM does not have."""
    if not region.role_exists(arn):
        message = f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
        raise invalid(f"{message}'sagemaker.amazonaws.com' to assume the role.")


def check_image(region: Region, image: str) -> None:
    """Refuse an image of another region, or of another account than the algorithm's in this one."""
    found = _ECR.fullmatch(image)
    if found is None:
        raise invalid(f"Invalid image URI {image}. Please provide a valid Amazon Elastic Container Registry path")
    if found["region"] != region.name:
        raise invalid(f"The repository of the image {image} is in region {found['region']}, not in {region.name}")
    if is_built_in(image) and image.partition("/")[0] != _registry(region.name):
        raise invalid(f"The image {image} does not exist, or access to its repository is denied")


def _registry(region: str) -> str:
    """Return the registry of the built-in algorithms in a region, or nothing where there is none."""
    from birdsod.errors import CloudError
    from birdsod.estimator.sagemaker.regions import built_in_image

    try:
        return built_in_image(region).partition("/")[0]
    except CloudError:
        return ""


def _check_stopping(request: Json) -> None:
    condition = request.get("StoppingCondition", {})
    wait, run = condition.get("MaxWaitTimeInSeconds"), condition.get("MaxRuntimeInSeconds", 86_400)
    spot = request.get("EnableManagedSpotTraining", False)
    if spot and (wait is None or wait < run):
        message = "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        raise invalid(message)
    if not spot and wait is not None:
        raise invalid("MaxWaitTimeInSeconds can only be specified when EnableManagedSpotTraining is true")


def _check_built_in(request: Json) -> None:
    if request["AlgorithmSpecification"].get("MetricDefinitions"):
        message = "You can't override the metric definitions for Amazon SageMaker algorithms. "
        raise invalid(f"{message}Please retry the request without specifying metric definitions.")
    kind = request["ResourceConfig"].get("InstanceType", "")
    if not _GPU.fullmatch(kind):
        message = f"Instance type {kind} is not supported by algorithm object-detection"
        raise invalid(f"{message}; only GPU instances are supported")
    missing = [name for name in _REQUIRED if name not in request.get("HyperParameters", {})]
    if missing:
        raise invalid(f"The following required hyperparameters are missing: {missing}")


def _check_bucket(region: Region, uri: str) -> None:
    bucket, _ = s3.split(uri)
    try:
        found = region.s3.head_bucket(Bucket=bucket).get("BucketRegion", region.name)
    except region.s3.exceptions.ClientError:
        raise invalid(f"S3 bucket {bucket} of the output path does not exist") from None
    if found != region.name:
        raise invalid(f"The bucket {bucket} is not in {region.name} region. Please retry with a bucket there")


def check_quota(region: Region, kind: str, count: int, use: str) -> None:
    """Refuse more instances than a quota that was scripted allows.

    Parameters
    ----------
    region : Region
        Where.
    kind : str
        Such as ``ml.g4dn.xlarge``.
    count : int
        Instances that are asked for.
    use : str
        ``training job``, ``spot training job``, ``endpoint`` or ``transform job``.

    Raises
    ------
    ServiceError
        If they are too many.
    """
    name = f"{kind} for {use} usage"
    quota = region.world.scripts.quotas.get(name)
    if quota is not None and count > quota:
        raise _limit_exceeded(name, quota, count)


def _limit_exceeded(name: str, quota: float, asked: int) -> ServiceError:
    message = (
        f"The account-level service limit '{name}' is {quota:g} Instances, with current utilization of 0 Instances "
        f"and a request delta of {asked} Instances. Please use AWS Service Quotas to request an increase for this "
        "quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota."
    )
    return ServiceError("ResourceLimitExceeded", message)


def fault_of(region: Region, request: Json) -> str | None:
    """Return why a job of the built-in algorithm is going to fail, if it is.

    Parameters
    ----------
    region : Region
        Where.
    request : dict
        What it was created with.

    Returns
    -------
    str or None
    """
    return (
        _missing_data(region, request)
        or _bad_channels(request)
        or inputs_fault(region, request)
        or _bad_values(request)
    )


def _missing_data(region: Region, request: Json) -> str | None:
    for channel in request.get("InputDataConfig", []):
        uri = channel["DataSource"].get("S3DataSource", {}).get("S3Uri", "")
        if not s3.keys(region, uri):
            bucket, _ = s3.split(uri)
            return (
                f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input data '
                f"source. Please ensure that the bucket exists in the selected region ({region.name}), that objects "
                f'exist under that S3 prefix, and that the role "{request["RoleArn"]}" has "s3:ListBucket" '
                f'permissions on bucket "{bucket}".'
            )
    return None


def _bad_channels(request: Json) -> str | None:
    channels = {channel["ChannelName"]: channel for channel in request.get("InputDataConfig", [])}
    images = "train_annotation" in channels or "validation_annotation" in channels
    wanted = _IMAGES if images else _RECORDS
    prefix = "ClientError: Unable to initialize the algorithm. Failed to validate input data configuration. "
    for name in wanted:
        if name not in channels:
            return f"{prefix}(caused by ValidationError)\n\nCaused by: '{name}' is a required property"
        if "ContentType" not in channels[name]:
            return f"{prefix}(caused by ValidationError)\n\nCaused by: ContentType is required for channel '{name}'"
    for name in channels:
        if name not in {*wanted, "model"}:
            return f"{prefix}(caused by ValidationError)\n\nCaused by: unexpected channel '{name}'"
    return None


def _bad_values(request: Json) -> str | None:
    from birdsod.hyperparameters import Hyperparameters

    prefix = "ClientError: Unable to initialize the algorithm. Failed to validate hyperparameters: "
    try:
        values = Hyperparameters.from_request(request.get("HyperParameters", {}))
    except HyperparameterError as error:
        return f"{prefix}{error}"
    if values.base_network not in _NETWORKS:
        return f"{prefix}'{values.base_network}' is not one of {list(_NETWORKS)}"
    return None
