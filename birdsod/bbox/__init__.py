"""Box arithmetic on arrays: formats, absolute and relative, clip, flip, area, overlap, checks.

A box is continuous and half-open, with the origin at the top left of the image: ``0 <= xmin < xmax <= width``.
Absolute boxes are in pixels, relative ones are divided by the width and height of their image. Every function
takes array-likes whose last axis holds the four numbers of a box, returns new float64 arrays and never edits
what it is given.
"""

from __future__ import annotations

from birdsod.bbox._checks import validate
from birdsod.bbox._formats import BoxFormat, convert, cxcywh_to_xyxy, xywh_to_xyxy, xyxy_to_cxcywh, xyxy_to_xywh
from birdsod.bbox._images import Clipped, absolute_to_relative, clip, flip_horizontal, relative_to_absolute
from birdsod.bbox._measures import area, iou

__all__ = [
    "BoxFormat",
    "Clipped",
    "absolute_to_relative",
    "area",
    "clip",
    "convert",
    "cxcywh_to_xyxy",
    "flip_horizontal",
    "iou",
    "relative_to_absolute",
    "validate",
    "xywh_to_xyxy",
    "xyxy_to_cxcywh",
    "xyxy_to_xywh",
]
