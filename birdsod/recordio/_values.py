"""What packing tells of boxes and images that did not go in as they were."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DroppedBox", "RefusedImage"]


@dataclass(frozen=True, slots=True)
class RefusedImage:
    """An image that was listed but not packed.

    Parameters
    ----------
    image_id : int or None
        Its id; None where the list's row has none.
    name : str
        Its path as listed; the row where it has none.
    reason : str
        What is wrong with it.
    """

    image_id: int | None
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class DroppedBox:
    """A box of which a centre crop left nothing.

    Parameters
    ----------
    image_id : int
        Id of the image.
    name : str
        Path of the image, as in the list.
    object_index : int
        Which of the image's objects, counted from 0.
    box : tuple of float
        ``xmin ymin xmax ymax`` in pixels of the whole image.
    """

    image_id: int
    name: str
    object_index: int
    box: tuple[float, ...]
