"""The hosting contract over HTTP: ``GET /ping`` and ``POST /invocations``, for any predictor."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Self, cast

from birdsod.errors import ServingError
from birdsod.serving._handler import Handler
from birdsod.serving._limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from birdsod.estimator import Predictor

    Request = socket.socket | tuple[bytes, socket.socket]

__all__ = ["Server"]

_POLL_SECONDS = 0.05


class Server(ThreadingHTTPServer):
    """Answers ``/ping`` and ``/invocations`` for a predictor.

    It listens from the moment it is made, and answers from :meth:`start`, or the beginning of its ``with`` block,
    until :meth:`stop`, or the block's end.

    Parameters
    ----------
    predictor : Predictor
        What finds the objects; it is asked by one request at a time.
    host : str, default "127.0.0.1"
        Address to listen at; others than the loopback's let other machines in.
    port : int, default 0
        Port to listen at; 0 takes a free one.
    limits : Limits, optional
        How much it takes and how long it waits.

    Raises
    ------
    ServingError
        If it cannot listen there.

    Source
    ------
    Amazon SageMaker's developer guide: how containers serve inference; input and output of object detection.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, predictor: Predictor, *, host: str = "127.0.0.1", port: int = 0, limits: Limits | None = None
    ) -> None:
        self.predictor = predictor
        self.limits: Limits = limits or Limits()
        self.model_turn: threading.Lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self.limits.connections)
        self._quiet = threading.Condition()
        self._busy = 0
        self._connections: set[socket.socket] = set()
        self._thread: threading.Thread | None = None
        self.address_family: int = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            cure = "choose another port, or 0 for a free one"
            raise ServingError(f"cannot listen at {host}:{port}", cause=str(error), cure=cure) from error

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}"

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name that the base class does, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name: str = str(self.server_address[0])
        self.server_port: int = int(self.server_address[1])

    def start(self) -> None:
        """Answer from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name="birdsod-server")
        self._thread.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, *, grace: float = 5.0) -> None:
        """Take no more requests, let those under way finish, and close.

        Parameters
        ----------
        grace : float, default 5.0
            Seconds that requests under way may still take.
        """
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        with self._quiet:
            self._quiet.wait_for(lambda: self._busy == 0, timeout=grace)
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    @contextmanager
    def request_under_way(self) -> Iterator[None]:
        """Mark a request that :meth:`stop` lets finish."""
        with self._quiet:
            self._busy += 1
        try:
            yield
        finally:
            with self._quiet:
                self._busy -= 1
                self._quiet.notify_all()

    def process_request(self, request: Request, client_address: object) -> None:
        """Give a connection a thread of its own, as long as there are not too many."""
        if not self._slots.acquire(timeout=self.limits.queue_seconds):
            _turn_away(cast("socket.socket", request))
            self.shutdown_request(request)
            return
        self._connections.add(cast("socket.socket", request))
        super().process_request(request, client_address)

    def process_request_thread(self, request: Request, client_address: object) -> None:
        """Answer one connection's requests."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.discard(cast("socket.socket", request))
            self._slots.release()

    def handle_error(self, request: Request, client_address: object) -> None:  # noqa: ARG002 - the base class's signature
        """Log what went wrong in a connection, unless the other side just went away."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()


def _turn_away(connection: socket.socket) -> None:
    body = b'{"error": "too many connections"}'
    head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with suppress(OSError):
        connection.sendall(head.encode() + body)
