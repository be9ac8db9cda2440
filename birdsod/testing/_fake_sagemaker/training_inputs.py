"""Images with annotations, and augmented manifests, as the built-in algorithm reads them: why a job would fail."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from birdsod.testing._fake_sagemaker import s3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["inputs_fault"]

_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "application/x-image"})
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_NAMES = ("train", "validation")
_SIDES = ("left", "top", "width", "height")
# A folder of thousands is believed after so many files: a client does not wait for ever.
_READ = 200
_CONFIGURATION = "ClientError: Unable to initialize the algorithm. Failed to validate input data configuration. "


def inputs_fault(region: Region, request: Json) -> str | None:
    """Return why the algorithm could not read the channels of a job, if it could not.

    Parameters
    ----------
    region : Region
        Where they lie.
    request : dict
        What the job was created with.

    Returns
    -------
    str or None
    """
    channels = {channel["ChannelName"]: channel for channel in request.get("InputDataConfig", [])}
    mode = request["AlgorithmSpecification"].get("TrainingInputMode", "File")
    classes = request.get("HyperParameters", {}).get("num_classes", "")
    many = int(classes) if classes.isdecimal() else None
    return next(_faults(region, channels, mode, many), None)


def _faults(region: Region, channels: Json, mode: str, classes: int | None) -> Iterator[str]:
    for name in _NAMES:
        # That both are there, with objects, has been looked at before.
        channel = {"InputMode": mode, **channels[name]}
        if channel["DataSource"]["S3DataSource"]["S3DataType"] == "AugmentedManifestFile":
            yield from _manifest(region, channel, classes)
        elif channel.get("ContentType") in _IMAGE_TYPES:
            yield from _images(region, channel, channels.get(f"{name}_annotation"), classes)


def _images(region: Region, channel: Json, notes: Json | None, classes: int | None) -> Iterator[str]:
    name = channel["ChannelName"]
    if channel["InputMode"] != "File":
        yield f"{_CONFIGURATION}The content type {channel['ContentType']} of the channel {name} needs File mode"
    elif notes is None:
        yield f"{_CONFIGURATION}(caused by ValidationError)\n\nCaused by: '{name}_annotation' is a required property"
    else:
        yield from _annotated(region, channel, notes, classes)


def _annotated(region: Region, channel: Json, notes: Json, classes: int | None) -> Iterator[str]:
    pictures, labels = _by_stem(region, channel, _SUFFIXES), _by_stem(region, notes, frozenset({".json"}))
    lost = sorted(pictures.keys() ^ labels.keys())
    if lost:
        name = channel["ChannelName"]
        yield f"ClientError: images and annotations of the channel {name} do not match: {lost[0]}"
    bucket, prefix = s3.split(channel["DataSource"]["S3DataSource"]["S3Uri"])
    for stem in islice(sorted(pictures.keys() & labels.keys()), _READ):
        key = labels[stem]
        note = _parsed(s3.get(region, f"s3://{bucket}/{key}"))
        wrong = "no JSON object" if note is None else _wrong(note, classes)
        if wrong is None and note is not None and f"{prefix.rstrip('/')}/{note.get('file')}" != pictures[stem]:
            wrong = f"file {note.get('file')!r} is not the image"
        if wrong is not None:
            yield f"ClientError: Unable to parse the annotation {key}: {wrong}"


def _by_stem(region: Region, channel: Json, suffixes: frozenset[str]) -> dict[str, str]:
    uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
    _, prefix = s3.split(uri)
    paths = [PurePosixPath(key) for key in s3.keys(region, uri)]
    kept = [path for path in paths if path.suffix.lower() in suffixes]
    return {str(path.with_suffix(""))[len(prefix.rstrip("/")) :]: str(path) for path in kept}


def _manifest(region: Region, channel: Json, classes: int | None) -> Iterator[str]:
    name, source = channel["ChannelName"], channel["DataSource"]["S3DataSource"]
    names = source.get("AttributeNames", [])
    if channel["InputMode"] != "Pipe" or channel.get("RecordWrapperType") != "RecordIO":
        yield f"ClientError: Unable to parse record: the augmented manifest of {name} needs Pipe mode and RecordIO"
    elif len(names) != 2 or names[0] != "source-ref":  # noqa: PLR2004 - the image and its label
        yield f"ClientError: Unable to parse record: AttributeNames {names} are not the image's and the label's"
    else:
        lines = s3.get(region, source["S3Uri"]).splitlines()
        for number, line in islice(enumerate(lines, 1), _READ):
            wrong = _line(region, _parsed(line), names[1], classes)
            if wrong is not None:
                yield f"ClientError: Unable to parse record {number} of the channel {name}: {wrong}"


def _line(region: Region, row: Json | None, label: str, classes: int | None) -> str | None:
    if row is None or "source-ref" not in row or not isinstance(row.get(label), dict):
        return f"no object with source-ref and {label}"
    if not s3.exists(region, row["source-ref"]):
        return f"No S3 objects found under S3 URL {row['source-ref']}"
    return _wrong(row[label], classes)


def _wrong(label: Json, classes: int | None) -> str | None:
    """Return what is wrong with image_size and annotations."""
    sizes, rows = label.get("image_size"), label.get("annotations")
    if not isinstance(sizes, list) or not sizes or not isinstance(rows, list):
        return "image_size and annotations are required"
    if not rows:
        return "an image has no object"
    width, height = sizes[0].get("width", 0), sizes[0].get("height", 0)
    if sizes[0].get("depth") != 3:  # noqa: PLR2004 - three colours
        return "depth is not 3"
    return next((wrong for row in rows if (wrong := _wrong_box(row, width, height, classes)) is not None), None)


def _wrong_box(row: Json, width: int, height: int, classes: int | None) -> str | None:
    if not all(isinstance(row.get(side), int | float) for side in (*_SIDES, "class_id")):
        return f"an annotation needs class_id, {', '.join(_SIDES)}"
    if classes is not None and not 0 <= row["class_id"] < classes:
        return f"class_id {row['class_id']} is not below num_classes {classes}"
    right, bottom = row["left"] + row["width"], row["top"] + row["height"]
    if row["left"] < 0 or row["top"] < 0 or right > width or bottom > height or row["width"] <= 0 or row["height"] <= 0:
        return "a box is empty or leaves its image"
    return None


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
