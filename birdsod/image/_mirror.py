"""A mirrored copy of an image file in its own format, as good as the format allows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod._files import write_bytes
from birdsod.errors import ImageError
from birdsod.image import _jpeg, _png
from birdsod.image._decode import MAX_PIXELS, upright
from birdsod.image._sources import read_image

if TYPE_CHECKING:
    import os

    from PIL.Image import Image

    from birdsod.image._formats import Header

__all__ = ["mirror"]

# What says how to show the pixels is kept; what says how they were taken (EXIF, XMP, thumbnails) is not, since
# its orientation would be applied a second time.
_KEPT = frozenset({"icc_profile", "transparency"})
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "GIF": {},
    "BMP": {},
}


def mirror(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Write a copy of an image, mirrored left to right, as a new file of the same format.

    The orientation is applied first, so that the new file needs none, and nothing of the EXIF data is copied;
    a colour profile is. An animation gives its first picture.

    - JPEG is decoded, mirrored and encoded again with the quantisation tables and the chroma subsampling of
      the source, without a detour over RGB. Where the width is a multiple of 16 (of 8 without subsampling)
      the blocks of both files coincide and hardly anything changes; elsewhere the loss is that of saving once
      more at the same quality. The file stays about as large. Where a sampling cannot be written, colours are
      kept in full resolution.
    - PNG, GIF, BMP and lossless WebP keep every pixel.
    - Lossy WebP does not tell its quality, so the copy is lossless: no pixel changes, the file grows.

    Parameters
    ----------
    source : path-like
        A JPEG, PNG, WebP, GIF or BMP; its content decides about the format, not its name.
    target : path-like
        The new file; it appears whole or not at all, and its folder is made if need be.

    Raises
    ------
    ImageError
        If the source cannot be read or breaks off, or the target is the source or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from birdsod.image import decode, encode
    >>> folder = tempfile.TemporaryDirectory()
    >>> given, mirrored = Path(folder.name, "a.png"), Path(folder.name, "a_mirrored.png")
    >>> _ = given.write_bytes(encode(np.arange(6, dtype=np.uint8).reshape(2, 3), encoding=".png"))
    >>> mirror(given, mirrored)
    >>> decode(mirrored, color="gray").tolist()
    [[2, 1, 0], [5, 4, 3]]
    >>> folder.cleanup()
    """
    _refuse_same(Path(source), Path(target))
    header, data = read_image(source, max_pixels=MAX_PIXELS)
    try:
        mirrored = _mirrored(header, data)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError("the image cannot be mirrored", path=source, cause=str(error), cure="get it again") from error
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, mirrored)
    except OSError as error:
        raise ImageError("the mirrored image cannot be written", path=target, cause=error.strerror) from error


def _refuse_same(source: Path, target: Path) -> None:
    if target.exists() and source.exists() and source.samefile(target):
        raise ImageError("an image is never mirrored over itself", path=source, cure="choose another target")


def _mirrored(header: Header, data: bytes) -> bytes:
    if header.kind == "image/png" and _png.has_16_bits(data):
        return _mirrored_16_bits(header, data)
    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile

    kind = header.kind.removeprefix("image/").upper()
    with Image.open(io.BytesIO(data), formats=[kind]) as opened:
        if isinstance(opened, JpegImageFile):
            options = _jpeg.save_options(opened, len(data), turned=header.turned)
            return _saved(_flipped(_jpeg.as_stored(opened), header.orientation), "JPEG", options)
        return _saved(_flipped(opened, header.orientation), kind, _OPTIONS[kind])


def _mirrored_16_bits(header: Header, data: bytes) -> bytes:
    """Mirror what Pillow would cut to 8 bits."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("the pixels cannot be decoded")
    _, result = cv2.imencode(".png", np.ascontiguousarray(upright(pixels, header.orientation)[:, ::-1]))
    return _png.with_colours_of(data, result.tobytes())


def _flipped(picture: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    if orientation in turns:
        picture = picture.transpose(turns[orientation])
    return picture.transpose(Transpose.FLIP_LEFT_RIGHT)


def _saved(picture: Image, kind: str, options: dict[str, Any]) -> bytes:
    picture.info = {name: value for name, value in picture.info.items() if name in _KEPT}
    if profile := picture.info.get("icc_profile"):
        options = options | {"icc_profile": profile}
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()
