"""Images as a network sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import ImageError
from birdsod.image import as_rgb, is_truncated, resize
from birdsod.image._sources import naming

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.image import ImageSource

    Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]

__all__ = ["network_input", "whole_pixels"]


def network_input(pixels: npt.NDArray[np.uint8], image_shape: int, mean: tuple[float, float, float]) -> Pixels:
    """Return an image as a square, less the mean, rows first.

    As MXNet's image iterator with ``resize_mode="force"`` does: whatever the picture's own shape.

    Parameters
    ----------
    pixels : ndarray of uint8
        RGB, ``(height, width, 3)``.
    image_shape : int
        Edge of the square in pixels.
    mean : tuple of float
        What is subtracted from red, green and blue.

    Returns
    -------
    ndarray
        ``(image_shape, image_shape, 3)``: uint8 where the mean is nothing, else float32.

    Examples
    --------
    >>> network_input(np.full((2, 4, 3), 130, np.uint8), 1, (123, 117, 104)).tolist()
    [[[7.0, 13.0, 26.0]]]
    """
    square = resize(pixels, width=image_shape, height=image_shape)
    if not any(mean):
        return square
    centred: npt.NDArray[np.float32] = np.subtract(square, mean, dtype=np.float32)
    return centred


def whole_pixels(image: ImageSource) -> npt.NDArray[np.uint8]:
    """Return the pixels, but not those of a JPEG that breaks off: its lower part would be grey.

    Raises
    ------
    ImageError
        If the image cannot be read, or is a JPEG that breaks off.
    """
    if not isinstance(image, np.ndarray) and is_truncated(image):
        cause = "a copy or download that broke off"
        raise ImageError("the JPEG breaks off within its pixels", path=naming(image), cause=cause, cure="get it again")
    return as_rgb(image)
