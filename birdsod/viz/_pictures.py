"""Pixels for figures: no more of them than are shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdsod import image

if TYPE_CHECKING:
    import os

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from birdsod.image import ImageSize, ImageSource

LONGEST = 1600
"""Pixels of the longer side that a single picture is shown with."""


def shrunk(pixels: npt.NDArray[np.uint8], longest: int) -> npt.NDArray[np.uint8]:
    """Return an image whose longer side is at most so long."""
    import cv2

    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def thumbnail(path: str | os.PathLike[str], longest: int) -> npt.NDArray[np.uint8]:
    """Return a small copy of an image file; of a JPEG only an eighth, a quarter or half of it is decoded."""
    size = image.read_size(path)
    reduced = _reduced(Path(path), size, longest)
    return shrunk(image.decode(path) if reduced is None else reduced, longest)


def _reduced(path: Path, size: ImageSize, longest: int) -> npt.NDArray[np.uint8] | None:
    import cv2

    factor = max((k for k in (1, 2, 4, 8) if max(size) >= k * longest), default=1)
    data = path.read_bytes()
    if factor == 1 or image.sniff(data) != "image/jpeg":
        return None
    flags = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags[factor])
    return None if pixels is None else np.asarray(pixels[..., ::-1], dtype=np.uint8)


def draw_picture(ax: Axes, pixels: npt.NDArray[np.uint8], width: float, height: float) -> None:
    """Show an image so that a box ``0, 0, width, height`` is its very edge, whatever its pixels are."""
    ax.imshow(pixels, extent=(0, width, height, 0), interpolation="antialiased", aspect="equal")
    ax.set_axis_off()


def inches(width: float, height: float, longest: float = 7.0, title: float = 0.24) -> tuple[float, float]:
    """Return the size of a figure with the picture's shape and a title."""
    scale = longest / max(width, height)
    return max(3.0, width * scale), max(1.0, height * scale) + title


def file_name(source: ImageSource) -> str:
    """Return how a picture is called in a title, if it has a name at all."""
    return "" if isinstance(source, (bytes, np.ndarray)) else Path(source).name
