"""Images: size from the header, pixels, resize, crop, encode, mirror.

One rule of orientation for the whole library: width, height and pixels of an image are those after its EXIF
orientation is applied, whether they come from :func:`read_size` or from :func:`decode`. JPEG, PNG, WebP, GIF
and BMP are read. OpenCV and Pillow load when they are first needed.
"""

from __future__ import annotations

from birdsod.image._decode import MAX_PIXELS, as_rgb, decode, is_truncated
from birdsod.image._formats import sniff
from birdsod.image._mirror import mirror
from birdsod.image._resize import CropBox, center_crop, center_crop_box, encode, resize, resize_shorter
from birdsod.image._sources import ImageSize, ImageSource, StoredImage, read_size

__all__ = [
    "MAX_PIXELS",
    "CropBox",
    "ImageSize",
    "ImageSource",
    "StoredImage",
    "as_rgb",
    "center_crop",
    "center_crop_box",
    "decode",
    "encode",
    "is_truncated",
    "mirror",
    "read_size",
    "resize",
    "resize_shorter",
    "sniff",
]
