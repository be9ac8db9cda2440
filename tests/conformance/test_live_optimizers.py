"""Each optimizer beside the real MXNet's, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.ssd.optimizer_cases import CASES, RATES, drawn, ours

if TYPE_CHECKING:
    import numpy.typing as npt

    from tests.conformance.conftest import Oracle
    from tests.ssd.optimizer_cases import Case

GOLDEN = Path(__file__).parents[1] / "golden" / "training" / "optimizers.npz"


def theirs(oracle: Oracle, case: Case) -> npt.NDArray[np.float32]:
    weight, gradients = drawn(case)
    blobs = [weight.tobytes(), *(gradient.tobytes() for gradient in gradients)]
    told = {"name": case.name, "options": case.options, "lr_mult": case.lr_mult, "parameter": case.parameter}
    _, weights = oracle.get("optimize", *blobs, rates=RATES, **told)
    return np.stack([np.frombuffer(each, "<f4") for each in weights])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_every_step_is_mxnets(oracle: Oracle, case: Case) -> None:
    expected = theirs(oracle, case)
    np.testing.assert_allclose(ours(case), expected, rtol=2e-6, atol=2e-6)
    # What holds without MXNet is held to what it answered here.
    np.testing.assert_allclose(np.load(GOLDEN)[case.label], expected, rtol=1e-6, atol=1e-7)
