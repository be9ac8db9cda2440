"""Hyperparameters as they are sent, checked by themselves, against the data and against the machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from birdsod._hyperparameter_rules import RULES, step_epochs
from birdsod.errors import HyperparameterError
from birdsod.estimator.sagemaker.findings import Finding, Weight
from birdsod.estimator.sagemaker.local_options import option_names
from birdsod.estimator.sagemaker.preflight_machines import MACHINES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from birdsod.dataset import ImageChannels
    from birdsod.estimator.sagemaker.requests import TrainingPlan
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed

__all__ = ["IMAGES_PER_SECOND", "class_findings", "parameter_findings", "read_parameters"]

IMAGES_PER_SECOND = 115.0
"""Throughput of one GPU in a published log of the algorithm (2018, instance not told): a rough guide, no promise."""

_BASE_NETWORKS = ("vgg-16", "resnet-50")
# Side and largest batch that are known to fit into 16 GB: at 300 pixels from the algorithm's documentation, at 512
# from the public walkthrough of the birds.
_SAFE_BATCHES: Mapping[str, tuple[tuple[int, int], ...]] = {"resnet-50": ((300, 32), (512, 16)), "vgg-16": ((300, 64),)}
_SAFE_GB = 16
# Between these the limit is reckoned by area, which is strict.
_DOUBT = 1.6
_FEW_IMAGES = 10_000
_MOST = 2**31 - 1
_NMS_TOPK = 400
# A layer from each part of the network: a pattern that matches all of these leaves nothing to train.
_LAYERS = {
    "resnet-50": (
        "bn_data_gamma",
        "conv0_weight",
        "stage1_unit1_conv1_weight",
        "stage4_unit3_bn3_gamma",
        "multi_feat_2_conv_1x1_conv_weight",
        "_plus12_cls_pred_conv_weight",
        "multi_feat_5_conv_3x3_relu_loc_pred_conv_bias",
    ),
    "vgg-16": (
        "relu4_3_scale",
        "conv1_1_weight",
        "conv5_3_bias",
        "fc7_weight",
        "multi_feat_2_conv_1x1_conv_weight",
        "relu7_cls_pred_conv_weight",
        "multi_feat_5_conv_3x3_relu_loc_pred_conv_bias",
    ),
}


def parameter_findings(
    plan: TrainingPlan, data: Packed | ImageChannels | None, params: Hyperparameters | None, *, built_in: bool
) -> Iterator[Finding]:
    """Check the hyperparameters of a training job.

    Parameters
    ----------
    plan : TrainingPlan
        The job.
    data : Packed, ImageChannels or None
        What it trains on, where it is known.
    params : Hyperparameters or None
        What the plan was made of.
    built_in : bool
        Whether its container is the built-in algorithm.

    Yields
    ------
    Finding
    """
    # What was made as a value of LocalOptions has been checked there.
    options = () if built_in else option_names()
    yield from _ranges({name: value for name, value in plan.hyperparameters.items() if name not in options})
    if params is not None:
        yield from _as_given(plan.hyperparameters, params)
    values = read_parameters(plan.hyperparameters)
    yield from _schedule(values)
    if data is not None:
        yield from _against_data(values, data)
    yield from _batch(plan, values)
    if built_in:
        yield from _of_the_algorithm(plan, values)
        yield from _memory(plan, values)


def read_parameters(sent: Mapping[str, str]) -> dict[str, Any]:
    """Return what can be read of the hyperparameters, defaults filled in; None where a value cannot be read.

    Examples
    --------
    >>> values = read_parameters({"num_classes": "5", "epochs": "many"})
    >>> values["num_classes"], values["epochs"], values["mini_batch_size"]
    (5, None, 32)
    """
    values: dict[str, Any] = {}
    for name, rule in RULES.items():
        try:
            value = rule.check(name, sent[name]) if name in sent else rule.default
        except HyperparameterError:
            value = None
        values[name] = None if _beyond(value) else value
    kept = sent.get("nms_topk", "")
    values["nms_topk"] = int(kept) if re.fullmatch("[0-9]{1,9}", kept) else _NMS_TOPK
    return values


def _ranges(sent: Mapping[str, str]) -> Iterator[Finding]:
    for name, rule in RULES.items():
        if rule.required and name not in sent:
            cure = f"give {name}, or let Hyperparameters.for_data derive it"
            yield Finding("bad-hyperparameter", f"{name} must be given", cure=cure)
    for name, value in sent.items():
        if name in RULES:
            try:
                read = RULES[name].check(name, value)
            except HyperparameterError as error:
                yield Finding("bad-hyperparameter", error.message, value=value, cause=error.cause, cure=error.cure)
            else:
                if _beyond(read):
                    message = f"{name} is beyond what a machine counts to, {_MOST}"
                    yield Finding("bad-hyperparameter", message, value=value[:20], cure=f"give {name} as it is meant")
        elif name != "nms_topk" and not name.startswith("_"):
            yield Finding("bad-hyperparameter", "unknown hyperparameter", value=name, cure="leave it out")


def _beyond(value: object) -> bool:
    return isinstance(value, int) and value > _MOST


def _as_given(sent: Mapping[str, str], params: Hyperparameters) -> Iterator[Finding]:
    for name, value in params.to_request().items():
        if name in sent and sent[name] != value:
            message = f"{name} is {value} in the hyperparameters, but another value is sent"
            yield Finding("request-differs", message, value=sent[name], cure="make the plan of these hyperparameters")


def _schedule(values: Mapping[str, Any]) -> Iterator[Finding]:
    epochs = values["epochs"]
    if not epochs:
        return
    steps = step_epochs(values["lr_scheduler_step"] or "")
    if steps and steps[-1] >= epochs:
        message = f"the learning rate would fall at an epoch that never comes: there are {epochs}"
        cure = "name epochs below epochs in lr_scheduler_step, or train longer"
        yield Finding("schedule", message, "warning", values["lr_scheduler_step"], cure=cure)
    least = values["early_stopping_min_epochs"]
    if values["early_stopping"] and least and least >= epochs:
        message = f"early_stopping has no effect: early_stopping_min_epochs is not below the {epochs} epochs"
        yield Finding("schedule", message, "warning", least, cure="lower early_stopping_min_epochs, or train longer")


def _against_data(values: Mapping[str, Any], data: Packed | ImageChannels) -> Iterator[Finding]:
    classes, longest, most = len(data.class_table), data.longest_label, data.most_objects
    if values["label_width"] and values["label_width"] < longest:
        message = f"label_width is below the longest label of all channels, {longest} numbers"
        cause = f"an image with {most} objects"
        cure = f"leave it out, or give {longest}"
        yield Finding("label-width", message, "error", values["label_width"], cause, cure)
    yield from _classes(values, classes)
    train = data.channels.get("train")
    if train is not None and values["num_training_samples"] not in {None, train.records}:
        message = f"num_training_samples is not the {train.records} images of the train channel"
        cause = "the data were packed again, or the refused images were counted; the schedule would be off"
        cure = f"give num_training_samples={train.records}"
        yield Finding("sample-count", message, "error", values["num_training_samples"], cause, cure)
    if most > values["nms_topk"]:
        message = f"an image has {most} objects; detection keeps {values['nms_topk']} at most"
        yield Finding("many-objects", message, "warning", most, cure="cut the images into tiles")


def class_findings(plan: TrainingPlan, classes: int) -> Iterator[Finding]:
    """Check the number of classes of a training job.

    Parameters
    ----------
    plan : TrainingPlan
        The job.
    classes : int
        How many the data have; 0 where that is not known.

    Yields
    ------
    Finding
    """
    if classes:
        yield from _classes(read_parameters(plan.hyperparameters), classes)


def _classes(values: Mapping[str, Any], classes: int) -> Iterator[Finding]:
    if values["num_classes"] and values["num_classes"] != classes:
        cause = "another selection of the data set, or the background was counted"
        message = f"num_classes is not the {classes} classes of the data"
        yield Finding("class-count", message, "error", values["num_classes"], cause, f"give num_classes={classes}")


def _batch(plan: TrainingPlan, values: Mapping[str, Any]) -> Iterator[Finding]:
    batch, samples = values["mini_batch_size"], values["num_training_samples"]
    if not batch:
        return
    if samples and batch > samples:
        message = f"mini_batch_size is above the number of training images, {samples}"
        yield Finding("batch-above-samples", message, value=batch, cure=f"give {samples} or less")
    machine = MACHINES.get(plan.instance_type)
    if machine is not None and batch < machine.gpus:
        message = f"mini_batch_size cannot be split over the {machine.gpus} GPUs of {plan.instance_type}"
        yield Finding("batch-below-gpus", message, value=batch, cure=f"give {machine.gpus} or more")


def _of_the_algorithm(plan: TrainingPlan, values: Mapping[str, Any]) -> Iterator[Finding]:
    network = values["base_network"]
    if network is not None and network not in _BASE_NETWORKS:
        cure = 'give "resnet-50" or "vgg-16", or image= a container of your own, or train with LocalEstimator'
        yield Finding(
            "base-network", "the built-in algorithm does not have this base network", value=network, cure=cure
        )
    if "use_pretrained_model" not in plan.hyperparameters:
        message = "use_pretrained_model is left to a default: 1 in the documentation, 0 in logs of the container"
        cause = "without pretrained weights the mAP stays near 0 for long"
        yield Finding("default-not-sent", message, cause=cause, cure='send "1" or "0"')
    samples, seeded = values["num_training_samples"], any(each.name == "model" for each in plan.channels)
    if values["use_pretrained_model"] == 0 and not seeded and samples and samples < _FEW_IMAGES:
        message = f"a network without pretrained weights learns little from {samples} images"
        cure = "give use_pretrained_model=1, or model= an earlier job"
        yield Finding("untrained-network", message, "warning", 0, cure=cure)
    pattern, layers = values["freeze_layer_pattern"], _LAYERS.get(network or "")
    if pattern and layers and all(re.match(pattern, layer) for layer in layers):
        message = "the pattern of frozen layers matches all layers, so nothing would be trained"
        yield Finding("all-layers-frozen", message, value=pattern, cure='such as "^(conv1_|conv2_).*"')


def _memory(plan: TrainingPlan, values: Mapping[str, Any]) -> Iterator[Finding]:
    batch, side, network = values["mini_batch_size"], values["image_shape"], values["base_network"]
    machine = MACHINES.get(plan.instance_type)
    if machine is None or not batch or not side or network not in _SAFE_BATCHES:
        return
    points = _SAFE_BATCHES[network]
    fits = _safe_batch(points, side) * machine.gpu_gb / _SAFE_GB * machine.gpus
    if batch <= fits:
        return
    documented = side == points[0][0] and machine.gpu_gb == _SAFE_GB
    severity: Weight = "error" if documented or batch > fits * _DOUBT else "warning"
    where = f"{machine.gpus} GPU{'s' * (machine.gpus > 1)} of {machine.gpu_gb} GB"
    message = f"a batch of images of {side} pixels through {network} probably does not fit into {where}"
    cause = None if documented else "batches that are known to fit, scaled by area and memory"
    cure = f"give mini_batch_size={max(machine.gpus, int(fits))} or less, or a larger instance"
    yield Finding("batch-memory", message, severity, batch, cause, cure)


def _safe_batch(points: tuple[tuple[int, int], ...], side: int) -> float:
    """Return the largest batch that should fit: what fits at a larger side, or at a smaller one by area."""
    larger = [float(batch) for known, batch in points if known >= side]
    smaller = [batch * (known / side) ** 2 for known, batch in points if known <= side]
    return max([*larger, *smaller[-1:]])
