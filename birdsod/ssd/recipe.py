"""What a training run really does: options, hyperparameters, recipe and defaults brought together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from birdsod.errors import HyperparameterError
from birdsod.ssd.faithful import passes_end
from birdsod.ssd.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.options import LocalOptions

__all__ = ["Recipe", "resolve"]

_DEFAULTS: Mapping[str, Any] = {
    "base_rate_factor": 1.0,
    "schedule": "constant",
    "warmup": 0,
    "freeze": "",
    "average": 0.0,
    "gradient_clip": 0.0,
}
"""What the algorithm does without having a name for it."""

_HYPERPARAMETER = {
    "optimizer": "optimizer",
    "learning_rate": "learning_rate",
    "weight_decay": "weight_decay",
    "batch_size": "mini_batch_size",
    "freeze": "freeze_layer_pattern",
}
_OF_THE_OPTIMIZER = ("learning_rate", "weight_decay", "warmup")

OPTION = "local option"
GIVEN = "hyperparameter"
DEFAULT = "default of the algorithm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that a training run does, settled.

    Parameters
    ----------
    optimizer, learning_rate, base_rate_factor, weight_decay, schedule, warmup, batch_size, freeze, average, \
    gradient_clip
        As in ``LocalOptions``, none of them open any more.
    updates : int
        Updates of the whole run.
    epoch_size : int
        Updates an epoch: training images divided by the batch size, without the rest, as MXNet's schedule counts.
    samples : int
        Training images.
    sources : mapping of str to str
        Where each value came from.
    faithful : bool, default False
        Whether what MXNet gets wrong is done as MXNet does it.
    """

    optimizer: str
    learning_rate: float
    base_rate_factor: float
    weight_decay: float
    schedule: str
    warmup: int
    batch_size: int
    freeze: str
    average: float
    gradient_clip: float
    updates: int
    epoch_size: int
    samples: int
    sources: Mapping[str, str]
    faithful: bool = False

    @property
    def epochs(self) -> int:
        """Epochs of the whole run; the last may be a part of one."""
        return self.epoch_of(self.updates - 1) + 1

    def first_update(self, epoch: int) -> int:
        """Return the update that an epoch begins with.

        Parameters
        ----------
        epoch : int
            Counted from 0, as updates are.

        Returns
        -------
        int
        """
        return passes_end(epoch, self.samples, self.batch_size) if self.faithful else epoch * self.epoch_size

    def epoch_of(self, update: int) -> int:
        """Return the epoch that an update belongs to.

        Parameters
        ----------
        update : int
            Counted from 0, as epochs are.

        Returns
        -------
        int
        """
        return update * self.batch_size // self.samples if self.faithful else update // self.epoch_size

    def statements(self) -> list[str]:
        """Return one line for each value that says where it came from."""
        return [f"{name} = {getattr(self, name)!r} ({source})" for name, source in self.sources.items()]


def resolve(params: Hyperparameters, options: LocalOptions) -> Recipe:
    """Return what a run does: local option, else explicit hyperparameter, else recipe, else default.

    A learning rate of a recipe belongs to its optimizer: with another optimizer, the algorithm's default holds.

    Parameters
    ----------
    params : Hyperparameters
        What was asked for.
    options : LocalOptions
        What only the local engine knows.

    Returns
    -------
    Recipe

    Raises
    ------
    HyperparameterError
        If the batch size is above the number of training images.
    """
    known = RECIPES.get(params.base_network, {})
    found = {"optimizer": _find("optimizer", params, options, known)}
    if found["optimizer"][0] != known.get("optimizer"):
        known = {name: value for name, value in known.items() if name not in _OF_THE_OPTIMIZER}
    names = [name for name in RECIPES["efficientnet-lite0"] if name != "optimizer"]
    found |= {name: _find(name, params, options, known) for name in names}
    values: dict[str, Any] = {name: value for name, (value, _) in found.items()}
    sources = {name: source for name, (_, source) in found.items()}
    if values["batch_size"] > params.num_training_samples:
        message = f"batch_size is above the number of training samples, {params.num_training_samples}"
        raise HyperparameterError(message, value=values["batch_size"], cure="give a smaller one, or more images")
    epoch_size = params.num_training_samples // values["batch_size"]
    samples = params.num_training_samples
    recipe = Recipe(
        **values,
        updates=options.updates or 1,
        epoch_size=epoch_size,
        samples=samples,
        sources=sources,
        faithful=options.faithful,
    )
    if options.updates:
        return replace(recipe, sources=sources | {"updates": OPTION})
    told = f"{params.epochs} passes over {samples} images" if options.faithful else None
    sources["updates"] = told or f"{params.epochs} epochs of {epoch_size} updates"
    return replace(recipe, updates=recipe.first_update(params.epochs))


def _find(name: str, params: Hyperparameters, options: LocalOptions, known: Mapping[str, Any]) -> tuple[Any, str]:
    option = getattr(options, name)
    if option is not None:
        return option, OPTION
    if name == "schedule" and params.lr_scheduler_step:
        return "steps", f"{GIVEN} lr_scheduler_step"
    hyperparameter = _HYPERPARAMETER.get(name, "")
    if hyperparameter in params.given:
        return getattr(params, hyperparameter) or "", f"{GIVEN} {hyperparameter}"
    if name in known:
        recipe = known[name]
        value = min(recipe, params.num_training_samples) if name == "batch_size" else recipe
        return value, f"recipe of {params.base_network}"
    return (getattr(params, hyperparameter) if hyperparameter and name != "freeze" else _DEFAULTS[name]), DEFAULT
