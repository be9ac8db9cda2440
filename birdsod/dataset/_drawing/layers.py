"""What the brush paints: outlines of one colour, with or without an edge of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from birdsod.dataset._drawing.shapes import Points

Frame = Callable[[Points], Points]


@dataclass(frozen=True, slots=True)
class Layer:
    """Outlines filled with one colour of the palette.

    ``inside`` names an earlier layer that it stays within; ``soft`` is the blur of its edge and ``rim`` the
    darkness of the line around it; ``shadow`` falls on what lies below.
    """

    name: str
    outlines: tuple[Points, ...]
    colour: str
    inside: str | None = None
    opacity: float = 1.0
    soft: float = 0.0
    rim: float = 0.0
    shadow: float = 0.0
    shade: float = 1.0
