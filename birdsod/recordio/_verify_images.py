"""Images of records, decoded in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from birdsod.errors import ImageError
from birdsod.recordio._finding_kinds import FindingKind

if TYPE_CHECKING:
    from birdsod.recordio._options import PackOptions

__all__ = ["ImageFault", "Picture", "check_image"]

_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


class Picture(NamedTuple):
    """The image of a record, with its place."""

    record: int
    offset: int
    data: bytes


class ImageFault(NamedTuple):
    """What is wrong with an image."""

    kind: FindingKind
    value: object = None
    cause: str | None = None


def check_image(picture: Picture, *, options: PackOptions | None) -> tuple[Picture, list[ImageFault]]:
    """Return the faults of an image; the options are those it was packed with, where they are known."""
    return picture, _faults(picture.data, options)


def _faults(data: bytes, options: PackOptions | None) -> list[ImageFault]:
    from birdsod import image

    if not data:
        return [ImageFault(FindingKind.IMAGE_EMPTY)]
    kind = image.sniff(data)
    if kind is None:
        return [ImageFault(FindingKind.IMAGE_UNKNOWN, data[:16])]
    try:
        width, height = image.read_size(data)
        if width * height > image.MAX_PIXELS:
            return [ImageFault(FindingKind.IMAGE_HUGE, [width, height])]
        image.decode(data)
        cut = image.is_truncated(data)
    except ImageError as error:
        return [ImageFault(FindingKind.IMAGE_BROKEN, error.message, error.cause)]
    faults = [ImageFault(FindingKind.IMAGE_CUT, len(data))] if cut else []
    return faults if options is None or options.pass_through else faults + _unlike(options, kind, width, height)


def _unlike(options: PackOptions, kind: str, width: int, height: int) -> list[ImageFault]:
    """Return in what an image is not what the options would have made of it."""
    faults = []
    if options.resize and min(width, height) != options.resize:
        faults.append(ImageFault(FindingKind.IMAGE_SIZE, [width, height]))
    if kind != _TYPES[options.encoding]:
        faults.append(ImageFault(FindingKind.IMAGE_ENCODING, kind))
    return faults
