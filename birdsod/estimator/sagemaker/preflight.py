"""A training job checked before anything is created: every fault at once, each with its cure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from birdsod.estimator.sagemaker.preflight_account import (
    bucket_findings,
    image_findings,
    quota_findings,
    role_findings,
)
from birdsod.estimator.sagemaker.preflight_channels import channel_findings
from birdsod.estimator.sagemaker.preflight_machines import machine_findings
from birdsod.estimator.sagemaker.preflight_manifest import manifest_findings_at
from birdsod.estimator.sagemaker.preflight_parameters import class_findings, parameter_findings, read_parameters
from birdsod.estimator.sagemaker.preflight_plan import plan_findings, volume_findings
from birdsod.estimator.sagemaker.preflight_seed import seed_findings_at
from birdsod.estimator.sagemaker.regions import is_built_in
from birdsod.estimator.sagemaker.requests import training_request
from birdsod.estimator.sagemaker.validation import request_findings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import TypeGuard

    from birdsod.dataset import ImageChannels
    from birdsod.estimator.sagemaker.findings import Finding
    from birdsod.estimator.sagemaker.requests import ChannelPlan, TrainingPlan
    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed

__all__ = ["preflight"]


def preflight(
    plan: TrainingPlan,
    data: Packed | object | None = None,
    params: Hyperparameters | None = None,
    cloud: Cloud | None = None,
    *,
    pending: Collection[str] = (),
) -> tuple[Finding, ...]:
    """Check a training job before anything is created or uploaded.

    Nothing that is asked costs anything, and nothing is changed.

    Parameters
    ----------
    plan : TrainingPlan
        The job as it would be asked for.
    data : Packed or ImageChannels, optional
        What it trains on, if that is on this machine: every record is read. Other inputs are checked where they lie.
    params : Hyperparameters, optional
        What the plan was made of.
    cloud : Cloud, optional
        The account: its buckets, role, quotas and the seed model are looked at as far as it lets us.
    pending : collection of str, default ()
        Addresses of what is uploaded only after this check, such as a seed model from this machine; packed data
        need not be named.

    Returns
    -------
    tuple of Finding
        Empty if all is well; errors are what the job would fail of, or be useless for.

    Examples
    --------
    >>> from birdsod.estimator.sagemaker.requests import TrainingPlan
    >>> plan = TrainingPlan(
    ...     name="birds_1", image="685385470294.dkr.ecr.eu-west-1.amazonaws.com/object-detection:1",
    ...     role="arn:aws:iam::123456789012:role/birds", output_uri="s3://birds/jobs/", channels=(),
    ...     hyperparameters={"num_classes": "2", "num_training_samples": "64", "use_pretrained_model": "1"},
    ...     instance_type="ml.m5.large",
    ... )
    >>> sorted({finding.kind for finding in preflight(plan)})
    ['bad-request', 'cpu-instance', 'missing-channel']
    """
    return tuple(_findings(plan, data, params, cloud, pending))


def _findings(
    plan: TrainingPlan,
    data: object | None,
    params: Hyperparameters | None,
    cloud: Cloud | None,
    pending: Collection[str],
) -> Iterator[Finding]:
    built_in = is_built_in(plan.image)
    # Inputs that upload packed data hold them; those that lie elsewhere have channels of another kind.
    inner = getattr(data, "packed", data)
    packed = inner if _is_packed(inner) else None
    yield from request_findings("CreateTrainingJob", training_request(plan))
    yield from machine_findings(plan, built_in=built_in)
    yield from channel_findings(plan, built_in=built_in)
    images = _images_of(data)
    yield from parameter_findings(plan, packed or images, params, built_in=built_in)
    if packed is None and images is None and data is not None:
        yield from class_findings(plan, len(getattr(data, "class_table", ())))
    yield from plan_findings(plan)
    if packed is not None:
        yield from _of_data(plan, packed, built_in=built_in)
    if images is not None:
        yield from _of_images(plan, images, built_in=built_in)
    if cloud is not None:
        there = packed is None and images is None
        yield from _of_account(plan, cloud, uploaded=there, pending=pending)


def _is_packed(data: object | None) -> TypeGuard[Packed]:
    # Asked for what it has, so that whatever is like packed data will do; shards have no one file a channel.
    channels = getattr(data, "channels", None)
    return isinstance(channels, Mapping) and all(hasattr(each, "rec") for each in channels.values())


def _images_of(data: object | None) -> ImageChannels | None:
    from birdsod.dataset import ImageChannels

    inner = getattr(data, "images", data)
    return inner if isinstance(inner, ImageChannels) else None


def _of_images(plan: TrainingPlan, images: ImageChannels, *, built_in: bool) -> Iterator[Finding]:
    from birdsod.estimator.sagemaker.preflight_images import image_channel_findings

    shape = read_parameters(plan.hyperparameters)["image_shape"]
    yield from image_channel_findings(plan, images, image_shape=shape, built_in=built_in)


def _of_data(plan: TrainingPlan, data: Packed, *, built_in: bool) -> Iterator[Finding]:
    from birdsod.estimator.sagemaker.preflight_data import packed_findings

    shape = read_parameters(plan.hyperparameters)["image_shape"]
    yield from packed_findings(data, image_shape=shape, built_in=built_in)
    copied = {each.name for each in plan.channels if each.input_mode == "File"}
    yield from volume_findings(plan, sum(each.bytes for each in data.channels.values() if each.name in copied))


def _of_account(plan: TrainingPlan, cloud: Cloud, *, uploaded: bool, pending: Collection[str]) -> Iterator[Finding]:
    yield from image_findings(plan.image, cloud.region)
    yield from role_findings(cloud, plan.role)
    uris = [each.uri for each in plan.channels]
    yield from bucket_findings(cloud, [*uris, plan.output_uri, plan.checkpoint_uri or ""])
    yield from quota_findings(cloud, plan.instance_type, "spot training" if plan.spot else "training", plan.instances)
    yield from _of_inputs(plan, cloud, uploaded=uploaded, pending=pending)


def _of_inputs(plan: TrainingPlan, cloud: Cloud, *, uploaded: bool, pending: Collection[str]) -> Iterator[Finding]:
    values = read_parameters(plan.hyperparameters)
    there = [each for each in plan.channels if not any(uri.startswith(each.uri) for uri in pending)]
    for each in there:
        if each.name == "model" and each.uri.endswith(".tar.gz"):
            yield from seed_findings_at(cloud, each.uri, plan.hyperparameters)
    # Packed data are uploaded only after this check.
    data = [each for each in there if each.name != "model"] if uploaded else []
    for each in data:
        if each.kind == "AugmentedManifestFile":
            yield from manifest_findings_at(cloud, each, classes=values["num_classes"])
    yield from _of_objects(plan, cloud, [each for each in data if each.kind == "S3Prefix"], values)


def _of_objects(
    plan: TrainingPlan, cloud: Cloud, channels: list[ChannelPlan], values: Mapping[str, Any]
) -> Iterator[Finding]:
    from birdsod.estimator.sagemaker.preflight_objects import annotation_findings, listing_findings, listings

    found, doubts = listings(cloud, channels)
    yield from doubts
    for listing in found.values():
        yield from listing_findings(listing, samples=values["num_training_samples"])
    for name in ("train", "validation"):
        if name in found and f"{name}_annotation" in found:
            yield from annotation_findings(found[name], found[f"{name}_annotation"])
    yield from volume_findings(plan, sum(each.bytes for each in found.values() if each.channel.input_mode == "File"))
