"""The channels of a training job: which there are, and how they are read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.requests import RECORDIO, SEED_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.estimator.sagemaker.requests import ChannelPlan, TrainingPlan

__all__ = ["IMAGE_TYPES", "attribute_findings", "channel_findings"]

IMAGE_TYPES = ("image/jpeg", "image/png", "application/x-image")
"""Content types of channels that hold image files."""

_DATA = ("train", "validation")
_KNOWN = (*_DATA, "train_annotation", "validation_annotation", "model")
_IMAGE = "source-ref"
_TO_RECORDS = "or pack the images: pack() and RecordIO need none of this"


def channel_findings(plan: TrainingPlan, *, built_in: bool) -> Iterator[Finding]:
    """Check the channels of a training job.

    Parameters
    ----------
    plan : TrainingPlan
        The job.
    built_in : bool
        Whether its container is the built-in algorithm; one's own may take more channels, and other forms.

    Yields
    ------
    Finding
    """
    counts = Counter(each.name for each in plan.channels)
    for name, count in counts.items():
        if count > 1:
            yield Finding("repeated-channel", "a channel is there twice", value=name, cure="leave one out")
    for name in _DATA:
        if name not in counts:
            cure = f'pack it: pack({{"train": ..., "{name}": ...}}, ...)' if name == "validation" else "pack one"
            yield Finding("missing-channel", f"the algorithm needs a channel {name}", cure=cure)
    for each in plan.channels:
        if built_in and each.name not in _KNOWN:
            cure = f"leave it out; the algorithm takes {', '.join(_KNOWN)}"
            yield Finding(
                "unknown-channel", "the built-in algorithm does not know the channel", value=each.name, cure=cure
            )
        if each.name in _DATA:
            yield from _data(each, plan)
        if each.name == "model":
            yield from _seed(each)


def _data(channel: ChannelPlan, plan: TrainingPlan) -> Iterator[Finding]:
    if channel.kind == "AugmentedManifestFile":
        yield from _augmented(channel)
    elif channel.content_type in IMAGE_TYPES:
        yield from _images(channel, plan)
    elif channel.content_type != RECORDIO:
        message = f"the content type of the channel {channel.name} is none that the algorithm reads"
        cure = f"give {RECORDIO}, or {' or '.join(IMAGE_TYPES)} for image files"
        yield Finding("content-type", message, value=channel.content_type, cure=cure)
    elif channel.record_wrapper != "None":
        message = f"the channel {channel.name} holds records already; wrapping them again makes them unreadable"
        yield Finding("record-wrapper", message, value=channel.record_wrapper, cure='give record_wrapper="None"')


def _images(channel: ChannelPlan, plan: TrainingPlan) -> Iterator[Finding]:
    if channel.input_mode == "Pipe":
        message = f"the channel {channel.name} holds image files, which the algorithm reads in File mode only"
        cure = f"give input_mode='File', or an augmented manifest, {_TO_RECORDS}"
        yield Finding("input-mode", message, value=channel.input_mode, cure=cure)
    wanted = f"{channel.name}_annotation"
    notes = [each for each in plan.channels if each.name == wanted]
    if not notes:
        cure = f"give one with a JSON file for each image, {_TO_RECORDS}"
        yield Finding("missing-channel", f"image files need a channel {wanted}", cure=cure)
    for each in notes:
        if each.content_type != channel.content_type:
            message = f"the channels {channel.name} and {wanted} have not the same content type"
            yield Finding("content-type", message, value=each.content_type, cure=f"give {channel.content_type} to both")


def _augmented(channel: ChannelPlan) -> Iterator[Finding]:
    where = f"the channel {channel.name} is an augmented manifest"
    if channel.input_mode != "Pipe":
        yield Finding("input-mode", f"{where}, which is read in Pipe mode only", value=channel.input_mode, cure="Pipe")
    if channel.record_wrapper != "RecordIO":
        message = f'{where}, whose images reach the algorithm in records only ("Unable to parse record")'
        yield Finding("record-wrapper", message, value=channel.record_wrapper, cure='give record_wrapper="RecordIO"')
    if channel.content_type != RECORDIO:
        yield Finding(
            "content-type", f"{where}, whose content type is {RECORDIO}", value=channel.content_type, cure=RECORDIO
        )
    yield from attribute_findings(channel.attribute_names)


def attribute_findings(names: tuple[str, ...]) -> Iterator[Finding]:
    """Check which attributes of an augmented manifest are read, and in which order.

    Parameters
    ----------
    names : tuple of str
        As the request names them.

    Yields
    ------
    Finding

    Examples
    --------
    >>> [finding.kind for finding in attribute_findings(("birds", "source-ref"))]
    ['manifest-attributes']
    >>> [finding.kind for finding in attribute_findings(("frame-ref", "birds"))]
    ['video-manifest']
    """
    videos = [name for name in names if name.endswith("-ref") and name != _IMAGE]
    if videos:
        message = "the manifest is about frames of videos, which the algorithm does not read"
        cure = f"make one whose images are under {_IMAGE}, {_TO_RECORDS}"
        yield Finding("video-manifest", message, value=videos[0], cure=cure)
    elif len(names) != 2 or names[0] != _IMAGE or names[1] == _IMAGE:  # noqa: PLR2004 - image and label
        message = "the attribute names are not the image's and the label's, in this order"
        cause = "the algorithm reads them by their position" if _IMAGE in names else None
        cure = f'give ("{_IMAGE}", "<name of the label>")'
        yield Finding("manifest-attributes", message, "error", list(names), cause, cure)


def _seed(channel: ChannelPlan) -> Iterator[Finding]:
    if not channel.uri.endswith(".tar.gz"):
        cure = "give the model.tar.gz that a job of this algorithm wrote"
        yield Finding("seed-archive", "a seed model is one .tar.gz file", value=channel.uri, cure=cure)
    if channel.content_type != SEED_MODEL:
        message = f"the content type of the channel model is {SEED_MODEL}"
        yield Finding("content-type", message, value=channel.content_type, cure=f"give {SEED_MODEL}")
    if channel.input_mode == "Pipe":
        yield Finding("input-mode", "a seed model is read in File mode only", value="Pipe", cure="give File")
