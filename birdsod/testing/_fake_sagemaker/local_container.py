"""One container of a training job: birdsod's own program, in a process of its own, with its folder and pipes."""

from __future__ import annotations

import errno
import io
import itertools
import os
import signal
import subprocess
import sys
import tarfile
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from birdsod.container import Tree
from birdsod.container.tree import ROOT
from birdsod.estimator._log import read_lines
from birdsod.testing._fake_sagemaker.local_data import lay_out, pipe_channels, stream_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["Container", "packed_model"]

_GRACE_SECONDS = 120.0
_LOOK_SECONDS = 0.02


class Container:
    """A machine of a job.

    Parameters
    ----------
    region : Region
        Where the objects lie.
    request : dict
        What the job was created with.
    folder : pathlib.Path
        An empty folder.
    host : str
        Name of the machine.
    hosts : sequence of str
        Names of all machines of the job.
    """

    def __init__(self, region: Region, request: Json, folder: Path, host: str, hosts: Sequence[str]) -> None:
        self.host = host
        self.tree: Tree = Tree(folder / "ml")
        self._output = folder / "output.txt"
        self._said = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._gone = threading.Event()
        self._feeders: list[threading.Thread] = []
        lay_out(region, request, self.tree, host, hosts)
        for name, channel in pipe_channels(request).items():
            work = (name, lambda channel=channel: stream_of(region, channel))
            self._feeders.append(threading.Thread(target=self._feed, args=work, name="birdsod-fake-pipe", daemon=True))

    def start(self, environment: Mapping[str, str]) -> None:
        """Start the program.

        Parameters
        ----------
        environment : mapping of str to str
            More variables of its environment.
        """
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "birdsod.container", "train"],
                env={**os.environ, ROOT: str(self.tree.root), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        for feeder in self._feeders:
            feeder.start()

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def new_lines(self) -> list[str]:
        """Return what it said since it was last asked."""
        lines = read_lines(self._output)
        fresh, self._said = lines[self._said :], len(lines)
        return fresh

    def stop(self) -> None:
        """Send it the signal that the service sends."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """End whatever is left of it, and its pipes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_GRACE_SECONDS)
        self._gone.set()
        for feeder in self._feeders:
            if feeder.ident is not None:
                feeder.join()

    def reason(self) -> str:
        """Return what it left as the reason of its failure."""
        try:
            return self.tree.failure.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def _feed(self, name: str, stream: Callable[[], Iterable[bytes]]) -> None:
        """Write the channel to one pipe after the other: each is an epoch."""
        for epoch in itertools.count():  # pragma: no branch - it has no end
            pipe = self.tree.pipe(name, epoch)
            if epoch:
                os.mkfifo(pipe)
            descriptor = self._reader_of(pipe)
            if descriptor is None:
                return
            # Whoever reads may have read enough.
            with suppress(BrokenPipeError), os.fdopen(descriptor, "wb", buffering=0) as end:
                for piece in stream():
                    end.write(piece)

    def _reader_of(self, pipe: Path) -> int | None:
        """Return the end to write to once somebody reads, None if nobody does any more."""
        while not self._gone.wait(_LOOK_SECONDS):
            try:
                descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:  # pragma: no cover - the folder is ours
                    raise
            else:
                os.set_blocking(descriptor, True)
                return descriptor
        return None


def packed_model(folder: Path) -> bytes | None:
    """Return the archive that the service makes of what lies in the folder of the model, None where nothing does.

    Parameters
    ----------
    folder : pathlib.Path
        ``model`` of the tree.

    Returns
    -------
    bytes or None
    """
    files = sorted(folder.rglob("*"))
    if not files:
        return None
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as archive:
        for file in files:
            archive.add(file, file.relative_to(folder).as_posix(), recursive=False)
    return target.getvalue()
