"""Hypothesis strategies and fakes, published so that users can test their own converters.

Needs the extra ``testing``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from birdsod.testing.boxes import boxes_anywhere, boxes_inside, image_sizes, whole_boxes_inside
    from birdsod.testing.datasets import DrawnCub, DrawnImage, cub_folders, datasets
    from birdsod.testing.detections import class_tables, detections, ground_truth_and_predictions
    from birdsod.testing.images import IMAGE_KINDS, ORIENTED_KINDS, ImageFile, image_bytes, image_files, pixels
    from birdsod.testing.lists import ListedImages, MadeImage, image_names, list_lines, listed_images
    from birdsod.testing.records import detection_labels, image_ids, image_records, labels, payloads

# name -> module of this package that holds it
_HOME: dict[str, str] = {
    "DrawnCub": "datasets",
    "DrawnImage": "datasets",
    "IMAGE_KINDS": "images",
    "ImageFile": "images",
    "ListedImages": "lists",
    "MadeImage": "lists",
    "ORIENTED_KINDS": "images",
    "boxes_anywhere": "boxes",
    "boxes_inside": "boxes",
    "class_tables": "detections",
    "cub_folders": "datasets",
    "datasets": "datasets",
    "detection_labels": "records",
    "detections": "detections",
    "ground_truth_and_predictions": "detections",
    "image_bytes": "images",
    "image_files": "images",
    "image_ids": "records",
    "image_records": "records",
    "image_names": "lists",
    "image_sizes": "boxes",
    "labels": "records",
    "list_lines": "lists",
    "listed_images": "lists",
    "payloads": "records",
    "pixels": "images",
    "whole_boxes_inside": "boxes",
}

__all__ = [
    "IMAGE_KINDS",
    "ORIENTED_KINDS",
    "DrawnCub",
    "DrawnImage",
    "ImageFile",
    "ListedImages",
    "MadeImage",
    "boxes_anywhere",
    "boxes_inside",
    "class_tables",
    "cub_folders",
    "datasets",
    "detection_labels",
    "detections",
    "ground_truth_and_predictions",
    "image_bytes",
    "image_files",
    "image_ids",
    "image_names",
    "image_records",
    "image_sizes",
    "labels",
    "list_lines",
    "listed_images",
    "payloads",
    "pixels",
    "whole_boxes_inside",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'birdsod.testing' has no attribute {name!r}")
    found: object = getattr(import_module(f"birdsod.testing.{_HOME[name]}"), name)
    globals()[name] = found
    return found
