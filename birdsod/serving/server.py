"""The hosting contract over HTTP: ``GET /ping`` and ``POST /invocations``, for any predictor."""

from __future__ import annotations

import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from birdsod.errors import MissingDependencyError, ServingError
from birdsod.serving._limits import Limits

if TYPE_CHECKING:
    from types import TracebackType

    import uvicorn

    from birdsod.estimator import Predictor

__all__ = ["Server", "listen"]

_BACKLOG = 128
_PORTS = 1 << 16


class Server:
    """Answers ``/ping``, ``/invocations`` and ``/metrics`` for a predictor, and a person at ``/``.

    It listens from the moment it is made, and answers from :meth:`start`, or the beginning of its ``with`` block,
    until :meth:`stop`, or the block's end.

    Parameters
    ----------
    predictor : Predictor
        What finds the objects; it is asked by one thread. One with a ``predict_batch`` gets the images together that
        came while it worked on others.
    host : str, default "127.0.0.1"
        Address to listen at; others than the loopback's let other machines in.
    port : int, default 0
        Port to listen at; 0 takes a free one.
    limits : Limits, optional
        How much it takes and how long it waits.
    listening : socket.socket, optional
        A socket that listens already, in place of host and port.

    Raises
    ------
    ServingError
        If it cannot listen there.
    MissingDependencyError
        If the packages of the extra ``serve`` are missing.

    Source
    ------
    Amazon SageMaker's developer guide: how containers serve inference; input and output of object detection.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        self._server = _uvicorn_server(predictor, limits or Limits())
        self._socket = listening or listen(host, port)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return url_of(self._socket, self.address)

    def start(self) -> None:
        """Answer from now on, in a thread of its own."""
        run = partial(self._server.run, sockets=[self._socket])
        self._thread = threading.Thread(target=run, name="birdsod-server", daemon=True)
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
            self._server.should_exit = True
            self._thread.join(grace)
            self._server.force_exit = True
            self._thread.join(1.0)
        self._socket.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    host : str
        Address.
    port : int
        Port; 0 for a free one.

    Returns
    -------
    socket.socket

    Raises
    ------
    ServingError
        If it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port < _PORTS:
        raise ServingError(f"cannot listen at {host}:{port}", cause=f"a port is a number below {_PORTS}")
    try:
        made = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        cure = "choose another port, or 0 for a free one"
        raise ServingError(f"cannot listen at {host}:{port}", cause=str(error), cure=cure) from error
    # Connections inherit it. asyncio sees to it only where a socket was made for TCP by name; without it the second
    # half of an answer waits forty milliseconds for the first to be acknowledged.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def url_of(listening: socket.socket, address: tuple[str, int] | None = None) -> str:
    """Return the address of a listening socket as a URL.

    Parameters
    ----------
    listening : socket.socket
        The socket.
    address : tuple of str and int, optional
        Host and port, if it may be closed by now.

    Returns
    -------
    str
    """
    host, port = address or listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def _uvicorn_server(predictor: Predictor, limits: Limits) -> uvicorn.Server:
    try:
        import uvicorn

        from birdsod.serving._application import application
        from birdsod.serving._connection import Connection
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{error.name} is not installed, and a server needs it", cure="pip install 'birdsod[serve]'"
        ) from error
    # uvicorn knows classes and their names only; a bound limit is as good to it.
    connection: Any = partial(Connection, limits=limits)
    config = uvicorn.Config(
        application(predictor, limits),
        http=connection,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]  # a timer takes fractions as well
        backlog=_BACKLOG,
    )
    return uvicorn.Server(config)
