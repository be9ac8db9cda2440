"""From a model archive in S3 to an endpoint that answers, or to nothing at all."""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import TYPE_CHECKING

from birdsod._progress import bar
from birdsod.errors import CloudError, PreflightError, ServingError
from birdsod.estimator.sagemaker.buckets import split_uri
from birdsod.estimator.sagemaker.detector import SageMakerDetector, Site
from birdsod.estimator.sagemaker.endings import pause
from birdsod.estimator.sagemaker.faults import asking, is_missing
from birdsod.estimator.sagemaker.findings import raise_errors, warnings_of
from birdsod.estimator.sagemaker.hosting import Hosting, endpoint_config_request, endpoint_request, model_request
from birdsod.estimator.sagemaker.invoking import log_group
from birdsod.estimator.sagemaker.ledger import Ledger, Resource
from birdsod.estimator.sagemaker.names import is_name, unique_name
from birdsod.estimator.sagemaker.preflight_hosting import hosting_findings
from birdsod.estimator.sagemaker.resources import described
from birdsod.estimator.sagemaker.undertaking import Undertaking
from birdsod.estimator.sagemaker.uploads import below, size_of

if TYPE_CHECKING:
    from tqdm.std import tqdm

    from birdsod.classes import ClassTable
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = [
    "SageMakerDetector",
    "check_artifact",
    "deploy",
    "endpoint_status",
    "give_up",
    "last_lines",
    "wait_in_service",
]

_STARTING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})
_LAST_LINES = 12
_STREAMS = 3


def deploy(  # noqa: PLR0913 - keyword-only: what is hosted, how, and where it is noted
    cloud: Cloud,
    *,
    artifact_uri: str,
    image: str,
    role: str,
    classes: ClassTable,
    hosting: Hosting | None = None,
    ledger: Ledger | None = None,
    name: str | None = None,
    wait: bool = True,
    check: bool = True,
    poll_seconds: float = 10.0,
) -> SageMakerDetector:
    """Host a model archive.

    Parameters
    ----------
    cloud : Cloud
        Where.
    artifact_uri : str
        ``s3://.../model.tar.gz``.
    image : str
        Container that answers.
    role : str
        ARN of the role that the container runs with.
    classes : ClassTable
        What the class ids of an answer stand for.
    hosting : Hosting, optional
        How it is hosted.
    ledger : Ledger, optional
        Where it is noted; the default ledger if left out.
    name : str, optional
        Name of the endpoint; a new one if left out.
    wait : bool, default True
        Wait until it answers; otherwise return as soon as it is asked for.
    check : bool, default True
        Whether instance, quota, role and container are checked first, as far as the account lets us.
    poll_seconds : float, default 10.0
        Time between two looks.

    Returns
    -------
    SageMakerDetector
        To be used in a ``with`` block, or closed by hand.

    Warns
    -----
    UserWarning
        For each finding that one may live with.

    Raises
    ------
    PreflightError
        If there is no such archive, or it lies in another region, or the name cannot be taken, or the hosting would
        fail; nothing was made.
    CloudError
        If the service refuses to create something.
    ServingError
        If the endpoint does not start, with the reason and the last lines of its log. Whatever goes wrong, and also
        after an interrupt, what was made is deleted before the error is raised.
    """
    how = hosting or Hosting()
    stem = unique_name("birdsod")
    endpoint = stem if name is None else _free_name(cloud, name, seconds=min(1.0, poll_seconds))
    check_artifact(cloud, artifact_uri)
    if check:
        _check(cloud, artifact_uri, image, role, how)
    undertaking = Undertaking(cloud, ledger or Ledger(), tags=how.tags, poll_seconds=poll_seconds)
    try:
        site = _make(undertaking, stem, endpoint, how, artifact_uri=artifact_uri, image=image, role=role)
        detector = SageMakerDetector(site, classes, undertaking, startup_seconds=how.startup_seconds)
        if wait:
            detector.wait()
    except BaseException as error:
        give_up(undertaking, error)
        raise
    return detector


def _check(cloud: Cloud, artifact_uri: str, image: str, role: str, how: Hosting) -> None:
    findings = hosting_findings(artifact_uri=artifact_uri, image=image, hosting=how, role=role, cloud=cloud)
    raise_errors(findings)
    for finding in warnings_of(findings):
        warnings.warn(str(finding), UserWarning, stacklevel=4)


def give_up(undertaking: Undertaking, error: BaseException) -> None:
    """End what was made; what is still there afterwards is told with the error that led here.

    Parameters
    ----------
    undertaking : Undertaking
        What was made.
    error : BaseException
        What went wrong.
    """
    progress: tqdm[None] = bar(description="deleting what was made", unit="look")
    try:
        with progress as shown:
            shown.set_postfix_str("Ctrl-C leaves it to `birdsod cleanup`")
            for resource, reason in undertaking.end().items():
                error.add_note(f"still there: {resource}: {reason}")
    finally:
        # The ledger has the rest; a detector that nobody got must not try again when Python exits.
        undertaking.release()


def _make(
    undertaking: Undertaking, stem: str, endpoint: str, how: Hosting, *, artifact_uri: str, image: str, role: str
) -> Site:
    client, tags = undertaking.cloud.sagemaker, undertaking.tags
    output = how.async_output_uri or below(artifact_uri.rpartition("/")[0], "asynchronous", endpoint)
    model = model_request(stem, image=image, artifact_uri=artifact_uri, role=role, hosting=how, tags=tags)
    config = endpoint_config_request(stem, model=stem, hosting=how, output_uri=output, tags=tags)
    undertaking.make("model", stem, partial(client.create_model, **model))
    undertaking.make("endpoint-config", stem, partial(client.create_endpoint_config, **config))
    request = endpoint_request(endpoint, config=stem, tags=tags)
    undertaking.make("endpoint", endpoint, partial(client.create_endpoint, **request))
    return Site(endpoint, how.mode == "serverless", below(output, "images") if how.asynchronous else None)


def wait_in_service(
    cloud: Cloud, endpoint: str, *, startup_seconds: float = 1800.0, poll_seconds: float = 10.0
) -> None:
    """Wait until an endpoint answers.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    endpoint : str
        Its name.
    startup_seconds : float, default 1800
        How long it may take.
    poll_seconds : float, default 10.0
        Time between two looks.

    Raises
    ------
    ServingError
        If it does not start, or not in time.
    """
    deadline = time.monotonic() + startup_seconds
    progress: tqdm[None] = bar(description=f"endpoint {endpoint}", unit="look")
    with progress as shown:
        while True:
            status, reason = endpoint_status(cloud, endpoint, seconds=min(1.0, poll_seconds))
            shown.set_postfix_str(status)
            if status == "InService":
                return
            if status not in _STARTING:
                raise _not_started(cloud, endpoint, status, reason)
            if time.monotonic() > deadline:
                raise _not_started(cloud, endpoint, status, f"it is not in service after {startup_seconds:g} seconds")
            shown.update()
            pause(poll_seconds)


def endpoint_status(cloud: Cloud, endpoint: str, *, seconds: float = 1.0) -> tuple[str, str]:
    """Return the status of an endpoint, ``Deleted`` if there is none, and why it failed.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    endpoint : str
        Its name.
    seconds : float, default 1.0
        Wait before a busy service is asked a second time.

    Returns
    -------
    tuple of str
    """
    told = described(cloud, Resource("endpoint", endpoint, cloud.region, cloud.account), seconds=seconds)
    return ("Deleted", "") if told is None else (told["EndpointStatus"], told.get("FailureReason", ""))


def _not_started(cloud: Cloud, endpoint: str, status: str, reason: str) -> ServingError:
    said = " | ".join(last_lines(cloud, log_group(endpoint)))
    cause = "; its log ends: ".join(part for part in (reason, said) if part) or "it said nothing"
    cure = "see that the container can read this model, or take a larger instance"
    return ServingError(f"endpoint {endpoint} does not start: it is {status}", cause=cause, cure=cure)


def last_lines(cloud: Cloud, group: str, *, stream_prefix: str | None = None, lines: int = _LAST_LINES) -> list[str]:
    """Return the last lines of a log group; none where they cannot be read.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    group : str
        Name of the log group.
    stream_prefix : str, optional
        Only streams whose names begin so.
    lines : int, default 12
        How many.

    Returns
    -------
    list of str
        Oldest first.
    """
    # The order by time of the last event cannot be asked for together with a prefix.
    which = {"logStreamNamePrefix": stream_prefix} if stream_prefix else {"orderBy": "LastEventTime"}
    try:
        with asking("read the log", resource=group):
            streams = cloud.logs.describe_log_streams(
                logGroupName=group,
                descending=not stream_prefix,
                **which,  # type: ignore[arg-type]  # two keys of a request
            )["logStreams"]
            events = [
                (event.get("timestamp", 0), event.get("message", "").rstrip())
                for stream in streams[:_STREAMS]
                for event in cloud.logs.get_log_events(
                    logGroupName=group, logStreamName=stream.get("logStreamName", ""), limit=lines, startFromHead=False
                )["events"]
            ]
    except CloudError:
        # The reason that the service itself gave must not be hidden behind a log that may not be read.
        return []
    return [text for _, text in sorted(events, key=lambda event: event[0]) if text][-lines:]


def check_artifact(cloud: Cloud, uri: str) -> None:
    """See that a model archive exists in the region, before anything is made that would wait for it in vain.

    Parameters
    ----------
    cloud : Cloud
        Where it is to be used.
    uri : str
        ``s3://.../model.tar.gz``.

    Raises
    ------
    PreflightError
        If there is none, or its bucket is in another region.
    CloudError
        If the store does not tell.
    """
    bucket, key = split_uri(uri)
    region = _bucket_region(cloud, bucket)
    if region not in {None, cloud.region}:
        message = f"the model lies in {region}, but is to be hosted in {cloud.region}"
        cure = f"host it in {region}, or copy it to a bucket in {cloud.region}"
        raise PreflightError(message, value=uri, cure=cure)
    if not key or size_of(cloud, uri) is None:
        cause = "the job is not complete, or the archive was deleted"
        raise PreflightError("there is no such model archive", value=uri, cause=cause, cure="give a job's artifact_uri")


def _bucket_region(cloud: Cloud, bucket: str) -> str | None:
    try:
        with asking("look at bucket", resource=bucket):
            headers = cloud.s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
    except CloudError as error:
        if is_missing(error):
            raise PreflightError("there is no such bucket", value=bucket, cure="check the name") from error
        # Whoever may read the archive need not be allowed to look at the bucket; the answer tells all the same.
        headers = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region")


def _free_name(cloud: Cloud, name: str, *, seconds: float) -> str:
    if not is_name(name):
        cure = "letters, digits and hyphens, at most 63, none of the hyphens at an end"
        raise PreflightError("no name for an endpoint", value=name, cure=cure)
    if described(cloud, Resource("endpoint", name, cloud.region, cloud.account), seconds=seconds) is not None:
        cure = f"choose another, or use it: SageMakerDetector.attach({name!r})"
        raise PreflightError("there is an endpoint of this name", value=name, cure=cure)
    return name
