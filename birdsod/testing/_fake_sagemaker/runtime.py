"""SageMaker's runtime: images in, predictions out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker import s3
from birdsod.testing._fake_sagemaker.errors import ServiceError
from birdsod.testing._fake_sagemaker.predictions import Answered, answer_of

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.world import Json, Kept, Region

__all__ = ["Invoked", "invoke", "invoke_async"]

_BODY_BYTES = 6_291_456
_SERVERLESS_BYTES = 4 * 1024 * 1024
_INLINE_BYTES = 128_000
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Invoked:
    """What an invocation answers.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : tuple of (str, str)
        Its headers.
    body : bytes
        Its body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def invoke(region: Region, request: Json) -> Invoked:
    """Answer ``InvokeEndpoint``.

    Parameters
    ----------
    region : Region
        Where.
    request : dict
        As boto3 takes it.

    Returns
    -------
    Invoked

    Raises
    ------
    ServiceError
        If there is no such endpoint, the body is too large, or the model answers with an error.
    """
    kept, variant = _endpoint(region, request)
    if "AsyncInferenceConfig" in kept.more["settings"]:
        raise _refused(f"Endpoint {kept.name} is asynchronous: use InvokeEndpointAsync")
    most = _SERVERLESS_BYTES if "ServerlessConfig" in variant else _BODY_BYTES
    if len(request["Body"]) > most:
        message = f"Request {len(request['Body'])} bytes has exceeded {most} bytes"
        raise ServiceError("ValidationError", message, status=_TOO_LARGE)
    answered = answer_of(region, kept, request["Body"], request.get("ContentType", ""))
    if answered.status != HTTPStatus.OK:
        raise model_error(region, kept, answered)
    headers = (("Content-Type", answered.content_type), ("x-Amzn-Invoked-Production-Variant", variant["VariantName"]))
    return Invoked(HTTPStatus.OK, headers, answered.body)


def model_error(region: Region, kept: Kept, answered: Answered) -> ServiceError:
    """Return the error for a model that answered with one."""
    text = answered.body.decode("utf-8", "replace")
    message = (
        f"Received {'client' if answered.status < 500 else 'server'} error ({answered.status}) from primary with "  # noqa: PLR2004 - HTTP
        f'message "{text}". See https://{region.name}.console.aws.amazon.com/cloudwatch/home?region={region.name}'
        f"#logEventViewer:group=/aws/sagemaker/Endpoints/{kept.name} in account {region.world.account} for more "
        "information."
    )
    group = f"arn:aws:logs:{region.name}:{region.world.account}:log-group:/aws/sagemaker/Endpoints/{kept.name}"
    fields = {"OriginalStatusCode": answered.status, "OriginalMessage": text, "LogStreamArn": group}
    return ServiceError("ModelError", message, status=HTTPStatus.FAILED_DEPENDENCY, fields=fields)


def invoke_async(region: Region, request: Json) -> Invoked:
    """Answer ``InvokeEndpointAsync``: the input is read from S3, and the output lies there when this returns.

    Parameters
    ----------
    region : Region
        Where.
    request : dict
        As boto3 takes it.

    Returns
    -------
    Invoked

    Raises
    ------
    ServiceError
        If there is no such asynchronous endpoint, or no such input.
    """
    kept, _ = _endpoint(region, request)
    config = kept.more["settings"].get("AsyncInferenceConfig")
    if config is None:
        raise _refused(f"Endpoint {kept.name} is not asynchronous: use InvokeEndpoint")
    body, beside = _input(region, request)
    identity = request.get("InferenceId") or f"birdsod-{region.world.number():08d}"
    output = s3.join(config["OutputConfig"].get("S3OutputPath", beside), f"{identity}.out")
    failure = s3.join(config["OutputConfig"].get("S3FailurePath", output.rpartition("/")[0]), f"{identity}-error.out")
    answered = answer_of(region, kept, body, request.get("ContentType", ""))
    s3.put(region, output if answered.status == HTTPStatus.OK else failure, answered.body)
    headers = (
        ("Content-Type", "application/json"),
        ("X-Amzn-SageMaker-OutputLocation", output),
        ("X-Amzn-SageMaker-FailureLocation", failure),
    )
    return Invoked(HTTPStatus.ACCEPTED, headers, json.dumps({"InferenceId": identity}).encode())


def _input(region: Region, request: Json) -> tuple[bytes, str]:
    """Return the input of an asynchronous invocation, and where its output goes unless told."""
    source = request.get("InputLocation")
    if source is None:
        if not 0 < len(request["Body"]) <= _INLINE_BYTES:
            raise _refused(f"give InputLocation, or a Body of at most {_INLINE_BYTES} bytes")
        return request["Body"], f"s3://sagemaker-{region.name}-{region.world.account}/async"
    if not s3.exists(region, source):
        raise _refused(f"Could not find the input at {source}")
    return s3.get(region, source), source.rpartition("/")[0]


def _endpoint(region: Region, request: Json) -> tuple[Kept, Json]:
    kept = region.endpoints.get(request["EndpointName"])
    if kept is None or kept.more["states"][0] not in {"InService", "Updating"}:
        raise _refused(f"Endpoint {request['EndpointName']} of account {region.world.account} not found.")
    variants: list[Json] = kept.more["settings"]["ProductionVariants"]
    wanted = request.get("TargetVariant")
    for variant in variants:
        if wanted in {None, variant["VariantName"]}:
            return kept, variant
    raise _refused(f"Variant {wanted} not found in endpoint {kept.name}")


def _refused(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)
