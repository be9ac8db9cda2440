"""How a JPEG is written again as it was written before: same tables, same sampling, same colour model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.JpegImagePlugin import JpegImageFile

__all__ = ["as_stored", "save_options"]

_NO_TRANSFORM, _YCCK = 0, 2
_RGB_COMPONENTS = (ord("R"), ord("G"), ord("B"))
_THREE, _FOUR = 3, 4
_FULL_COLOUR, _HALF_WIDTH, _QUARTER = 0, 1, 2


def as_stored(opened: JpegImageFile) -> Image:
    """Decode without leaving the colour model of the file, so that nothing is rounded on the way."""
    if opened.layers == _THREE and not _is_rgb(opened):
        opened.draft("YCbCr", None)
    opened.load()
    return opened


def save_options(opened: JpegImageFile, size: int, *, turned: bool) -> dict[str, Any]:
    """Return what to hand to ``save``; ``size`` is the length of the file, ``turned`` swaps the axes."""
    width, height = opened.size
    # The encoder's buffer holds two bytes a pixel when it works in two passes; beyond that it fails.
    fits = 2 * size < 3 * width * height
    return {
        "qtables": _tables(opened),
        "subsampling": _sampling(opened, turned=turned),
        "keep_rgb": _is_rgb(opened),
        "progressive": fits and "progressive" in opened.info,
        "optimize": fits,
    }


def _tables(opened: JpegImageFile) -> list[list[int]]:
    """Return the table of each component in turn; the encoder uses the last one given for the rest."""
    if opened.layers == _FOUR and opened.info.get("adobe_transform") == _YCCK:
        # It is written as plain CMYK, in which no channel bears the coarse steps of chroma.
        return [opened.quantization[opened.layer[0][3]]]
    tables = [opened.quantization[layer[3]] for layer in opened.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    return tables


def _sampling(opened: JpegImageFile, *, turned: bool) -> int:
    """Return the sampling as the encoder numbers it; full resolution for one that it cannot write."""
    from PIL.JpegImagePlugin import get_sampling

    sampling = get_sampling(opened)
    if opened.layers != _THREE or sampling == _QUARTER:
        return sampling
    return _HALF_WIDTH if sampling == _HALF_WIDTH and not turned else _FULL_COLOUR


def _is_rgb(opened: JpegImageFile) -> bool:
    if opened.layers != _THREE:
        return False
    if "adobe" in opened.info:
        return bool(opened.info.get("adobe_transform") == _NO_TRANSFORM)
    return "jfif" not in opened.info and tuple(layer[0] for layer in opened.layer) == _RGB_COMPONENTS
