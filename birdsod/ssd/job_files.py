"""What a local training job leaves in its folder, and how both of its sides read and write it.

The folder of a job holds

``job.json``
    What to train (:class:`JobSpec`). Written once, before the training process starts.
``process.json``
    Which process trains (:class:`ProcessMark`). Written by the process that starts the job.
``claim``
    Empty; locked by a session while it resumes the job.
``status.json``
    How far it is (:class:`JobStatus`). Written by the training process only.
``log.txt``
    Log lines in the built-in algorithm's format, appended by the training process.
``output.txt``
    Whatever else the training process says: its standard output and standard error.
``checkpoint/``
    Enough to go on from.
``model.tar.gz``
    The trained model, present once the job is complete.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from birdsod._files import write_text
from birdsod.classes import ClassTable
from birdsod.errors import TrainingError
from birdsod.ssd._process import ProcessMark

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed
    from birdsod.ssd.options import LocalOptions

__all__ = ["COMPLETED", "FAILED", "IN_PROGRESS", "STOPPED", "STOPPING", "JobFiles", "JobSpec", "JobStatus", "now"]

IN_PROGRESS = "InProgress"
COMPLETED = "Completed"
FAILED = "Failed"
STOPPED = "Stopped"
STOPPING = "Stopping"


@dataclass(frozen=True, slots=True)
class JobFiles:
    """Where the files of a job lie.

    Parameters
    ----------
    directory : pathlib.Path
        The folder of the job.

    Examples
    --------
    >>> JobFiles(Path("jobs/birdsod-1")).log.as_posix()
    'jobs/birdsod-1/log.txt'
    """

    directory: Path

    @property
    def spec(self) -> Path:
        """What to train."""
        return self.directory / "job.json"

    @property
    def process(self) -> Path:
        """Which process trains."""
        return self.directory / "process.json"

    @property
    def claim(self) -> Path:
        """What a session locks while it resumes the job."""
        return self.directory / "claim"

    @property
    def status(self) -> Path:
        """How far it is."""
        return self.directory / "status.json"

    @property
    def log(self) -> Path:
        """Log lines."""
        return self.directory / "log.txt"

    @property
    def output(self) -> Path:
        """Standard output and standard error of the training process."""
        return self.directory / "output.txt"

    @property
    def checkpoint(self) -> Path:
        """Folder of checkpoints."""
        return self.directory / "checkpoint"

    @property
    def artifact(self) -> Path:
        """The trained model."""
        return self.directory / "model.tar.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What to train: everything that the training process is told.

    Parameters
    ----------
    name : str
        Name of the job.
    data : str
        Absolute path of the packed directory.
    hyperparameters : mapping of str to str
        All hyperparameters, as they would be sent to SageMaker.
    given : tuple of str
        Names of those that were set explicitly, which decides about precedence.
    options : mapping
        Fields of ``LocalOptions``, as plain values.
    classes : ClassTable
        The class table of the packed data.
    model : str, optional
        Absolute path of a model archive that training goes on from.
    """

    name: str
    data: str
    hyperparameters: Mapping[str, str]
    given: tuple[str, ...]
    options: Mapping[str, Any]
    classes: ClassTable
    model: str | None = None

    @classmethod
    def of(
        cls, name: str, params: Hyperparameters, options: LocalOptions, data: Packed, model: Path | None = None
    ) -> Self:
        """Return the spec of a job.

        Parameters
        ----------
        name : str
            Name of the job.
        params : Hyperparameters
            Hyperparameters of the algorithm.
        options : LocalOptions
            What only the local engine knows.
        data : Packed
            What to train on.
        model : pathlib.Path, optional
            A model archive that training goes on from.

        Returns
        -------
        JobSpec
        """
        return cls(
            name=name,
            data=str(Path(data.directory).resolve()),
            hyperparameters=params.to_request(),
            given=tuple(sorted(params.given)),
            options=asdict(options) | {"pretrained": _absolute(options.pretrained)},
            classes=data.class_table,
            model=_absolute(model),
        )

    def parameters(self) -> Hyperparameters:
        """Return the hyperparameters, those that were given explicitly still marked so.

        Returns
        -------
        Hyperparameters
        """
        from birdsod.hyperparameters import Hyperparameters

        return Hyperparameters.from_request(self.hyperparameters, given=self.given)

    def local_options(self) -> LocalOptions:
        """Return the options of the local engine.

        Returns
        -------
        LocalOptions
        """
        from birdsod.ssd.options import LocalOptions

        return LocalOptions.from_json(self.options)

    def write(self, path: Path) -> None:
        """Write ``job.json``; it appears whole.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["classes"] = self.classes.to_json()
        write_text(path, json.dumps(values, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``job.json``.

        Parameters
        ----------
        path : pathlib.Path
            The file.

        Returns
        -------
        JobSpec

        Raises
        ------
        TrainingError
            If the file is missing or is no job's.
        """
        # Jobs of earlier versions tell of no model.
        values = _read_object(path, cls, model=None)
        values["classes"] = ClassTable.from_json(values["classes"])
        values["given"] = tuple(values["given"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How far a job is.

    Parameters
    ----------
    status : str
        ``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``.
    process : ProcessMark
        The training process.
    started : str
        When this training process began, ISO 8601 in UTC.
    ended : str or None, default None
        When it ended.
    reason : str or None, default None
        Why it failed or stopped, in one line.
    epoch : int, default 0
        Epochs done.
    updates : int, default 0
        Updates of the weights done, over all processes that worked on this job.
    seconds : float, default 0.0
        Time spent training, over all processes that worked on this job.
    """

    status: str
    process: ProcessMark
    started: str
    ended: str | None = None
    reason: str | None = None
    epoch: int = 0
    updates: int = 0
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        """Write ``status.json``; it appears whole.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        """
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``status.json``.

        Parameters
        ----------
        path : pathlib.Path
            The file.

        Returns
        -------
        JobStatus

        Raises
        ------
        TrainingError
            If the file is missing or is no job's.
        """
        values = _read_object(path, cls)
        values["process"] = ProcessMark.from_json(values["process"])
        return cls(**values)


def _absolute(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def now() -> str:
    """Return the time as status files write it.

    Returns
    -------
    str
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read_object(path: Path, kind: type[JobSpec | JobStatus], **absent: object) -> dict[str, Any]:
    cure = "name the folder of a job, as LocalEstimator.fit made it"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError("no file of a training job", path=path, cause=error.strerror, cure=cure) from error
    except ValueError as error:
        raise TrainingError("not JSON", path=path, cause=str(error), cure=cure) from error
    values = {**absent, **values} if isinstance(values, dict) else values
    if not isinstance(values, dict) or {field.name for field in fields(kind)} != set(values):
        raise TrainingError(f"not the fields of a {kind.__name__}", path=path, cure=cure)
    return values
