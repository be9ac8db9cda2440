"""The page on which a person drops a photograph and sees the boxes."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from birdsod.estimator import Predictor

__all__ = ["page_routes"]

_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
# All that the page needs comes from the server itself: it works without any other network.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def page_routes(predictor: Predictor) -> list[Route]:
    """Return the routes of the page and of what it asks for.

    Parameters
    ----------
    predictor : Predictor
        Whose classes it names.

    Returns
    -------
    list of starlette.routing.Route
    """
    names = json.dumps(list(predictor.classes.names)).encode()
    shown = [_fixed(path, _read(name), kind) for path, (name, kind) in _FILES.items()]
    return [*shown, _fixed("/classes", names, "application/json")]


def _read(name: str) -> bytes:
    return (files("birdsod.serving") / "page" / name).read_bytes()


def _fixed(path: str, body: bytes, kind: str) -> Route:
    async def answer(request: Request) -> Response:  # noqa: ARG001 - the signature of a route
        return Response(body, media_type=kind, headers=_HEADERS)

    return Route(path, answer)
