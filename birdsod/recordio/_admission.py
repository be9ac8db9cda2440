"""Which images of a data set can be listed at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from birdsod import lstwriter
from birdsod.errors import BoxError, DatasetError, ImageError, ListError

if TYPE_CHECKING:
    from birdsod.dataset import DetectionDataset
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
        lstwriter.check(dataset[position], outside=outside)
    except (BoxError, DatasetError, ImageError, ListError) as error:
        tally.refuse(int(dataset.image_ids[position]), dataset.names[position], str(error))
        return False
    return True
