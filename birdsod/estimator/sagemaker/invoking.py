"""One request to an endpoint: sent again while the service is busy, and refused in words that help."""

from __future__ import annotations

import time
import uuid
import warnings
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from birdsod.errors import CloudError, ServingError
from birdsod.estimator.sagemaker.buckets import split_uri
from birdsod.estimator.sagemaker.endings import pause
from birdsod.estimator.sagemaker.faults import asking, code_of, is_throttled, patient
from birdsod.estimator.sagemaker.uploads import below, read_bytes, write_object
from birdsod.serving import Limits
from birdsod.serving._answers import reason_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.serving._payload import Payload

__all__ = ["ANSWER_BYTES", "LIMITS", "SERVERLESS_LIMITS", "SUFFIXES", "invoke", "invoke_async", "log_group"]

T = TypeVar("T")

# The service takes 6 MiB, but images of the algorithm's container are known that take 5,246,976 bytes.
LIMITS = Limits(body_bytes=5 * 1024 * 1024)
SERVERLESS_LIMITS = Limits(body_bytes=4 * 1024 * 1024)

_ATTEMPTS = 4
ANSWER_BYTES = 64 * 1024 * 1024
_ASYNC_SECONDS = 3600.0
_BUSY = frozenset({"ModelNotReadyException", "InternalDependencyException"})
_BUSY_STATUS = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_ACCEPT = "application/json"
SUFFIXES = {"image/jpeg": "jpg", "image/png": "png"}


def log_group(endpoint: str) -> str:
    """Return the log group that an endpoint's container writes to."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def invoke(cloud: Cloud, endpoint: str, sent: Payload, *, seconds: float = 1.0) -> bytes:
    """Return the answer of a real-time or serverless endpoint.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    endpoint : str
        Its name.
    sent : Payload
        The image.
    seconds : float, default 1.0
        Wait before the second attempt; it doubles each time.

    Returns
    -------
    bytes

    Raises
    ------
    ServingError
        If the container fails, the endpoint does not answer, or stays too busy.
    """

    def ask() -> bytes:
        told = cloud.runtime.invoke_endpoint(
            EndpointName=endpoint, Body=sent.body, ContentType=sent.content_type, Accept=_ACCEPT
        )
        return told["Body"].read()

    return _asked(cloud, endpoint, ask, seconds=seconds)


def invoke_async(cloud: Cloud, endpoint: str, sent: Payload, *, work_uri: str, poll_seconds: float = 10.0) -> bytes:
    """Return the answer of an asynchronous endpoint: the image goes to S3, and the answer is read from there.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    endpoint : str
        Its name.
    sent : Payload
        The image.
    work_uri : str
        Where images are put meanwhile, ``s3://bucket/prefix``.
    poll_seconds : float, default 10.0
        Time between two looks.

    Returns
    -------
    bytes

    Raises
    ------
    ServingError
        If the container fails, or there is no answer within an hour.
    """
    source = below(work_uri, f"{uuid.uuid4().hex}.{SUFFIXES[sent.content_type]}")
    places: list[str] = []
    try:
        write_object(cloud, source, sent.body, content_type=sent.content_type)
        places.append(source)

        def ask() -> Mapping[str, Any]:
            return cloud.runtime.invoke_endpoint_async(
                EndpointName=endpoint, InputLocation=source, ContentType=sent.content_type, Accept=_ACCEPT
            )

        told = _asked(cloud, endpoint, ask, seconds=min(1.0, poll_seconds))
        places += [told["OutputLocation"], told.get("FailureLocation", "")]
        return _collected(cloud, endpoint, places[1], places[2], poll_seconds=poll_seconds)
    except CloudError as error:
        raise ServingError(error.message, value=error.value, cause=error.cause, cure=error.cure) from error
    finally:
        for uri in filter(None, places):
            _drop(cloud, uri)


def _collected(cloud: Cloud, endpoint: str, output: str, failure: str, *, poll_seconds: float) -> bytes:
    deadline = time.monotonic() + _ASYNC_SECONDS
    while time.monotonic() < deadline:
        answer = read_bytes(cloud, output, most=ANSWER_BYTES)
        if answer is not None:
            return answer
        failed = read_bytes(cloud, failure, most=ANSWER_BYTES) if failure else None
        if failed is not None:
            raise _container_error(endpoint, reason_in(failed))
        pause(poll_seconds)
    cure = f"see the log group {log_group(endpoint)}"
    raise ServingError(f"endpoint {endpoint} has not answered within an hour", cure=cure)


def _drop(cloud: Cloud, uri: str) -> None:
    bucket, key = split_uri(uri)
    try:
        with asking("delete", resource=uri):
            cloud.s3.delete_object(Bucket=bucket, Key=key)
    except CloudError as error:
        # An answer must not be lost over it.
        warnings.warn(f"it stays in S3: {error}", stacklevel=4)


def _asked(cloud: Cloud, endpoint: str, ask: Callable[[], T], *, seconds: float) -> T:
    def once() -> T:
        with asking("ask", resource=f"endpoint {endpoint}"):
            return ask()

    try:
        return patient(once, attempts=_ATTEMPTS, sleep=pause, seconds=seconds, renew=cloud.renewed, passes=_may_pass)
    except CloudError as error:
        raise _refusal(endpoint, error) from error


def _may_pass(error: Exception) -> bool:
    told = _told(error)
    return (
        is_throttled(error)
        or code_of(error) in _BUSY
        or told.get("OriginalStatusCode") in _BUSY_STATUS
        or told.get("ResponseMetadata", {}).get("HTTPStatusCode") in _BUSY_STATUS
    )


def _refusal(endpoint: str, error: CloudError) -> ServingError:
    told = _told(error)
    if code_of(error) == "ModelError":
        return _container_error(endpoint, reason_in(str(told.get("OriginalMessage", error.message)).encode()))
    if code_of(error) == "ValidationError" and "not found" in error.message:
        cure = "wait() until it is in service, or deploy again; cleanup lists what there is"
        return ServingError(f"there is no endpoint {endpoint} that answers", cause=error.message, cure=cure)
    return ServingError(error.message, value=error.value, cause=error.cause, cure=error.cure)


def _container_error(endpoint: str, words: str) -> ServingError:
    cure = f"see the log group {log_group(endpoint)}"
    return ServingError(f"the container of endpoint {endpoint} failed on this image", cause=words, cure=cure)


def _told(error: Exception) -> Mapping[str, Any]:
    response = getattr(error.__cause__, "response", None)
    return response if isinstance(response, dict) else {}
