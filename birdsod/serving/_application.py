"""What a server answers on each of its paths."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
from contextlib import asynccontextmanager, suppress
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from birdsod.errors import ImageError
from birdsod.serving._batching import Batcher
from birdsod.serving._metrics import Metrics
from birdsod.serving._page import page_routes
from birdsod.serving._requests import Refusal, body_length, check_content_type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from birdsod.detections import Detections
    from birdsod.estimator import Predictor
    from birdsod.serving._limits import Limits

__all__ = ["application"]

_METHODS = frozenset(HTTPMethod)
# Where a request is noted whose body was read to its end.
_READ = "birdsod.read"
_DRAIN_SECONDS = 2.0
_DRAIN_BYTES = 1 << 26


def application(predictor: Predictor, limits: Limits) -> ASGIApp:
    """Return the hosting contract, the page for people and the counts, as an ASGI application.

    Parameters
    ----------
    predictor : Predictor
        What finds the objects.
    limits : Limits
        How much is taken.

    Returns
    -------
    ASGI application
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.batcher = Batcher(predictor, limits, metrics)
        working = asyncio.create_task(app.state.batcher.run())
        yield
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working

    async def invocations(request: Request) -> Response:
        return await _invoke(request, limits)

    async def count(request: Request) -> Response:  # noqa: ARG001 - the signature of a route
        text, kind = metrics.text()
        return Response(text, media_type=kind)

    routes = [
        Route("/ping", _ping),
        Route("/invocations", invocations, methods=["POST"]),
        Route("/metrics", count),
        *page_routes(predictor),
    ]
    handlers = {Refusal: _refuse, HTTPException: _refuse_route, Exception: _fault}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    return _Counted(app, metrics, frozenset(route.path for route in routes))


async def _ping(request: Request) -> Response:  # noqa: ARG001 - the signature of a route
    return _Answer({})


async def _invoke(request: Request, limits: Limits) -> Response:
    body_length(request.headers, limits)
    check_content_type(request.headers)
    try:
        body = await request.body()
    except ClientDisconnect:
        return Response()
    request.scope[_READ] = True
    try:
        found = await request.app.state.batcher.find(body)
    except Refusal:
        raise
    except asyncio.CancelledError:
        # The time is over that requests under way are given when a server stops.
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the server is stopping", Retry_After="1") from None
    except ImageError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"not a readable image: {error.message}") from error
    except Exception as error:
        # The client gets no traceback: it tells paths and versions. The operator does.
        traceback.print_exc()
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the model failed on this image") from error
    return _Answer({"prediction": _rows(found)})


def _rows(found: Detections) -> list[list[float]]:
    # As one array: a tenth of the time that a number at a time takes.
    rows: list[list[float]] = np.column_stack([found.class_id, found.confidence, found.xyxy_relative]).tolist()
    return rows


async def _refuse(request: Request, refusal: Exception) -> Response:  # noqa: ARG001 - the signature of a handler
    if not isinstance(refusal, Refusal):  # pragma: no cover - registered for no other
        raise refusal
    return _Refused({"error": refusal.message}, refusal.status, refusal.headers)


async def _refuse_route(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # pragma: no cover - registered for no other
        raise error
    if request.method not in _METHODS:
        return _Refused({"error": f"no such method as {request.method[:20]}"}, HTTPStatus.NOT_IMPLEMENTED)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "").replace("HEAD, ", "").replace(", HEAD", "")
        message = f"{request.url.path} takes {allowed} only"
        return _Refused({"error": message}, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allowed})
    return _Refused({"error": "no such path; there are /ping and /invocations"}, HTTPStatus.NOT_FOUND)


async def _fault(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the signature of a handler
    return _Answer({"error": "a fault of the server"}, HTTPStatus.INTERNAL_SERVER_ERROR)


class _Answer(Response):
    """JSON, in which a number that is none would be an error of ours."""

    def __init__(
        self, answer: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        body = json.dumps(answer, allow_nan=False).encode()
        super().__init__(body, status.value, headers, "application/json")


class _Refused(_Answer):
    """A refusal. What is still on its way is read for a moment: closing on unread bytes would lose the answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        unread = _has_body(scope)
        if unread:
            self.headers["Connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": unread})
        if unread:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await _drain(receive)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _has_body(scope: Scope) -> bool:
    told = dict(scope["headers"])
    return not scope.get(_READ) and (told.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in told)


async def _drain(receive: Receive) -> None:
    left = _DRAIN_BYTES
    while left > 0:
        message = await receive()
        if not message.get("more_body"):
            return
        left -= len(message["body"])


class _Counted:
    """An application whose requests are counted, and whose own faults are told in words."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:  # noqa: BLE001 - Starlette has answered 500 already
            traceback.print_exc(file=sys.stderr)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            self._metrics.request(route, status, time.perf_counter() - began)
