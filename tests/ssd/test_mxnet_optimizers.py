"""The optimizers, held to what MXNet 1.9.1 computed; ``tests/conformance/test_live_optimizers.py`` asks it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from birdsod.ssd.mxnet_optimizers import Sgd
from tests.ssd.optimizer_cases import CASES, Case, made, ours

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_every_step_is_mxnets(golden: Path, case: Case) -> None:
    expected = np.load(golden / "training" / "optimizers.npz")[case.label]
    np.testing.assert_allclose(ours(case), expected, rtol=2e-6, atol=2e-6)


def test_a_weight_without_gradient_stays() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    made(Case("adam"), [{"params": [weight], "lr": 0.1, "weight_decay": 0.1}]).step()
    assert weight.tolist() == [1, 1]


def test_gradients_may_be_computed_in_the_step() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    groups: list[dict[str, Any]] = [{"params": [weight], "lr": 0.5}]
    optimizer = Sgd(groups, momentum=0.0)

    def closure() -> float:
        loss = weight.square().sum()
        torch.autograd.backward(loss)
        return loss.item()

    assert optimizer.step(closure) == 1.0
    assert weight.item() == 0.0
