"""The rules by which weights are updated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from birdsod.ssd.objective import Graded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.recipe import Recipe

__all__ = ["make_optimizer", "set_rate"]

_FACTOR = "rate_factor"


def make_optimizer(network: AnyNetwork, recipe: Recipe, params: Hyperparameters) -> torch.optim.Optimizer:
    """Return the optimizer of a run over the weights that are not frozen.

    Base network and detection layers have learning rates of their own. Weight decay pulls at weights only, not at
    biases or at what normalises; with ``adam`` and ``adadelta`` it has no effect, as in the algorithm.

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
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=params.momentum)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=recipe.learning_rate, alpha=0.9)
    for group in groups:
        group["weight_decay"] = 0.0
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups)
    return torch.optim.Adadelta(groups, rho=0.9, eps=1e-5)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next update; ``adadelta`` finds its own, as in MXNet.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Made by :func:`make_optimizer`.
    rate : float
        Of the detection layers.
    """
    peak = 1.0 if isinstance(optimizer, torch.optim.Adadelta) else rate
    for group in optimizer.param_groups:
        group["lr"] = peak * group[_FACTOR]


def _groups(network: AnyNetwork, recipe: Recipe) -> Iterator[dict[str, object]]:
    told = network.update_factors() if isinstance(network, Graded) else {}
    halves = ((network.base_parameters(), recipe.base_rate_factor), (network.new_parameters(), 1.0))
    for parameters, factor in halves:
        alike: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for each in parameters:
            rate, decay = told.get(each, (1.0, float(each.ndim > 1)))
            alike.setdefault((decay, rate), []).append(each)
        for decay, rate in sorted(alike, reverse=True):
            pull = recipe.weight_decay * decay
            yield {"params": alike[decay, rate], "weight_decay": pull, _FACTOR: factor * rate}
