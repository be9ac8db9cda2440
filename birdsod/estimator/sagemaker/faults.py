"""What the cloud's refusals mean: one error with the operation, the code, the likely cause and the cure."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from birdsod.errors import BirdsodError, CloudError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["asking", "boto3_module", "code_of", "is_expired", "is_missing", "is_throttled", "patient"]

T = TypeVar("T")

_EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "UnauthorizedSSOTokenError"}
)
# Keys that were replaced meanwhile: fresh ones may do, but wrong ones stay wrong.
_REPLACED = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"})
_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "TooManyRequestsException",
        "SlowDown",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "InternalServerException",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
    }
)
_MISSING = frozenset(
    {
        "404",
        "NotFound",
        "NoSuchKey",
        "NoSuchBucket",
        "NoSuchEntity",
        "ResourceNotFound",
        "ResourceNotFoundException",
        "NoSuchUpload",
    }
)
# SageMaker says ValidationException for what is not there; only its words tell.
_MISSING_WORDS = ("could not find", "does not exist", "cannot find", "not found")
_DENIED = (
    "the caller's policies, or the bucket's or key's, do not allow it",
    "ask the account's administrator for this action, or use another profile",
)
_SIGN_IN = ("the credentials are invalid", "sign in anew, or pass session=boto3.Session(profile_name=...)")
_RENEW = ("the credentials have expired", "sign in anew; a job that runs goes on: attach(name) finds it")
_UNREACHABLE = ("no network, a proxy, or a region that does not exist", "check the connection and the region")
_NO_CREDENTIALS = (
    "no credentials in the environment, in ~/.aws or on this machine",
    "run `aws configure` or `aws sso login`, or pass session=boto3.Session(profile_name=...)",
)
_BUSY = ("more requests than the account may make", "try again in a minute")
# Code to likely cause and cure.
_CURES: dict[str, tuple[str, str]] = {
    "ResourceLimitExceeded": (
        "the account's quota for this instance type and use is too small, often 0",
        "ask for an increase of '<instance type> for ... usage' under Service Quotas, or take another instance type",
    ),
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "403": _DENIED,
    "Forbidden": _DENIED,
    "InvalidClientTokenId": _SIGN_IN,
    "UnrecognizedClientException": _SIGN_IN,
    "InvalidSignatureException": _SIGN_IN,
    "SignatureDoesNotMatch": _SIGN_IN,
    "InvalidAccessKeyId": _SIGN_IN,
    "ValidationException": (
        "a value that the service does not take",
        "see the message; check(data) finds most of them",
    ),
    "ParamValidationError": ("a value of the wrong kind", "see the message"),
    "ResourceInUse": ("a resource of this name exists", "leave the name out: each job gets its own"),
    "ResourceNotFound": ("it was deleted, or lies in another region or account", "check the name and the region"),
    "NoSuchBucket": ("a mistyped bucket, or one that was deleted", "pass bucket= an existing bucket of this region"),
    "NoSuchKey": ("it was deleted, or never written", "check the address"),
    "404": ("it was deleted, or never existed", "check the name"),
    "NotFound": ("it was deleted, or never existed", "check the name"),
    "NoSuchEntity": ("no role of this name in the account", "pass role= the ARN of an execution role"),
    "PermanentRedirect": ("the bucket lies in another region", "pass a bucket of the session's region"),
    "301": ("the bucket lies in another region", "pass a bucket of the session's region"),
    "IllegalLocationConstraintException": (
        "the bucket lies in another region",
        "pass a bucket of the session's region",
    ),
    "BucketAlreadyExists": ("another account has a bucket of this name", "pass bucket= one of your own"),
    "ModelError": ("the model in the container failed", "see the endpoint's log"),
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _NO_CREDENTIALS,
    "ProfileNotFound": ("no profile of this name in ~/.aws", "see `aws configure list-profiles`"),
    "NoRegionError": ("no region is set", "set AWS_DEFAULT_REGION, or pass session=boto3.Session(region_name=...)"),
    "CredentialRetrievalError": _SIGN_IN,
    "SSOTokenLoadError": _SIGN_IN,
    "TokenRetrievalError": _SIGN_IN,
    **dict.fromkeys(_EXPIRED, _RENEW),
}


def boto3_module() -> Any:  # noqa: ANN401 - a module
    """Return boto3, loaded when it is first needed.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import boto3
    except ImportError as error:
        raise MissingDependencyError("boto3 is not installed", cure='pip install "birdsod[cloud]"') from error
    return boto3


def code_of(error: BaseException) -> str:
    """Return the service's code for an error; the name of its class where no service answered.

    Parameters
    ----------
    error : BaseException
        One of botocore's, or a :class:`CloudError <birdsod.errors.CloudError>`, which carries its code.

    Examples
    --------
    >>> code_of(CloudError("refused", value="AccessDenied")), code_of(ValueError())
    ('AccessDenied', 'ValueError')
    """
    if isinstance(error, BirdsodError):
        return str(error.value or "")
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(error).__name__)


def is_missing(error: BaseException) -> bool:
    """Return whether an error says that something is not there."""
    code = code_of(error)
    return code in _MISSING or (
        code in {"ValidationException", "ValidationError"}
        and any(word in str(error).lower() for word in _MISSING_WORDS)
    )


def is_expired(error: BaseException) -> bool:
    """Return whether an error says that the credentials have expired."""
    return code_of(error) in _EXPIRED


def is_throttled(error: BaseException) -> bool:
    """Return whether an error may be gone a moment later: throttling, a busy service, a lost connection."""
    code = code_of(error)
    return code in _THROTTLED or code.startswith("Throttl")


@contextmanager
def asking(action: str, *, resource: str | None = None) -> Iterator[None]:
    """Turn what boto3 raises in the block into a :class:`CloudError <birdsod.errors.CloudError>`.

    Parameters
    ----------
    action : str
        What is being done, in words: ``"create the training job"``.
    resource : str, optional
        What it is done to.

    Raises
    ------
    CloudError
        With the service's code as its value, the likely cause and the cure.
    """
    boto3_module()
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise _translated(error, action, resource) from error


def _translated(error: Exception, action: str, resource: str | None) -> CloudError:
    told = _inner(error)
    code = code_of(told)
    cause, cure = _CURES.get(code, _BUSY if code.startswith("Throttl") else (None, None))
    if code in {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"}:
        cause, cure = _UNREACHABLE
    what = f"{action} {resource}" if resource else action
    words = " ".join(str(told).split()).rstrip(".")
    return CloudError(f"cannot {what}: {words}", value=code, cause=cause, cure=cure)


def _inner(error: Exception) -> Exception:
    """Return what the service said where boto3's transfers wrap it in an error of their own."""
    inner = error.__cause__ or error.__context__
    wrapped = not hasattr(error, "response") and isinstance(inner, Exception) and hasattr(inner, "response")
    return inner if wrapped and isinstance(inner, Exception) else error


def patient(
    call: Callable[[], T],
    *,
    attempts: int = 6,
    sleep: Callable[[float], object] = time.sleep,
    seconds: float = 1.0,
    renew: Callable[[], object] | None = None,
    passes: Callable[[Exception], bool] | None = None,
) -> T:
    """Call something again while the service is too busy, or the credentials have expired and can be renewed.

    Parameters
    ----------
    call : callable
        What asks; it must look its client up anew each time, as ``cloud.sagemaker`` does.
    attempts : int, default 6
        How often at most.
    sleep : callable, default time.sleep
        Waits for so many seconds.
    seconds : float, default 1.0
        Wait before the second attempt; it doubles each time.
    renew : callable, optional
        Gets fresh credentials: ``cloud.renewed``. Without it, expired ones are an error at once.
    passes : callable, optional
        Tells which other errors pass by themselves; by default :func:`is_throttled` does.

    Returns
    -------
    object
        What the call returned.

    Raises
    ------
    Exception
        What the last attempt raised, or at once what is no matter of patience.
    """
    renewed = False
    for attempt in range(attempts):
        try:
            return call()
        except Exception as error:
            replaced = code_of(error) in _REPLACED and not renewed
            stale = renew is not None and (replaced or is_expired(error))
            if attempt == attempts - 1 or not (stale or (passes or is_throttled)(error)):
                raise
            if stale and renew is not None:
                renew()
                renewed = True
            sleep(seconds * 2**attempt)
    raise ValueError("at least one attempt")
