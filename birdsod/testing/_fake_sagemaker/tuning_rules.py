"""Rules of tuning jobs, and the values that their trials get."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.errors import invalid
from birdsod.testing._fake_sagemaker.training_rules import check_training, is_built_in

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["check_tuning", "trial_request", "trial_values"]

_TUNABLE = {"learning_rate", "mini_batch_size", "momentum", "weight_decay", "optimizer"}
_GOLDEN = (math.sqrt(5) - 1) / 2
_SHIFT = 0.7548776662
_KINDS = ("ContinuousParameterRanges", "IntegerParameterRanges", "CategoricalParameterRanges")


def check_tuning(region: Region, request: Json) -> None:
    """Refuse what the service refuses before the first trial.

    Parameters
    ----------
    region : Region
        Where.
    request : dict
        As the service's model allows it.

    Raises
    ------
    ServiceError
        If there is anything.
    """
    definition = request.get("TrainingJobDefinition")
    if definition is None:
        raise invalid("TrainingJobDefinition is required: the fake tunes one algorithm at a time")
    config = request["HyperParameterTuningJobConfig"]
    limits = config["ResourceLimits"]
    most = limits.get("MaxNumberOfTrainingJobs")
    if most is not None and limits["MaxParallelTrainingJobs"] > most:
        raise invalid("MaxParallelTrainingJobs cannot be greater than MaxNumberOfTrainingJobs")
    _check_ranges(request)
    if is_built_in(definition["AlgorithmSpecification"].get("TrainingImage", "")):
        _check_built_in(config)
    check_training(region, trial_request(request, 0))


def _check_built_in(config: Json) -> None:
    metric = config.get("HyperParameterTuningJobObjective", {}).get("MetricName")
    if metric != "validation:mAP":
        message = f"The objective metric {metric} is not supported by algorithm object-detection"
        raise invalid(f"{message}; supported: validation:mAP")
    for _, row in _ranges(config):
        if row["Name"] not in _TUNABLE:
            raise invalid(f"The hyperparameter {row['Name']} of algorithm object-detection is not tunable")


def _check_ranges(request: Json) -> None:
    config, static = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    names = [row["Name"] for _, row in _ranges(config)]
    if not names:
        raise invalid("At least one hyperparameter range is required")
    for name in names:
        if names.count(name) > 1 or name in static.get("StaticHyperParameters", {}):
            raise invalid(f"The hyperparameter {name} is given more than once")
    for kind, row in _ranges(config):
        if kind != _KINDS[2] and not _number(row["MinValue"]) < _number(row["MaxValue"]):
            raise invalid(f"The range of {row['Name']} is empty: {row['MinValue']} to {row['MaxValue']}")
        if row.get("ScalingType") == "Logarithmic" and _number(row["MinValue"]) <= 0:
            raise invalid(f"The range of {row['Name']} must be above 0 for logarithmic scaling")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise invalid(f"{text} is not a number") from None


def _ranges(config: Json) -> list[tuple[str, Json]]:
    found = config.get("ParameterRanges", {})
    return [(kind, row) for kind in _KINDS for row in found.get(kind, [])]


def trial_values(request: Json, trial: int) -> dict[str, str]:
    """Return the hyperparameters that a trial tries: the same for the same trial, spread over the ranges.

    Parameters
    ----------
    request : dict
        Of the tuning job.
    trial : int
        Counted from 0.

    Returns
    -------
    dict of str to str
    """
    values = {}
    for number, (kind, row) in enumerate(_ranges(request["HyperParameterTuningJobConfig"])):
        share = ((trial + 1) * _GOLDEN + number * _SHIFT) % 1.0
        if kind == _KINDS[2]:
            values[row["Name"]] = row["Values"][int(share * len(row["Values"]))]
            continue
        low, high = float(row["MinValue"]), float(row["MaxValue"])
        log = row.get("ScalingType") == "Logarithmic"
        value = low * (high / low) ** share if log else low + (high - low) * share
        values[row["Name"]] = str(round(value)) if kind == _KINDS[1] else f"{value:.8g}"
    return values


def trial_request(request: Json, trial: int) -> Json:
    """Return what the training job of a trial is created with.

    Parameters
    ----------
    request : dict
        Of the tuning job.
    trial : int
        Counted from 0.

    Returns
    -------
    dict
    """
    definition = dict(request["TrainingJobDefinition"])
    definition.pop("TuningObjective", None)
    definition.pop("HyperParameterRanges", None)
    static = definition.pop("StaticHyperParameters", {})
    objective = request["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {})
    own = {"_tuning_objective_metric": objective.get("MetricName", "")}
    name = f"{request['HyperParameterTuningJobName']}-{trial + 1:03}-{(trial + 1) * 2654435761 % 2**32:08x}"
    values = {**static, **trial_values(request, trial), **own}
    return {**definition, "TrainingJobName": name, "HyperParameters": values, "Tags": request.get("Tags", [])}
