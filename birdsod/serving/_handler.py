"""One connection: its requests read, checked and answered."""

from __future__ import annotations

import io
import json
import socket
import traceback
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, cast

from birdsod.errors import ImageError
from birdsod.serving._requests import (
    Refusal,
    TimedSocket,
    body_length,
    check_content_type,
    check_image,
    check_route,
)

if TYPE_CHECKING:
    from birdsod.detections import Detections
    from birdsod.serving.server import Server

__all__ = ["Handler"]

_ROUTES = {"/ping": "GET", "/invocations": "POST"}
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1 << 26


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    server_version = "birdsod"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self._host = cast("Server", self.server)
        self.rfile.close()
        self._source = TimedSocket(self.connection)
        self._reader = io.BufferedReader(self._source)
        self.rfile = self._reader
        self._body_pending = False

    def handle_one_request(self) -> None:
        self._source.allow(self._host.limits.idle_seconds)
        try:
            gone = not self._reader.peek(1)
        except TimeoutError:
            gone = True
        if gone:
            self.close_connection = True
            return
        self._source.allow(self._host.limits.request_seconds)
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        # A client that asks first learns of a refusal without sending the body.
        try:
            self._check_head()
        except Refusal as refusal:
            self._refuse(refusal)
            return False
        return super().handle_expect_100()

    def answer(self) -> None:
        with self._host.request_under_way():
            try:
                route = self._check_head()
                answer = self._invoke() if route == "/invocations" else {}
            except Refusal as refusal:
                self._refuse(refusal)
            else:
                self._reply(HTTPStatus.OK, answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer  # noqa: N815 - the base class's names

    def _check_head(self) -> str:
        self._body_pending = self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        route = check_route(_ROUTES, self.path, self.command)
        if route == "/invocations":
            self._length = body_length(self.headers, self._host.limits)
            check_content_type(self.headers)
        return route

    def _invoke(self) -> dict[str, object]:
        body = self._body()
        check_image(body, self._host.limits)
        try:
            with self._host.model_turn:
                found = self._host.predictor.predict(body)
            return {"prediction": _rows(found)}
        except ImageError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"not a readable image: {error.message}") from error
        except Exception as error:
            # The client gets no traceback: it tells paths and versions. The operator does.
            traceback.print_exc()
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the model failed on this image") from error

    def _body(self) -> bytes:
        body = self._reader.read(self._length)
        if len(body) < self._length:
            raise ConnectionResetError("the client went away in the middle of a body")
        self._body_pending = False
        return body

    def _refuse(self, refusal: Refusal) -> None:
        unread, self.close_connection = self._body_pending, self._body_pending or self.close_connection
        self._reply(refusal.status, {"error": refusal.message}, refusal.headers)
        if unread:
            self._linger()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that the base class could not even read, in the same form as all others."""
        self.close_connection = True
        # The base class takes what it cannot read for HTTP 0.9, whose answers have no head.
        self.request_version = self.protocol_version
        self._reply(HTTPStatus(code), {"error": message or explain or HTTPStatus(code).phrase})
        self._linger()

    def _reply(self, status: HTTPStatus, answer: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(answer, allow_nan=False).encode()
        self.connection.settimeout(self._host.limits.request_seconds)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _linger(self) -> None:
        """Read on for a moment, since closing on unread bytes would reset the connection and lose the answer."""
        self._source.allow(_LINGER_SECONDS)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            left = _LINGER_BYTES
            while left > 0 and (read := len(self._reader.read1(1 << 16))):
                left -= read

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Say nothing: a line a request would only fill a disk."""


def _rows(found: Detections) -> list[list[float]]:
    cells = zip(found.class_id, found.confidence, found.xyxy_relative, strict=True)
    return [[float(class_id), float(score), *(float(side) for side in box)] for class_id, score, box in cells]
