"""Packed data read through before they are paid for: every record's header and label, and images' headers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from birdsod.errors import BirdsodError, ImageError
from birdsod.estimator.sagemaker.findings import Finding, Weight
from birdsod.image._sources import read_header
from birdsod.recordio import FindingKind, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.recordio import Packed, PackedChannel, Verification

__all__ = ["packed_findings"]

# What a check of the record file tells, and what it means for a job: our kind, and the weight if not the file's own.
_MEANING: Final[dict[str, tuple[str, Weight | None]]] = {
    "CLASS_NOT_WHOLE": ("bad-class-id", None),
    "CLASS_NEGATIVE": ("bad-class-id", None),
    "CLASS_UNKNOWN": ("bad-class-id", None),
    "OUTSIDE": ("box-outside", None),
    "INVERTED_BOX": ("bad-box", None),
    "EMPTY_BOX": ("bad-box", None),
    "NOT_FINITE": ("bad-box", None),
    "SHORT_LABEL": ("bad-label", None),
    "HEADER_WIDTH": ("bad-label", None),
    "OBJECT_WIDTH": ("bad-label", None),
    "LABEL_LENGTH": ("bad-label", None),
    "MIXED_WIDTHS": ("bad-label", None),
    "MIXED_LABELS": ("bad-label", None),
    "UNPACKED_LABELS": ("bad-label", None),
    # For a file of labels alone it is worth a note; a detector cannot be trained on it.
    "SCALAR_LABELS": ("bad-label", "error"),
    "MANIFEST_SIZE": ("changed-after-packing", None),
    "MANIFEST_HASH": ("changed-after-packing", None),
    "MANIFEST_COUNT": ("changed-after-packing", None),
    "MANIFEST_BROKEN": ("changed-after-packing", None),
    # Index and list are not uploaded.
    "MANIFEST_INDEX": ("stale-index", "warning"),
    "MANIFEST_LIST": ("stale-index", "warning"),
}
_UPRIGHT = 1
_AGAIN = "pack it again"
# OpenCV 3.4 within the algorithm reads these.
_DECODABLE = ("image/jpeg", "image/png", "image/bmp", "image/webp")


def packed_findings(data: Packed, *, image_shape: int | None, built_in: bool) -> Iterator[Finding]:
    """Check packed channels for what would fail a job or spoil its model.

    Record files are mapped, not loaded, so that memory stays small whatever their size.

    Parameters
    ----------
    data : Packed
        What is trained on.
    image_shape : int or None
        Side of the network's input; None where it is not known.
    built_in : bool
        Whether the built-in algorithm reads them, which cannot do without objects or decode all images.

    Yields
    ------
    Finding
    """
    if image_shape is not None:
        hint = data.image_shape_hint(image_shape)
        if hint is not None:
            fact, _, cure = hint.partition(": ")
            yield Finding("small-images", fact, "warning", image_shape, cure=cure)
    for channel in data.channels.values():
        if not channel.records:
            cure = "put images into it, or split the data set otherwise"
            yield Finding("empty-channel", f"the channel {channel.name} has no image", cure=cure)
            continue
        yield from _of_channel(channel, data, image_shape=image_shape, built_in=built_in)


def _of_channel(channel: PackedChannel, data: Packed, *, image_shape: int | None, built_in: bool) -> Iterator[Finding]:
    try:
        told = verify(channel.rec, classes=len(data.class_table), most=1)
        yield from _of_file(channel, told, built_in=built_in)
        if channel.options.resize is None:
            yield from _of_images(channel, image_shape=image_shape, built_in=built_in)
    except ImageError as error:
        message = f"an image of the channel {channel.name} cannot be read: {error.message}"
        yield Finding("image-format", message, value=error.value, cause=error.cause, cure=error.cure)
    except BirdsodError as error:
        message = f"the channel {channel.name} cannot be read: {error.message}"
        yield Finding("damaged-records", message, value=error.path, cause=error.cause, cure=error.cure)


def _of_file(channel: PackedChannel, told: Verification, *, built_in: bool) -> Iterator[Finding]:
    for finding in told.findings:
        count = told.counts[finding.kind]
        often = f", {count} times" if count > 1 else ""
        where = f" (channel {channel.name}{'' if finding.record is None else f', record {finding.record}'}{often})"
        if finding.kind is FindingKind.NO_OBJECTS:
            if built_in:
                yield _without_objects(where)
            continue
        if finding.kind is FindingKind.CLASS_UNUSED:
            yield _absent(channel, finding.value)
            continue
        kind, weight = _meaning(finding.kind)
        severity = weight or finding.severity.value
        if severity == "note":
            continue
        weight = "error" if severity == "error" else "warning"
        yield Finding(kind, f"{finding.message}{where}", weight, finding.value, finding.cause, finding.cure or _AGAIN)


def _meaning(kind: FindingKind) -> tuple[str, Weight | None]:
    if kind.name in _MEANING:
        return _MEANING[kind.name]
    if kind.name.startswith(("INDEX_", "LIST_")):
        weight: Weight | None = "warning" if kind.value.severity.value == "error" else None
        return "stale-index", weight
    return "damaged-records", None


def _without_objects(where: str) -> Finding:
    message = f"an image has no object, at which the algorithm stops with label_width >= 7{where}"
    cause = "MXNet's reader takes no label without objects"
    cure = "leave such images out: dataset.select, or image= a container of your own, which keeps them"
    return Finding("image-without-objects", message, "error", None, cause, cure)


def _absent(channel: PackedChannel, classes: object) -> Finding:
    message = f"classes occur in no image of the channel {channel.name}"
    if channel.name == "train":
        cure = "select the classes that have images, and pack again"
        return Finding("absent-class", message, "error", classes, "class ids are to be 0 to n-1 without gaps", cure)
    cause = "their average precision cannot be measured"
    return Finding("absent-class", message, "warning", classes, cause, "split the data set otherwise")


def _of_images(channel: PackedChannel, *, image_shape: int | None, built_in: bool) -> Iterator[Finding]:
    """Check images that went in at their own size, by their headers."""
    seen: Counter[str] = Counter()
    with channel.open() as reader:
        for record in reader:
            header = read_header(record.image)
            seen["small"] += image_shape is not None and min(header.width, header.height) < image_shape
            seen["turned"] += header.kind == "image/png" and header.orientation != _UPRIGHT
            seen[header.kind] += 1
    where = f"of the channel {channel.name}"
    odd = [kind for kind in seen if "/" in kind and kind not in _DECODABLE]
    if built_in and odd:
        message = f"{_several(seen[odd[0]], 'image')} {where} cannot be decoded by the algorithm"
        yield Finding("image-format", message, value=odd[0], cure="pack without pass_through")
    if built_in and seen["turned"]:
        message = f"{_several(seen['turned'], 'PNG file')} {where} are stored turned, the boxes are as seen upright"
        cause = "MXNet does not apply the orientation of PNG files"
        yield Finding("image-orientation", message, "error", seen["turned"], cause, "pack without pass_through")
    if seen["small"] * 2 > channel.records:
        message = f"{_several(seen['small'], 'image')} {where} are blown up to the {image_shape} pixels of the network"
        yield Finding("small-images", message, "warning", seen["small"], cure="train with a smaller image_shape")


def _several(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
