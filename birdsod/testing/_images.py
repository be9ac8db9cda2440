"""Strategies for pixels and for image files of every kind and orientation."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

__all__ = ["IMAGE_KINDS", "ORIENTED_KINDS", "ImageFile", "image_bytes", "image_files", "pixels"]

IMAGE_KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What :mod:`birdsod.image` reads, by Pillow's names."""

ORIENTED_KINDS = ("JPEG", "PNG", "WEBP")
"""Those of them that can carry an EXIF orientation."""

_ORIENTATION = 0x0112
_LOSSLESS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True, "exact": True}}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file in memory, and what it was made from.

    Parameters
    ----------
    data : bytes
        The file.
    kind : str
        Pillow's name of its format.
    stored : uint8 array of shape (height, width, 3)
        RGB pixels as stored, before the orientation is applied.
    orientation : int
        EXIF orientation, 1 to 8.
    """

    data: bytes
    kind: str
    stored: NDArray[np.uint8]
    orientation: int


def pixels(*, most: int = 40, least: int = 1) -> SearchStrategy[NDArray[np.uint8]]:
    """RGB pixels.

    Parameters
    ----------
    most : int, default 40
        Longest side.
    least : int, default 1
        Shortest side.

    Returns
    -------
    strategy of uint8 array of shape (height, width, 3)

    Examples
    --------
    >>> from hypothesis import find
    >>> find(pixels(), lambda image: image.shape[1] > 2).shape
    (1, 3, 3)
    """
    side = st.integers(least, most)
    shapes = st.tuples(side, side, st.just(3))
    return shapes.flatmap(lambda shape: npst.arrays(np.uint8, shape))


def image_bytes(stored: NDArray[np.uint8], kind: str, *, orientation: int = 1, **options: object) -> bytes:
    """Encode RGB pixels with Pillow.

    Parameters
    ----------
    stored : uint8 array of shape (height, width, 3) or (height, width)
        Pixels to store.
    kind : str
        Pillow's name of the format.
    orientation : int, default 1
        EXIF orientation to note, where the format can carry one; 1 notes none.
    **options
        Handed to Pillow's ``save``.

    Returns
    -------
    bytes

    Examples
    --------
    >>> image_bytes(np.zeros((2, 3, 3), np.uint8), "BMP")[:2]
    b'BM'
    """
    from PIL import Image

    noted: dict[str, Any] = {}
    if orientation != 1:
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        noted["exif"] = exif.tobytes()
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, kind, **(_LOSSLESS.get(kind, {}) | noted | options))
    return stream.getvalue()


@st.composite
def image_files(draw: st.DrawFn, *, kinds: tuple[str, ...] = IMAGE_KINDS, most: int = 40, least: int = 1) -> ImageFile:
    r"""Image files of every kind, with every orientation where the kind can carry one.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    kinds : tuple of str
        Pillow's names of the formats to draw from.
    most, least : int, default 40 and 1
        Longest and shortest side.

    Returns
    -------
    strategy of ImageFile

    Examples
    --------
    >>> from hypothesis import find
    >>> find(image_files(kinds=("PNG",)), lambda file: file.orientation == 6).data[:4]
    b'\x89PNG'
    """
    kind = draw(st.sampled_from(kinds))
    stored = draw(pixels(most=most, least=least))
    orientation = draw(st.integers(1, 8)) if kind in ORIENTED_KINDS else 1
    return ImageFile(image_bytes(stored, kind, orientation=orientation), kind, stored, orientation)
