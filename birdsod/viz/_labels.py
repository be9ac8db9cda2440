"""Labels of boxes: inside the picture, off each other. Loads Matplotlib: imported when the first label is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform

from birdsod.viz._style import ink_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase

__all__ = ["Label"]

FONT_SIZE = 9.0
PAD = 2.0
SMALLEST = 4.0
"""Points: a label that is wider than the picture shrinks to fit it, but not below this."""


class Area(NamedTuple):
    """A rectangle on the screen, the origin at the lower left."""

    left: float
    bottom: float
    right: float
    top: float

    def common(self, other: Area) -> float:
        """Return the area that two rectangles share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)


class Label(Text):
    """The label of a box, placed when it is drawn, since only then its size and the picture's are known."""

    def __init__(self, ax: Axes, text: str, box: Any, colour: str, earlier: list[Label]) -> None:  # noqa: ANN401 - four numbers
        patch = {"facecolor": colour, "edgecolor": "none", "alpha": 0.9, "pad": PAD}
        super().__init__(0, 0, text, color=ink_on(colour), fontsize=FONT_SIZE, va="bottom", ha="left", bbox=patch)
        self.set_transform(IdentityTransform())
        self.set_in_layout(False)
        self.set_zorder(5)
        self.set_parse_math(False)  # a dollar sign in a name is a dollar sign
        self._ax = ax
        self._box = np.asarray(box, dtype=np.float64)
        self._earlier = earlier.copy()
        self.area = Area(0, 0, 0, 0)
        earlier.append(self)
        ax.add_artist(self)

    def draw(self, renderer: RendererBase) -> None:
        """Find the place, then draw."""
        if self.get_visible():
            self._find_place(renderer)
        super().draw(renderer)

    def _find_place(self, renderer: RendererBase) -> None:
        picture = Area(*self._ax.bbox.extents)
        pad = float(np.asarray(renderer.points_to_pixels(PAD)))
        width, height = self._fitted(renderer, picture.right - picture.left - 2 * pad)
        taken = [label.area for label in self._earlier]
        places = [
            _inside(Area(x, y, x + width + 2 * pad, y + height + 2 * pad), picture)
            for x, y in self._corners(width + 2 * pad, height + 2 * pad)
        ]
        self.area = min(places, key=lambda place: sum(place.common(other) for other in taken))
        self.set_position((self.area.left + pad, self.area.bottom + pad))

    def _fitted(self, renderer: RendererBase, room: float) -> tuple[float, float]:
        """Return width and height of the text, in a font that there is room enough for."""
        self.set_fontsize(FONT_SIZE)
        extent = self.get_window_extent(renderer)
        if extent.width > room > 0:
            self.set_fontsize(max(SMALLEST, FONT_SIZE * room / float(extent.width)))
            extent = self.get_window_extent(renderer)
        return float(extent.width), float(extent.height)

    def _corners(self, width: float, height: float) -> list[tuple[float, float]]:
        """Return where the lower left corner may lie, best first: above the box, below it, in it, off it."""
        (x0, y0), (x1, y1) = self._ax.transData.transform(self._box.reshape(2, 2)).tolist()
        left, right, bottom, top = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        at_corners = [(x, y) for x in (left, right - width) for y in (top, bottom - height, top - height, bottom)]
        return at_corners + [(left, top - step * height) for step in range(2, 10)]


def _inside(place: Area, picture: Area) -> Area:
    """Return the place moved into the picture, its beginning kept where it is wider or taller than that."""
    width, height = place.right - place.left, place.top - place.bottom
    left = max(picture.left, min(place.left, picture.right - width))
    bottom = max(picture.bottom, min(place.bottom, picture.top - height))
    return Area(left, bottom, left + width, bottom + height)
