"""A server in a process of its own, which never outlives the one that started it."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Self

from birdsod.errors import ServingError
from birdsod.serving.client import Client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from birdsod.classes import ClassTable

__all__ = ["ServerProcess", "start_server"]

_LISTENING = re.compile(r"listening at (http://\S+)")
_GRACE_SECONDS = 6.0
_LAST_LINES = 12
_TAIL_BYTES = 1 << 14


class ServerProcess:
    """A running server; it ends with its ``with`` block, with :meth:`close`, or when Python exits or is killed.

    Parameters
    ----------
    process : subprocess.Popen
        The process; it ends when its standard input is closed.
    url : str
        Where it answers.
    said : file
        What its standard error goes to.
    """

    def __init__(self, process: subprocess.Popen[str], url: str, said: IO[bytes]) -> None:
        self.url = url
        self.pid: int = process.pid
        self._said = said
        # Called once: by close, at exit, or when the last reference goes.
        self._end = weakref.finalize(self, _end, process, said, os.getpid())

    def complaints(self) -> str:
        """Return the last lines of its standard error: a traceback for each image that the model failed on.

        Returns
        -------
        str
        """
        return "" if self._said.closed else "\n".join(_last_lines(self._said))

    def client(self, classes: ClassTable) -> Client:
        """Return a client of this server.

        Parameters
        ----------
        classes : ClassTable
            What the class ids stand for.

        Returns
        -------
        Client
        """
        return Client(self.url, classes)

    def close(self) -> None:
        """End the process and wait until it is gone; a second call does nothing."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_server(
    artifact: str | os.PathLike[str], *, host: str = "127.0.0.1", port: int = 0, timeout: float = 180.0
) -> ServerProcess:
    """Serve a model archive in a process of its own and wait until it is ready.

    Parameters
    ----------
    artifact : path-like
        ``model.tar.gz``, or the folder that it was unpacked to.
    host : str, default "127.0.0.1"
        Address to listen at.
    port : int, default 0
        Port to listen at; 0 takes a free one.
    timeout : float, default 180.0
        Seconds that it may take.

    Returns
    -------
    ServerProcess

    Raises
    ------
    ServingError
        If it does not start, with what it said last; nothing is left running.
    """
    module = [sys.executable, "-m", "birdsod.serving"]
    return _start([*module, os.fspath(artifact), "--host", host, "--port", str(port), "--owned"], timeout)


def _start(command: Sequence[str | Path], timeout: float) -> ServerProcess:
    deadline = time.monotonic() + timeout
    said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server
    try:
        process = _spawn(command, said)
    except BaseException:
        said.close()
        raise
    try:
        url = _wait_for_url(process, deadline, said)
        _wait_for_ping(process, url, deadline, said)
    except BaseException:
        _end(process, said, os.getpid(), grace=0.0)
        raise
    return ServerProcess(process, url, said)


def _spawn(command: Sequence[str | Path], said: IO[bytes]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        # Ctrl-C in the terminal reaches the parent only, which then ends the server.
        start_new_session=True,
    )


def _wait_for_url(process: subprocess.Popen[str], deadline: float, said: IO[bytes]) -> str:
    found: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(process, found), name="birdsod-server-output", daemon=True).start()
    try:
        url = found.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise _failure("the server is not ready in time", said) from None
    if url is None:
        raise _failure("the server does not start", said)
    return url


def _listen(process: subprocess.Popen[str], found: queue.SimpleQueue[str | None]) -> None:
    """Pass on the address that the server tells, and read on, so that it never waits for a reader."""
    output = process.stdout
    if output is None:  # pragma: no cover - a pipe was asked for
        return
    with output:
        for line in output:
            told = _LISTENING.search(line)
            if told:
                found.put(told[1])
    found.put(None)


def _wait_for_ping(process: subprocess.Popen[str], url: str, deadline: float, said: IO[bytes]) -> None:
    from birdsod.classes import ClassTable

    with Client(url, ClassTable((), ()), timeout=5.0) as client:
        while not client.ping():
            if process.poll() is not None:
                raise _failure("the server does not start", said)
            if time.monotonic() > deadline:
                raise _failure("the server is not ready in time", said)
            time.sleep(0.02)


def _failure(message: str, said: IO[bytes]) -> ServingError:
    return ServingError(message, cause=" | ".join(_last_lines(said)) or "it said nothing")


def _last_lines(said: IO[bytes]) -> list[str]:
    # The file's position is the server's own, so it must not be moved.
    descriptor = said.fileno()
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, os.fstat(descriptor).st_size - _TAIL_BYTES))
    lines = (line.rstrip() for line in tail.decode("utf-8", "replace").splitlines())
    return [line for line in lines if line][-_LAST_LINES:]


def _end(process: subprocess.Popen[str], said: IO[bytes], owner: int, *, grace: float = _GRACE_SECONDS) -> None:
    if os.getpid() != owner:
        # A fork of the process that started the server has no say in its end.
        return
    try:
        if process.stdin is not None:  # pragma: no branch - a pipe was asked for
            with suppress(OSError):
                process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        said.close()
