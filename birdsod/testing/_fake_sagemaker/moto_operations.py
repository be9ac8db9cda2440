"""Which operation a request to S3, IAM or STS asks for, and the errors that these services answer with."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from birdsod.testing._fake_sagemaker.loopback import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.testing._fake_sagemaker.errors import ServiceError
    from birdsod.testing._fake_sagemaker.loopback import Request

__all__ = ["operation_of", "refusal_of"]

_BUCKET: Mapping[str, str] = {
    "GET": "ListObjects",
    "HEAD": "HeadBucket",
    "PUT": "CreateBucket",
    "DELETE": "DeleteBucket",
}
_OBJECT: Mapping[str, str] = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
}
_UPLOAD: Mapping[str, str] = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}


def operation_of(service: str, request: Request) -> str:
    """Return what is asked for, as boto3 names it; the empty text where it is none that can be planned for.

    Parameters
    ----------
    service : str
        As requests are signed for it.
    request : Request
        The request.

    Returns
    -------
    str
    """
    if service == "s3":
        return _s3_operation(request)
    return parse_qs(request.body.decode("utf-8", "replace")).get("Action", [""])[0]


def _s3_operation(request: Request) -> str:
    split = urlsplit(request.target)
    asked = parse_qs(split.query, keep_blank_values=True)
    bucket, _, key = split.path.lstrip("/").partition("/")
    if not bucket:
        return "ListBuckets"
    if not key:
        return (
            "ListObjectsV2"
            if "list-type" in asked
            else "GetBucketLocation"
            if "location" in asked
            else _bucket(request)
        )
    if "uploads" in asked:
        return "CreateMultipartUpload"
    if "uploadId" in asked:
        return _UPLOAD.get(request.method, "")
    copied = request.method == "PUT" and "x-amz-copy-source" in request.headers
    return "CopyObject" if copied else _OBJECT.get(request.method, "")


def _bucket(request: Request) -> str:
    return "DeleteObjects" if request.method == "POST" else _BUCKET.get(request.method, "")


def refusal_of(service: str, error: ServiceError) -> Answer:
    """Return an error as S3, or as IAM and STS, tell it.

    Parameters
    ----------
    service : str
        As requests are signed for it.
    error : ServiceError
        The error.

    Returns
    -------
    Answer
    """
    inner = f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
    body = inner if service == "s3" else f"<ErrorResponse>{inner}</ErrorResponse>"
    return Answer(error.status, (("Content-Type", "application/xml"),), body.encode())
