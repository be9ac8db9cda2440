"""The rules by which weights are updated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from birdsod.ssd.mxnet_optimizers import AdaDelta, Adam, RMSProp, Sgd
from birdsod.ssd.objective import Graded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.recipe import Recipe

__all__ = ["make_optimizer", "set_rate"]

_FACTOR = "rate_factor"
# "Ignored for other optimizers" than sgd and rmsprop, as the algorithm's documentation says.
_WITHOUT_DECAY = ("adam", "adadelta")


def make_optimizer(network: AnyNetwork, recipe: Recipe, params: Hyperparameters) -> torch.optim.Optimizer:
    """Return the optimizer of a run over the weights that are not frozen.

    All but ``adamw`` compute what MXNet's compute. Base network and detection layers have learning rates of their own.
    Weight decay pulls at weights only, not at biases or at what normalises (unless the run is faithful to MXNet, which
    leaves out biases alone); with ``adam`` and ``adadelta`` it has no effect, as in the algorithm.

    Parameters
    ----------
    network : AnyNetwork
        With its layers frozen already.
    recipe : Recipe
        Which optimizer, and its numbers.
    params : Hyperparameters
        The momentum of ``sgd``.

    Returns
    -------
    torch.optim.Optimizer
    """
    groups = list(_groups(network, recipe))
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    if recipe.optimizer == "sgd":
        return Sgd(groups, momentum=params.momentum)
    if recipe.optimizer == "rmsprop":
        return RMSProp(groups)
    return Adam(groups) if recipe.optimizer == "adam" else AdaDelta(groups)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next update; ``adadelta`` finds its own, as in MXNet.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Made by :func:`make_optimizer`.
    rate : float
        Of the detection layers.
    """
    peak = 1.0 if isinstance(optimizer, AdaDelta) else rate
    for group in optimizer.param_groups:
        group["lr"] = peak * group[_FACTOR]


def _groups(network: AnyNetwork, recipe: Recipe) -> Iterator[dict[str, object]]:
    told = _update_factors(network, recipe)
    halves = ((network.base_parameters(), recipe.base_rate_factor), (network.new_parameters(), 1.0))
    for parameters, factor in halves:
        alike: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for each in parameters:
            rate, decay = told[each]
            alike.setdefault((decay, rate), []).append(each)
        for decay, rate in sorted(alike, reverse=True):
            pull = 0.0 if recipe.optimizer in _WITHOUT_DECAY else recipe.weight_decay * decay
            # MXNet's adadelta has no learning rate that a factor could be put on.
            own = 1.0 if recipe.optimizer == "adadelta" else rate
            yield {"params": alike[decay, rate], "weight_decay": pull, _FACTOR: factor * own}


def _update_factors(network: AnyNetwork, recipe: Recipe) -> Mapping[torch.nn.Parameter, tuple[float, float]]:
    """Return what learning rate and weight decay of each parameter are multiplied by."""
    if isinstance(network, Graded):
        return network.update_factors()
    return {
        each: (1.0, float(name.endswith("weight") if recipe.faithful else each.ndim > 1))
        for name, each in network.named_parameters()
    }
