"""One exception tree: every error knows its file, place, value, likely cause and cure.

.. code-block:: text

    BirdsodError
    ├── InputError                what was given is at fault (exit code 1 on the command line)
    │   ├── BoxError              a box is not finite, inverted, empty or outside its image
    │   ├── ImageError            an image is missing, broken, too large or of an unknown kind
    │   ├── DatasetError          annotations, classes, splits or files that do not fit together
    │   ├── ListError             a row of a ``.lst`` file
    │   ├── RecordError           a ``.rec`` or ``.idx`` file, or one of its records
    │   ├── HyperparameterError   an unknown or out-of-range parameter
    │   └── ArtifactError         a model archive or checkpoint
    ├── DownloadError             a download that failed or brought something else
    ├── TrainingError             a training job that failed or diverged
    ├── ServingError              a hosted model that cannot be started or answered with an error
    ├── CloudError                the cloud refused a request, or cannot be reached
    │   └── PreflightError        a job that would fail or surprise: found before anything is created
    └── MissingDependencyError    an optional package that is not installed
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ArtifactError",
    "BirdsodError",
    "BoxError",
    "CloudError",
    "DatasetError",
    "DownloadError",
    "HyperparameterError",
    "ImageError",
    "InputError",
    "ListError",
    "MissingDependencyError",
    "PreflightError",
    "RecordError",
    "ServingError",
    "TrainingError",
]

_FIELDS = ("message", "path", "line", "record", "value", "cause", "cure")


class BirdsodError(Exception):
    """Root of all errors that birdsod raises on purpose.

    Parameters
    ----------
    message : str
        What is wrong, in one sentence without a full stop.
    path : path-like, optional
        The file at fault.
    line : int, optional
        Line in that file, counted from 1.
    record : int, optional
        Record or row in that file or array, counted from 0.
    value : object, optional
        The offending value, shown by its ``repr``.
    cause : str, optional
        The likely cause.
    cure : str, optional
        What to do about it.

    Examples
    --------
    >>> print(BirdsodError("the class id is negative", path="train.lst", line=3, value=-1, cure="count classes from 0"))
    train.lst, line 3: the class id is negative (got -1). Cure: count classes from 0.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str] | Path | None = None,
        line: int | None = None,
        record: int | None = None,
        value: object = None,
        cause: str | None = None,
        cure: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path: str | None = None if path is None else os.fspath(path)
        self.line = line
        self.record = record
        self.value = value
        self.cause = cause
        self.cure = cure

    @property
    def place(self) -> str:
        """Where it happened: file, line and record as far as they are known."""
        parts = [self.path]
        parts.append(None if self.line is None else f"line {self.line}")
        parts.append(None if self.record is None else f"record {self.record}")
        return ", ".join(part for part in parts if part)

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        if self.value is not None:
            text += f" (got {self.value!r})"
        if self.cause:
            # A cause may be another error's text, which has its full stop.
            text += f". Likely cause: {self.cause.rstrip('.')}"
        if self.cure:
            text += f". Cure: {self.cure}"
        return text if self.cause is None and self.cure is None else f"{text}."

    def __reduce__(self) -> tuple[object, ...]:
        # The default recipe passes args only, so worker processes would lose the place and the cure.
        # ImportError keeps its path outside __dict__, so the fields are named.
        return (_rebuild, (type(self), {**self.__dict__, **{name: getattr(self, name) for name in _FIELDS}}))


def _rebuild(kind: type[BirdsodError], state: dict[str, object]) -> BirdsodError:
    error = kind(str(state["message"]))
    for name, value in state.items():
        setattr(error, name, value)
    return error


class InputError(BirdsodError, ValueError):
    """What was given is at fault."""


class BoxError(InputError):
    """A box is not finite, inverted, empty or outside its image."""


class ImageError(InputError):
    """An image is missing, broken, too large or of an unknown kind."""


class DatasetError(InputError):
    """Annotations, classes, splits or files that do not fit together."""


class ListError(InputError):
    """A row of a ``.lst`` file."""


class RecordError(InputError):
    """A ``.rec`` or ``.idx`` file, or one of its records."""


class HyperparameterError(InputError):
    """An unknown or out-of-range parameter."""


class ArtifactError(InputError):
    """A model archive or checkpoint."""


class DownloadError(BirdsodError):
    """A download that failed or brought something else."""


class TrainingError(BirdsodError):
    """A training job that failed or diverged."""


class ServingError(BirdsodError):
    """A hosted model that cannot be started or answered with an error."""


class CloudError(BirdsodError):
    """The cloud refused a request, or cannot be reached."""


class PreflightError(CloudError):
    """A job that would fail or surprise: found before anything is created."""


class MissingDependencyError(BirdsodError, ImportError):
    """An optional package that is not installed."""
