"""What an engine is: the four protocols in which the local engine, the cloud and anyone's own engine meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    import pandas as pd

    from birdsod.classes import ClassTable
    from birdsod.detections import Detections
    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.image import ImageSource
    from birdsod.recordio import Packed

__all__ = ["Detector", "Estimator", "Job", "Predictor"]


@runtime_checkable
class Predictor(Protocol):
    """Anything that finds objects in an image: a job, a detector, a loaded model, or an own class.

    This is all that :func:`birdsod.evaluate` and a server need.

    Examples
    --------
    >>> from birdsod.classes import ClassTable
    >>> from birdsod.detections import Detections
    >>> class Blind:
    ...     classes = ClassTable((17,), ("017.Cardinal",))
    ...
    ...     def predict(self, image):
    ...         return Detections.from_prediction([], width=1, height=1, classes=self.classes)
    >>> isinstance(Blind(), Predictor)
    True
    """

    @property
    def classes(self) -> ClassTable:
        """What the class ids of a prediction stand for."""
        ...

    def predict(self, image: ImageSource) -> Detections:
        """Find the objects in one image.

        Parameters
        ----------
        image : str, path-like, bytes or numpy.ndarray
            A file, its bytes, or an RGB array of shape (height, width, 3), ``uint8``.

        Returns
        -------
        Detections
            All that the model found, low confidence included; :meth:`Detections.above` thins them out.

        Raises
        ------
        ImageError
            If the image cannot be read.
        ServingError
            If the model is hosted and does not answer, or answers with an error.
        """
        ...


@runtime_checkable
class Detector(Predictor, Protocol):
    """A hosted model: it costs something while it is there, and goes when its ``with`` block ends.

    Whatever was made to host it (a process, or an endpoint with its configuration and model) is gone after
    :meth:`close`, at the end of the block however it ends, and at the latest when Python exits.
    """

    @property
    def name(self) -> str:
        """Name of the endpoint."""
        ...

    @property
    def url(self) -> str:
        """Where it answers."""
        ...

    def predict_batch(self, images: Iterable[ImageSource]) -> list[Detections]:
        """Find the objects in several images, several at a time.

        Parameters
        ----------
        images : iterable of image source
            As :meth:`predict` takes them, one by one.

        Returns
        -------
        list of Detections
            In the order of the images.

        Raises
        ------
        ImageError, ServingError
            As :meth:`predict`; the first image that fails ends it.
        """
        ...

    def close(self) -> None:
        """Take the model off, with everything that was made to host it; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Job(Predictor, Protocol):
    """A training job, running or over, on this machine or elsewhere.

    Once it is complete it predicts like any other :class:`Predictor`, on this machine, without hosting.
    It is for type checkers only: ``isinstance`` would have to ask for the artifact, which may not be there.
    """

    @property
    def name(self) -> str:
        """Name of the job: letters, digits and hyphens, at most 63."""
        ...

    @property
    def status(self) -> str:
        """``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``, asked for anew each time."""
        ...

    @property
    def artifact(self) -> Path:
        """The trained model, ``model.tar.gz``, on this machine; fetched when first asked for if it lies elsewhere.

        Raises
        ------
        TrainingError
            If the job has none (yet).
        """
        ...

    def wait(self) -> None:
        """Wait until the job is over, its log lines shown meanwhile.

        An interrupt ends the waiting, not the job; :meth:`stop` ends the job.

        Raises
        ------
        TrainingError
            If the job failed, with its own reason and the lines that led to it.
        """
        ...

    def stop(self) -> None:
        """Ask the job to stop and wait until it has; what it has learned so far is kept. Over already: nothing."""
        ...

    def logs(self) -> list[str]:
        """Return the log lines so far, oldest first.

        Returns
        -------
        list of str
        """
        ...

    def metrics(self) -> pd.DataFrame:
        """Return what the log says about quality, one row an epoch.

        Returns
        -------
        pandas.DataFrame
            Columns ``epoch``, ``cross_entropy``, ``smooth_l1``, ``map`` and ``throughput``.
        """
        ...

    def predict_batch(self, images: Iterable[ImageSource]) -> list[Detections]:
        """Find the objects in several images.

        Parameters
        ----------
        images : iterable of image source
            As :meth:`predict` takes them, one by one.

        Returns
        -------
        list of Detections
            In the order of the images.
        """
        ...

    def deploy(self, hosting: Hosting | None = None) -> Detector:
        """Host the trained model and wait until it answers.

        Parameters
        ----------
        hosting : Hosting, optional
            On what and how; an engine that cannot do so says what it ignores.

        Returns
        -------
        Detector
            To be used in a ``with`` block, or closed by hand.

        Raises
        ------
        TrainingError
            If the job has no model (yet).
        ServingError
            If hosting fails; nothing that was made for it is left behind.
        """
        ...


@runtime_checkable
class Estimator(Protocol):
    """An engine with its settings: from packed data to a training job."""

    def fit(self, data: Packed, *, wait: bool = True) -> Job:
        """Train on packed data.

        Parameters
        ----------
        data : Packed
            What :func:`birdsod.pack` returned, with the channels ``train`` and ``validation``.
        wait : bool, default True
            Wait until the job is over; otherwise return as soon as it runs.

        Returns
        -------
        Job

        Raises
        ------
        HyperparameterError
            If the hyperparameters do not fit the data or the engine; found before anything is started.
        TrainingError
            If the job failed, where it is waited for.
        """
        ...
