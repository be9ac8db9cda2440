"""One image of a data set with its objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

__all__ = ["ImageRecord"]


@dataclass(frozen=True, slots=True, eq=False)
class ImageRecord:
    """One image with its objects, as ``dataset[i]`` and iteration yield it.

    Parameters
    ----------
    image_id : int
        The data set's own id; a mirrored image is numbered above the largest of them.
    path : pathlib.Path
        Where the file lies; absolute.
    name : str
        The ``path`` column: POSIX and relative to the data set's root, or absolute if outside it.
    width, height : int
        Size in pixels, after EXIF orientation.
    split : str
        ``"train"``, ``"validation"`` or ``""``.
    class_ids : numpy.ndarray
        Zero-based class ids, int64 of shape ``(k,)``, read-only.
    boxes : numpy.ndarray
        Absolute ``xmin, ymin, xmax, ymax`` as the data set writes them, float64 of shape ``(k, 4)``, read-only.
    """

    image_id: int
    path: Path
    name: str
    width: int
    height: int
    split: str
    class_ids: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.class_ids)
