"""A model hosted on SageMaker."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from birdsod.errors import CloudError, ServingError
from birdsod.estimator.sagemaker.invoking import LIMITS, SERVERLESS_LIMITS, invoke, invoke_async, log_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    import boto3

    from birdsod.classes import ClassTable
    from birdsod.detections import Detections
    from birdsod.estimator.sagemaker.ledger import Ledger, Resource
    from birdsod.estimator.sagemaker.undertaking import Undertaking
    from birdsod.image import ImageSource

__all__ = ["SageMakerDetector", "Site"]


@dataclass(frozen=True, slots=True)
class Site:
    """What one has to know of an endpoint to ask it.

    Parameters
    ----------
    endpoint : str
        Its name.
    serverless : bool, default False
        Whether it has no instances.
    work_uri : str, optional
        Where an asynchronous endpoint's images are put meanwhile; others have none.
    """

    endpoint: str
    serverless: bool = False
    work_uri: str | None = None


class SageMakerDetector:
    """A model hosted on SageMaker: an endpoint, its configuration and its model.

    All three go at the end of the ``with`` block, with :meth:`close`, and at the latest when Python exits, unless
    :meth:`detach` was called. Should Python be killed instead, ``birdsod cleanup`` finds them.

    Parameters
    ----------
    site : Site
        The endpoint.
    classes : ClassTable
        What the class ids of an answer stand for.
    undertaking : Undertaking
        What :meth:`close` ends.
    owned : bool, default True
        Whether it goes with Python too, and not with :meth:`close` only.
    startup_seconds : float, default 1800
        How long :meth:`wait` waits.
    """

    def __init__(
        self,
        site: Site,
        classes: ClassTable,
        undertaking: Undertaking,
        *,
        owned: bool = True,
        startup_seconds: float = 1800.0,
    ) -> None:
        self._site = site
        self._classes = classes
        self._undertaking = undertaking
        self._cloud = undertaking.cloud
        self._startup_seconds = startup_seconds
        self._closed = False
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, _end_at_exit, undertaking, os.getpid()) if owned else None

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        session: boto3.Session | None = None,
        classes: ClassTable | None = None,
        ledger: Ledger | None = None,
        poll_seconds: float = 10.0,
    ) -> SageMakerDetector:
        """Return the detector of an endpoint that exists, such as one of an earlier session.

        It does not go when Python exits, only with :meth:`close` or the end of a ``with`` block; and only if it was
        made by birdsod, with the same ledger or by the same caller.

        Parameters
        ----------
        name : str
            Name of the endpoint.
        session : boto3.Session, optional
            Whose credentials and region are used.
        classes : ClassTable, optional
            What the class ids stand for; those of the training job if left out.
        ledger : Ledger, optional
            The ledger; the default one if left out.
        poll_seconds : float, default 10.0
            Time between two looks at the endpoint.

        Returns
        -------
        SageMakerDetector

        Raises
        ------
        ServingError
            If there is no such endpoint, or its classes are not known.
        CloudError
            If the service does not tell.
        """
        from birdsod.estimator.sagemaker.attaching import attach
        from birdsod.estimator.sagemaker.session import Cloud

        return attach(Cloud.of(session), name, classes=classes, ledger=ledger, poll_seconds=poll_seconds)

    @property
    def name(self) -> str:
        """Name of the endpoint."""
        return self._site.endpoint

    @property
    def url(self) -> str:
        """Where it answers, to requests that are signed."""
        return f"{self._cloud.runtime.meta.endpoint_url}/endpoints/{self.name}/invocations"

    @property
    def log_group(self) -> str:
        """Where the container's log is."""
        return log_group(self.name)

    @property
    def classes(self) -> ClassTable:
        """What the class ids of a prediction stand for."""
        return self._classes

    @property
    def status(self) -> str:
        """``Creating``, ``InService``, ``Failed``, ... as the service tells it now, or ``Deleted``."""
        from birdsod.estimator.sagemaker.endpoint import endpoint_status

        return endpoint_status(self._cloud, self.name, seconds=self._seconds)[0]

    @property
    def resources(self) -> tuple[Resource, ...]:
        """What :meth:`close` would end: endpoint, configuration and model."""
        return self._undertaking.open

    def wait(self) -> None:
        """Wait until the endpoint answers.

        Raises
        ------
        ServingError
            If it does not start, with the reason and the last lines of its log.
        """
        from birdsod.estimator.sagemaker.endpoint import wait_in_service

        wait_in_service(
            self._cloud,
            self.name,
            startup_seconds=self._startup_seconds,
            poll_seconds=self._undertaking.poll_seconds,
        )

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
            If the detector is closed, or the endpoint or its container answers with an error.
        """
        from birdsod.serving._answers import read_answer
        from birdsod.serving._payload import payload

        if self._closed:
            raise ServingError(f"endpoint {self.name} is closed", cure="predict inside the with block")
        limits = SERVERLESS_LIMITS if self._site.serverless else LIMITS
        sent = payload(image, limits, upright=True)
        if self._site.work_uri is None:
            body = invoke(self._cloud, self.name, sent, seconds=self._seconds)
        else:
            poll = self._undertaking.poll_seconds
            body = invoke_async(self._cloud, self.name, sent, work_uri=self._site.work_uri, poll_seconds=poll)
        source = f"endpoint {self.name}"
        return read_answer(body, width=sent.width, height=sent.height, classes=self._classes, source=source)

    def predict_batch(self, images: Iterable[ImageSource], *, jobs: int = 8) -> list[Detections]:
        """Find the objects in several images, several at a time.

        Parameters
        ----------
        images : iterable of image source
            As :meth:`predict` takes them.
        jobs : int, default 8
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
        from birdsod._ordered import in_threads

        return list(in_threads(self.predict, images, threads=jobs))

    def detach(self) -> None:
        """Leave the endpoint there when Python exits; it costs until :meth:`attach` and :meth:`close`, or a clean-up.

        What was made stays on the ledger.
        """
        if self._finalizer is not None:
            self._finalizer.detach()

    def close(self) -> None:
        """Delete endpoint, configuration and model, and wait until they are gone; a second call does nothing.

        An endpoint that is being created is waited for, since it cannot be deleted before. An interrupt meanwhile
        leaves the rest to ``birdsod cleanup``, or another call.

        Warns
        -----
        UserWarning
            If it is an endpoint that was attached to and birdsod did not make for this caller: it stays.

        Raises
        ------
        CloudError
            If something is still there, with the reason.
        """
        with self._lock:
            self._closed = True
            failed = self._undertaking.end()
            if self._undertaking.foreign:
                self._closed = False
                shown = ", ".join(map(str, self._undertaking.foreign))
                warnings.warn(f"not made by birdsod for this caller, so it stays: {shown}", stacklevel=2)
            if failed:
                raise _left(failed)
            self.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except CloudError as left:
            if error is None:
                raise
            # What went wrong in the block is what its user has to know first.
            error.add_note(str(left))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.url!r})"

    @property
    def _seconds(self) -> float:
        return min(1.0, self._undertaking.poll_seconds)


def _left(failed: Mapping[Resource, CloudError]) -> CloudError:
    first = next(iter(failed.values()))
    message = f"still there: {', '.join(map(str, failed))}"
    return CloudError(message, value=first.value, cause=str(first), cure="run `birdsod cleanup`")


def _end_at_exit(undertaking: Undertaking, owner: int) -> None:
    if os.getpid() != owner:
        # A fork of the process that made the endpoint has no say in its end.
        return
    failed = undertaking.end()
    if failed:
        # A ResourceWarning would not be shown by default, and this costs money.
        warnings.warn(str(_left(failed)), UserWarning, stacklevel=2)
