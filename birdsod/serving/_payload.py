"""An image as a request carries it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from birdsod.image import ImageSource
    from birdsod.serving._limits import Limits

    Pixels = npt.NDArray[np.uint8]

__all__ = ["Payload", "payload"]

_QUALITY = 95
_PNG_EFFORT = 1
# A step down that is a little more than the sizes ask for, since fewer pixels take more bytes each.
_STEP = 0.9


@dataclass(frozen=True, slots=True)
class Payload:
    """An image as a request carries it.

    Parameters
    ----------
    body : bytes
        The file.
    content_type : str
        Its kind.
    width, height : int
        Size of the image as it was given, to which relative boxes are brought back.
    """

    body: bytes
    content_type: str
    width: int
    height: int


def payload(image: ImageSource, limits: Limits, *, upright: bool = False) -> Payload:
    """Return an image as a JPEG or PNG file within the limits.

    A file that is one already goes as it is. Others, and arrays, are sent as PNG, which loses nothing; what is
    too large is sent as JPEG, and shrunk if need be.

    Parameters
    ----------
    image : str, path-like, bytes or numpy.ndarray
        The image.
    limits : Limits
        What the server takes.
    upright : bool, default False
        Whether a file whose EXIF orientation turns it is encoded anew, for a server of which nobody knows whether it
        would turn it.

    Returns
    -------
    Payload

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    from birdsod.image import as_rgb, read_size, sniff

    source = _read(image) if isinstance(image, str | os.PathLike) else image
    if isinstance(source, bytes):
        size, kind = read_size(source), sniff(source)
        fits = len(source) <= limits.body_bytes and size.width * size.height <= limits.pixels
        if fits and kind in {"image/jpeg", "image/png"} and not (upright and _is_turned(source)):
            return Payload(source, str(kind), size.width, size.height)
    pixels = as_rgb(source)
    height, width = pixels.shape[:2]
    body, kind = _encoded(pixels, limits)
    return Payload(body, kind, width, height)


def _is_turned(source: bytes) -> bool:
    from birdsod.image._sources import read_header

    return read_header(source).orientation != 1


def _read(image: str | os.PathLike[str]) -> bytes:
    path = Path(image)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError("the image cannot be read", path=path, cause=error.strerror) from error


def _encoded(rgb: Pixels, limits: Limits) -> tuple[bytes, str]:
    from birdsod.image import encode

    small = _shrunk(rgb, math.sqrt(limits.pixels / (rgb.shape[0] * rgb.shape[1])))
    if small.size <= 4 * limits.body_bytes:
        body = encode(_bgr(small), encoding=".png", quality=_PNG_EFFORT)
        if len(body) <= limits.body_bytes:
            return body, "image/png"
    body = encode(_bgr(small), quality=_QUALITY)
    while len(body) > limits.body_bytes:
        small = _shrunk(small, _STEP * math.sqrt(limits.body_bytes / len(body)))
        body = encode(_bgr(small), quality=_QUALITY)
    return body, "image/jpeg"


def _shrunk(rgb: Pixels, factor: float) -> Pixels:
    from birdsod.image import resize

    if factor >= 1.0:
        return rgb
    height, width = (max(1, math.floor(side * factor)) for side in rgb.shape[:2])
    return resize(rgb, width=width, height=height)


def _bgr(rgb: Pixels) -> Pixels:
    import numpy as np

    return np.ascontiguousarray(rgb[..., ::-1])
