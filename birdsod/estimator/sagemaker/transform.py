"""Batch transform: many images through a model that is there for as long as it takes."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

from birdsod._progress import bar
from birdsod.errors import PreflightError, ServingError
from birdsod.estimator.sagemaker.endings import pause
from birdsod.estimator.sagemaker.endpoint import check_artifact, give_up, last_lines
from birdsod.estimator.sagemaker.hosting import Hosting, model_request, tag_list
from birdsod.estimator.sagemaker.ledger import Ledger, Resource
from birdsod.estimator.sagemaker.names import unique_name
from birdsod.estimator.sagemaker.resources import OVER, described
from birdsod.estimator.sagemaker.transform_files import answers_uri, content_type, drop, images_uri, receive, send
from birdsod.estimator.sagemaker.transformed import FailedImage, Transformed
from birdsod.estimator.sagemaker.undertaking import Undertaking
from birdsod.estimator.sagemaker.uploads import below
from birdsod.predicted._images import given_images
from birdsod.predicted._predicted import seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mypy_boto3_sagemaker.type_defs import CreateTransformJobRequestTypeDef
    from tqdm.std import tqdm

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset
    from birdsod.detections import Detections
    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.image import ImageSource
    from birdsod.predicted._images import GivenImage

__all__ = ["Transformed", "transform", "transform_request"]

_LOG_GROUP = "/aws/sagemaker/TransformJobs"
# Images are shrunk to less; it is also the default of the service.
_PAYLOAD_MB = 6


def transform(  # noqa: PLR0913 - keyword-only: what is asked, with what, and where it is noted
    cloud: Cloud,
    *,
    images: ImageSource | DetectionDataset | Iterable[ImageSource],
    artifact_uri: str,
    image: str,
    role: str,
    classes: ClassTable,
    hosting: Hosting | None = None,
    ledger: Ledger | None = None,
    work_uri: str | None = None,
    poll_seconds: float = 10.0,
) -> Transformed:
    """Find the objects in many images with a batch transform job.

    The images are copied to S3 and these copies deleted at the end; the answers stay there. The job is stopped if the
    waiting is interrupted, and its model is deleted in any case.

    Parameters
    ----------
    cloud : Cloud
        Where.
    images : path-like, DetectionDataset or iterable of image source
        A folder, a data set, or images as ``predict`` takes them.
    artifact_uri : str
        ``s3://.../model.tar.gz``.
    image : str
        Container that answers.
    role : str
        ARN of the role that the container runs with.
    classes : ClassTable
        What the class ids of an answer stand for.
    hosting : Hosting, optional
        Type and number of instances, tags, key and VPC.
    ledger : Ledger, optional
        Where it is noted; the default ledger if left out.
    work_uri : str, optional
        Where images and answers go, ``s3://bucket/prefix``; beside the model if left out.
    poll_seconds : float, default 10.0
        Time between two looks.

    Returns
    -------
    Transformed

    Warns
    -----
    UserWarning
        If images have no answer, which ``failures`` tells one by one; or if something is left in the cloud.

    Raises
    ------
    DatasetError
        If there are no images, or none of them can be read.
    PreflightError
        If there is no such archive, or it lies in another region, or the hosting is none for a transform.
    CloudError
        If the service refuses to create something.
    ServingError
        If the job fails without a single answer.
    """
    how = _instances(hosting or Hosting())
    given = given_images(images)
    check_artifact(cloud, artifact_uri)
    job = unique_name("birdsod")
    place = below(work_uri or artifact_uri.rpartition("/")[0], "transform", job)
    undertaking = Undertaking(cloud, ledger or Ledger(), tags=how.tags, poll_seconds=poll_seconds)
    try:
        sent = send(cloud, given, place, kms_key=how.kms_key)
        model = partial(model_request, image=image, artifact_uri=artifact_uri, role=role, hosting=how)
        undertaking.make("model", job, lambda: cloud.sagemaker.create_model(**model(job, tags=undertaking.tags)))
        request = transform_request(
            job, place=place, content_type=content_type(sent), hosting=how, tags=undertaking.tags
        )
        undertaking.make("transform-job", job, lambda: cloud.sagemaker.create_transform_job(**request))
        told = _wait(cloud, job, poll_seconds=poll_seconds)
    except BaseException as error:
        give_up(undertaking, error)
        drop(cloud, place)
        raise
    left = [*map(str, undertaking.end().values()), *drop(cloud, place)]
    if left:
        warnings.warn(f"still there: {'; '.join(left)}", stacklevel=2)
    answers = receive(cloud, sent, place, classes, missing=_why_missing(told))
    return _transformed(cloud, job, given, answers, place, classes, told)


def transform_request(
    name: str, *, place: str, content_type: str, hosting: Hosting, tags: Mapping[str, str]
) -> CreateTransformJobRequestTypeDef:
    """Return the request that creates a transform job, whose model has the same name.

    Parameters
    ----------
    name : str
        Name of the job and of its model.
    place : str
        Prefix of images and answers.
    content_type : str
        Kind of the images.
    hosting : Hosting
        Type and number of instances, and the key.
    tags : mapping of str to str
        Tags.

    Returns
    -------
    dict
    """
    request: CreateTransformJobRequestTypeDef = {
        "TransformJobName": name,
        "ModelName": name,
        "MaxPayloadInMB": _PAYLOAD_MB,
        "BatchStrategy": "SingleRecord",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": images_uri(place)}},
            "ContentType": content_type,
            "CompressionType": "None",
            "SplitType": "None",
        },
        "TransformOutput": {
            "S3OutputPath": answers_uri(place),
            "Accept": "application/json",
            "AssembleWith": "None",
        },
        "TransformResources": {
            "InstanceType": hosting.instance_type,  # type: ignore[typeddict-item]  # checked by the service
            "InstanceCount": hosting.instances,
        },
        "Tags": tag_list(tags),
    }
    if hosting.kms_key is not None:
        request["TransformOutput"]["KmsKeyId"] = hosting.kms_key
        request["TransformResources"]["VolumeKmsKeyId"] = hosting.kms_key
    return request


def _instances(hosting: Hosting) -> Hosting:
    if hosting.mode != "real-time":
        cure = "give an instance type, such as Hosting('ml.m5.large')"
        raise PreflightError("a batch transform runs on instances", value=hosting.mode, cure=cure)
    return hosting


def _wait(cloud: Cloud, job: str, *, poll_seconds: float) -> Mapping[str, str]:
    """Return how the job ended: its status and its reason, if it has one."""
    resource = Resource("transform-job", job, cloud.region, cloud.account)
    progress: tqdm[None] = bar(description=f"transform {job}", unit="look")
    with progress as shown:
        while True:
            told = described(cloud, resource, seconds=min(1.0, poll_seconds))
            status = "Deleted" if told is None else str(told["TransformJobStatus"])
            shown.set_postfix_str(status)
            if status in OVER or told is None:
                return {"status": status, "reason": str((told or {}).get("FailureReason", ""))}
            shown.update()
            pause(poll_seconds)


def _why_missing(told: Mapping[str, str]) -> str:
    reason = f": {told['reason']}" if told["reason"] else ""
    return f"there is no answer; the job is {told['status']}{reason}"


def _transformed(
    cloud: Cloud,
    job: str,
    given: Sequence[GivenImage],
    answers: Sequence[Detections | str],
    place: str,
    classes: ClassTable,
    told: Mapping[str, str],
) -> Transformed:
    failures = tuple(
        FailedImage(image.name, position, answer)
        for position, (image, answer) in enumerate(zip(given, answers, strict=True))
        if isinstance(answer, str)
    )
    if len(failures) == len(given):
        said = " | ".join(last_lines(cloud, _LOG_GROUP, stream_prefix=f"{job}/"))
        cause = f"{failures[-1].reason}; its log ends: {said}" if said else failures[-1].reason
        raise ServingError(f"transform job {job} gave no answer: it is {told['status']}", cause=cause)
    if failures:
        first = failures[0]
        message = f"{len(failures)} of {len(given)} images have no answer, the first is {first.name}: {first.reason}"
        warnings.warn(message, stacklevel=3)
    found = tuple(None if isinstance(answer, str) else answer for answer in answers)
    return Transformed(tuple(map(seen, given)), found, failures, classes, job, answers_uri(place))
