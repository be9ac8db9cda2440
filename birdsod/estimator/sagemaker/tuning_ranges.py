"""What a tuning job may vary, and between which limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from birdsod._hyperparameter_rules import OPTIMIZERS, RULES
from birdsod.errors import HyperparameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sagemaker.type_defs import ParameterRangesTypeDef

__all__ = ["TUNABLE", "Categorical", "Continuous", "Integer", "Range", "Scaling", "checked_ranges", "range_request"]

Scaling = Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]
_MOST_RANGES = 30
_MOST_VALUES = 30
_PAIR = 2


def _check_pair(low: float, high: float) -> None:
    ends: tuple[object, object] = (low, high)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if not (numbers and math.isfinite(low) and math.isfinite(high) and low < high):
        raise HyperparameterError("this is no range", value=(low, high), cure="give two numbers, the lower one first")


def _check_scaling(given: Continuous | Integer) -> None:
    if given.scaling not in get_args(Scaling):
        cure = "choose from " + ", ".join(get_args(Scaling))
        raise HyperparameterError("this is no scaling", value=given.scaling, cure=cure)
    if given.scaling == "Logarithmic" and given.low <= 0:
        raise HyperparameterError(
            "a logarithmic range begins above 0", value=given.low, cure="raise it, or take Linear"
        )
    if given.scaling == "ReverseLogarithmic" and not (given.low >= 0 and given.high < 1):
        message = "a reversely logarithmic range lies in [0, 1)"
        raise HyperparameterError(message, value=(given.low, given.high), cure="narrow it, or take Linear")


@dataclass(frozen=True, slots=True)
class Continuous:
    """A number between two others.

    Parameters
    ----------
    low, high : float
        Both may be taken.
    scaling : {"Auto", "Linear", "Logarithmic", "ReverseLogarithmic"}
        How the numbers between are spread; ``Auto`` lets the service choose.

    Raises
    ------
    HyperparameterError
        If they are no range, or the scaling cannot be applied to it.

    Examples
    --------
    >>> Continuous(1e-4, 1e-2, "Logarithmic").high
    0.01
    """

    low: float
    high: float
    scaling: Scaling = "Auto"

    def __post_init__(self) -> None:
        _check_pair(self.low, self.high)
        _check_scaling(self)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number between two others.

    Parameters
    ----------
    low, high : int
        Both may be taken.
    scaling : {"Auto", "Linear", "Logarithmic"}
        How the numbers between are spread.

    Raises
    ------
    HyperparameterError
        If they are no range, or the scaling cannot be applied to it.

    Examples
    --------
    >>> Integer(8, 32).low
    8
    """

    low: int
    high: int
    scaling: Scaling = "Auto"

    def __post_init__(self) -> None:
        _check_pair(self.low, self.high)
        for number in (self.low, self.high):
            if int(number) != number:
                raise HyperparameterError("this is no whole number", value=number, cure="take Continuous")
        if self.scaling == "ReverseLogarithmic":
            raise HyperparameterError("whole numbers have no such scaling", value=self.scaling, cure="take Logarithmic")
        _check_scaling(self)


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of some values.

    Parameters
    ----------
    values : tuple of str
        The values.

    Raises
    ------
    HyperparameterError
        If there are none, too many, or one comes twice.

    Examples
    --------
    >>> Categorical(("sgd", "adam")).values
    ('sgd', 'adam')
    """

    values: tuple[str, ...]

    def __post_init__(self) -> None:
        # A text alone would fall apart into letters.
        given = (self.values,) if isinstance(cast("object", self.values), str) else tuple(map(str, self.values))
        if not 0 < len(set(given)) == len(given) <= _MOST_VALUES:
            cure = f"give 1 to {_MOST_VALUES} different values"
            raise HyperparameterError("these are no choice of values", value=given, cure=cure)
        object.__setattr__(self, "values", given)


Range: TypeAlias = Continuous | Integer | Categorical
"""What :meth:`SageMakerEstimator.tune` takes for a hyperparameter; a pair or a sequence of texts stand for one."""

TUNABLE: Mapping[str, Range] = {
    "learning_rate": Continuous(1e-6, 0.5, "Logarithmic"),
    "mini_batch_size": Integer(8, 64),
    "momentum": Continuous(0.0, 0.999),
    "weight_decay": Continuous(0.0, 0.999),
    "optimizer": Categorical(OPTIMIZERS),
}
"""What the algorithm lets be tuned, and the widest ranges that it takes.

Source
------
Tune an Object Detection Model, in the Amazon SageMaker developer guide.
"""

# The algorithm itself refuses a momentum and a weight decay of 0, which a search may well try.
_DEFAULTS: Mapping[str, Range] = {
    **TUNABLE,
    "momentum": Continuous(1e-6, 0.999),
    "weight_decay": Continuous(1e-6, 0.999, "Logarithmic"),
}


def checked_ranges(
    ranges: Mapping[str, object] | None, hyperparameters: Mapping[str, str], *, built_in: bool
) -> dict[str, Range]:
    """Return the ranges of a tuning job, each within what the algorithm takes.

    Parameters
    ----------
    ranges : mapping of str to range, or None
        By hyperparameter: a :class:`Continuous`, :class:`Integer` or :class:`Categorical`, a pair of numbers, or
        a sequence of texts. All that the algorithm lets be tuned if left out.
    hyperparameters : mapping of str to str
        Those of the job: batches are not larger than its number of training samples.
    built_in : bool
        Whether it is the built-in algorithm; others may vary any hyperparameter.

    Returns
    -------
    dict

    Raises
    ------
    HyperparameterError
        If a name cannot be tuned, or a range goes beyond what the algorithm takes.

    Examples
    --------
    >>> checked_ranges({"learning_rate": (1e-4, 1e-2)}, {}, built_in=True)
    {'learning_rate': Continuous(low=0.0001, high=0.01, scaling='Logarithmic')}
    """
    most = int(hyperparameters.get("num_training_samples", "64"))
    if ranges is None:
        return _default_ranges(most)
    if not 0 < len(ranges) <= _MOST_RANGES:
        cure = f"give 1 to {_MOST_RANGES} of them, or none to vary {', '.join(TUNABLE)}"
        raise HyperparameterError("this is no number of ranges", value=len(ranges), cure=cure)
    made = {name: _read(name, given, built_in=built_in) for name, given in ranges.items()}
    batch = made.get("mini_batch_size")
    if isinstance(batch, Integer) and batch.high > most:
        message = f"mini_batch_size goes above the number of training samples, {most}"
        raise HyperparameterError(message, value=batch.high, cure=f"end the range at {most} or below")
    return made


def range_request(ranges: Mapping[str, Range]) -> ParameterRangesTypeDef:
    """Return ranges as the service takes them.

    Parameters
    ----------
    ranges : mapping of str to range
        By hyperparameter.

    Returns
    -------
    dict

    Examples
    --------
    >>> range_request({"optimizer": Categorical(("sgd", "adam"))})
    {'CategoricalParameterRanges': [{'Name': 'optimizer', 'Values': ['sgd', 'adam']}]}
    """
    continuous = [(name, each) for name, each in ranges.items() if isinstance(each, Continuous)]
    integer = [(name, each) for name, each in ranges.items() if isinstance(each, Integer)]
    categorical = [(name, each) for name, each in ranges.items() if isinstance(each, Categorical)]
    made: ParameterRangesTypeDef = {}
    if continuous:
        made["ContinuousParameterRanges"] = [
            {"Name": name, "MinValue": str(each.low), "MaxValue": str(each.high), "ScalingType": each.scaling}
            for name, each in continuous
        ]
    if integer:
        made["IntegerParameterRanges"] = [
            {"Name": name, "MinValue": str(int(each.low)), "MaxValue": str(int(each.high)), "ScalingType": each.scaling}
            for name, each in integer
        ]
    if categorical:
        made["CategoricalParameterRanges"] = [{"Name": name, "Values": list(each.values)} for name, each in categorical]
    return made


def _default_ranges(samples: int) -> dict[str, Range]:
    made = dict(_DEFAULTS)
    least, most = 8, 64
    if samples <= least:
        del made["mini_batch_size"]
    elif samples < most:
        made["mini_batch_size"] = Integer(least, samples)
    return made


def _read(name: str, given: object, *, built_in: bool) -> Range:
    if name not in TUNABLE and (built_in or name not in RULES):
        cure = "choose from " + ", ".join(TUNABLE)
        raise HyperparameterError("this hyperparameter cannot be tuned", value=name, cure=cure)
    made = given if isinstance(given, Continuous | Integer | Categorical) else _of_plain(name, given)
    if name in TUNABLE:
        _check_within(name, made, TUNABLE[name])
    else:
        _check_by_rule(name, made)
    return made


def _of_plain(name: str, given: object) -> Range:
    cells: tuple[Any, ...] = tuple(given) if isinstance(given, tuple | list) else ()
    if cells and all(isinstance(cell, str) for cell in cells):
        return Categorical(cells)
    if len(cells) == _PAIR and all(isinstance(cell, int | float) for cell in cells):
        whole = isinstance(RULES[name].default, int) and all(isinstance(cell, int) for cell in cells)
        if whole:
            return Integer(cells[0], cells[1])
        scaling: Scaling = "Logarithmic" if name == "learning_rate" else "Auto"
        return Continuous(cells[0], cells[1], scaling)
    cure = "give (low, high), texts to choose from, or a Continuous, Integer or Categorical"
    raise HyperparameterError(f"this is no range for {name}", value=given, cure=cure)


def _check_within(name: str, made: Range, widest: Range) -> None:
    if type(made) is not type(widest):
        cure = f"{name} takes {widest!r}, or a narrower one"
        raise HyperparameterError(f"{name} is tuned in another kind of range", value=made, cure=cure)
    if isinstance(made, Categorical) and isinstance(widest, Categorical):
        outside = not set(made.values) <= set(widest.values)
    else:
        outside = made.low < widest.low or made.high > widest.high  # type: ignore[union-attr] # no Categorical here
    if outside:
        cure = f"stay within {widest!r}"
        raise HyperparameterError(f"the range of {name} goes beyond what the algorithm takes", value=made, cure=cure)


def _check_by_rule(name: str, made: Range) -> None:
    for value in made.values if isinstance(made, Categorical) else (made.low, made.high):
        RULES[name].check(name, value)
