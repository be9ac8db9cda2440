"""Labels that follow a centre crop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.recordio._label import detection_label, is_detection_label
from birdsod.recordio._values import DroppedBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from birdsod.lstwriter import ClippedBox

__all__ = ["CroppedLabel", "crop_label"]


class CroppedLabel(NamedTuple):
    """A label relative to the crop, and what became of its boxes, in pixels of the whole image."""

    label: NDArray[np.float32]
    clipped: tuple[ClippedBox, ...]
    dropped: tuple[DroppedBox, ...]


def crop_label(image_id: int, name: str, label: NDArray[np.float32], *, width: int, height: int) -> CroppedLabel:
    """Return the label after a centre crop; one that is no detection label stays as it is."""
    from birdsod import bbox, image
    from birdsod.lstwriter import ClippedBox

    if not is_detection_label(label):
        return CroppedLabel(label, (), ())
    typed = detection_label(label)
    window = image.center_crop_box(width, height)
    corner = np.array([window.xmin, window.ymin, window.xmin, window.ymin], dtype=np.float64)
    before = bbox.relative_to_absolute(typed.boxes, width=width, height=height)
    moved, cut = bbox.clip(before - corner, width=window.side, height=window.side)
    relative = bbox.absolute_to_relative(moved, width=window.side, height=window.side).astype(np.float32)
    kept = (relative[:, 0] < relative[:, 2]) & (relative[:, 1] < relative[:, 3])
    changed = np.flatnonzero(kept & cut.any(axis=1)).tolist()
    pairs = [(index, tuple(before[index].tolist()), tuple((moved + corner)[index].tolist())) for index in changed]
    objects = label[typed.header_width :].reshape(-1, typed.object_width).copy()
    objects[:, 1:5] = relative
    return CroppedLabel(
        np.concatenate([label[: typed.header_width], objects[kept].ravel()]),
        tuple(ClippedBox(image_id, name, index, old, new) for index, old, new in pairs),
        tuple(DroppedBox(image_id, name, k, tuple(before[k].tolist())) for k in np.flatnonzero(~kept).tolist()),
    )
