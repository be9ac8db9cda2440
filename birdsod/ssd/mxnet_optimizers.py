"""The optimizers of the built-in algorithm, number by number as MXNet computes them.

PyTorch's of the same names differ: its momentum holds gradients and not steps, which shows as soon as the learning
rate changes; its epsilons stand elsewhere.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, cast, overload

import torch
from torch.optim import Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Memory = Mapping[str, torch.Tensor]

__all__ = ["AdaDelta", "Adam", "MXNetOptimizer", "RMSProp", "Sgd"]

_COUNT = "step"  # which PyTorch leaves as it is when it is restored


class Group(TypedDict):
    """What the weights of a group have in common."""

    lr: float
    weight_decay: float


class MXNetOptimizer(Optimizer, ABC):
    """An optimizer of MXNet's: weights, each with what is remembered of it.

    Parameters
    ----------
    groups : iterable of dict
        ``params`` and, for each group, ``weight_decay``. The learning rate of each, ``lr``, is set before each step.
    """

    remembers: ClassVar[tuple[str, ...]]

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one update of all weights that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes gradients anew, and returns the loss.

        Returns
        -------
        float or None
            What ``closure`` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(cast("Group", group), weight, weight.grad, self._memory(weight))
        return loss

    def _memory(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        memory: dict[str, torch.Tensor] = self.state[weight]
        if not memory:
            memory |= {name: torch.zeros_like(weight) for name in self.remembers if name != _COUNT}
            if _COUNT in self.remembers:
                # On the processor wherever the weights are: it is read at each step.
                memory[_COUNT] = torch.zeros((), dtype=torch.int64)
        return memory

    @abstractmethod
    def _update(self, group: Group, weight: torch.Tensor, gradient: torch.Tensor, memory: Memory) -> None:
        """Change a weight, and what is remembered of it."""


class Sgd(MXNetOptimizer):
    """Steps along the gradient, each with a share of the last: ``v = momentum v - lr (g + wd w)``, ``w += v``.

    Parameters
    ----------
    groups : iterable of dict
        As for :class:`MXNetOptimizer`.
    momentum : float
        What is kept of the last step, which was made by the learning rate of its own time.

    Source
    ------
    Apache MXNet 1.9.1, ``sgd_mom_update``.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Sgd([{"params": [weight], "lr": 0.5}], momentum=0.9)
    >>> weight.grad = torch.tensor([1.0])
    >>> optimizer.step()
    >>> weight.item()
    0.5
    """

    remembers: ClassVar[tuple[str, ...]] = ("last",)

    def __init__(self, groups: Iterable[dict[str, Any]], *, momentum: float) -> None:
        super().__init__(groups)
        self._momentum = momentum

    def _update(self, group: Group, weight: torch.Tensor, gradient: torch.Tensor, memory: Memory) -> None:
        last = memory["last"]
        last.mul_(self._momentum).add_(_pulled(gradient, weight, group), alpha=-group["lr"])
        weight.add_(last)


class Adam(MXNetOptimizer):
    """Adam whose epsilon, 1e-8, is added before the correction of the first steps; betas are 0.9 and 0.999.

    Source
    ------
    Apache MXNet 1.9.1, ``adam_update``.
    """

    remembers: ClassVar[tuple[str, ...]] = ("mean", "variance", _COUNT)
    _first, _second, _epsilon = 0.9, 0.999, 1e-8
    # What is left of one in single precision, as MXNet subtracts: of 0.001 this is one part in 80,000 less.
    _first_new, _second_new = 1 - 0.8999999761581421, 1 - 0.9990000128746033

    def _update(self, group: Group, weight: torch.Tensor, gradient: torch.Tensor, memory: Memory) -> None:
        mean, variance, count = (memory[name] for name in self.remembers)
        count.add_(1)
        steps = int(count)
        rate = group["lr"] * math.sqrt(1 - self._second**steps) / (1 - self._first**steps)
        pulled = _pulled(gradient, weight, group)
        mean.mul_(self._first).add_(pulled, alpha=self._first_new)
        variance.mul_(self._second).addcmul_(pulled, pulled, value=self._second_new)
        weight.addcdiv_(mean, variance.sqrt().add_(self._epsilon), value=-rate)


class RMSProp(MXNetOptimizer):
    """RMSProp that is not centred, its epsilon of 1e-8 under the root; 0.9 of the mean square is kept.

    Source
    ------
    Apache MXNet 1.9.1, ``rmsprop_update``.
    """

    remembers: ClassVar[tuple[str, ...]] = ("variance",)
    _kept, _epsilon = 0.9, 1e-8

    def _update(self, group: Group, weight: torch.Tensor, gradient: torch.Tensor, memory: Memory) -> None:
        variance, pulled = memory["variance"], _pulled(gradient, weight, group)
        variance.mul_(self._kept).addcmul_(pulled, pulled, value=1 - self._kept)
        weight.addcdiv_(pulled, (variance + self._epsilon).sqrt_(), value=-group["lr"])


class AdaDelta(MXNetOptimizer):
    """AdaDelta, which finds its own rate: ``lr`` is only a factor on the whole step; rho is 0.9, epsilon 1e-5.

    Weight decay is no part of the gradient: ``w -= step + wd w``.

    Source
    ------
    Apache MXNet 1.9.1, ``AdaDelta``.
    """

    remembers: ClassVar[tuple[str, ...]] = ("gradients", "moved")
    _kept, _epsilon = 0.9, 1e-5

    def _update(self, group: Group, weight: torch.Tensor, gradient: torch.Tensor, memory: Memory) -> None:
        gradients, moved = memory["gradients"], memory["moved"]
        gradients.mul_(self._kept).addcmul_(gradient, gradient, value=1 - self._kept)
        step = (moved + self._epsilon).sqrt_().div_((gradients + self._epsilon).sqrt_()).mul_(gradient)
        moved.mul_(self._kept).addcmul_(step, step, value=1 - self._kept)
        weight.sub_(step.add_(weight, alpha=group["weight_decay"]), alpha=group["lr"])


def _pulled(gradient: torch.Tensor, weight: torch.Tensor, group: Group) -> torch.Tensor:
    return gradient.add(weight, alpha=group["weight_decay"])
