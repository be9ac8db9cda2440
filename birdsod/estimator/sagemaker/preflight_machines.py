"""What the machines are that a training job can run on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsod.estimator.sagemaker.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.estimator.sagemaker.requests import TrainingPlan

__all__ = ["MACHINES", "RETIRED", "Machine", "family_of", "machine_findings"]


@dataclass(frozen=True, slots=True)
class Machine:
    """GPUs and disk of an instance type.

    Parameters
    ----------
    gpus : int
        How many.
    gpu_gb : int
        Memory of each.
    disk_gb : int or None
        Its own disk, which the service takes in place of the volume asked for; None: the volume.
    """

    gpus: int
    gpu_gb: int
    disk_gb: int | None = None


# Size to number of GPUs and gigabytes of own disk, from Amazon EC2's table of accelerated instances.
_G4DN = {
    "xlarge": (1, 125),
    "2xlarge": (1, 225),
    "4xlarge": (1, 225),
    "8xlarge": (1, 900),
    "12xlarge": (4, 900),
    "16xlarge": (1, 900),
}
_G5 = {
    "xlarge": (1, 250),
    "2xlarge": (1, 450),
    "4xlarge": (1, 600),
    "8xlarge": (1, 900),
    "12xlarge": (4, 3800),
    "16xlarge": (1, 1900),
    "24xlarge": (4, 3800),
    "48xlarge": (8, 7600),
}
_G6 = {**_G5, "12xlarge": (4, 3760), "16xlarge": (1, 1880), "24xlarge": (4, 3760), "48xlarge": (8, 7520)}
_FAMILIES: dict[str, tuple[int, dict[str, tuple[int, int | None]]]] = {
    "g4dn": (16, {**_G4DN}),
    "g5": (24, {**_G5}),
    "g6": (24, {**_G6}),
    "g6e": (48, {**_G5}),
    "p2": (12, {"xlarge": (1, None), "8xlarge": (8, None), "16xlarge": (16, None)}),
    "p3": (16, {"2xlarge": (1, None), "8xlarge": (4, None), "16xlarge": (8, None)}),
    "p3dn": (32, {"24xlarge": (8, 1800)}),
    "p4d": (40, {"24xlarge": (8, 8000)}),
}

MACHINES: dict[str, Machine] = {
    f"ml.{family}.{size}": Machine(gpus, memory, disk)
    for family, (memory, sizes) in _FAMILIES.items()
    for size, (gpus, disk) in sizes.items()
}
"""The instance types with GPUs whose measures are known."""

RETIRED = {
    "p2": "Amazon retired P2 in 2024",
    "p3": "Amazon asked everyone to leave P3 by 2025-12-20",
    "g3": "Amazon retired G3 on 2025-10-31",
    "g3s": "Amazon retired G3 on 2025-10-31",
}
"""Families of instances that are gone, or going, and what was announced."""

_TESTED = ("g4dn", "g5")
_INSTEAD = "take ml.g4dn.xlarge, or ml.g5.xlarge"


def family_of(instance_type: str) -> str:
    """Return the family of an instance type.

    Examples
    --------
    >>> family_of("ml.g4dn.xlarge")
    'g4dn'
    """
    parts = instance_type.split(".")
    return parts[1] if len(parts) == 3 else ""  # noqa: PLR2004 - ml, family, size


def machine_findings(plan: TrainingPlan, *, built_in: bool) -> Iterator[Finding]:
    """Check the instance type of a training job.

    Parameters
    ----------
    plan : TrainingPlan
        The job.
    built_in : bool
        Whether its container is the built-in algorithm; a container of one's own runs on what it was made for.

    Yields
    ------
    Finding
    """
    kind, family = plan.instance_type, family_of(plan.instance_type)
    if family in RETIRED:
        yield Finding("retired-instance", "the instance family is retired", "error", kind, RETIRED[family], _INSTEAD)
    elif built_in and family and not _has_gpu(family):
        message = "the built-in algorithm trains on GPUs only; the service would refuse the job"
        yield Finding("cpu-instance", message, value=kind, cure=_INSTEAD)
    elif built_in and family and family not in _TESTED:
        message = "nothing says that the built-in algorithm's container runs on this family of GPUs"
        cause = "its MXNet was built before these GPUs"
        yield Finding("untested-instance", message, "warning", kind, cause, _INSTEAD)


def _has_gpu(family: str) -> bool:
    return family[0] in "gp" and family[1:2].isdigit()
