"""What a hosted model answers, and the words of one that fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from birdsod.errors import ServingError

if TYPE_CHECKING:
    from birdsod.classes import ClassTable
    from birdsod.detections import Detections

__all__ = ["read_answer", "reason_in"]

_SHOWN = 200


def read_answer(body: bytes, *, width: int, height: int, classes: ClassTable, source: str) -> Detections:
    """Return the detections in an answer.

    Parameters
    ----------
    body : bytes
        ``{"prediction": [[class, score, xmin, ymin, xmax, ymax], ...]}``.
    width, height : int
        Size of the image as it was given.
    classes : ClassTable
        What the class ids stand for.
    source : str
        Who answered.

    Returns
    -------
    Detections

    Raises
    ------
    ServingError
        If it is no prediction.
    """
    from birdsod.detections import Detections

    try:
        rows = json.loads(body)["prediction"]
        return Detections.from_prediction(rows, width=width, height=height, classes=classes)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServingError(f"the answer of {source} is no prediction", value=body[:80], cause=str(error)) from error


def reason_in(body: bytes) -> str:
    """Return what an answer that is an error says.

    Examples
    --------
    >>> reason_in(b'{"error": "not a readable image"}'), reason_in(b"Bad Gateway")
    ('not a readable image', 'Bad Gateway')
    """
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:_SHOWN].decode("utf-8", "replace")
