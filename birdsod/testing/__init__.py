"""Hypothesis strategies and fakes, published so that users can test their own converters.

Needs the extra ``testing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.testing._boxes import boxes_anywhere, boxes_inside, image_sizes, whole_boxes_inside
    from birdsod.testing._datasets import DrawnCub, DrawnImage, cub_folders, datasets
    from birdsod.testing._detections import class_tables, detections, ground_truth_and_predictions
    from birdsod.testing._fake_sagemaker.fake import AliveResource, FakeSageMaker
    from birdsod.testing._images import IMAGE_KINDS, ORIENTED_KINDS, ImageFile, image_bytes, image_files, pixels
    from birdsod.testing._lists import ListedImages, MadeImage, image_names, list_lines, listed_images
    from birdsod.testing._photos import Photo, photos
    from birdsod.testing._records import detection_labels, image_ids, image_records, labels, payloads

# name -> module of this package that holds it
_HOME: dict[str, str] = {
    "AliveResource": "_fake_sagemaker.fake",
    "DrawnCub": "_datasets",
    "DrawnImage": "_datasets",
    "FakeSageMaker": "_fake_sagemaker.fake",
    "IMAGE_KINDS": "_images",
    "ImageFile": "_images",
    "ListedImages": "_lists",
    "MadeImage": "_lists",
    "ORIENTED_KINDS": "_images",
    "Photo": "_photos",
    "boxes_anywhere": "_boxes",
    "boxes_inside": "_boxes",
    "class_tables": "_detections",
    "cub_folders": "_datasets",
    "datasets": "_datasets",
    "detection_labels": "_records",
    "detections": "_detections",
    "ground_truth_and_predictions": "_detections",
    "image_bytes": "_images",
    "image_files": "_images",
    "image_ids": "_records",
    "image_records": "_records",
    "image_names": "_lists",
    "image_sizes": "_boxes",
    "labels": "_records",
    "list_lines": "_lists",
    "listed_images": "_lists",
    "payloads": "_records",
    "photos": "_photos",
    "pixels": "_images",
    "whole_boxes_inside": "_boxes",
}

__all__ = [
    "IMAGE_KINDS",
    "ORIENTED_KINDS",
    "AliveResource",
    "DrawnCub",
    "DrawnImage",
    "FakeSageMaker",
    "ImageFile",
    "ListedImages",
    "MadeImage",
    "Photo",
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
    "photos",
    "pixels",
    "whole_boxes_inside",
]


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
