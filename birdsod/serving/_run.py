"""Serving in the foreground, until told to stop."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from birdsod.serving.server import Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

    from birdsod.estimator import Predictor
    from birdsod.serving._limits import Limits

__all__ = ["LISTENING", "handling", "run", "stop_with_owner"]

LISTENING = "listening at"
"""How the line begins that tells where a server listens."""

_WATCH_SECONDS = 0.5


def run(
    predictor: Predictor,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    stop: threading.Event | None = None,
    limits: Limits | None = None,
    listening: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or an interrupt comes; requests under way are finished first.

    Where it listens is told in one line on standard output.

    Parameters
    ----------
    predictor : Predictor
        What finds the objects.
    host : str, default "127.0.0.1"
        Address to listen at.
    port : int, default 8080
        Port to listen at; 0 takes a free one.
    stop : threading.Event, optional
        Set by whoever else wants it to end.
    limits : Limits, optional
        How much it takes and how long it waits.
    listening : socket.socket, optional
        A socket that listens already, in place of host and port.

    Raises
    ------
    ServingError
        If it cannot listen there.
    """
    told = stop or threading.Event()

    def on_signal(*_: object) -> None:
        told.set()

    server = Server(predictor, host=host, port=port, limits=limits, listening=listening)
    with handling({signal.SIGTERM: on_signal, signal.SIGINT: on_signal}), server:
        print(f"{LISTENING} {server.url}", flush=True)  # noqa: T201 - how a caller learns the port
        told.wait()


@contextmanager
def handling(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Handle signals inside a block, and as before after it.

    Parameters
    ----------
    handlers : mapping of signal to callable
        What is called in the main thread.
    """
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_with_owner() -> threading.Event:
    """Return an event that is set when the process that started this one closes our standard input, or is gone.

    Returns
    -------
    threading.Event
    """
    stop = threading.Event()
    threading.Thread(target=_watch, args=(os.getppid(), stop), name="birdsod-owner", daemon=True).start()
    return stop


def _watch(owner: int, stop: threading.Event) -> None:
    # The number is watched too: a fork of the owner may hold the other end of the pipe open for longer.
    while os.getppid() == owner:
        readable, _, _ = select.select([sys.stdin], [], [], _WATCH_SECONDS)
        if readable and not os.read(sys.stdin.fileno(), 1 << 12):
            break
    stop.set()
