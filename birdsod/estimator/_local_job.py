"""A training job on this machine."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Self

from birdsod.errors import TrainingError
from birdsod.estimator import _log
from birdsod.estimator._launch import JobProcess, claimed
from birdsod.estimator._local_facts import TRAIN, LocalJobFacts
from birdsod.ssd.job_files import FAILED, IN_PROGRESS, STOPPED, JobFiles

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from birdsod.detections import Detections
    from birdsod.estimator._detector import LocalDetector
    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.image import ImageSource
    from birdsod.ssd.model import Model

__all__ = ["TRAIN", "LocalJob"]

_GRACE_SECONDS = 120.0


class LocalJob(LocalJobFacts):
    """A training job on this machine: a process, and a folder that outlives it.

    :meth:`LocalEstimator.fit <birdsod.estimator.LocalEstimator.fit>` makes one; :meth:`attach` finds it again
    in a later session.

    Parameters
    ----------
    directory : pathlib.Path
        Folder of the job.
    process : JobProcess
        The process that trains.
    command : sequence of str
        What starts a training process; the folder is appended.
    """

    _model: Model | None = None

    @classmethod
    def attach(cls, directory: str | os.PathLike[str]) -> Self:
        """Return a job of an earlier session, running or over.

        Parameters
        ----------
        directory : path-like
            Folder of the job: the output folder of its estimator, and in it the job's name.

        Returns
        -------
        LocalJob

        Raises
        ------
        TrainingError
            If there is no job.
        """
        folder = Path(directory).resolve()
        return cls(folder, JobProcess.find(JobFiles(folder)))

    def wait(self) -> None:
        """Wait until the job is over, its log lines shown meanwhile.

        An interrupt ends the waiting, not the job; :meth:`stop` ends the job.

        Raises
        ------
        TrainingError
            If the job failed, with its own reason and the lines that led to it.
        """
        self.follow()

    def follow(self, *, start: int = 0, show: bool = True) -> None:
        """Wait until the job is over, and choose what is shown of its log.

        Parameters
        ----------
        start : int, default 0
            Bytes of the log that are passed over.
        show : bool, default True
            Whether the lines are printed; a progress bar is shown in any case where someone watches.

        Raises
        ------
        TrainingError
            If the job failed.
        """
        _log.follow(self._files.log, start=start, running=self._running, description=self.name, show=show)
        state = self.state()
        if state.status == FAILED:
            reason = (state.reason or "the training failed").rstrip(".")
            raise TrainingError(reason, path=self.directory, cause=self._last_words())

    def stop(self) -> None:
        """Ask the job to stop and wait until it has; it leaves a checkpoint, and :meth:`resume` goes on from it.

        A job that is over stays as it is.
        """
        if not self._running():
            return
        self._stopping = True
        try:
            process = self._process if self._process.running else JobProcess(self.state().process)
            process.terminate(_GRACE_SECONDS)
        finally:
            self.state()
            self._stopping = False

    def resume(self, *, wait: bool = True) -> Self:
        """Go on with a job that was stopped or has failed, from its last checkpoint.

        Parameters
        ----------
        wait : bool, default True
            As for ``fit``.

        Returns
        -------
        LocalJob

        Raises
        ------
        TrainingError
            If the job runs or is complete, another session resumes it at this moment, or it fails again.
        """
        with claimed(self._files):
            said = self._start_again()
        if wait:
            self.follow_or_stop(start=said)
        return self

    def _start_again(self) -> int:
        if not self._process.running:  # another session may have resumed it
            self._process = JobProcess.find(self._files)
        status = self.status
        if status not in {STOPPED, FAILED}:
            cure = "wait() for it" if status == IN_PROGRESS else "train anew with more epochs"
            raise TrainingError(f"nothing to resume: the status is {status}", path=self.directory, cure=cure)
        said = self._files.log.stat().st_size if self._files.log.exists() else 0
        self._files.status.unlink(missing_ok=True)
        self._process = JobProcess.start(self._files, self._command)
        return said

    def follow_or_stop(self, *, start: int = 0, show: bool = True) -> None:
        """Wait as :meth:`follow` does, but stop the job if the waiting is interrupted.

        Parameters
        ----------
        start, show
            As for :meth:`follow`.
        """
        try:
            self.follow(start=start, show=show)
        except BaseException:
            self.stop()
            raise

    def predict(self, image: ImageSource) -> Detections:
        """Find the objects in one image, in this process and without hosting.

        Parameters
        ----------
        image : str, path-like, bytes or numpy.ndarray
            A file, its bytes, or an RGB array of shape (height, width, 3), ``uint8``.

        Returns
        -------
        Detections

        Raises
        ------
        ImageError
            If the image cannot be read.
        TrainingError
            If the job has no model (yet).
        """
        return self._loaded().predict(image)

    def predict_batch(self, images: Iterable[ImageSource]) -> list[Detections]:
        """Find the objects in several images at once.

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
        ImageError, TrainingError
            As :meth:`predict`.
        """
        return self._loaded().predict_batch(images)

    def deploy(self, hosting: Hosting | None = None, *, host: str = "127.0.0.1", port: int = 0) -> LocalDetector:
        """Serve the trained model over HTTP in a process of its own, and wait until it answers.

        Parameters
        ----------
        hosting : Hosting, optional
            As the engine in the cloud takes it; only its ``startup_seconds`` mean something here.
        host : str, default "127.0.0.1"
            Address to listen at; others than the loopback's let other machines in.
        port : int, default 0
            Port to listen at; 0 takes a free one.

        Returns
        -------
        LocalDetector
            To be used in a ``with`` block, or closed by hand.

        Warns
        -----
        UserWarning
            If more of the hosting was given, which is ignored here.

        Raises
        ------
        TrainingError
            If the job has no model (yet).
        ServingError
            If the server does not start.
        """
        from birdsod.estimator._detector import LocalDetector
        from birdsod.serving import start_server

        patience = {} if hosting is None else _patience(hosting)
        return LocalDetector(self.name, start_server(self.artifact, host=host, port=port, **patience), self.classes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, status={self.status!r})"

    def _loaded(self) -> Model:
        if self._model is None:
            from birdsod.ssd import load_model

            self._model = load_model(self.artifact)
        return self._model


def _patience(hosting: Hosting) -> dict[str, float]:
    """Return what of a hosting means something here, and name the rest."""
    ignored = [name for name in hosting.given if name != "startup_seconds"]
    if ignored:
        warnings.warn(f"hosting on this machine ignores {', '.join(ignored)}", UserWarning, stacklevel=3)
    return {"timeout": hosting.startup_seconds} if "startup_seconds" in hosting.given else {}
