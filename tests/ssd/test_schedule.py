from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod import Hyperparameters
from birdsod.ssd.options import LocalOptions
from birdsod.ssd.recipe import resolve
from birdsod.ssd.schedule import Constant, Cosine, Steps, schedule_of

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.ssd.schedule import Schedule


def test_steps_are_mxnets(golden: Path) -> None:
    cases = json.loads((golden / "training" / "lr_schedule.json").read_text())
    assert len(cases) == 6
    for case in cases:
        rate, text, factor, samples, batch_size, begin = case["args"]
        epochs = [int(cell) for cell in text.split(",") if cell]
        steps = Steps.of_epochs(rate, epochs, factor, samples=samples, batch_size=batch_size, begin_epoch=begin)
        assert steps.peak == pytest.approx(case["lr0"], rel=1e-12)
        assert list(steps.after) == (case["steps"] or [])
        for number, expected in case.get("lr_at", {}).items():
            # MXNet counts updates from 1 and asks with the number of the update before that once.
            assert steps.rate(max(0, int(number) - 1)) == pytest.approx(expected, rel=1e-12)


@given(updates=st.integers(1, 500), warmup=st.integers(0, 50))
def test_a_cosine_rises_then_falls_to_nearly_nothing(updates: int, warmup: int) -> None:
    schedule = Cosine(0.01, updates + warmup, warmup)
    rates = [schedule.rate(update) for update in range(updates + warmup)]
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert 0 < min(rates) <= max(rates) == rates[warmup] == 0.01
    assert schedule.rate(updates + warmup) == pytest.approx(0, abs=1e-12)


def test_a_cosine_stays_for_three_fifths_before_it_falls() -> None:
    schedule = Cosine(0.01, 110, 10)
    assert {schedule.rate(update) for update in range(10, 71)} == {0.01}
    assert schedule.rate(71) < 0.01
    assert schedule.rate(90) == pytest.approx(0.005)


def chosen(options: LocalOptions | None = None, **given_values: Any) -> Schedule:
    params = Hyperparameters(num_classes=5, num_training_samples=160, **given_values)
    return schedule_of(resolve(params, options or LocalOptions()), params)


def test_which_schedule() -> None:
    assert chosen(base_network="efficientnet-lite0", epochs=24) == Cosine(2e-3, 240, 10)
    assert chosen(base_network="efficientnet-lite0", epochs=1) == Cosine(2e-3, 10, 5)
    steps = chosen(base_network="efficientnet-lite0", lr_scheduler_step="2,4")
    assert steps == Steps(2e-3, (20, 40), 0.1)
    assert chosen() == Constant(0.001)
    assert chosen(LocalOptions(schedule="constant"), lr_scheduler_step="2,4").rate(10**6) == 0.001
