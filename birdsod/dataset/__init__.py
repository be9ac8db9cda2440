"""Annotated photographs as values: tables of images and objects, the classes, splits and mirrored images.

``load_cub`` reads a folder in the layout of Caltech-UCSD Birds 200-2011, ``download_cub`` fetches that folder,
``synthetic_birds`` draws a made-up one, and ``DetectionDataset.from_tables`` takes anyone's own tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.dataset._cub import load_cub
    from birdsod.dataset._dataset import DetectionDataset, Readable
    from birdsod.dataset._download import download_cub
    from birdsod.dataset._record import ImageRecord
    from birdsod.dataset._sizes import Unreadable
    from birdsod.dataset._synthetic import synthetic_birds

__all__ = [
    "DetectionDataset",
    "ImageRecord",
    "Readable",
    "Unreadable",
    "download_cub",
    "load_cub",
    "synthetic_birds",
]

_HOME = {
    "DetectionDataset": "_dataset",
    "ImageRecord": "_record",
    "Readable": "_dataset",
    "Unreadable": "_sizes",
    "download_cub": "_download",
    "load_cub": "_cub",
    "synthetic_birds": "_synthetic",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
