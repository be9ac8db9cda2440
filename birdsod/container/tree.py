"""Where SageMaker puts what a container is given, and looks for what it leaves."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from birdsod.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ROOT", "Tree"]

ROOT = "BIRDSOD_OPT_ML"
"""Environment variable that names another folder than ``/opt/ml``."""

_OPT_ML = "/opt/ml"


@dataclass(frozen=True, slots=True)
class Tree:
    """The folder that SageMaker shares with a container.

    Parameters
    ----------
    root : pathlib.Path
        The folder itself, ``/opt/ml`` inside a container.

    Source
    ------
    How Amazon SageMaker provides training information, processes training output and loads model artifacts, in its
    developer guide.

    Examples
    --------
    >>> Tree(Path("/opt/ml")).failure.as_posix()
    '/opt/ml/output/failure'
    """

    root: Path

    @classmethod
    def find(cls, root: str | os.PathLike[str] | None = None) -> Self:
        """Return the tree of a process.

        Parameters
        ----------
        root : path-like, optional
            The folder; by default what the environment variable ``BIRDSOD_OPT_ML`` names, else ``/opt/ml``.

        Returns
        -------
        Tree
        """
        return cls(Path(root or os.environ.get(ROOT) or _OPT_ML))

    @property
    def hyperparameters(self) -> Path:
        """Name to value, both as text."""
        return self.root / "input" / "config" / "hyperparameters.json"

    @property
    def resources(self) -> Path:
        """Which machines there are, and which of them this is."""
        return self.root / "input" / "config" / "resourceconfig.json"

    @property
    def inputs(self) -> Path:
        """How each channel is given."""
        return self.root / "input" / "config" / "inputdataconfig.json"

    @property
    def data(self) -> Path:
        """Folder of the channels: folders of files, or pipes."""
        return self.root / "input" / "data"

    @property
    def checkpoints(self) -> Path:
        """What outlives an interruption."""
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        """Files of the trained model, which SageMaker packs."""
        return self.root / "model"

    @property
    def failure(self) -> Path:
        """Why the training failed."""
        return self.root / "output" / "failure"

    def pipe(self, channel: str, epoch: int = 0) -> Path:
        """Return the pipe that a channel in Pipe mode comes through.

        Parameters
        ----------
        channel : str
            Name of the channel.
        epoch : int, default 0
            How often it was read before.

        Returns
        -------
        pathlib.Path

        Examples
        --------
        >>> Tree(Path("/opt/ml")).pipe("train").name
        'train_0'
        """
        return self.data / f"{channel}_{epoch}"

    def read_hyperparameters(self) -> dict[str, str]:
        """Return the hyperparameters as they were sent.

        Returns
        -------
        dict of str to str

        Raises
        ------
        TrainingError
            If there are none, or a value is no text.
        """
        values = _read(self.hyperparameters)
        if values is None:
            cure = "mount the folder that SageMaker makes, or name one laid out like it by BIRDSOD_OPT_ML"
            raise TrainingError("there are no hyperparameters", path=self.hyperparameters, cure=cure)
        for name, value in values.items():
            if not isinstance(value, str):
                message, cure = f"the hyperparameter {name} is no text", "write every value as text"
                raise TrainingError(message, path=self.hyperparameters, value=value, cure=cure)
        return values

    def read_resources(self) -> Mapping[str, Any]:
        """Return what is known of the machines; nothing where nobody says.

        Returns
        -------
        mapping
        """
        return _read(self.resources) or {}

    def read_inputs(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Return what is known of the channels, by name; None where nobody says.

        Returns
        -------
        mapping or None

        Raises
        ------
        TrainingError
            If a channel is described by something else than names and values.
        """
        channels = _read(self.inputs)
        for name, told in (channels or {}).items():
            if not isinstance(told, dict):
                raise TrainingError(f"the channel {name} is not described", path=self.inputs, value=told)
        return channels


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TrainingError("the file cannot be read", path=path, cause=str(error)) from error
    if not isinstance(values, dict):
        raise TrainingError("the file does not hold names with values", path=path, value=type(values).__name__)
    return values
