"""What only the account can tell: buckets, the role, quotas, and what lies where a plan points to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.quotas import find_quota, quota_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from birdsod.estimator.sagemaker.quotas import Use
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = [
    "DENIED",
    "bucket_findings",
    "image_findings",
    "not_checked",
    "object_findings",
    "quota_findings",
    "role_findings",
    "split_uri",
]

_ROLE = re.compile(r"arn:[a-z-]+:iam::(\d{12}):role/(?:.*/)?([^/]+)")
_SAGEMAKER = "sagemaker.amazonaws.com"
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden", "UnauthorizedOperation"})
"""Codes with which the account does not let us ask."""
_GONE = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NotFound", "NoSuchEntity"})


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an address in S3; two empty texts for an address of another kind.

    Examples
    --------
    >>> split_uri("s3://birds/data/train.rec")
    ('birds', 'data/train.rec')
    """
    if not uri.startswith("s3://"):
        return "", ""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def image_findings(image: str, region: str) -> Iterator[Finding]:
    """Check whether a region has a container.

    Parameters
    ----------
    image : str
        Address of the container.
    region : str
        Where it is to run.

    Yields
    ------
    Finding

    Examples
    --------
    >>> image = "811284229777.dkr.ecr.us-east-1.amazonaws.com/object-detection:1"
    >>> [finding.kind for finding in image_findings(image, "eu-west-1")]
    ['image-region']
    """
    from birdsod.estimator.sagemaker.regions import REGIONS, built_in_image, image_region, is_built_in, nearest_regions

    place = image_region(image)
    if is_built_in(image) and region not in REGIONS:
        message = f"the region {region} does not have the built-in algorithm"
        cure = f"use {', '.join(nearest_regions(region))}, or image= a container of your own"
        yield Finding("image-unavailable", message, value=image, cure=cure)
    elif is_built_in(image) and image.rpartition(":")[0] != built_in_image(region).rpartition(":")[0]:
        yield _elsewhere(image, region, f"give {built_in_image(region)}, or leave image out")
    elif place is not None and place != region:
        yield _elsewhere(image, region, f"push the container to a registry in {region}")


def _elsewhere(image: str, region: str, cure: str) -> Finding:
    message = f"the container is not the one of the region {region}: a job takes it from its own region only"
    return Finding("image-region", message, value=image, cure=cure)


def bucket_findings(cloud: Cloud, uris: Iterable[str]) -> Iterator[Finding]:
    """Check whether buckets exist in the region of the job.

    Parameters
    ----------
    cloud : Cloud
        Where the job is to run.
    uris : iterable of str
        Addresses in S3; each bucket is asked for once.

    Yields
    ------
    Finding
    """
    for bucket in dict.fromkeys(split_uri(uri)[0] for uri in uris):
        if bucket:
            yield from _bucket(cloud, bucket)


def _bucket(cloud: Cloud, bucket: str) -> Iterator[Finding]:
    try:
        region = _bucket_region(cloud, bucket)
    except CloudError as error:
        if error.value in _GONE:
            yield from _missing(cloud, bucket)
        elif error.value not in DENIED:
            yield not_checked("the bucket", error)
        return
    if region != cloud.region:
        message = f"the bucket lies in {region}, the job runs in {cloud.region}"
        cure = f"pass a bucket of {cloud.region}, or a session of {region}"
        yield Finding("bucket-region", message, value=bucket, cure=cure)


def _missing(cloud: Cloud, bucket: str) -> Iterator[Finding]:
    # The default bucket is made when it is first needed.
    if bucket != f"sagemaker-{cloud.region}-{cloud.account}":
        yield Finding("bucket-missing", "the bucket does not exist", value=bucket, cure="create it, or pass bucket=")


def _bucket_region(cloud: Cloud, bucket: str) -> str:
    from botocore.exceptions import ClientError

    from birdsod.estimator.sagemaker.faults import asking

    with asking("look at the bucket", resource=bucket):
        try:
            told: Any = cloud.s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            # A bucket elsewhere answers with a redirect, or a refusal, that tells where.
            if str(error.response.get("Error", {}).get("Code")) in _GONE or not _header(error.response):
                raise
            told = error.response
    return _header(told) or cloud.region


def _header(response: Any) -> str | None:  # noqa: ANN401 - as botocore returns it
    found: str | None = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return found


def object_findings(cloud: Cloud, uri: str, *, what: str, cure: str) -> Iterator[Finding]:
    """Check whether an object lies at an address in S3.

    Parameters
    ----------
    cloud : Cloud
        Who asks.
    uri : str
        The address.
    what : str
        What should lie there, for the message.
    cure : str
        What to do if it does not.

    Yields
    ------
    Finding
    """
    from birdsod.estimator.sagemaker.faults import asking

    bucket, key = split_uri(uri)
    try:
        with asking("look at", resource=uri):
            cloud.s3.head_object(Bucket=bucket, Key=key)
    except CloudError as error:
        if error.value in _GONE:
            yield Finding("missing-object", f"{what} is not there", value=uri, cure=cure)
        elif error.value not in DENIED:
            yield not_checked(what, error)


def role_findings(cloud: Cloud, role: str) -> Iterator[Finding]:
    """Check whether a role exists and SageMaker may assume it, if the account lets us ask.

    Parameters
    ----------
    cloud : Cloud
        Who asks.
    role : str
        ARN of the role.

    Yields
    ------
    Finding
    """
    from birdsod.estimator.sagemaker.faults import asking

    found = _ROLE.fullmatch(role)
    try:
        # A malformed ARN is told by the request's own check; another account's roles cannot be looked at.
        if found is None or found[1] != cloud.account:
            return
        with asking("look at the role", resource=found[2]):
            told = cloud.iam.get_role(RoleName=found[2])["Role"]
    except CloudError as error:
        if error.value in _GONE:
            cure = "pass role= the ARN of an execution role of SageMaker"
            yield Finding("role-missing", "the account has no such role", value=role, cure=cure)
        elif error.value not in DENIED:
            yield not_checked("the role", error)
        return
    if not _trusts(told.get("AssumeRolePolicyDocument")):
        message = "SageMaker may not assume the role"
        cure = f"allow sts:AssumeRole to the service {_SAGEMAKER} in the role's trust policy"
        yield Finding("role-trust", message, value=role, cause="a role made for something else", cure=cure)


def _trusts(document: Any) -> bool:  # noqa: ANN401 - a policy, which botocore has parsed
    statements = document.get("Statement", []) if isinstance(document, dict) else []
    for each in statements if isinstance(statements, list) else [statements]:
        principal = each.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else principal
        named = services if isinstance(services, list) else [services]
        if each.get("Effect") == "Allow" and (_SAGEMAKER in named or "*" in named):
            return True
    return False


def quota_findings(cloud: Cloud, instance_type: str, use: Use, needed: int) -> Iterator[Finding]:
    """Check whether the account may use as many instances as are needed, if it lets us ask.

    Parameters
    ----------
    cloud : Cloud
        Who asks.
    instance_type : str
        Such as ``ml.g4dn.xlarge``.
    use : {"training", "spot training", "endpoint", "transform", "tuning"}
        What it is for.
    needed : int
        How many at once.

    Yields
    ------
    Finding
    """
    try:
        quota = find_quota(cloud, instance_type, use)
    except CloudError as error:
        if error.value not in DENIED:
            yield not_checked("the quota", error)
        return
    if quota is not None and quota.value < needed:
        message = f"the account may use {quota.value:g} of the {needed} instances needed"
        cause = "new accounts begin with 0 of most instance types with GPUs"
        cure = (
            f"ask for {needed} of '{quota_name(instance_type, use)}' under Service Quotas, Amazon SageMaker"
            f"{f' (code {quota.code})' if quota.code else ''}, or take another instance type"
        )
        yield Finding("no-quota", message, "error", instance_type, cause, cure)


def not_checked(what: str, error: CloudError) -> Finding:
    """Return the warning that something could not be asked.

    Parameters
    ----------
    what : str
        What it is about.
    error : CloudError
        Why.
    """
    message = f"{what} could not be checked: {error.message}"
    return Finding("not-checked", message, "warning", error.value, error.cause, error.cure)
