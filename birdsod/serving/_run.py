"""Serving in the foreground, until told to stop."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

from birdsod.serving.server import Server

if TYPE_CHECKING:
    from types import FrameType

    from birdsod.estimator import Predictor

__all__ = ["run", "stop_with_owner"]

_WATCH_SECONDS = 0.5


def run(
    predictor: Predictor, *, host: str = "127.0.0.1", port: int = 8080, stop: threading.Event | None = None
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

    Raises
    ------
    ServingError
        If it cannot listen there.
    """
    told = stop or threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        told.set()

    server = Server(predictor, host=host, port=port)
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with server:
            print(f"listening at {server.url}", flush=True)  # noqa: T201 - how a caller learns the port
            told.wait()
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
