"""Time, money, disks and labels of a training job, which need neither the data nor the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.preflight_machines import MACHINES
from birdsod.estimator.sagemaker.preflight_parameters import IMAGES_PER_SECOND, read_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.estimator.sagemaker.requests import TrainingPlan

__all__ = ["expected_seconds", "plan_findings", "volume_findings"]

_LONGEST_SECONDS = 28 * 24 * 3600
_GIGABYTE = 1_000_000_000
# The copy of the data, and as much again for the model, its checkpoints and what the container writes beside.
_TIMES_DATA = 2


def plan_findings(plan: TrainingPlan) -> Iterator[Finding]:
    """Check time limits, spot training, machines working together and tags.

    Parameters
    ----------
    plan : TrainingPlan
        The job.

    Yields
    ------
    Finding
    """
    yield from _machines(plan)
    yield from _spot(plan)
    yield from _time(plan)
    for name in plan.tags:
        if name.lower().startswith("aws:"):
            message = "names of tags that begin with aws: are Amazon's own"
            yield Finding("reserved-tag", message, value=name, cure="choose another name")


def expected_seconds(plan: TrainingPlan) -> float | None:
    """Return about how long the epochs of a job take.

    Parameters
    ----------
    plan : TrainingPlan
        The job.

    Returns
    -------
    float or None
        None where the hyperparameters do not tell.

    Notes
    -----
    Reckoned from :data:`~birdsod.estimator.sagemaker.preflight_parameters.IMAGES_PER_SECOND` at 300 pixels, by area
    for larger images; starting up and loading are not in it.
    """
    values = read_parameters(plan.hyperparameters)
    epochs, samples, side = values["epochs"], values["num_training_samples"], values["image_shape"]
    if not (epochs and samples and side) or plan.instances < 1:
        return None
    machine = MACHINES.get(plan.instance_type)
    gpus = 1 if machine is None else machine.gpus
    return float(epochs * samples * (side / 300) ** 2 / (IMAGES_PER_SECOND * gpus * plan.instances))


def volume_findings(plan: TrainingPlan, data_bytes: int) -> Iterator[Finding]:
    """Check whether the disk holds the data that are copied to it.

    Parameters
    ----------
    plan : TrainingPlan
        The job.
    data_bytes : int
        Size of the channels that are read in File mode.

    Yields
    ------
    Finding
    """
    machine = MACHINES.get(plan.instance_type)
    own = None if machine is None else machine.disk_gb
    disk = plan.volume_gb if own is None else own
    if disk * _GIGABYTE < _TIMES_DATA * data_bytes:
        size = data_bytes / _GIGABYTE
        message = f"the disk is too small for {size:.1f} GB of data and as much for checkpoints and the model"
        needed = int(_TIMES_DATA * size) + 1
        cure = f"give volume_gb={needed}" if own is None else "take a larger instance, or input_mode='Pipe'"
        yield Finding("small-volume", message, value=disk, cure=cure)


def _machines(plan: TrainingPlan) -> Iterator[Finding]:
    store = plan.hyperparameters.get("kv_store")
    if plan.instances < 1:
        yield Finding("bad-request", "a job needs at least one machine", value=plan.instances, cure="give instances=1")
    elif plan.instances > 1 and store not in {"dist_sync", "dist_async"}:
        message = f"{plan.instances} machines without kv_store do not exchange what they learn"
        yield Finding("kv-store", message, value=store, cure='give kv_store="dist_sync"')
    elif plan.instances == 1 and store in {"dist_sync", "dist_async"}:
        message = "kv_store is for several machines; with one it only slows training down"
        yield Finding("kv-store", message, "warning", store, cure="leave it out, or give more instances")


def _spot(plan: TrainingPlan) -> Iterator[Finding]:
    wait, most = plan.max_wait_seconds, plan.max_seconds
    if not plan.spot:
        if wait is not None:
            message = "a limit of waiting without spot training has no effect"
            yield Finding("wait-without-spot", message, "warning", wait, cure="give spot=True, or leave it out")
        return
    if wait is None:
        message = "spot training needs a limit of how long it may take, waiting included"
        yield Finding("spot-wait", message, cure=f"give max_wait_hours={most / 3600 * 2:g}")
    elif wait < most:
        message = f"the limit of waiting is below that of training, {most} seconds, which it includes"
        yield Finding("spot-wait", message, value=wait, cure=f"give max_wait_hours={most / 3600:g} or more")
    if plan.checkpoint_uri is None:
        message = "spot training without checkpoints begins anew after each interruption"
        yield Finding("spot-checkpoints", message, "warning", cure="leave checkpoints=True")


def _time(plan: TrainingPlan) -> Iterator[Finding]:
    if plan.max_seconds > _LONGEST_SECONDS:
        message = "a job may train for 28 days at most"
        yield Finding("bad-request", message, value=plan.max_seconds, cure="give a lower max_hours")
    seconds = expected_seconds(plan)
    if seconds is not None and seconds > plan.max_seconds:
        message = f"the epochs take about {seconds / 3600:.1f} hours, the job may train for {plan.max_seconds / 3600:g}"
        cause = f"reckoned with {IMAGES_PER_SECOND:g} images of 300 pixels a second for each GPU"
        cure = "raise max_hours, lower epochs, or take a larger instance"
        yield Finding("epochs-above-limit", message, "warning", None, cause, cure)
