"""Strategies for image files as they come: grey, CMYK, progressive, turned, with alpha, with 16 bits, of one row."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["Photo", "photos"]

_JPEG_MODES = ("RGB", "L", "CMYK")
_PNG_MODES = ("RGB", "L", "LA", "RGBA", "P", "1", "I;16", "RGB;16", "RGBA;16")
_ORIENTATION = 0x0112
_PNG_COLOURS = {"RGB;16": 2, "RGBA;16": 6}


@dataclass(frozen=True, slots=True)
class Photo:
    """An image file in memory.

    Parameters
    ----------
    data : bytes
        The file.
    suffix : str
        ``".jpg"`` or ``".png"``.
    mode : str
        How it stores colours, by Pillow's names; ``"RGB;16"`` and ``"RGBA;16"`` have 16 bits a sample.
    orientation : int or None
        What its EXIF block says, from 0 to 9 although only 1 to 8 have a meaning; None where there is no block.
    """

    data: bytes
    suffix: str
    mode: str
    orientation: int | None = None


def photos(*, most: int = 48, png: bool = True) -> SearchStrategy[Photo]:
    r"""JPEG and PNG files of every way to store colours, baseline and progressive, turned or not.

    Parameters
    ----------
    most : int, default 48
        Longest side; the shortest is 1.
    png : bool, default True
        Whether PNG files are among them.

    Returns
    -------
    strategy of Photo

    Examples
    --------
    >>> from hypothesis import find
    >>> find(photos(), lambda photo: photo.mode == "RGBA;16").data[:4]
    b'\x89PNG'
    """
    return st.one_of(_jpegs(most), _pngs(most)) if png else _jpegs(most)


@st.composite
def _jpegs(draw: st.DrawFn, most: int) -> Photo:
    mode = draw(st.sampled_from(_JPEG_MODES))
    options: dict[str, Any] = {
        "quality": draw(st.integers(1, 100)),
        "progressive": draw(st.booleans()),
        "restart_marker_blocks": draw(st.sampled_from([0, 1, 3])),
    }
    if mode == "RGB":
        options["subsampling"] = draw(st.integers(0, 2))
    picture = _picture(_samples(draw, most, len(mode)), mode)
    orientation = draw(_orientations())
    return Photo(_saved(picture, "JPEG", orientation, options), ".jpg", mode, orientation)


@st.composite
def _pngs(draw: st.DrawFn, most: int) -> Photo:
    mode = draw(st.sampled_from(_PNG_MODES))
    if mode in _PNG_COLOURS:
        samples = _samples(draw, most, len(mode) - 3).astype(">u2") * 257 + draw(st.integers(0, 255))
        return Photo(_deep_png(samples, _PNG_COLOURS[mode]), ".png", mode)
    if mode == "I;16":
        picture = _picture(_samples(draw, most, 1).astype("<u2") * 257, mode)
    elif mode in {"P", "1"}:
        picture = _picture(_samples(draw, most, 3), "RGB").convert(mode)
    else:
        picture = _picture(_samples(draw, most, len(mode)), mode)
    options: dict[str, Any] = {}
    if mode in {"P", "L", "1"} and draw(st.booleans()):
        options["transparency"] = draw(st.integers(0, 1))
    orientation = draw(_orientations())
    return Photo(_saved(picture, "PNG", orientation, options), ".png", mode, orientation)


def _samples(draw: st.DrawFn, most: int, channels: int) -> NDArray[np.uint8]:
    """Draw a smooth picture with some noise: pixels of their own would make a case a hundred times larger."""
    width, height = draw(st.integers(1, most)), draw(st.integers(1, most))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    noise = draw(st.sampled_from([0, 8, 255]))
    rows, columns = np.mgrid[0 : 255 : height * 1j, 0 : 255 : width * 1j]
    shares = random.uniform(-1, 1, (2, 1, 1, channels))
    smooth = 128 + (shares[0] * rows[..., None] + shares[1] * columns[..., None]) / 2
    pixels: NDArray[np.uint8] = np.clip(smooth + random.normal(0, 1, smooth.shape) * noise, 0, 255).astype(np.uint8)
    return pixels


def _picture(samples: NDArray[Any], mode: str) -> Image.Image:
    from PIL import Image

    height, width = samples.shape[:2]
    return Image.frombytes(mode, (width, height), samples.tobytes())


def _orientations() -> SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(0, 9))


def _saved(picture: Image.Image, kind: str, orientation: int | None, options: dict[str, Any]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    if orientation is not None:
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        options = options | {"exif": exif.tobytes()}
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _deep_png(samples: NDArray[Any], colours: int) -> bytes:
    """Return a PNG with 16 bits a sample, which Pillow does not write in colour."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )
