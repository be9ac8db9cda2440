"""What only the local engine knows about training."""

from __future__ import annotations

import difflib
import inspect
import math
import os
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Self

from birdsod.errors import HyperparameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LocalOptions"]


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """How the local engine trains, beyond the hyperparameters of the algorithm.

    What is None is left to the hyperparameters that were given explicitly, then to the recipe of the
    base network, then to the algorithm's defaults; the log of a job states which it was.

    Parameters
    ----------
    optimizer : {"adamw", "sgd", "adam", "rmsprop", "adadelta"}, optional
        Rule of the update.
    learning_rate : float, optional
        Of the detection layers, at its highest.
    base_rate_factor : float, optional
        What it is multiplied by for the layers of the base network.
    weight_decay : float, optional
        Pull of the weights towards zero.
    schedule : {"cosine", "steps", "constant"}, optional
        How the learning rate goes on: level for three fifths of the updates and then down to nothing along half a
        cosine, down at the epochs of ``lr_scheduler_step``, or not at all.
    warmup : int, optional
        Updates over which the learning rate rises at the start.
    batch_size : int, optional
        Images an update.
    updates : int, optional
        Exact number of updates, instead of ``epochs``; two runs on sets of different size are then alike.
    freeze : str, optional
        Regular expression on layer names, instead of ``freeze_layer_pattern``; ``""`` freezes nothing.
    average : float, optional
        The trained model is a running mean of the weights, of which each update keeps this share; 0 takes
        the last weights as they are.
    gradient_clip : float, optional
        Longest gradient; a longer one is shortened. 0 clips nothing.
    pretrained : path-like, optional
        Weights that the base network starts from instead of those that are installed: a file of MXNet's parameters
        (``*.params``), or a model archive of this engine or of the built-in algorithm. What is not in it begins anew,
        and so do the layers that tell classes; the log says which.
    mirror : bool, default True
        Whether half of the training images, at random, are mirrored.
    crop : float, default 5/6
        Share of the training images that a part is cut out of.
    zoom_out : float, default 0.25
        Share of the training images that are set into a larger grey field.
    largest_field : float, default 2.0
        At most this many times the image's own width and height.
    colour : float, default 1.0
        Strength of random changes of hue, saturation, lightness and contrast; 0 makes none.
    keep : {"last", "best"}, default "last"
        Whether the trained model is that of the last epoch, or, as the built-in algorithm does, that of the
        epoch with the best validation mAP. The second flatters the validation images.
    validate_every : int, default 1
        Epochs from one validation to the next; the last epoch is always validated. 0 validates never.
    checkpoint_every : int, default 1
        Epochs from one checkpoint to the next.
    seed : int, default 0
        Of everything that is left to chance.
    faithful : bool, default False
        Do what MXNet's trainer does also where it is wrong, for a comparison with it: images that fill up a batch count
        twice in the validation mAP, for one. The manual lists all of it.
    device : str, default "auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"`` takes a GPU where there is one.
    precision : {"float32", "bfloat16"}, default "float32"
        Of the network's arithmetic in training. With ``"bfloat16"`` weights, losses, boxes and validation stay float32;
        it is for processors that compute in it.
    accumulate : int, default 1
        Parts in which the images of an update go through the network, for less memory and the same update; but where
        batch normalisation learns, each part is normalised by its own statistics.
    processes : int, optional
        Processes on this machine that train together, with the result of one up to rounding. Unless given, one for each
        graphics processor that gets at least 8 images of an update. ``torchrun`` decides by itself.
    threads : int, optional
        Processor threads of the network in each process; all, unless given, shared by the processes.
    loader_threads : int, default 2
        Threads that decode and change images ahead of the training.
    loader_processes : int, default 0
        Processes that do so for training images in their place, one image each at a time. For a graphics processor that
        waits for its images: Python lets only one thread of a process at a time choose what becomes of an image, or
        start what the network computes. A script that trains is under ``if __name__ == "__main__":`` then.

    Raises
    ------
    HyperparameterError
        If a name is unknown, or a value out of range.

    Examples
    --------
    >>> LocalOptions(mirror=False, updates=216).seed
    0
    """

    optimizer: Literal["adamw", "sgd", "adam", "rmsprop", "adadelta"] | None = None
    learning_rate: float | None = None
    base_rate_factor: float | None = None
    weight_decay: float | None = None
    schedule: Literal["cosine", "steps", "constant"] | None = None
    warmup: int | None = None
    batch_size: int | None = None
    updates: int | None = None
    freeze: str | None = None
    average: float | None = None
    gradient_clip: float | None = None
    pretrained: str | os.PathLike[str] | None = None
    mirror: bool = True
    crop: float = 5 / 6
    zoom_out: float = 0.25
    largest_field: float = 2.0
    colour: float = 1.0
    keep: Literal["last", "best"] = "last"
    validate_every: int = 1
    checkpoint_every: int = 1
    seed: int = 0
    faithful: bool = False
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    accumulate: int = 1
    processes: int | None = None
    threads: int | None = None
    loader_threads: int = 2
    loader_processes: int = 0

    def __new__(cls, **given: object) -> Self:
        """Refuse unknown names with those that there are; the generated constructor would only say no."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=3) or known
                raise HyperparameterError("unknown local option", value=name, cure=f"choose from {', '.join(close)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if isinstance(self.pretrained, os.PathLike):
            # As text it can stand in a file.
            object.__setattr__(self, "pretrained", os.fspath(self.pretrained))
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            valid, holds = _VALID[field.name]
            if not holds(value):
                message = f"the local option {field.name} is out of range"
                raise HyperparameterError(message, value=value, cure=f"{field.name} takes {valid}")

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> LocalOptions:
        """Read options from plain values, as ``dataclasses.asdict`` gives them.

        Parameters
        ----------
        values : mapping of str to object
            Name to value.

        Returns
        -------
        LocalOptions

        Raises
        ------
        HyperparameterError
            If a name is unknown, or a value out of range.

        Examples
        --------
        >>> LocalOptions.from_json({"seed": 3}).seed
        3
        """
        return cls(**values)  # type: ignore[arg-type]  # each value is checked at run time


def _fields_as_signature() -> inspect.Signature:
    """Return what help and completion show: the fields, which ``__new__`` would hide."""
    shown = inspect.signature(LocalOptions.__init__)
    return shown.replace(parameters=list(shown.parameters.values())[1:], return_annotation=inspect.Signature.empty)


LocalOptions.__signature__ = _fields_as_signature()  # type: ignore[attr-defined] # inspect looks for it


def _number(low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False) -> _Check:
    valid = f"a number {'above' if open_low else 'of at least'} {low:g}"
    if high < math.inf:
        valid = f"a number in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"

    def holds(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return low <= value <= high and not (open_low and value == low) and not (open_high and value == high)

    return valid, holds


def _count(low: int) -> _Check:
    def holds(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= low

    return f"an integer of at least {low}", holds


def _choice(*names: str) -> _Check:
    return "one of " + ", ".join(names), lambda value: isinstance(value, str) and value in names


def _is_pattern(value: object) -> bool:
    try:
        re.compile(value if isinstance(value, str) else "(")
    except re.error:
        return False
    return True


if TYPE_CHECKING:
    _Check = tuple[str, Callable[[object], bool]]

_VALID: Mapping[str, _Check] = {
    "optimizer": _choice("adamw", "sgd", "adam", "rmsprop", "adadelta"),
    "learning_rate": _number(0, 1, open_low=True),
    "base_rate_factor": _number(0, 1),
    "weight_decay": _number(0, 1, open_high=True),
    "schedule": _choice("cosine", "steps", "constant"),
    "warmup": _count(0),
    "batch_size": _count(1),
    "updates": _count(1),
    "freeze": ("a regular expression on layer names", _is_pattern),
    "average": _number(0, 1, open_high=True),
    "gradient_clip": _number(0),
    "pretrained": ("the path of a file", lambda value: isinstance(value, str) and bool(value)),
    "mirror": ("True or False", lambda value: isinstance(value, bool)),
    "crop": _number(0, 1),
    "zoom_out": _number(0, 1),
    "largest_field": _number(1),
    "colour": _number(0, 1),
    "keep": _choice("last", "best"),
    "validate_every": _count(0),
    "checkpoint_every": _count(1),
    "seed": _count(0),
    "faithful": ("True or False", lambda value: isinstance(value, bool)),
    "device": ('"auto", "cpu" or "cuda"', lambda value: isinstance(value, str) and bool(value)),
    "precision": _choice("float32", "bfloat16"),
    "accumulate": _count(1),
    "processes": _count(1),
    "threads": _count(1),
    "loader_threads": _count(1),
    "loader_processes": _count(0),
}
