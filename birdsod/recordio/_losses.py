"""What im2rec loses without a word: an error here, or told and passed over."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from birdsod.errors import BirdsodError

__all__ = ["Losses", "warn"]


@dataclass(frozen=True, slots=True)
class Losses:
    """How a call treats what would be lost.

    Parameters
    ----------
    lenient : bool
        Whether losses are told and passed over, as im2rec passes them over.
    say : callable
        Takes a line for the user: a surprise, or a loss that is passed over.
    """

    lenient: bool
    say: Callable[[str], object]

    def lose(self, error: BirdsodError) -> None:
        """Raise the error, or tell it and go on."""
        if not self.lenient:
            raise error
        self.say(str(error))


def warn(text: str) -> None:
    """Say a line to someone who works in Python."""
    # The caller stands at different depths, so the warning names this line wherever it is raised.
    warnings.warn(text, UserWarning, stacklevel=1)
