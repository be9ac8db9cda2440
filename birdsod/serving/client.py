"""Asking a hosted model over HTTP."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from birdsod.errors import ServingError
from birdsod.serving._answers import read_answer, reason_in
from birdsod.serving._limits import Limits
from birdsod.serving._payload import Payload, payload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from types import TracebackType

    from birdsod.classes import ClassTable
    from birdsod.detections import Detections
    from birdsod.image import ImageSource

__all__ = ["Client"]


class Client:
    """A predictor that asks a server, over connections that stay open; threads may share it.

    Parameters
    ----------
    url : str
        Where the server answers, such as ``http://127.0.0.1:8080``.
    classes : ClassTable
        What its class ids stand for: an answer carries no names.
    timeout : float, default 60.0
        Seconds to wait for an answer.
    limits : Limits, optional
        What the server takes; larger images are shrunk before they are sent.

    Raises
    ------
    ServingError
        If the address is not one of HTTP.

    Examples
    --------
    >>> from birdsod.classes import ClassTable
    >>> with Client("http://127.0.0.1:8080", ClassTable((17,), ("017.Cardinal",))) as client:
    ...     client.classes.names
    ('017.Cardinal',)
    """

    def __init__(self, url: str, classes: ClassTable, *, timeout: float = 60.0, limits: Limits | None = None) -> None:
        self.url = url
        self._address = _address(url)
        self._classes = classes
        self._timeout = timeout
        self._limits = limits or Limits()
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def classes(self) -> ClassTable:
        """What the class ids stand for."""
        return self._classes

    def predict(self, image: ImageSource) -> Detections:
        """Find the objects in one image.

        Parameters
        ----------
        image : str, path-like, bytes or numpy.ndarray
            A file, its bytes, or an RGB array. What the server would refuse as too large is shrunk first;
            boxes are relative, so nothing is lost.

        Returns
        -------
        Detections
            Pixels of the image as it was given.

        Raises
        ------
        ImageError
            If the image cannot be read.
        ServingError
            If the server does not answer or answers with an error, or the client is closed.
        """
        sent = payload(image, self._limits)
        body = self._ask(sent)
        return read_answer(body, width=sent.width, height=sent.height, classes=self._classes, source=self.url)

    def predict_batch(self, images: Iterable[ImageSource], *, jobs: int = 4) -> list[Detections]:
        """Find the objects in several images, several at a time.

        Parameters
        ----------
        images : iterable of image source
            As :meth:`predict` takes them.
        jobs : int, default 4
            Requests under way at once.

        Returns
        -------
        list of Detections
            In the order of the images.

        Raises
        ------
        ImageError, ServingError
            As :meth:`predict`.
        """
        found: list[Detections] = []
        under_way: deque[Future[Detections]] = deque()
        with ThreadPoolExecutor(jobs, thread_name_prefix="birdsod-client") as pool:
            for image in images:
                # Not all at once: the images may come from a generator and not fit into memory together.
                if len(under_way) == 2 * jobs:
                    found.append(under_way.popleft().result())
                under_way.append(pool.submit(self.predict, image))
            found.extend(future.result() for future in under_way)
        return found

    def ping(self) -> bool:
        """Tell whether the server is ready.

        Returns
        -------
        bool
        """
        connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, sent: Payload) -> bytes:
        connection = self._take()
        try:
            status, body = _exchange(connection, sent)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ServingError(f"no answer from {self.url}", cause=str(error) or type(error).__name__) from error
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        if status != HTTPStatus.OK:
            raise ServingError(f"{self.url} answered {status}", cause=reason_in(body))
        return body

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._closed:
                raise ServingError(f"the client of {self.url} is closed", cure="predict inside the with block")
            if self._idle:
                return self._idle.pop()
        return http.client.HTTPConnection(*self._address, timeout=self._timeout)

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def _exchange(connection: http.client.HTTPConnection, sent: Payload) -> tuple[int, bytes]:
    used = connection.sock is not None
    try:
        return _send(connection, sent)
    except ConnectionError:
        # The server closes a connection that was idle for long; only a fresh one says that it is gone.
        if not used:
            raise
        connection.close()
        return _send(connection, sent)


def _send(connection: http.client.HTTPConnection, sent: Payload) -> tuple[int, bytes]:
    connection.request("POST", "/invocations", sent.body, {"Content-Type": sent.content_type})
    answer = connection.getresponse()
    return answer.status, answer.read()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ServingError("not an address", value=url, cause=str(error)) from error
    if parts.scheme != "http" or not host:
        raise ServingError("not an address of HTTP", value=url, cure="give one such as http://127.0.0.1:8080")
    return host, port or http.client.HTTP_PORT
