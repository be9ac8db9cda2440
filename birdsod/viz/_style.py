"""Colours that colour-blind readers tell apart, and names as people read them."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["ClassStyle", "class_style", "ink_on", "readable", "run_colour"]

ON_PICTURES = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Okabe and Ito, Color Universal Design, 2008, without black."""

ON_WHITE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""The same without yellow, neighbours of different lightness."""

DASHES = ("-", "--", ":", "-.")
BRIGHT = 0.5


class ClassStyle(NamedTuple):
    """How the boxes of a class are drawn."""

    colour: str
    dashes: str


def class_style(class_id: int) -> ClassStyle:
    """Return the same style for the same class, always; beyond seven classes the dashes differ too."""
    turn, position = divmod(class_id, len(ON_PICTURES))
    return ClassStyle(ON_PICTURES[position], DASHES[turn % len(DASHES)])


def run_colour(position: int) -> str:
    """Return the colour of a run in a chart."""
    return ON_WHITE[position % len(ON_WHITE)]


def ink_on(colour: str) -> str:
    """Return black or white, whichever is readable on a colour ``#RRGGBB``."""
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > BRIGHT else "white"


def readable(name: str) -> str:
    """Return a class name without the number before it and with blanks.

    Examples
    --------
    >>> readable("041.Scissor_tailed_Flycatcher")
    'Scissor tailed Flycatcher'
    """
    return re.sub(r"^\d+[._ ]", "", name).replace("_", " ") or name
