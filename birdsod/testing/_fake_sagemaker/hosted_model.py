"""A model of birdsod's own that really answers, in the very program of the container, which ends with its endpoint."""

from __future__ import annotations

import http.client
import io
import sys
import tarfile
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from birdsod.container import Tree
from birdsod.errors import BirdsodError
from birdsod.testing._fake_sagemaker import s3
from birdsod.testing._fake_sagemaker.predictions import Answered

if TYPE_CHECKING:
    from birdsod.serving import ServerProcess
    from birdsod.testing._fake_sagemaker.world import Region

__all__ = ["HostedModel"]

_OURS = {"model.safetensors", "classes.json"}
_TIMEOUT = 60.0
_STARTUP = 180.0


class HostedModel:
    """An artifact, and the server that answers with it once someone asks.

    Parameters
    ----------
    region : Region
        Where the artifact lies.
    uri : str or None
        Its address.
    """

    def __init__(self, region: Region, uri: str | None) -> None:
        self._region = region
        self._uri = uri
        self._guard = threading.Lock()
        self._opened = False
        self._server: ServerProcess | None = None

    def ask(self, body: bytes, content_type: str) -> Answered | None:
        """Return the model's answer, or None where the artifact is not birdsod's.

        Parameters
        ----------
        body : bytes
            An image.
        content_type : str
            Its kind.

        Returns
        -------
        Answered or None
        """
        try:
            server = self._running()
        except BirdsodError as error:
            return Answered(500, f"the container does not start: {error}".encode(), "text/plain")
        if server is None:
            return None
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=_TIMEOUT)
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": content_type})
            answer = connection.getresponse()
            return Answered(answer.status, answer.read(), answer.headers.get("Content-Type", "application/json"))
        except OSError as error:
            return Answered(500, f"the container is gone: {error}".encode(), "text/plain")
        finally:
            connection.close()

    def close(self) -> None:
        """End the server."""
        with self._guard:
            self._opened = True
            server, self._server = self._server, None
        if server is not None:
            server.close()

    def _running(self) -> ServerProcess | None:
        with self._guard:
            if not self._opened:
                self._opened = True
                self._server = self._start()
            return self._server

    def _start(self) -> ServerProcess | None:
        if self._uri is None:
            return None
        archive = s3.get(self._region, self._uri)
        if not _is_ours(archive):
            return None
        tree = Tree(self._region.world.folder / f"model-{self._region.world.number()}")
        tree.model.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as stream:
            stream.extractall(tree.model, filter="data")
        return _served(tree)


def _served(tree: Tree) -> ServerProcess:
    from birdsod.serving.process import _start

    program = [sys.executable, "-m", "birdsod.container", "serve", "--root", str(tree.root)]
    # The port of the contract is one, and the fake hosts many models.
    return _start([*program, "--host", "127.0.0.1", "--port", "0", "--owned"], _STARTUP)


def _is_ours(data: bytes) -> bool:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return any(member.name.removeprefix("./") in _OURS for member in archive)
    except tarfile.TarError:
        return False
