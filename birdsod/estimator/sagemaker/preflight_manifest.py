"""Augmented manifests, as Ground Truth writes them: their lines, before a job stops at one."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.preflight_account import split_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from birdsod.estimator.sagemaker.requests import ChannelPlan
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["manifest_findings", "manifest_findings_at"]

_IMAGE = "source-ref"
_MOST_BYTES = 16_000_000
_SIDES = ("class_id", "left", "top", "width", "height")


def manifest_findings(lines: Iterable[str], names: Sequence[str], *, classes: int | None = None) -> Iterator[Finding]:
    """Check the lines of an augmented manifest.

    Parameters
    ----------
    lines : iterable of str
        One JSON object each; read one by one.
    names : sequence of str
        The attributes that the job reads: the image's, then the label's.
    classes : int, optional
        Number of classes, if it is known.

    Yields
    ------
    Finding
        Of each kind of fault the first, with its line and how often it occurs.

    Examples
    --------
    >>> line = '{"frame-ref": "s3://birds/1.jpg", "birds": {}}'
    >>> [finding.kind for finding in manifest_findings([line], ("source-ref", "birds"))]
    ['video-manifest']
    """
    counts: Counter[str] = Counter()
    first: dict[str, tuple[int, str, str, object]] = {}
    total = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        total += 1
        for kind, message, value in _line(line, names, classes):
            counts[message] += 1
            first.setdefault(message, (number, kind, message, value))
    if not total:
        yield Finding("empty-channel", "the manifest has no line", cure="label some images first")
    for number, kind, message, value in first.values():
        often = "" if counts[message] == 1 else f", and in {counts[message] - 1} more lines"
        yield Finding(kind, f"line {number}: {message}{often}", "error", value, cure=_CURES[kind])


_CURES = {
    "manifest-line": "mend or leave out the line, or read the manifest as a data set and pack it",
    "video-manifest": "make a manifest of images, each under source-ref",
    "image-without-objects": "leave such images out, or read the manifest as a data set and pack it",
    "bad-class-id": "number the classes from 0 without gaps",
    "bad-box": "mend the box: pixels, left, top, width, height, inside the image",
}


def manifest_findings_at(cloud: Cloud, channel: ChannelPlan, *, classes: int | None = None) -> Iterator[Finding]:
    """Check the beginning of an augmented manifest in S3.

    Parameters
    ----------
    cloud : Cloud
        Who reads it.
    channel : ChannelPlan
        The channel whose address is the manifest's.
    classes : int, optional
        Number of classes, if it is known.

    Yields
    ------
    Finding
    """
    from birdsod.estimator.sagemaker.faults import asking, is_missing

    bucket, key = split_uri(channel.uri)
    try:
        with asking("read the manifest", resource=channel.uri):
            body = cloud.s3.get_object(Bucket=bucket, Key=key)["Body"]
            try:
                text = body.read(_MOST_BYTES)
                whole = not body.read(1)
            finally:
                body.close()
    except CloudError as error:
        if is_missing(error):
            yield Finding("missing-object", "the manifest is not there", value=channel.uri, cure="check the address")
        else:
            yield Finding("not-checked", error.message, "warning", error.value, error.cause, error.cure)
        return
    lines = text.decode("utf-8", errors="replace").splitlines()
    yield from manifest_findings(lines if whole else lines[:-1], channel.attribute_names, classes=classes)


def _line(line: str, names: Sequence[str], classes: int | None) -> Iterator[tuple[str, str, object]]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        yield "manifest-line", "this is no JSON object", line[:60]
        return
    videos = [name for name in row if name.endswith("-ref") and name != _IMAGE]
    if videos and _IMAGE not in row:
        yield "video-manifest", "the line is about a frame of a video", videos[0]
        return
    missing = [name for name in names if name not in row]
    if missing:
        yield "manifest-line", "an attribute that the job reads is missing", missing[0]
    elif len(names) > 1:
        yield from _label(row[names[1]], classes)


def _label(label: object, classes: int | None) -> Iterator[tuple[str, str, object]]:
    rows = label.get("annotations") if isinstance(label, dict) else None
    size = label.get("image_size") if isinstance(label, dict) else None
    if not isinstance(rows, list) or not isinstance(size, list) or not size or not isinstance(size[0], dict):
        yield "manifest-line", "the label has not the two parts annotations and image_size", None
    elif not rows:
        yield "image-without-objects", "the image has no object, at which the algorithm stops", None
    else:
        for row in rows:
            yield from _box(row, size[0], classes)


def _box(row: object, size: dict[str, Any], classes: int | None) -> Iterator[tuple[str, str, object]]:
    numbers = [row.get(side) for side in _SIDES] if isinstance(row, dict) else []
    if not numbers or not all(isinstance(number, int | float) for number in numbers):
        yield "manifest-line", "an annotation has not class_id, left, top, width and height as numbers", None
        return
    class_id, left, top, width, height = (float(number) for number in numbers if number is not None)
    if not class_id.is_integer() or class_id < 0 or (classes is not None and class_id >= classes):
        yield "bad-class-id", "a class id is none of 0 to n-1", class_id
    if width <= 0 or height <= 0:
        yield "bad-box", "a box has no area", [left, top, width, height]
    elif left < 0 or top < 0 or left + width > _side(size, "width") or top + height > _side(size, "height"):
        yield "bad-box", "a box leaves its image", [left, top, width, height]


def _side(size: dict[str, Any], name: str) -> float:
    found = size.get(name)
    return float(found) if isinstance(found, int | float) else math.inf
