"""An endpoint checked before it is created: one that cannot start is stuck, and paid for, up to an hour."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Literal

from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.preflight_account import (
    bucket_findings,
    image_findings,
    object_findings,
    quota_findings,
    role_findings,
)
from birdsod.estimator.sagemaker.preflight_machines import RETIRED, family_of
from birdsod.estimator.sagemaker.regions import is_built_in
from birdsod.estimator.sagemaker.validation import allowed_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["PAYLOAD_BYTES", "hosting_findings", "payload_findings"]

PAYLOAD_BYTES = {"real-time": 6_291_456, "serverless": 4_194_304, "asynchronous": 1_073_741_824}
"""Largest request by the way of hosting, in bytes."""

_ARM = re.compile(r"[cmrt]\d+g[dn]?")
_ACCELERATORS = ("inf", "trn", "dl")
_OLD_GPUS = ("g4dn", "g5")
_INSTEAD = "take ml.m5.large, or ml.g4dn.xlarge"


def hosting_findings(
    *, artifact_uri: str, image: str, hosting: Hosting, role: str | None = None, cloud: Cloud | None = None
) -> tuple[Finding, ...]:
    """Check an endpoint before its model, configuration and endpoint are created.

    Parameters
    ----------
    artifact_uri : str
        Address of the ``model.tar.gz``.
    image : str
        Container that answers.
    hosting : Hosting
        How the model is to be hosted.
    role : str, optional
        ARN of the role that the container runs with.
    cloud : Cloud, optional
        The account, looked at as far as it lets us.

    Returns
    -------
    tuple of Finding

    Examples
    --------
    >>> from birdsod.estimator.sagemaker.hosting import Hosting
    >>> image = "685385470294.dkr.ecr.eu-west-1.amazonaws.com/object-detection:1"
    >>> found = hosting_findings(artifact_uri="s3://b/model.tar.gz", image=image, hosting=Hosting("ml.p2.xlarge"))
    >>> [finding.kind for finding in found]
    ['retired-instance']
    """
    return tuple(_findings(artifact_uri, image, hosting, role, cloud))


def payload_findings(size: int, mode: Literal["real-time", "serverless", "asynchronous"]) -> tuple[Finding, ...]:
    """Check whether an endpoint takes a request of a size.

    Parameters
    ----------
    size : int
        Bytes of the image file.
    mode : {"real-time", "serverless", "asynchronous"}
        As :attr:`Hosting.mode` tells.

    Returns
    -------
    tuple of Finding

    Examples
    --------
    >>> payload_findings(5_000_000, "real-time")
    ()
    >>> [finding.kind for finding in payload_findings(5_000_000, "serverless")]
    ['payload']
    """
    most = PAYLOAD_BYTES[mode]
    if size <= most:
        return ()
    message = f"the request is larger than the {most} bytes that {mode} hosting takes"
    return (Finding("payload", message, value=size, cure="shrink the image: boxes are relative, so nothing is lost"),)


def _findings(
    artifact_uri: str, image: str, hosting: Hosting, role: str | None, cloud: Cloud | None
) -> Iterator[Finding]:
    if hosting.serverless_memory_mb is None:
        yield from _instance(hosting.instance_type, built_in=is_built_in(image))
    elif is_built_in(image):
        message = "nothing says that hosting without servers takes the built-in algorithm's container"
        cure = "leave serverless_memory_mb out if the endpoint does not come up"
        yield Finding("serverless", message, "warning", hosting.serverless_memory_mb, cure=cure)
    if not artifact_uri.endswith(".tar.gz"):
        cure = "give the model.tar.gz that a job wrote: job.artifact_uri"
        yield Finding("model-archive", "a model is one .tar.gz file", value=artifact_uri, cure=cure)
    if cloud is not None:
        yield from _of_account(cloud, artifact_uri, image, hosting, role)


def _instance(kind: str, *, built_in: bool) -> Iterator[Finding]:
    family, known = family_of(kind), allowed_values("CreateEndpointConfig", "ProductionVariants", "InstanceType")
    if family in RETIRED:
        yield Finding("retired-instance", "the instance family is retired", "error", kind, RETIRED[family], _INSTEAD)
    elif kind not in known:
        close = difflib.get_close_matches(kind, known, n=3) or ["ml.m5.large"]
        message = "no endpoint runs on an instance of this type"
        yield Finding("bad-request", message, value=kind, cure=f"such as {', '.join(close)}")
    elif built_in:
        yield from _for_the_algorithm(kind, family)


def _for_the_algorithm(kind: str, family: str) -> Iterator[Finding]:
    if _ARM.fullmatch(family):
        message = "the built-in algorithm's container is made for Intel and AMD processors, this instance has Arm"
        yield Finding("architecture", message, value=kind, cure=_INSTEAD)
    elif family.startswith(_ACCELERATORS):
        message = "the built-in algorithm's container cannot use this accelerator, and would be paid for all the same"
        yield Finding("accelerator", message, value=kind, cure=_INSTEAD)
    elif family[0] in "gp" and family not in _OLD_GPUS:
        message = "nothing says that the built-in algorithm's container runs on this family of GPUs"
        yield Finding("untested-instance", message, "warning", kind, "its MXNet was built before these GPUs", _INSTEAD)


def _of_account(cloud: Cloud, artifact_uri: str, image: str, hosting: Hosting, role: str | None) -> Iterator[Finding]:
    yield from image_findings(image, cloud.region)
    if role is not None:
        yield from role_findings(cloud, role)
    buckets = tuple(bucket_findings(cloud, [artifact_uri, hosting.async_output_uri or ""]))
    yield from buckets
    if not buckets:
        cure = "wait until the job is complete, or give the address of its model.tar.gz"
        yield from object_findings(cloud, artifact_uri, what="the model", cure=cure)
    if hosting.serverless_memory_mb is None:
        yield from quota_findings(cloud, hosting.instance_type, "endpoint", hosting.instances)
