"""A model hosted on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from birdsod.classes import ClassTable
    from birdsod.detections import Detections
    from birdsod.image import ImageSource
    from birdsod.serving import ServerProcess

__all__ = ["LocalDetector"]


class LocalDetector:
    """A model hosted on this machine, asked over HTTP as an endpoint in the cloud would be.

    Its server goes at the end of the ``with`` block, with :meth:`close`, and at the latest with this process.

    Parameters
    ----------
    name : str
        Name of the endpoint.
    server : ServerProcess
        The server; from now on it is the detector's to close.
    classes : ClassTable
        What the class ids of an answer stand for.
    """

    def __init__(self, name: str, server: ServerProcess, classes: ClassTable) -> None:
        self._name = name
        self._server = server
        self._client = server.client(classes)

    @property
    def name(self) -> str:
        """Name of the endpoint: that of its job."""
        return self._name

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._server.url

    @property
    def classes(self) -> ClassTable:
        """What the class ids of a prediction stand for."""
        return self._client.classes

    def predict(self, image: ImageSource) -> Detections:
        """Find the objects in one image.

        Parameters
        ----------
        image : str, path-like, bytes or numpy.ndarray
            A file, its bytes, or an RGB array of shape (height, width, 3), ``uint8``. What is above the payload
            limit is shrunk before it is sent; boxes are relative, so nothing is lost.

        Returns
        -------
        Detections

        Raises
        ------
        ImageError
            If the image cannot be read.
        ServingError
            If the detector is closed or answers with an error.
        """
        return self._client.predict(image)

    def predict_batch(self, images: Iterable[ImageSource]) -> list[Detections]:
        """Find the objects in several images, several at a time.

        Parameters
        ----------
        images : iterable of image source
            As :meth:`predict` takes them.

        Returns
        -------
        list of Detections
            In the order of the images.

        Raises
        ------
        ImageError, ServingError
            As :meth:`predict`.
        """
        return self._client.predict_batch(images)

    def close(self) -> None:
        """End the server and wait until it is gone; a second call does nothing."""
        self._client.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.url!r})"
