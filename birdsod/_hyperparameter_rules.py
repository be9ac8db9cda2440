"""What each hyperparameter may be: type, range, default; checked one by one and against each other."""

from __future__ import annotations

import difflib
import itertools
import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

from birdsod.errors import HyperparameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

BASE_NETWORKS = ("vgg-16", "resnet-50", "efficientnet-lite0")
OPTIMIZERS = ("sgd", "adam", "rmsprop", "adadelta")
STORES = ("dist_sync", "dist_async")

_TRUE = {"true", "1"}
_FALSE = {"false", "0"}


@dataclass(frozen=True, slots=True)
class Rule:
    """How one hyperparameter is read, what it may be and what it is when nobody says."""

    valid: str
    read: Callable[[object], Any]
    holds: Callable[[Any], bool]
    default: object = None
    required: bool = False
    absent: tuple[str, ...] = ("",)  # texts that stand for "not set" in a request

    def check(self, name: str, value: object) -> object:
        """Return ``value`` in the parameter's own type, or raise."""
        if self.default is None and not self.required and (value is None or value == ""):
            return None
        try:
            read = self.read(value)
        except (TypeError, ValueError, OverflowError):
            read = None
        if read is None or not self.holds(read):
            raise HyperparameterError(f"{name} is out of range", value=value, cure=f"{name} takes {self.valid}")
        return cast("object", read)


def _whole(value: object) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str):
        return int(value)
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError
        return int(value)
    return operator.index(cast("SupportsIndex", value))


def _real(value: object) -> float:
    if isinstance(value, bool):
        raise TypeError
    read = float(cast("float", value))
    if not math.isfinite(read):
        raise ValueError
    return read


def _flag(value: object) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value.strip()


def _pattern(value: object) -> str:
    text = _text(value)
    try:
        re.compile(text)
    except re.error:
        raise ValueError from None
    return text


def _epochs(value: object) -> str:
    return ",".join(str(epoch) for epoch in step_epochs(_text(value)))


def step_epochs(text: str) -> tuple[int, ...]:
    """Return the epochs of a ``lr_scheduler_step`` such as ``"10,20"``."""
    return tuple(int(cell) for cell in text.split(",")) if text else ()


def _positive_and_increasing(text: str) -> bool:
    epochs = (0, *step_epochs(text))
    return all(before < after for before, after in itertools.pairwise(epochs))


def _count(default: int | None = None, *, least: int = 1) -> Rule:
    valid = "an integer above 0" if least == 1 else f"an integer of at least {least}"
    return Rule(valid, _whole, lambda number: number >= least, default, required=default is None)


def _share(default: float, *, one: bool = True, zero: bool = False) -> Rule:
    valid = f"a number in {'[' if zero else '('}0, 1{']' if one else ')'}"

    def holds(number: float) -> bool:
        return (0 < number < 1) or (one and number == 1) or (zero and number == 0)

    return Rule(valid, _real, holds, default)


def _choice(default: str | None, values: tuple[str, ...], absent: tuple[str, ...] = ("",)) -> Rule:
    return Rule("one of " + ", ".join(values), _text, values.__contains__, default, absent=absent)


def _anything(_: object) -> bool:
    return True


RULES: Mapping[str, Rule] = {
    "num_classes": _count(),
    "num_training_samples": _count(),
    "base_network": _choice("vgg-16", BASE_NETWORKS),
    "use_pretrained_model": Rule("0 or 1", lambda value: int(_flag(value)), _anything, 1),
    "epochs": _count(30),
    "learning_rate": _share(0.001),
    "lr_scheduler_factor": _share(0.1, one=False),
    "lr_scheduler_step": Rule('increasing epochs above 0, such as "10,20"', _epochs, _positive_and_increasing, ""),
    "optimizer": _choice("sgd", OPTIMIZERS),
    "momentum": _share(0.9),
    "weight_decay": _share(0.0005, one=False),
    "mini_batch_size": _count(32),
    "image_shape": _count(300, least=300),
    "label_width": _count(350, least=7),
    "nms_threshold": _share(0.45),
    "overlap_threshold": _share(0.5),
    # The container's own default reads "false" in some of its logs.
    "freeze_layer_pattern": Rule("a regular expression on layer names", _pattern, _anything, absent=("", "false")),
    "kv_store": _choice(None, STORES, absent=("", "device")),
    "early_stopping": Rule("True or False", _flag, _anything, default=False),
    "early_stopping_min_epochs": _count(10),
    "early_stopping_patience": _count(5),
    "early_stopping_tolerance": _share(0.0, zero=True),
}


def checked(given: Mapping[str, object]) -> dict[str, Any]:
    """Return a value for every hyperparameter: what was given, read and checked, else its default."""
    for name in given:
        if name not in RULES:
            raise _unknown(name)
    missing = [name for name, rule in RULES.items() if rule.required and given.get(name) is None]
    if missing:
        cure = "give a value, or let Hyperparameters.for_data derive it from the packed data"
        raise HyperparameterError(f"{' and '.join(missing)} must be given", cure=cure)
    values = {name: rule.check(name, given.get(name, rule.default)) for name, rule in RULES.items()}
    _check_together(values)
    return values


def _unknown(name: str) -> HyperparameterError:
    close: Iterable[str] = difflib.get_close_matches(name, RULES, n=3) or RULES
    return HyperparameterError("unknown hyperparameter", value=name, cure="choose from " + ", ".join(close))


def _check_together(values: Mapping[str, Any]) -> None:
    steps, epochs = step_epochs(values["lr_scheduler_step"]), values["epochs"]
    if steps and steps[-1] >= epochs:
        raise HyperparameterError(
            f"lr_scheduler_step names an epoch that never comes: there are {epochs}",
            value=values["lr_scheduler_step"],
            cure="name epochs below epochs, or train longer",
        )
    batch, samples = values["mini_batch_size"], values["num_training_samples"]
    if batch > samples:
        raise HyperparameterError(
            f"mini_batch_size is above the number of training samples, {samples}",
            value=batch,
            cure=f"give mini_batch_size={samples} or less",
        )
