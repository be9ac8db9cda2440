"""What happens next in the fake: the parts that a test writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "STATES",
    "EndpointScript",
    "LogScript",
    "Planned",
    "Scripts",
    "TrainingScript",
    "TransformScript",
    "TuningScript",
]

STATES = ("Starting", "Downloading", "Training", "Training", "Training", "Uploading", "Completed")
"""The states of a job that goes well; its log grows at each ``Training``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingScript:
    """How jobs with the built-in image go; the fields are those of ``FakeSageMaker.script_training``."""

    states: Sequence[str] = STATES
    log: Sequence[str] | None = None
    failure: str | None = None
    billable: int | None = None
    seconds: int = 180
    hosts: int = 1
    artifact: bytes | None = None
    objective: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointScript:
    """How endpoints come up; the fields are those of ``FakeSageMaker.script_endpoint``."""

    states: Sequence[str] = ("Creating", "Creating", "InService")
    failure: str | None = None
    deleting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScript:
    """How logs are read; the fields are those of ``FakeSageMaker.script_logs``."""

    page_size: int = 10_000
    empty_pages: int = 0
    late_lines: int = 0
    late_streams: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningScript:
    """What the trials of a tuning job reach."""

    objectives: Sequence[float] | Callable[[Mapping[str, str]], float] | None = None
    failures: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformScript:
    """How batch transform jobs go; the fields are those of ``FakeSageMaker.script_transform``."""

    states: Sequence[str] = ("InProgress", "Completed")
    failure: str | None = None


@dataclass(slots=True)
class Planned:
    """An error that an operation is going to answer with."""

    operation: str
    code: str
    message: str
    status: int
    times: int
    after: int


@dataclass(slots=True)
class Scripts:
    """All of them; the fake's owner changes them, and requests read them."""

    training: TrainingScript = field(default_factory=TrainingScript)
    endpoint: EndpointScript = field(default_factory=EndpointScript)
    logs: LogScript = field(default_factory=LogScript)
    tuning: TuningScript = field(default_factory=TuningScript)
    predictions: Callable[[bytes], Iterable[Sequence[float]]] | None = None
    planned: list[Planned] = field(default_factory=list)
    quotas: dict[str, float] = field(default_factory=dict)
    transform: TransformScript = field(default_factory=TransformScript)
