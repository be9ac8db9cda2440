"""What a request must be, before the model sees it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from birdsod.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from starlette.datastructures import Headers

    from birdsod.serving._limits import Limits

__all__ = ["ACCEPTED", "Refusal", "body_length", "check_content_type", "check_image", "read_image"]

ACCEPTED = ("image/jpeg", "image/png", "application/x-image")


class Refusal(Exception):  # noqa: N818 - an answer to the client, not an error of the server
    """A request that is answered with an error.

    Parameters
    ----------
    status : http.HTTPStatus
        Status of the answer.
    message : str
        What is wrong, in one sentence.
    **headers
        Headers of the answer, underscores for hyphens.
    """

    def __init__(self, status: HTTPStatus, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def body_length(headers: Headers, limits: Limits) -> int:
    """Return the length of the body, or refuse one that is not told (411), told in two ways (400) or too long (413)."""
    told = headers.getlist("Content-Length")
    if "Transfer-Encoding" in headers:
        status = HTTPStatus.BAD_REQUEST if told else HTTPStatus.LENGTH_REQUIRED
        raise Refusal(status, "chunked bodies are not taken; send Content-Length instead")
    if not told:
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "send the Content-Length of the image")
    # h11 has refused what is no number, and two that differ. Longer ones would only cost time: no limit comes near.
    length = int(told[0][:20])
    if length > limits.body_bytes:
        message = f"the image is larger than {limits.body_bytes} bytes; shrink it, answers are relative to its size"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    return length


def check_content_type(headers: Headers) -> None:
    """Refuse a content type that is not an image's (415)."""
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() not in ACCEPTED:
        message = f"send one of {', '.join(ACCEPTED)} as Content-Type"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, Accept=", ".join(ACCEPTED))


def check_image(body: bytes, limits: Limits) -> None:
    """Refuse bytes that are no whole image (400), another kind of image (415) or one with too many pixels (413)."""
    from birdsod.image import is_truncated, read_size, sniff

    kind = sniff(body)
    if kind not in {None, "image/jpeg", "image/png"}:
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send a JPEG or PNG image, this is {kind}")
    try:
        size = read_size(body)
    except ImageError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"not a readable image: {error.message}") from error
    if size.width * size.height > limits.pixels:
        message = f"the image has more than {limits.pixels} pixels ({size.width} x {size.height})"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    if is_truncated(body):
        raise Refusal(HTTPStatus.BAD_REQUEST, "not a readable image: the JPEG breaks off within its pixels")


def read_image(body: bytes, limits: Limits) -> npt.NDArray[np.uint8]:
    """Return an image's pixels, or refuse it as :func:`check_image` does, or since its pixels cannot be read (400)."""
    from birdsod.image import as_rgb

    check_image(body, limits)
    try:
        return as_rgb(body)
    except ImageError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"not a readable image: {error.message}") from error
