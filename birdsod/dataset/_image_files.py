"""Image files as the algorithm can read them: names that stand in one folder, and upright colour JPEG or PNG."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from birdsod.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from birdsod.dataset._record import ImageRecord

__all__ = ["ENDINGS", "flat_stems", "prepared"]

ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png"}
_LONGEST = 120
_UPRIGHT = 1
_COLOURS = 3
# Bit depth and kind of colours stand at these places of a PNG: 8 bits of red, green and blue.
_PNG_COLOURS, _PNG_RGB = slice(24, 26), b"\x08\x02"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_MARK = 0xFF


def flat_stems(names: Sequence[str], image_ids: Sequence[int]) -> list[str]:
    """Return a name without ending for each image, so that all can lie in one folder of any file system.

    Where two images have the same name, in whatever letters, all names begin with the image's id.

    Examples
    --------
    >>> flat_stems(["017.Cardinal/a 1.jpg", "036.Flicker/b.jpg"], [3, 12])
    ['a_1', 'b']
    >>> flat_stems(["017.Cardinal/a.jpg", "036.Flicker/A.png"], [3, 12])
    ['03-a', '12-A']
    """
    stems = [_stem(name) for name in names]
    if len({stem.lower() for stem in stems}) == len(stems):
        return stems
    digits = len(str(max(image_ids)))
    return [f"{image_id:0{digits}d}-{stem}" for image_id, stem in zip(image_ids, stems, strict=True)]


def _stem(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(name).stem).strip(".")
    return plain[:_LONGEST] or "image"


def prepared(image: ImageRecord) -> tuple[bytes, str]:
    """Return the bytes of an image that the algorithm can read, and their content type.

    An upright colour JPEG or PNG goes as it is; anything else (grey, CMYK, transparent, 16 bits, turned by EXIF,
    another format) is decoded and becomes a JPEG of quality 95.

    Raises
    ------
    ImageError
        If it is missing, broken, or not of the size that the data set has.
    """
    try:
        return _prepared(image)
    except ImageError as error:
        error.path = str(image.path)
        raise


def _prepared(image: ImageRecord) -> tuple[bytes, str]:
    from birdsod.image import MAX_PIXELS, decode, encode, is_truncated
    from birdsod.image._sources import oriented_size, read_image

    header, data = read_image(image.path, max_pixels=MAX_PIXELS)
    if is_truncated(data):
        cause = "a copy or download that broke off"
        raise ImageError("the image breaks off, its lower part would be grey", cause=cause, cure="get it again")
    size = oriented_size(header)
    if size != (image.width, image.height):
        message = (
            f"the image is {size.width} x {size.height} pixels, but {image.width} x {image.height} by the data set"
        )
        raise ImageError(message, cause="the file was replaced after its size was read", cure="load the data set again")
    if header.orientation == _UPRIGHT and _is_plain(header.kind, data):
        # All of it is decoded, if small: the algorithm passes over what it cannot read without a word.
        decode(data, reduction=8)
        return data, header.kind
    return encode(decode(data, color="bgr")), "image/jpeg"


def _is_plain(kind: str, data: bytes) -> bool:
    if kind == "image/png":
        return data[_PNG_COLOURS] == _PNG_RGB
    return kind == "image/jpeg" and _components(data) == _COLOURS


def _components(data: bytes) -> int:
    """Return the number of colour components of a JPEG whose header has been read before."""
    place = 2
    while True:
        marker = data[place + 1]
        if data[place] != _MARK or marker == _MARK:
            place += 1
        elif marker in _ALONE:
            place += 2
        elif marker in _FRAMES:
            return data[place + 9]
        else:
            place += max(2 + (data[place + 2] << 8 | data[place + 3]), 4)
