"""Options of the local engine as hyperparameters of a job: one's own container trains with that engine."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from birdsod._hyperparameter_rules import RULES
from birdsod.ssd.options import LocalOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["option_names", "sent_options"]

_CLASHING = "local_"


@cache
def option_names() -> Mapping[str, str]:
    """Return by which name of a hyperparameter each local option goes.

    An option has its own name, or that name behind ``local_`` where the algorithm has a hyperparameter of that name.

    Returns
    -------
    mapping of str to str
        Name of the hyperparameter to name of the option.

    Examples
    --------
    >>> option_names()["updates"], option_names()["local_learning_rate"]
    ('updates', 'learning_rate')
    """
    names = [field.name for field in fields(LocalOptions)]
    return {f"{_CLASHING}{name}" if name in RULES else name: name for name in names}


def sent_options(options: LocalOptions | None) -> dict[str, str]:
    """Return options as a job is given them: all that are not the default, as text.

    Parameters
    ----------
    options : LocalOptions or None
        As the user gave them.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> sent_options(LocalOptions(updates=216, optimizer="adamw", seed=0))
    {'local_optimizer': 'adamw', 'updates': '216'}
    """
    if options is None:
        return {}
    default = LocalOptions()
    given = {name: getattr(options, option) for name, option in option_names().items()}
    return {name: str(value) for name, value in given.items() if value != getattr(default, option_names()[name])}
