"""Updates that MXNet and this project compute side by side: made-up weights and gradients, rates that change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from birdsod.ssd.mxnet_optimizers import AdaDelta, Adam, RMSProp, Sgd

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.ssd.mxnet_optimizers import MXNetOptimizer

STEPS, NUMBERS = 12, 24
# A rate that falls, and rises again: a momentum that holds gradients instead of steps would now differ.
RATES = [0.1] * 4 + [0.01] * 4 + [0.05] * 4


@dataclass(frozen=True)
class Case:
    """One optimizer with its settings."""

    name: str
    weight_decay: float = 0.0
    momentum: float | None = None
    lr_mult: float | None = None
    parameter: str = "a_weight"

    @property
    def label(self) -> str:
        extra = "".join(f"_{value}" for value in (self.momentum, self.lr_mult) if value is not None)
        return f"{self.name}_{self.weight_decay}{extra}_{self.parameter}"

    @property
    def options(self) -> dict[str, Any]:
        return {"wd": self.weight_decay} | ({} if self.momentum is None else {"momentum": self.momentum})


CASES = [
    Case("sgd", 5e-4, 0.9),
    Case("sgd", 0.1, 0.5, 2.0),
    Case("sgd", 0.1, 0.9, None, "a_gamma"),
    Case("sgd", 0.1, 0.9, None, "a_bias"),
    Case("sgd", 0.1, 1.0, None, "a_beta"),
    Case("adam"),
    Case("adam", 0.05, None, 2.0),
    Case("rmsprop", 5e-4),
    Case("rmsprop", 0.1, None, 2.0),
    Case("adadelta"),
    Case("adadelta", 0.1, None, 2.0),
]


def drawn(case: Case) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return weights and the gradients of each step, from tiny ones, which show the epsilon, to large ones."""
    random = np.random.default_rng([ord(letter) for letter in case.label])
    weights = random.normal(size=NUMBERS).astype("<f4")
    sizes = np.logspace(-6, 1, NUMBERS)
    return weights, (random.normal(size=(STEPS, NUMBERS)) * sizes).astype("<f4")


def ours(case: Case) -> npt.NDArray[np.float32]:
    """Return the weights after each step."""
    start, gradients = drawn(case)
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    pulled = case.parameter.endswith(("_weight", "_gamma"))
    groups: list[dict[str, Any]] = [{"params": [weight], "weight_decay": case.weight_decay * pulled}]
    optimizer = made(case, groups)
    found = []
    for rate, gradient in zip(RATES, gradients, strict=True):
        # MXNet's adadelta looks at no learning rate.
        lr = 1.0 if case.name == "adadelta" else rate * (case.lr_mult or 1.0)
        optimizer.param_groups[0]["lr"] = lr
        weight.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        found.append(weight.detach().numpy().copy())
    return np.stack(found)


def made(case: Case, groups: list[dict[str, Any]]) -> MXNetOptimizer:
    if case.name == "sgd":
        return Sgd(groups, momentum=case.momentum or 0.0)
    if case.name == "rmsprop":
        return RMSProp(groups)
    return Adam(groups) if case.name == "adam" else AdaDelta(groups)
