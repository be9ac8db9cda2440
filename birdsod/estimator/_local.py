"""The engine on this machine."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from birdsod._arguments import check_packed, named, refuse_shards
from birdsod.errors import HyperparameterError, TrainingError
from birdsod.estimator._launch import GRACE_SECONDS, JobProcess, new_job_directory
from birdsod.estimator._local_job import TRAIN, LocalJob
from birdsod.ssd.job_files import JobFiles, JobSpec
from birdsod.ssd.recipe import resolve
from birdsod.ssd.start import check_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed
    from birdsod.ssd.options import LocalOptions

__all__ = ["LocalEstimator"]


class TrainedJob(Protocol):
    """A job that has a model on this machine."""

    @property
    def artifact(self) -> Path:
        """The trained model."""
        ...


class LocalEstimator:
    """Trains on this machine, each job in a process and a folder of its own.

    Parameters
    ----------
    params : Hyperparameters
        Hyperparameters of the algorithm.
    output_dir : path-like
        Where the folders of the jobs are made.
    options : LocalOptions, optional
        What only this engine knows.
    model : path-like or job, optional
        A model to go on from, of the same base network and the same classes: a ``model.tar.gz`` of this engine or of
        the built-in algorithm, or a job that made one.

    Raises
    ------
    HyperparameterError
        If the hyperparameters or options are something else.
    TrainingError
        If the model is something else, or the job has none.

    Examples
    --------
    >>> from birdsod import Hyperparameters
    >>> params = Hyperparameters(num_classes=5, num_training_samples=150, base_network="efficientnet-lite0")
    >>> LocalEstimator(params, "work/jobs").params.num_classes
    5
    """

    def __init__(
        self,
        params: Hyperparameters,
        output_dir: str | os.PathLike[str],
        *,
        options: LocalOptions | None = None,
        model: str | os.PathLike[str] | TrainedJob | None = None,
        _command: Sequence[str] = TRAIN,
    ) -> None:
        from birdsod.hyperparameters import Hyperparameters
        from birdsod.ssd.options import LocalOptions

        _check_kind(params, Hyperparameters, "Hyperparameters.for_data(packed, ...)")
        if options is not None:
            _check_kind(options, LocalOptions, "LocalOptions(...)")
        self.params = params
        self.options: LocalOptions = options or LocalOptions()
        self.output_dir: Path = Path(output_dir)
        self._model = _archive(model)
        self._command = _command

    def fit(self, data: Packed, *, wait: bool = True, logs: bool = True) -> LocalJob:
        """Train on packed data.

        An interrupt while waiting stops the job, which leaves a checkpoint: ``LocalJob.attach`` finds it
        and ``resume`` goes on.

        Parameters
        ----------
        data : Packed
            What :func:`birdsod.pack` returned, with the channels ``train`` and ``validation``.
        wait : bool, default True
            Wait until the job is over; otherwise return as soon as it runs. It runs on even when Python ends.
        logs : bool, default True
            Whether its log lines are printed while it is waited for.

        Returns
        -------
        LocalJob

        Warns
        -----
        UserWarning
            If the images were packed smaller than the network sees them and no log lines are printed to say so.

        Raises
        ------
        HyperparameterError
            If the hyperparameters do not fit the data or this engine.
        TrainingError
            If these are no packed data, or a channel is missing; or if the job failed, where it is waited for,
            with its reason and its last lines.
        """
        refuse_shards(data, TrainingError)
        check_packed(data, TrainingError, records=True)
        self._check(data)
        hint = data.image_shape_hint(self.params.image_shape)
        if hint and not (wait and logs):
            # Otherwise the log tells it, before anyone has waited for long.
            warnings.warn(hint, UserWarning, stacklevel=2)
        directory = new_job_directory(self.output_dir.resolve())
        files = JobFiles(directory)
        JobSpec.of(directory.name, self.params, self.options, data, self._model).write(files.spec)
        process = JobProcess.start(files, self._command)
        try:
            job = LocalJob(directory, process, self._command)
            if wait:
                job.follow_or_stop(show=logs)
        except BaseException:
            # It runs in a session of its own, which an interrupt of ours does not reach.
            process.terminate(GRACE_SECONDS)
            raise
        return job

    def _check(self, data: Packed) -> None:
        missing = [name for name in ("train", "validation") if name not in data.channels]
        if missing:
            cure = 'pack({"train": ..., "validation": ...}, ...)'
            raise TrainingError(f"no channel {' and no channel '.join(missing)}", path=data.directory, cure=cure)
        fitting = {
            "num_classes": (self.params.num_classes, len(data.class_table)),
            "num_training_samples": (self.params.num_training_samples, data.channels["train"].records),
        }
        for name, (given, wanted) in fitting.items():
            if given != wanted:
                message = f"{name} does not fit the data, which have {wanted}"
                cure = "make them with Hyperparameters.for_data of these data"
                raise HyperparameterError(message, path=data.directory, value=given, cure=cure)
        check_start(self.params, self.options, data.class_table, self._model)
        resolve(self.params, self.options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.params.base_network!r}, output_dir={str(self.output_dir)!r})"


def _archive(model: str | os.PathLike[str] | TrainedJob | None) -> Path | None:
    """Return where a model lies on this machine."""
    if model is None:
        return None
    artifact = model if isinstance(model, str | os.PathLike) else getattr(model, "artifact", None)
    if not isinstance(artifact, str | os.PathLike) or str(artifact).startswith("s3://"):
        cure = "give a model.tar.gz on this machine, or a job that made one"
        raise TrainingError("this is no model to go on from", value=named(model), cure=cure)
    return Path(artifact)


def _check_kind(given: object, kind: type, cure: str) -> None:
    if not isinstance(given, kind):
        raise HyperparameterError(f"these are no {kind.__name__}", value=named(given), cure=f"give {cure}")
