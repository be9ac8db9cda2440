"""How a model is hosted, and the requests that ask for it."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Self

from birdsod.errors import PreflightError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_sagemaker.type_defs import (
        CreateEndpointConfigInputTypeDef,
        CreateEndpointInputTypeDef,
        CreateModelInputTypeDef,
        ProductionVariantTypeDef,
        TagTypeDef,
    )

__all__ = ["Hosting", "endpoint_config_request", "endpoint_request", "model_request", "tag_list"]

_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_VARIANT = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_S3_URI = re.compile(r"s3://[^/]+(/.*)?")
_MEMORY_MB = (1024, 2048, 3072, 4096, 5120, 6144)
_MOST_SERVERLESS = 200
_MOST_TAGS = 40


@dataclass(frozen=True)
class Hosting:
    """How a model is hosted: on instances that wait for requests, without servers, or asynchronously.

    The engine on this machine takes it too and says what it ignores.

    Parameters
    ----------
    instance_type : str, default "ml.m5.large"
        What the endpoint runs on.
    instances : int, default 1
        How many of them.
    serverless_memory_mb : int, optional
        Host without instances, with so much memory: 1024 to 6144 in steps of 1024. Nothing is paid for while nobody
        asks; the first answer after a pause takes longer.
    serverless_concurrency : int, default 5
        Requests at once that a serverless endpoint answers, at most 200.
    asynchronous : bool, default False
        Queue the requests: images and answers travel through S3, and an answer may take up to an hour.
    async_output_uri : str, optional
        Where answers of an asynchronous endpoint go, ``s3://bucket/prefix``; beside the model if left out.
    startup_seconds : float, default 1800
        How long the endpoint may take until it answers.
    variant : str, default "AllTraffic"
        Name of the production variant.
    tags : mapping of str to str, optional
        More tags for what is made.
    kms_key : str, optional
        Key that the volumes of the instances, or asynchronous answers, are encrypted with.
    subnets, security_groups : sequence of str, optional
        The VPC that the model runs in; both or neither.

    Raises
    ------
    PreflightError
        If a value is out of range, or two do not go together.

    Examples
    --------
    >>> Hosting("ml.g4dn.xlarge").instances
    1
    >>> Hosting(serverless_memory_mb=4096).mode
    'serverless'
    """

    instance_type: str = "ml.m5.large"
    instances: int = 1
    _: KW_ONLY
    serverless_memory_mb: int | None = None
    serverless_concurrency: int = 5
    asynchronous: bool = False
    async_output_uri: str | None = None
    startup_seconds: float = 1800
    variant: str = "AllTraffic"
    tags: Mapping[str, str] | None = None
    kms_key: str | None = None
    subnets: Sequence[str] = ()
    security_groups: Sequence[str] = ()
    given: tuple[str, ...] = field(default=(), init=False, repr=False, compare=False)

    def __new__(cls, *values: object, **named: object) -> Self:
        """Note which fields are given."""
        # Noted here, since afterwards a default that was asked for looks like one that was not.
        made = super().__new__(cls)
        positional = [known.name for known in fields(cls) if known.init][: len(values)]
        object.__setattr__(made, "given", (*positional, *named))
        return made

    def __post_init__(self) -> None:
        _check_instances(self)
        _check_serverless(self)
        _check_asynchronous(self)
        _check_rest(self)

    @property
    def mode(self) -> str:
        """``real-time``, ``serverless`` or ``asynchronous``."""
        if self.serverless_memory_mb is not None:
            return "serverless"
        return "asynchronous" if self.asynchronous else "real-time"


def model_request(
    name: str, *, image: str, artifact_uri: str, role: str, hosting: Hosting, tags: Mapping[str, str]
) -> CreateModelInputTypeDef:
    """Return the request that creates a model.

    Parameters
    ----------
    name : str
        Name of the model.
    image : str
        Container that answers.
    artifact_uri : str
        ``s3://.../model.tar.gz``.
    role : str
        ARN of the role that the container runs with.
    hosting : Hosting
        Its VPC.
    tags : mapping of str to str
        Tags.

    Returns
    -------
    dict
    """
    request: CreateModelInputTypeDef = {
        "ModelName": name,
        "ExecutionRoleArn": role,
        "PrimaryContainer": {"Image": image, "ModelDataUrl": artifact_uri},
        "Tags": tag_list(tags),
    }
    if hosting.subnets:
        request["VpcConfig"] = {"Subnets": list(hosting.subnets), "SecurityGroupIds": list(hosting.security_groups)}
    return request


def endpoint_config_request(
    name: str, *, model: str, hosting: Hosting, output_uri: str, tags: Mapping[str, str]
) -> CreateEndpointConfigInputTypeDef:
    """Return the request that creates the configuration of an endpoint.

    Parameters
    ----------
    name : str
        Name of the configuration.
    model : str
        Name of the model.
    hosting : Hosting
        How it is hosted.
    output_uri : str
        Where asynchronous answers go.
    tags : mapping of str to str
        Tags.

    Returns
    -------
    dict
    """
    request: CreateEndpointConfigInputTypeDef = {
        "EndpointConfigName": name,
        "ProductionVariants": [_variant(model, hosting)],
        "Tags": tag_list(tags),
    }
    if hosting.kms_key is not None:
        request["KmsKeyId"] = hosting.kms_key
    if hosting.asynchronous:
        request["AsyncInferenceConfig"] = {
            "OutputConfig": {"S3OutputPath": output_uri, "S3FailurePath": f"{output_uri.rstrip('/')}/failures"},
        }
        if hosting.kms_key is not None:
            request["AsyncInferenceConfig"]["OutputConfig"]["KmsKeyId"] = hosting.kms_key
    return request


def endpoint_request(name: str, *, config: str, tags: Mapping[str, str]) -> CreateEndpointInputTypeDef:
    """Return the request that creates an endpoint.

    Parameters
    ----------
    name : str
        Name of the endpoint.
    config : str
        Name of its configuration.
    tags : mapping of str to str
        Tags.

    Returns
    -------
    dict

    Examples
    --------
    >>> endpoint_request("birds", config="birds-1", tags={"team": "birds"})["Tags"]
    [{'Key': 'team', 'Value': 'birds'}]
    """
    return {"EndpointName": name, "EndpointConfigName": config, "Tags": tag_list(tags)}


def tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Return tags as a request carries them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _variant(model: str, hosting: Hosting) -> ProductionVariantTypeDef:
    variant: ProductionVariantTypeDef = {"VariantName": hosting.variant, "ModelName": model}
    if hosting.serverless_memory_mb is not None:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": hosting.serverless_memory_mb,
            "MaxConcurrency": hosting.serverless_concurrency,
        }
    else:
        variant["InstanceType"] = hosting.instance_type  # type: ignore[typeddict-item]  # checked by preflight
        variant["InitialInstanceCount"] = hosting.instances
    return variant


def _check_instances(hosting: Hosting) -> None:
    if not _INSTANCE_TYPE.fullmatch(hosting.instance_type):
        raise PreflightError("no type of instance", value=hosting.instance_type, cure="give one such as ml.m5.large")
    if hosting.instances < 1:
        raise PreflightError("an endpoint has at least one instance", value=hosting.instances)


def _check_serverless(hosting: Hosting) -> None:
    if hosting.serverless_memory_mb is None:
        return
    if hosting.serverless_memory_mb not in _MEMORY_MB:
        cure = f"give one of {', '.join(map(str, _MEMORY_MB))}"
        raise PreflightError("no such serverless memory", value=hosting.serverless_memory_mb, cure=cure)
    if not 1 <= hosting.serverless_concurrency <= _MOST_SERVERLESS:
        message = f"a serverless endpoint answers 1 to {_MOST_SERVERLESS} requests at once"
        raise PreflightError(message, value=hosting.serverless_concurrency)
    if hosting.asynchronous:
        raise PreflightError("an endpoint is serverless or asynchronous, not both", cure="leave one of the two out")
    if hosting.instances != Hosting.instances or hosting.instance_type != Hosting.instance_type:
        message = "a serverless endpoint has no instances"
        cure = "leave out instance_type and instances, or serverless_memory_mb"
        raise PreflightError(message, value=hosting.instance_type, cure=cure)


def _check_asynchronous(hosting: Hosting) -> None:
    uri = hosting.async_output_uri
    if uri is None:
        return
    if not hosting.asynchronous:
        raise PreflightError("only an asynchronous endpoint has async_output_uri", cure="give asynchronous=True")
    if not _S3_URI.fullmatch(uri):
        raise PreflightError("no address in S3", value=uri, cure="give one such as s3://bucket/answers")


def _check_rest(hosting: Hosting) -> None:
    if not hosting.startup_seconds > 0:
        raise PreflightError("an endpoint takes time to start", value=hosting.startup_seconds)
    if not _VARIANT.fullmatch(hosting.variant):
        cure = "letters, digits and hyphens, at most 63"
        raise PreflightError("no name for a variant", value=hosting.variant, cure=cure)
    if bool(hosting.subnets) != bool(hosting.security_groups):
        raise PreflightError("a VPC takes both subnets and security groups", cure="give both or neither")
    if len(hosting.tags or {}) > _MOST_TAGS:
        raise PreflightError(f"more than {_MOST_TAGS} tags", value=len(hosting.tags or {}))
    reserved = sorted(key for key in hosting.tags or {} if key.startswith(("birdsod:", "aws:")))
    if reserved:
        raise PreflightError("this tag is not yours to give", value=reserved[0], cure="choose another key")
