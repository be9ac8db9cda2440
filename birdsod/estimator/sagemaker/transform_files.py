"""The files of a batch transform: images to S3 under names that keep their order, answers back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from birdsod._ordered import in_threads
from birdsod._progress import bar
from birdsod.errors import BirdsodError, CloudError, DatasetError, ImageError
from birdsod.estimator.sagemaker.buckets import split_uri
from birdsod.estimator.sagemaker.faults import asking
from birdsod.estimator.sagemaker.invoking import ANSWER_BYTES, LIMITS, SUFFIXES
from birdsod.estimator.sagemaker.uploads import below, read_bytes, write_object
from birdsod.serving._answers import read_answer
from birdsod.serving._payload import payload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef
    from tqdm.std import tqdm

    from birdsod.classes import ClassTable
    from birdsod.detections import Detections
    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.predicted._images import GivenImage

__all__ = ["Sent", "answers_uri", "content_type", "drop", "images_uri", "receive", "send"]

_THREADS = 8
_MIXED = "application/x-image"


@dataclass(frozen=True, slots=True)
class Sent:
    """An image as it lies in S3, or why it does not.

    Parameters
    ----------
    key : str
        Its name below the prefix of the images; empty if it is not there.
    content_type : str
        Its kind.
    width, height : int
        Its size as it was given.
    reason : str
        Why it is not there.
    """

    key: str = ""
    content_type: str = ""
    width: int = 0
    height: int = 0
    reason: str = ""


def images_uri(place: str) -> str:
    """Return the prefix of the images of a transform."""
    return below(place, "images") + "/"


def answers_uri(place: str) -> str:
    """Return the prefix of its answers."""
    return below(place, "answers")


def send(cloud: Cloud, images: Sequence[GivenImage], place: str, *, kms_key: str | None = None) -> list[Sent]:
    """Copy images to S3, several at a time.

    Parameters
    ----------
    cloud : Cloud
        Where to.
    images : sequence of GivenImage
        The images.
    place : str
        Prefix of the transform.
    kms_key : str, optional
        Key that encrypts them.

    Returns
    -------
    list of Sent
        In the order of the images; one that cannot be read carries the reason.

    Raises
    ------
    DatasetError
        If none of them can be read.
    CloudError
        If the store refuses.
    """
    put = partial(_put, cloud, place, kms_key)
    progress: tqdm[Sent] = bar(
        in_threads(put, enumerate(images), threads=_THREADS), total=len(images), description="upload"
    )
    with progress as shown:
        sent = list(shown)
    if not any(one.key for one in sent):
        raise DatasetError(f"none of the {len(sent)} images can be read", cause=sent[0].reason)
    return sent


def _put(cloud: Cloud, place: str, kms_key: str | None, numbered: tuple[int, GivenImage]) -> Sent:
    number, image = numbered
    try:
        packed = payload(image.source, LIMITS, upright=True)
    except ImageError as error:
        return Sent(reason=str(error))
    # Numbered, since paths from several folders may end alike; with zeros, so that the service keeps the order.
    key = f"{number:08d}.{SUFFIXES[packed.content_type]}"
    uri = images_uri(place) + key
    write_object(cloud, uri, packed.body, content_type=packed.content_type, kms_key=kms_key)
    return Sent(key, packed.content_type, packed.width, packed.height)


def content_type(sent: Iterable[Sent]) -> str:
    """Return the one content type that a job can be told for all its images."""
    kinds = {one.content_type for one in sent if one.key}
    return kinds.pop() if len(kinds) == 1 else _MIXED


def receive(
    cloud: Cloud, sent: Sequence[Sent], place: str, classes: ClassTable, *, missing: str
) -> list[Detections | str]:
    """Return the answers to images, several read at a time.

    Parameters
    ----------
    cloud : Cloud
        Where from.
    sent : sequence of Sent
        The images.
    place : str
        Prefix of the transform.
    classes : ClassTable
        What the class ids stand for.
    missing : str
        Why there may be no answer.

    Returns
    -------
    list of Detections or str
        In the order of the images; a text tells why there is none.
    """

    def read(one: Sent) -> Detections | str:
        if not one.key:
            return one.reason
        uri = below(answers_uri(place), f"{one.key}.out")
        try:
            body = read_bytes(cloud, uri, most=ANSWER_BYTES)
            if body is None:
                return missing
            return read_answer(body, width=one.width, height=one.height, classes=classes, source=uri)
        except BirdsodError as error:
            return str(error)

    progress: tqdm[Detections | str] = bar(
        in_threads(read, sent, threads=_THREADS), total=len(sent), description="answers"
    )
    with progress as shown:
        return list(shown)


def drop(cloud: Cloud, place: str) -> list[str]:
    """Delete the copies of images that a transform made in S3.

    Parameters
    ----------
    cloud : Cloud
        Where.
    place : str
        Prefix of the transform.

    Returns
    -------
    list of str
        What stays, and why.
    """
    bucket, prefix = split_uri(images_uri(place))
    left = []
    try:
        with asking("delete the images in", resource=images_uri(place)):
            for page in cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                keys: list[ObjectIdentifierTypeDef] = [{"Key": row.get("Key", "")} for row in page.get("Contents", [])]
                if keys:
                    told = cloud.s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
                    left += [f"{row.get('Key')}: {row.get('Message')}" for row in told.get("Errors", [])]
    except CloudError as error:
        left.append(str(error))
    return left
