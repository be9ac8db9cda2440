"""What answers for a hosted model: the scripted rows, or the model itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from birdsod.errors import ImageError

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.world import Kept, Region

__all__ = ["Answered", "answer_of", "scripted"]

_ROWS = ((0.0, 0.9, 0.25, 0.25, 0.75, 0.75), (0.0, 0.1, 0.0, 0.0, 0.5, 0.5))
_ACCEPTED = ("image/jpeg", "image/png", "application/x-image")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the container answered.

    Parameters
    ----------
    status : int
        HTTP status.
    body : bytes
        The body.
    content_type : str
        What it is.
    """

    status: int
    body: bytes
    content_type: str = "application/json"


def answer_of(region: Region, kept: Kept, body: bytes, content_type: str) -> Answered:
    """Return what an endpoint's model answers.

    Parameters
    ----------
    region : Region
        Where.
    kept : Kept
        The endpoint.
    body : bytes
        An image.
    content_type : str
        Its kind.

    Returns
    -------
    Answered
    """
    found: Answered | None = kept.more["model"].ask(body, content_type)
    return scripted(region, body, content_type) if found is None else found


def scripted(region: Region, body: bytes, content_type: str) -> Answered:
    """Return the scripted answer to an image, or the container's refusal of what is none.

    Parameters
    ----------
    region : Region
        Where.
    body : bytes
        An image.
    content_type : str
        Its kind.

    Returns
    -------
    Answered
    """
    from birdsod.image import read_size

    if content_type not in _ACCEPTED:
        return _error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Unsupported content type: {content_type}")
    try:
        read_size(body)
    except ImageError as error:
        return _error(HTTPStatus.BAD_REQUEST, f"Unable to decode the image: {error.message}")
    script = region.world.scripts.predictions
    try:
        rows = _ROWS if script is None else script(body)
        return Answered(HTTPStatus.OK, json.dumps({"prediction": [list(row) for row in rows]}).encode())
    except Exception as error:  # noqa: BLE001 - whatever the script raises is the model's failure
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")


def _error(status: int, message: str) -> Answered:
    return Answered(status, json.dumps({"error": message}).encode())
