"""Several processes that serve one model at one address, and are replaced without losing a request."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from birdsod.errors import ServingError
from birdsod.serving._run import LISTENING, handling
from birdsod.serving.server import listen, url_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["run_workers", "supervise"]

_GRACE_SECONDS = 10.0
# A worker that ends this often before it ever answered will not do better.
_MOST_FAILURES = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[str]

    def retire(self) -> None:
        """Ask it to answer what it has, and wait until it is gone."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


_Event = tuple[Literal["stop", "restart"], None] | tuple[Literal["ready", "gone"], _Worker]


def run_workers(model: str | os.PathLike[str], *, workers: int, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve a model archive by several processes until SIGTERM or an interrupt comes.

    One that dies is started again. SIGHUP replaces them one after the other, each only when its successor answers:
    so a new version of the archive is taken without a pause.

    Parameters
    ----------
    model : path-like
        ``model.tar.gz``, the folder that it was unpacked to, or another path that :func:`birdsod.load_model` opens.
    workers : int
        How many processes, each with the model in its memory.
    host : str, default "127.0.0.1"
        Address to listen at.
    port : int, default 8080
        Port to listen at; 0 takes a free one.

    Raises
    ------
    ServingError
        If it cannot listen there, or the workers do not start.
    """
    supervise([sys.executable, "-m", "birdsod.serving", os.fspath(model)], workers=workers, host=host, port=port)


def supervise(command: Sequence[str], *, workers: int, host: str, port: int) -> None:
    """Run a command several times, each time with a socket to serve at, as :func:`run_workers` does.

    Parameters
    ----------
    command : sequence of str
        It gets ``--owned`` and ``--descriptor N``, and tells on standard output when it listens.
    workers, host, port
        As :func:`run_workers` takes them.
    """
    if os.name != "posix":  # pragma: no cover - Windows hands no sockets on this way
        raise ServingError("several workers need a system with POSIX processes", cure="serve with one worker")
    with listen(host, port) as listening, tempfile.TemporaryDirectory(prefix="birdsod-metrics-") as counts:
        _Workers([*command, "--owned"], workers, listening, counts).run()


class _Workers:
    def __init__(self, command: Sequence[str], count: int, listening: socket.socket, counts: str) -> None:
        self._command = [*command, "--descriptor", str(listening.fileno())]
        self._count = count
        self._listening = listening
        self._counts = counts
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._active: list[_Worker] = []

    def run(self) -> None:
        told = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGHUP: "restart"}
        with handling({number: self._on(word) for number, word in told.items()}), self._ending():
            for _ in range(self._count):
                self._active.append(self._started())
            print(f"{LISTENING} {url_of(self._listening)}", flush=True)  # noqa: T201 - how a caller learns the port
            while (event := self._events.get())[0] != "stop":
                self._follow(event)

    def _on(self, word: str) -> object:
        # A simple queue may be filled from within a signal handler.
        event: _Event = ("stop", None) if word == "stop" else ("restart", None)
        return lambda *_: self._events.put(event)

    def _follow(self, event: _Event) -> None:
        word, worker = event
        if word == "restart":
            self._replace_all()
        elif word == "gone" and worker in self._active:
            sys.stderr.write(f"a worker has ended with {worker.process.returncode}; another takes its place\n")
            self._active.remove(worker)
            self._active.append(self._started())

    def _replace_all(self) -> None:
        for worker in tuple(self._active):
            self._active.append(self._started())
            self._active.remove(worker)
            worker.retire()

    def _started(self) -> _Worker:
        for _ in range(_MOST_FAILURES):
            worker = self._spawned()
            if self._is_ready(worker):
                return worker
        raise ServingError("the workers do not start", cause="what they said stands above")

    def _spawned(self) -> _Worker:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(self._counts, self._count),
            pass_fds=(self._listening.fileno(),),
            # Ctrl-C in a terminal reaches the parent only, which then ends its workers.
            start_new_session=True,
        )
        worker = _Worker(process)
        threading.Thread(target=self._watch, args=(worker,), name="birdsod-worker", daemon=True).start()
        return worker

    def _watch(self, worker: _Worker) -> None:
        output = worker.process.stdout
        if output is None:  # pragma: no cover - a pipe was asked for
            return
        with output:
            for line in output:
                if line.startswith(LISTENING):
                    self._events.put(("ready", worker))
        worker.process.wait()
        if worker.process.stdin is not None:  # pragma: no branch - a pipe was asked for
            worker.process.stdin.close()
        _forget_gauges(self._counts, worker.process.pid)
        self._events.put(("gone", worker))

    def _is_ready(self, worker: _Worker) -> bool:
        """Wait for one worker's word; what else happens meanwhile comes after it."""
        later: list[_Event] = []
        try:
            while True:
                event = self._events.get()
                if event[1] is worker:
                    return event[0] == "ready"
                later.append(event)
                if event[0] == "stop":
                    self._active.append(worker)
                    return True
        finally:
            for event in later:
                self._events.put(event)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            retiring = [threading.Thread(target=worker.retire) for worker in self._active]
            for thread in retiring:
                thread.start()
            for thread in retiring:
                thread.join()


def _environment(counts: str, workers: int) -> Mapping[str, str]:
    from birdsod.serving._metrics import FOLDER

    threads = str(max(1, (os.cpu_count() or 1) // workers))
    return {"OMP_NUM_THREADS": threads, **os.environ, FOLDER: counts}


def _forget_gauges(counts: str, pid: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, counts)  # type: ignore[no-untyped-call]  # ships half of its types
