"""Hyperparameters of a job, all of them text, as those of the algorithm and options of the local engine."""

from __future__ import annotations

import difflib
from functools import cache
from typing import TYPE_CHECKING, get_args, get_type_hints

from birdsod._hyperparameter_rules import RULES
from birdsod.errors import HyperparameterError
from birdsod.estimator.sagemaker.local_options import option_names
from birdsod.hyperparameters import Hyperparameters
from birdsod.ssd.options import LocalOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["read_settings"]

_ADDED = ("_", "sagemaker_")  # by the algorithm, by a search, by the SDK
_UNLISTED = "nms_topk"
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def read_settings(values: Mapping[str, str]) -> tuple[Hyperparameters, LocalOptions]:
    """Return what a job was sent, typed and checked.

    Parameters
    ----------
    values : mapping of str to str
        Hyperparameters of the algorithm and options of the local engine, as text. Names that begin with ``_`` or
        ``sagemaker_`` are those of whoever started the job, and are passed over.

    Returns
    -------
    tuple of Hyperparameters and LocalOptions

    Raises
    ------
    HyperparameterError
        If a name is unknown, a value out of range, or a required one missing.

    Examples
    --------
    >>> read_settings({"num_classes": "5", "num_training_samples": "150", "updates": "216"})[1].updates
    216
    """
    names = option_names()
    known = {*names, *RULES, _UNLISTED}
    for name in values:
        if name not in known and not name.startswith(_ADDED):
            raise _unknown(name)
    options = {names[name]: _typed(name, names[name], text) for name, text in values.items() if name in names}
    others = {name: text for name, text in values.items() if name not in names and not name.startswith(_ADDED[1])}
    return Hyperparameters.from_request(others), LocalOptions.from_json(options)


def _unknown(name: str) -> HyperparameterError:
    known = [*RULES, *option_names()]
    close = difflib.get_close_matches(name, known, n=3) or known
    return HyperparameterError("unknown hyperparameter", value=name, cure=f"choose from {', '.join(close)}")


@cache
def _kinds() -> Mapping[str, tuple[type, ...]]:
    """Return the types that each option may have, text last."""
    hints = get_type_hints(LocalOptions)
    return {name: get_args(hint) or (hint,) for name, hint in hints.items()}


def _typed(name: str, option: str, text: str) -> object:
    for kind in (bool, int, float):
        if kind in _kinds()[option]:
            try:
                return _FLAGS[text.strip().lower()] if kind is bool else kind(text)
            except (KeyError, ValueError):
                cure = "true or false" if kind is bool else "a number"
                message = f"the hyperparameter {name} is malformed"
                raise HyperparameterError(message, value=text, cure=f"{name} takes {cure}") from None
    return text
