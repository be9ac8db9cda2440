"""Images beside annotations on this machine: what a job would fail of; that they can be read was checked before."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.preflight_plan import volume_findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.dataset import ImageChannel, ImageChannels
    from birdsod.estimator.sagemaker.requests import TrainingPlan

__all__ = ["image_channel_findings"]


def image_channel_findings(
    plan: TrainingPlan, images: ImageChannels, *, image_shape: int | None, built_in: bool
) -> Iterator[Finding]:
    """Check the images that a job is to learn from.

    Parameters
    ----------
    plan : TrainingPlan
        The job.
    images : ImageChannels
        What :func:`birdsod.dataset.write_images` returned.
    image_shape : int or None
        Side of the network's input; None where it is not known.
    built_in : bool
        Whether the built-in algorithm reads them, which cannot do without objects.

    Yields
    ------
    Finding
    """
    for channel in images.channels.values():
        if not channel.files:
            cure = "put images into it, or split the data set otherwise"
            yield Finding("empty-channel", f"the channel {channel.name} has no image", cure=cure)
            continue
        if built_in:
            yield from _objects(channel)
        yield from _classes(channel, len(images.class_table))
        yield from _sizes(channel, image_shape)
    copied = {each.name for each in plan.channels if each.input_mode == "File"}
    yield from volume_findings(plan, sum(each.bytes for each in images.channels.values() if each.name in copied))


def _objects(channel: ImageChannel) -> Iterator[Finding]:
    empty = [file for file in channel.files if not file.objects]
    if empty:
        message = f"{_several(len(empty))} of the channel {channel.name} have no object, at which the algorithm stops"
        cause = 'they were written with without_objects="keep"'
        cure = 'write_images(..., without_objects="leave_out"), or image= a container of your own'
        yield Finding("image-without-objects", message, "error", empty[0].name, cause, cure)


def _classes(channel: ImageChannel, classes: int) -> Iterator[Finding]:
    absent = sorted(set(range(classes)) - set(channel.class_ids))
    if not absent:
        return
    message = f"classes occur in no image of the channel {channel.name}"
    if channel.name == "train":
        cure = "select the classes that have images, and write them again"
        yield Finding("absent-class", message, "error", absent, "class ids are to be 0 to n-1 without gaps", cure)
    else:
        cause = "their average precision cannot be measured"
        yield Finding("absent-class", message, "warning", absent, cause, "split the data set otherwise")


def _sizes(channel: ImageChannel, image_shape: int | None) -> Iterator[Finding]:
    sides = Counter(image_shape is not None and min(file.width, file.height) < image_shape for file in channel.files)
    if sides[True] * 2 > channel.records:
        message = f"{_several(sides[True])} of the channel {channel.name} are blown up to {image_shape} pixels"
        yield Finding("small-images", message, "warning", sides[True], cure="train with a smaller image_shape")


def _several(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"
