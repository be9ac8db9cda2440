"""What a check before a job found: values, each with its cause and its cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from birdsod.errors import PreflightError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FINDING_KINDS", "Finding", "Weight", "describe", "errors_of", "raise_errors", "warnings_of"]

Weight: TypeAlias = Literal["error", "warning"]

FINDING_KINDS: Mapping[str, str] = {
    # the request
    "bad-request": "the service's own model refuses a value: unknown, missing, too long, of a wrong form",
    "reserved-tag": "a tag's name begins with aws:, which the service keeps to itself",
    # hyperparameters
    "request-differs": "a hyperparameter is sent with another value than the one given",
    "bad-hyperparameter": "a hyperparameter is unknown, missing or out of range",
    "base-network": "the built-in algorithm does not have the base network",
    "default-not-sent": "a hyperparameter is left to a default on which documentation and container differ",
    "label-width": "label_width is smaller than the longest label of the data",
    "class-count": "num_classes is not the number of classes of the data",
    "sample-count": "num_training_samples is not the number of training images",
    "batch-above-samples": "a batch is larger than the training set",
    "batch-below-gpus": "a batch is too small to be split over the GPUs",
    "batch-memory": "a batch probably does not fit into the memory of the GPUs",
    "untrained-network": "a network without pretrained weights needs more images than there are",
    "schedule": "the learning rate falls, or training stops early, at an epoch that never comes",
    "all-layers-frozen": "the pattern of frozen layers matches all layers",
    "epochs-above-limit": "the epochs probably take longer than the job may",
    "many-objects": "an image has more objects than detection keeps",
    # data
    "missing-channel": "a channel that the algorithm needs is not there",
    "unknown-channel": "the algorithm does not know the channel",
    "repeated-channel": "two channels have the same name",
    "content-type": "a channel's content type does not go with its form",
    "input-mode": "a channel's form does not go with File or Pipe mode",
    "empty-channel": "a channel has no image",
    "several-records": "a channel has more than one record file",
    "unmatched-annotations": "images without annotations, or annotations without images",
    "manifest-attributes": "the attribute names of an augmented manifest are wrong, or in the wrong order",
    "record-wrapper": "an augmented manifest is read without its record wrapper",
    "manifest-line": "a line of an augmented manifest is not what the algorithm reads",
    "video-manifest": "the manifest is about frames of videos",
    "image-without-objects": "an image has no object, at which the algorithm stops",
    "absent-class": "a class occurs in no image of a channel",
    "bad-class-id": "a class id is negative, no whole number, or beyond the classes",
    "box-outside": "a box leaves its image, or is not relative to it",
    "bad-box": "a box is inverted, empty or not finite",
    "bad-label": "a label is not laid out as one of objects",
    "damaged-records": "a record file is damaged or missing",
    "changed-after-packing": "a file is not the one that was packed",
    "stale-index": "an index or list does not belong to its record file",
    "small-images": "images are packed smaller than the network sees them",
    "image-format": "an image is of a kind that the algorithm cannot decode",
    "image-orientation": "a PNG is stored turned, which the algorithm does not undo",
    # machines, time and money
    "cpu-instance": "the algorithm trains on GPUs only",
    "retired-instance": "the instance family is retired",
    "untested-instance": "nothing says that the algorithm runs on the instance family",
    "kv-store": "several machines and kv_store do not go together",
    "small-volume": "the disk is too small for the data",
    "spot-wait": "spot training needs a limit of waiting that is no shorter than that of training",
    "spot-checkpoints": "spot training without checkpoints begins anew after each interruption",
    "wait-without-spot": "a limit of waiting is for spot training only",
    "no-quota": "the account's quota for the instance type is too small",
    # the account
    "image-unavailable": "the region does not have the container",
    "image-region": "the container lies in another region",
    "bucket-missing": "a bucket does not exist",
    "bucket-region": "a bucket lies in another region",
    "missing-object": "nothing lies at an address",
    "role-missing": "the role does not exist",
    "role-trust": "the role may not be assumed by SageMaker",
    "not-checked": "the account does not let us ask",
    # seed models
    "seed-archive": "a seed model is not the model.tar.gz of a job",
    "seed-network": "a seed model has another base network",
    "seed-classes": "a seed model has another number of classes",
    # hosting
    "architecture": "the container does not run on the instance's processor",
    "accelerator": "the container cannot use the instance's accelerator",
    "serverless": "hosting without servers may not take the container",
    "model-archive": "a model is not the model.tar.gz of a job",
    "payload": "a request is larger than the endpoint takes",
}
"""What a finding may be about, each with its meaning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that would fail a job, or surprise whoever pays for it.

    Parameters
    ----------
    kind : str
        What it is: one of :data:`FINDING_KINDS`.
    message : str
        What is wrong, in one sentence without a full stop.
    severity : {"error", "warning"}
        Whether the job would fail or be useless, or only may be.
    value : object, optional
        The value at fault.
    cause : str, optional
        Its likely cause.
    cure : str, optional
        What to do about it.

    Examples
    --------
    >>> print(Finding("cpu-instance", "the algorithm trains on GPUs only", value="ml.m5.large", cure="ml.g4dn.xlarge"))
    error: cpu-instance: the algorithm trains on GPUs only (got 'ml.m5.large'). Cure: ml.g4dn.xlarge.
    """

    kind: str
    message: str
    severity: Weight = "error"
    value: object = None
    cause: str | None = None
    cure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold.

        Returns
        -------
        dict
        """
        plain = self.value if isinstance(self.value, str | int | float | None) else repr(self.value)
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "value": plain,
            "cause": self.cause,
            "cure": self.cure,
        }

    def __str__(self) -> str:
        value = "" if self.value is None else f" (got {self.value!r})"
        advice = [f"Likely cause: {self.cause}."] * bool(self.cause) + [f"Cure: {self.cure}."] * bool(self.cure)
        return " ".join([f"{self.severity}: {self.kind}: {self.message}{value}.", *advice])


def errors_of(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with which a job would fail."""
    return tuple(finding for finding in findings if finding.severity == "error")


def warnings_of(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that one may live with."""
    return tuple(finding for finding in findings if finding.severity == "warning")


def describe(findings: Iterable[Finding]) -> str:
    """Return findings as lines to print, errors first.

    Parameters
    ----------
    findings : iterable of Finding
        What a check returned.

    Returns
    -------
    str
        One line each, and one that counts them.

    Examples
    --------
    >>> describe([])
    'nothing found: ready to run'
    >>> print(describe([Finding("no-role", "there is no role of this name")]))
    error: no-role: there is no role of this name.
    1 error, 0 warnings
    """
    found = tuple(findings)
    if not found:
        return "nothing found: ready to run"
    faults, doubts = errors_of(found), warnings_of(found)
    total = f"{_several(len(faults), 'error')}, {_several(len(doubts), 'warning')}"
    return "\n".join([*map(str, (*faults, *doubts)), total])


def raise_errors(findings: Iterable[Finding]) -> None:
    """Refuse to go on if there is an error among the findings.

    Parameters
    ----------
    findings : iterable of Finding
        What a check returned.

    Raises
    ------
    PreflightError
        With all errors in its message, and their kinds as its value.
    """
    faults = errors_of(findings)
    if faults:
        told = "\n".join(f"- {str(fault).removeprefix('error: ')}" for fault in faults)
        message = f"{_several(len(faults), 'fault')} found before anything was created:\n{told}\n"
        cure = "mend them, or pass check=False to go on all the same"
        raise PreflightError(message, value=[fault.kind for fault in faults], cure=cure)


def _several(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
