"""Which images of a data set can be listed at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from birdsod import bbox
from birdsod.errors import BoxError, DatasetError, ImageError

if TYPE_CHECKING:
    from birdsod.dataset import DetectionDataset, ImageRecord
    from birdsod.recordio._channel import Tally
    from birdsod.recordio._options import OnError

__all__ = ["admit"]


def admit(
    dataset: DetectionDataset, tally: Tally, *, on_error: OnError, outside: Literal["clip", "raise"]
) -> DetectionDataset:
    """Return the images with a size and sound boxes; the others are refused, or the first of them raises."""
    if on_error == "raise":
        dataset.require_images()
        dataset.require_sizes()
        return dataset
    kept = np.array([_admitted(dataset, position, tally, outside) for position in range(len(dataset))])
    tally.listed += len(tally.refused)
    return dataset[kept]


def _admitted(dataset: DetectionDataset, position: int, tally: Tally, outside: Literal["clip", "raise"]) -> bool:
    try:
        _check_boxes(dataset[position], outside)
    except (BoxError, DatasetError, ImageError) as error:
        tally.refuse(int(dataset.image_ids[position]), dataset.names[position], str(error))
        return False
    return True


def _check_boxes(image: ImageRecord, outside: Literal["clip", "raise"]) -> None:
    limits = {"width": image.width, "height": image.height}
    try:
        bbox.validate(image.boxes, **(limits if outside == "raise" else {}))
        bbox.validate(bbox.clip(image.boxes, **limits).boxes)
    except BoxError as error:
        error.path = str(image.path)
        raise
