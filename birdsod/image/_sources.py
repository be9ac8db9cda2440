"""Where an image comes from: a file or bytes; opened and checked, with every failure told as an ImageError."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from birdsod.errors import ImageError
from birdsod.image._formats import Header, HeaderError, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ImageSize", "ImageSource", "StoredImage", "naming", "open_image", "read_header", "read_image", "read_size"]

StoredImage: TypeAlias = str | os.PathLike[str] | bytes
"""A path, or the bytes of an image file."""

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | NDArray[np.uint8]
"""A path, the bytes of an image file, or an RGB array of shape (height, width, 3)."""

_CURE = "give a JPEG, PNG, WebP, GIF or BMP"


class ImageSize(NamedTuple):
    """Width and height of an image in pixels, after its orientation is applied.

    Parameters
    ----------
    width : int
        Pixels from left to right.
    height : int
        Pixels from top to bottom.
    """

    width: int
    height: int


def read_size(source: StoredImage) -> ImageSize:
    """Return the width and height of an image from its header, without decoding it.

    Parameters
    ----------
    source : path-like or bytes
        A JPEG, PNG, WebP, GIF or BMP.

    Returns
    -------
    ImageSize
        The size after EXIF orientation is applied, so that it is the size that :func:`decode` gives.

    Raises
    ------
    ImageError
        If the image is missing or empty, breaks off within its header or is of another kind.

    Examples
    --------
    >>> read_size(b"GIF89a" + bytes([44, 1, 200, 0]))
    ImageSize(width=300, height=200)
    """
    return oriented_size(read_header(source))


def oriented_size(header: Header) -> ImageSize:
    """Return the size after orientation."""
    return ImageSize(header.height, header.width) if header.turned else ImageSize(header.width, header.height)


def read_header(source: StoredImage) -> Header:
    """Return the header of an image."""
    with open_image(source) as stream:
        return _parse(stream, source)


def read_image(source: StoredImage, *, max_pixels: int) -> tuple[Header, bytes]:
    """Return the header and all bytes of an image, refused above a number of pixels before the rest is read."""
    with open_image(source) as stream:
        header = _parse(stream, source)
        if header.width * header.height > max_pixels:
            raise ImageError(
                f"the image has more than {max_pixels:,} pixels",
                path=naming(source),
                value=tuple(oriented_size(header)),
                cure="make it smaller, or raise max_pixels if you trust it",
            )
        stream.seek(0)
        return header, stream.read()


@contextlib.contextmanager
def open_image(source: StoredImage) -> Iterator[BinaryIO]:
    """Open a file or bytes for reading."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
        return
    try:
        # Unbuffered and not by Path.open: half the time, and sizes are read by the million.
        with open(source, "rb", buffering=0) as stream:  # noqa: PTH123 - see above
            yield stream
    except FileNotFoundError as error:
        raise ImageError("the image is missing", path=source, cure="check the path and the image folder") from error
    except OSError as error:
        raise ImageError("the image cannot be read", path=source, cause=error.strerror) from error


def naming(source: StoredImage) -> str | None:
    """Return the path for an error message, None for bytes."""
    return None if isinstance(source, bytes | bytearray | memoryview) else os.fspath(source)


def _parse(stream: BinaryIO, source: StoredImage) -> Header:
    try:
        header = parse(stream)
    except HeaderError as error:
        cause = f"{error}; a copy or download that broke off"
        raise ImageError("the image has a broken header", path=naming(source), cause=cause) from error
    if header is None:
        stream.seek(0)
        start = stream.read(16)
        message = "this is not an image of a known kind" if start else "the image is empty"
        raise ImageError(message, path=naming(source), value=start or None, cure=_CURE if start else "get it again")
    return header
