"""Annotated photographs as values: tables of images and objects, the classes, splits and mirrored images.

``load_cub`` reads a folder in the layout of Caltech-UCSD Birds 200-2011, ``download_cub`` fetches that folder,
``synthetic_birds`` draws a made-up one, ``load_manifest`` reads an augmented manifest of Ground Truth, and
``DetectionDataset.from_tables`` takes anyone's own tables. ``write_images`` writes images with annotation files, and
``write_manifest`` an augmented manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.dataset._clipping import ClippedBox
    from birdsod.dataset._cub import load_cub
    from birdsod.dataset._dataset import DetectionDataset, Readable
    from birdsod.dataset._download import download_cub
    from birdsod.dataset._image_channels import ImageChannel, ImageChannels, ImageFile
    from birdsod.dataset._load_manifest import load_manifest
    from birdsod.dataset._manifest import WrittenManifest, write_manifest
    from birdsod.dataset._record import ImageRecord
    from birdsod.dataset._sizes import Unreadable
    from birdsod.dataset._synthetic import synthetic_birds
    from birdsod.dataset._write_images import write_images

__all__ = [
    "ClippedBox",
    "DetectionDataset",
    "ImageChannel",
    "ImageChannels",
    "ImageFile",
    "ImageRecord",
    "Readable",
    "Unreadable",
    "WrittenManifest",
    "download_cub",
    "load_cub",
    "load_manifest",
    "synthetic_birds",
    "write_images",
    "write_manifest",
]

_HOME = {
    "ClippedBox": "_clipping",
    "DetectionDataset": "_dataset",
    "ImageChannel": "_image_channels",
    "ImageChannels": "_image_channels",
    "ImageFile": "_image_channels",
    "ImageRecord": "_record",
    "Readable": "_dataset",
    "Unreadable": "_sizes",
    "WrittenManifest": "_manifest",
    "download_cub": "_download",
    "load_cub": "_cub",
    "load_manifest": "_load_manifest",
    "synthetic_birds": "_synthetic",
    "write_images": "_write_images",
    "write_manifest": "_manifest",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
