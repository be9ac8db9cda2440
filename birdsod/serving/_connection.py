"""One connection of a server: how long its requests may take, and how it ends."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn import Config
    from uvicorn.server import ServerState

    from birdsod.serving._limits import Limits

__all__ = ["Connection"]

_CLOSE = (b"connection", b"close")
_ARRIVED = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)


class Connection(H11Protocol):
    """uvicorn's connection, with a time limit for each request, refusals as JSON, and an end that loses no request.

    Parameters
    ----------
    config, server_state, app_state, _loop
        As uvicorn gives them.
    limits : Limits
        How long it waits, and how many connections there may be.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._arriving = False
        self._last = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            transport.write(_refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", b"Retry-After: 1\r\n"))
            transport.close()
            return
        self._allow(self._limits.idle_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request, which has one deadline however slowly they trickle."""
        if not self._arriving:
            self._arriving = True
            self._allow(self._limits.request_seconds)
        super().data_received(data)
        if self.conn.their_state in _ARRIVED:
            self._arrived()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio lets it tell whether to stay open
        """Answer whoever sent a whole request and then closed its own side."""
        if self.conn.their_state in _ARRIVED and self._busy():
            self.cycle.keep_alive = False
            return True
        return False

    def handle_events(self) -> None:
        """Read what came; the answer to a last request says that it is the last."""
        super().handle_events()
        if self._last and self._busy():
            self._close_after_answer()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._arriving = False
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of all other refusals."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_refusal(HTTPStatus.BAD_REQUEST, msg))
        self.transport.close()

    def shutdown(self) -> None:
        """End after the request under way, or after the one that may be on its way."""
        if self._busy():
            self._close_after_answer()
        elif self._limits.farewell_seconds:
            self._last = True
            self._allow(self._limits.farewell_seconds)
        else:
            super().shutdown()

    def _busy(self) -> bool:
        # uvicorn declares a cycle from the start, but there is none before the first request.
        return bool(self.cycle) and not self.cycle.response_complete

    def _close_after_answer(self) -> None:
        self.cycle.keep_alive = False
        if not self.cycle.response_started:
            self.cycle.default_headers = [*self.cycle.default_headers, _CLOSE]

    def _allow(self, seconds: float) -> None:
        self._arrived()
        self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _refusal(status: HTTPStatus, message: str, headers: bytes = b"") -> bytes:
    body = json.dumps({"error": message}).encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return head.encode() + headers + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
