"""The HTTP server: loopback only, bounded bodies, connections that end with it."""

from __future__ import annotations

import socket
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message

__all__ = ["BODY_BYTES", "Answer", "LoopbackServer", "Request"]

BODY_BYTES = 1 << 29
"""Largest body that is read: parts of an upload are far below it."""

_IDLE_SECONDS = 60.0
_CHUNK_LINE = 1 << 10


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came.

    Parameters
    ----------
    method : str
        Such as ``POST``.
    target : str
        Path with query, still quoted.
    headers : email.message.Message
        Its headers.
    body : bytes
        Its body, chunks put together.
    """

    method: str
    target: str
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : tuple of (str, str)
        Without the length, which is the body's.
    body : bytes
        The body.
    length : int, optional
        What is told of the length where no body goes out, as for ``HEAD``.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    length: int | None = None


class _TooLarge(Exception):  # noqa: N818 - an answer, not an error of the server
    pass


class LoopbackServer(ThreadingHTTPServer):
    """Answers at a free port of the loopback address until it is closed.

    Parameters
    ----------
    respond : callable
        Request to answer; called by many threads at once.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, respond: Callable[[Request], Answer]) -> None:
        self.respond = respond
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="birdsod-fake", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        """End it, and every connection; a second call does nothing."""
        if not self._thread.is_alive():
            return
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._guard:
            left = list(self._open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def note(self, connection: socket.socket, *, open: bool) -> None:  # noqa: A002 - what it is about
        """Take note of a connection that opens or closes."""
        with self._guard:
            (self._open.add if open else self._open.discard)(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "birdsod-fake"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = _IDLE_SECONDS

    def setup(self) -> None:
        super().setup()
        self._host = cast("LoopbackServer", self.server)
        self._host.note(self.connection, open=True)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self._host.note(self.connection, open=False)

    def handle_expect_100(self) -> bool:
        found = super().handle_expect_100()
        # The client waits for this before it sends the body.
        self.wfile.flush()
        return found

    def answer(self) -> None:
        try:
            body = self._body()
        except (_TooLarge, ValueError):
            self.close_connection = True
            self._reply(Answer(413, (), b""))
            return
        try:
            answer = self._host.respond(Request(self.command, self.path, self.headers, body))
        except Exception:  # noqa: BLE001 - whatever is wrong here, the client gets an answer
            traceback.print_exc()
            answer = Answer(500, (("Content-Type", "text/plain"),), b"the fake failed")
        self._reply(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer  # noqa: N815 - the base class's names

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 <= length <= BODY_BYTES:
            raise _TooLarge
        return self.rfile.read(length)

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        left = BODY_BYTES
        while size := int(self.rfile.readline(_CHUNK_LINE).split(b";")[0], 16):
            left -= size
            if size < 0 or left < 0:
                raise _TooLarge
            parts.append(self.rfile.read(size))
            self.rfile.readline(_CHUNK_LINE)
        while self.rfile.readline(_CHUNK_LINE).strip():
            pass
        return b"".join(parts)

    def _reply(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if answer.status != 204:  # noqa: PLR2004 - No Content
            self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Say nothing."""
