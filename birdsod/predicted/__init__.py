"""What was found in many images, and which of them could not be looked at.

:func:`birdsod.predict_all` answers with :class:`Predicted`; a batch transform on SageMaker with a kind of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.predicted._predicted import CocoFiles, FailedImage, Predicted, SeenImage

__all__ = ["CocoFiles", "FailedImage", "Predicted", "SeenImage"]

_HOME = {
    "CocoFiles": "_predicted",
    "FailedImage": "_predicted",
    "Predicted": "_predicted",
    "SeenImage": "_predicted",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
