"""Which images of a data set can be listed at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from birdsod import lstwriter
from birdsod.errors import BoxError, DatasetError, ImageError, ListError
from birdsod.recordio._values import RefusedImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from birdsod.dataset import DetectionDataset
    from birdsod.recordio._options import OnError

__all__ = ["Admitted", "admit"]


class Admitted(NamedTuple):
    """The images that can be listed, where they stand in the data set, and the others with their reasons."""

    dataset: DetectionDataset
    positions: NDArray[np.int64]
    refused: tuple[RefusedImage, ...]


def admit(dataset: DetectionDataset, *, on_error: OnError, outside: Literal["clip", "raise"]) -> Admitted:
    """Part the images with a size and sound boxes from the others, or raise for the first of these."""
    everywhere = np.arange(len(dataset))
    if on_error == "raise":
        dataset.require_images()
        dataset.require_sizes()
        return Admitted(dataset, everywhere, ())
    answers = [_reason(dataset, position, outside) for position in range(len(dataset))]
    described = zip(dataset.image_ids.tolist(), dataset.names, answers, strict=True)
    refused = tuple(RefusedImage(image_id, name, reason) for image_id, name, reason in described if reason is not None)
    kept = np.array([reason is None for reason in answers])
    return Admitted(dataset[kept], everywhere[kept], refused)


def _reason(dataset: DetectionDataset, position: int, outside: Literal["clip", "raise"]) -> str | None:
    """Return why an image cannot be listed."""
    try:
        lstwriter.check(dataset[position], outside=outside)
    except (BoxError, DatasetError, ImageError, ListError) as error:
        return str(error)
    return None
