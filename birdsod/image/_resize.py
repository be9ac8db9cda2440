"""Resize, crop and encode exactly as im2rec does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from birdsod.errors import ImageError
from birdsod.image._decode import MAX_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CropBox", "center_crop", "center_crop_box", "encode", "resize", "resize_shorter"]

_MOST_PNG_COMPRESSION = 9


class CropBox(NamedTuple):
    """The square that a centre crop keeps, in pixels of the image before it.

    Parameters
    ----------
    xmin, ymin : int
        Its top left corner.
    side : int
        Its width and height.
    """

    xmin: int
    ymin: int
    side: int


def resize(image: NDArray[Any], *, width: int, height: int) -> NDArray[Any]:
    """Resize to a width and height, bilinear as OpenCV does it.

    Parameters
    ----------
    image : uint8 array of shape (h, w) or (h, w, channels)
        Pixels in any order of channels.
    width, height : int
        Wanted size; the shape of the picture changes with it.

    Returns
    -------
    uint8 array of shape (height, width) or (height, width, channels)

    Raises
    ------
    ImageError
        If the wanted size is not positive or has more than ``MAX_PIXELS`` pixels.

    Source
    ------
    ``cv2.resize`` with ``INTER_LINEAR``, which im2rec and MXNet's image iterators use.

    Examples
    --------
    >>> import numpy as np
    >>> resize(np.zeros((30, 40, 3), np.uint8), width=20, height=10).shape
    (10, 20, 3)
    """
    import cv2

    if min(width, height) < 1 or width * height > MAX_PIXELS:
        message = f"an image can be resized to 1 up to {MAX_PIXELS:,} pixels"
        raise ImageError(message, value=(width, height), cure="choose another size")
    return cv2.resize(image, (width, height))


def resize_shorter(image: NDArray[Any], edge: int) -> NDArray[Any]:
    """Resize so that the shorter edge gets a given length, by im2rec's rule.

    Parameters
    ----------
    image : uint8 array of shape (h, w) or (h, w, channels)
        Pixels in any order of channels.
    edge : int
        Wanted length of the shorter edge; the longer one keeps the ratio, rounded down. Small images grow.

    Returns
    -------
    uint8 array

    Raises
    ------
    ImageError
        If the edge is not positive or the result has more than ``MAX_PIXELS`` pixels.

    Source
    ------
    ``tools/im2rec.py`` of MXNet 1.9.1, option ``--resize``.

    Examples
    --------
    >>> import numpy as np
    >>> resize_shorter(np.zeros((375, 500, 3), np.uint8), 256).shape
    (256, 341, 3)
    """
    height, width = image.shape[:2]
    if height > width:
        return resize(image, width=edge, height=height * edge // width)
    return resize(image, width=width * edge // height, height=edge)


def center_crop_box(width: int, height: int) -> CropBox:
    """Return the square that :func:`center_crop` keeps, so that labels can follow it.

    Parameters
    ----------
    width, height : int
        Size of the image.

    Returns
    -------
    CropBox

    Examples
    --------
    >>> center_crop_box(500, 375)
    CropBox(xmin=62, ymin=0, side=375)
    """
    side = min(width, height)
    return CropBox((width - side) // 2, (height - side) // 2, side)


def center_crop(image: NDArray[Any]) -> NDArray[Any]:
    """Cut the square of the shorter edge out of the middle.

    Parameters
    ----------
    image : array of shape (h, w) or (h, w, channels)
        Pixels in any order of channels.

    Returns
    -------
    array
        A view into ``image``; :func:`center_crop_box` tells where it lies.

    Source
    ------
    ``tools/im2rec.py`` of MXNet 1.9.1, option ``--center-crop``.

    Examples
    --------
    >>> import numpy as np
    >>> center_crop(np.zeros((375, 500, 3), np.uint8)).shape
    (375, 375, 3)
    """
    xmin, ymin, side = center_crop_box(image.shape[1], image.shape[0])
    return image[ymin : ymin + side, xmin : xmin + side]


def encode(image: NDArray[Any], *, encoding: str = ".jpg", quality: int = 95) -> bytes:
    """Encode pixels as a JPEG or PNG file, byte for byte as im2rec does.

    Parameters
    ----------
    image : uint8 array of shape (h, w), (h, w, 3) in BGR order or (h, w, 4) in BGRA order
        Pixels as OpenCV orders them.
    encoding : {".jpg", ".png"}, default ".jpg"
        The format; ``".jpeg"`` is ``".jpg"``.
    quality : int, default 95
        JPEG quality from 0 to 100, or PNG compression, of which everything above 9 is 9.

    Returns
    -------
    bytes

    Raises
    ------
    ImageError
        If the encoding or quality is unknown, or OpenCV cannot encode the pixels.

    Source
    ------
    ``tools/im2rec.py`` of MXNet 1.9.1, options ``--encoding`` and ``--quality``.

    Examples
    --------
    >>> import numpy as np
    >>> encode(np.zeros((8, 8, 3), np.uint8))[:3].hex()
    'ffd8ff'
    """
    import cv2

    _check_encoding(encoding, quality)
    if encoding == ".png":
        options = [cv2.IMWRITE_PNG_COMPRESSION, min(quality, _MOST_PNG_COMPRESSION)]
    else:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    try:
        coded, data = cv2.imencode(encoding, image, options)
    except cv2.error as error:
        raise ImageError("the pixels cannot be encoded", value=image.shape, cause=str(error)) from error
    if not coded:
        cause = "a side is longer than the format can say, 65,500 pixels for JPEG"
        raise ImageError("the pixels cannot be encoded", value=image.shape, cause=cause, cure="make it smaller")
    return data.tobytes()


def _check_encoding(encoding: str, quality: int) -> None:
    if encoding not in {".jpg", ".jpeg", ".png"}:
        raise ImageError("unknown encoding", value=encoding, cure='choose ".jpg" or ".png"')
    if not 0 <= quality <= 100:  # noqa: PLR2004 - the scale of JPEG
        raise ImageError("quality out of range", value=quality, cure="choose 0 to 100")
