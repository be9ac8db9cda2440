"""Pixels of an image, as OpenCV's ``imread`` and so im2rec and MXNet see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from birdsod.errors import ImageError
from birdsod.image._sources import naming, open_image, read_header, read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from birdsod.image._formats import Header
    from birdsod.image._sources import ImageSource, StoredImage

__all__ = ["MAX_PIXELS", "as_rgb", "decode", "decode_read", "is_truncated", "upright"]

MAX_PIXELS = 100_000_000
"""Images with more pixels are refused before they are decoded: a few bytes can claim gigabytes."""

_END_OF_IMAGE = b"\xff\xd9"
_COLORS = ("rgb", "bgr", "gray", "unchanged")
# OpenCV's flag of each, to be added to that of the colours.
_REDUCTIONS = {1: 0, 2: 16, 4: 32, 8: 64}


@overload
def decode(
    source: StoredImage,
    *,
    color: Literal["rgb", "bgr", "gray"] = "rgb",
    max_pixels: int = MAX_PIXELS,
    reduction: Literal[1, 2, 4, 8] = 1,
) -> NDArray[np.uint8]: ...
@overload
def decode(source: StoredImage, *, color: Literal["unchanged"], max_pixels: int = MAX_PIXELS) -> NDArray[Any]: ...
def decode(
    source: StoredImage,
    *,
    color: Literal["rgb", "bgr", "gray", "unchanged"] = "rgb",
    max_pixels: int = MAX_PIXELS,
    reduction: Literal[1, 2, 4, 8] = 1,
) -> NDArray[Any]:
    """Decode an image with its EXIF orientation applied.

    The pixels are those of OpenCV's ``imread``: grey becomes three equal channels, CMYK is converted, alpha
    is dropped without blending, 16 bits become 8, an animation gives its first picture. A JPEG that breaks
    off within its pixels is decoded as far as it goes, as im2rec packs it; :func:`is_truncated` tells.

    Parameters
    ----------
    source : path-like or bytes
        A JPEG, PNG, WebP, GIF or BMP.
    color : {"rgb", "bgr", "gray", "unchanged"}, default "rgb"
        Order of the channels; ``"gray"`` gives one channel; ``"unchanged"`` gives what the file stores (BGR,
        BGRA or grey, 8 or 16 bits) without applying the orientation, which is im2rec's ``--color -1``.
    max_pixels : int, default MAX_PIXELS
        Larger images are refused before they are decoded.
    reduction : {1, 2, 4, 8}, default 1
        Decode a JPEG at a half, a quarter or an eighth of its width and height, rounded up, in less time. Other
        kinds of images, and ``"unchanged"``, are decoded whole.

    Returns
    -------
    uint8 array of shape (height, width, 3)
        Or (height, width) for ``"gray"``, or as stored for ``"unchanged"``.

    Raises
    ------
    ImageError
        If the image is missing, empty, broken, of another kind or too large, or color or reduction is unknown.

    Examples
    --------
    >>> red = np.zeros((2, 3, 3), np.uint8)
    >>> red[..., 0] = 255
    >>> from birdsod.image import encode
    >>> decode(encode(red[..., ::-1], encoding=".png"))[0, 0].tolist()
    [255, 0, 0]
    """
    if color not in _COLORS:
        raise ImageError("unknown color", value=color, cure=f"choose one of {', '.join(_COLORS)}")
    if reduction not in _REDUCTIONS:
        raise ImageError("unknown reduction", value=reduction, cure="choose 1, 2, 4 or 8")
    header, data = read_image(source, max_pixels=max_pixels)
    return decode_read(header, data, color=color, reduction=reduction, path=naming(source))


def decode_read(
    header: Header, data: bytes, *, color: str = "rgb", reduction: int = 1, path: str | None = None
) -> NDArray[Any]:
    """Return the pixels of an image whose header has been read and found small enough."""
    import cv2

    if _breaks_off(header, data):
        # From memory OpenCV gives nothing for a JPEG that breaks off; from a file libjpeg adds this end itself.
        data += _END_OF_IMAGE
    flags = _flags(color, reduction if header.kind == "image/jpeg" else 1)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise ImageError("the image cannot be decoded", path=path, cause=str(error)) from error
    if pixels is None:
        cause = "a copy or download that broke off, or a variant that OpenCV does not read"
        raise ImageError("the image cannot be decoded", path=path, cause=cause, cure="get it again")
    if color == "unchanged":
        return pixels
    return upright(pixels, header.orientation)


def _flags(color: str, reduction: int) -> int:
    import cv2

    if color == "unchanged":
        return cv2.IMREAD_UNCHANGED
    # Asked for RGB, the decoder writes it: turned around afterwards, each pixel would be touched twice.
    colors = {"rgb": cv2.IMREAD_COLOR_RGB, "bgr": cv2.IMREAD_COLOR, "gray": cv2.IMREAD_GRAYSCALE}
    return colors[color] | _REDUCTIONS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION


def as_rgb(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return the RGB pixels of whatever stands for an image.

    Parameters
    ----------
    source : path-like, bytes or uint8 array of shape (height, width, 3)
        An array is taken as RGB and returned as it is.
    max_pixels : int, default MAX_PIXELS
        Larger files are refused before they are decoded.

    Returns
    -------
    uint8 array of shape (height, width, 3)

    Raises
    ------
    ImageError
        If the image cannot be read, or the array is of another type or shape.

    Examples
    --------
    >>> as_rgb(np.zeros((2, 3, 3), np.uint8)).shape
    (2, 3, 3)
    """
    if not isinstance(source, np.ndarray):
        return decode(source, max_pixels=max_pixels)
    if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or not source.size:  # noqa: PLR2004 - three axes, three channels
        raise ImageError(
            "an array that stands for an image must be uint8 of shape (height, width, 3)",
            value=(str(source.dtype), source.shape),
            cure="give RGB pixels from 0 to 255",
        )
    return source


def is_truncated(source: StoredImage) -> bool:
    """Tell whether a JPEG breaks off within its pixels, so that :func:`decode` fills the rest with grey.

    Parameters
    ----------
    source : path-like or bytes
        Any image; other kinds cannot be decoded when they break off, so the answer is False for them.

    Returns
    -------
    bool

    Raises
    ------
    ImageError
        If the image is missing, empty, breaks off within its header or is of another kind.

    Examples
    --------
    >>> from birdsod.image import encode
    >>> data = encode(np.full((16, 16, 3), 99, np.uint8))
    >>> is_truncated(data), is_truncated(data[:-2])
    (False, True)
    """
    header = read_header(source)
    with open_image(source) as stream:
        return _breaks_off(header, stream.read())


def _breaks_off(header: Header, data: bytes) -> bool:
    if header.kind != "image/jpeg" or data.endswith(_END_OF_IMAGE):
        return False
    return data.find(_END_OF_IMAGE, header.scan) < 0


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation: transposed first, then mirrored along one axis or both."""
    if orientation >= 5:  # noqa: PLR2004 - orientations 5 to 8 are the transposed ones
        pixels = pixels.swapaxes(0, 1)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
