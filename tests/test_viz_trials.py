"""The figure of a tuning job's trials."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from birdsod import viz
from birdsod.errors import InputError


def trials(*objective: float, **columns: list[Any]) -> pd.DataFrame:
    names = [f"trial-{number}" for number in range(len(objective))]
    return pd.DataFrame({"name": names, "status": "Completed", "objective": objective, **columns, "seconds": 60.0})


def line(axes: Any) -> list[float]:
    return [float(cell) for cell in axes.lines[0].get_ydata()]


def dots(axes: Any, which: int = 0) -> list[list[float]]:
    return [[round(float(cell), 6) for cell in row] for row in axes.collections[which].get_offsets()]


def test_trials_in_their_order_and_by_each_hyperparameter() -> None:
    figure = viz.plot_trials(trials(0.2, 0.6, 0.4, learning_rate=[0.1, 0.001, 0.01], momentum=[0.5, 0.6, 0.9]))
    order, rate, momentum = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["trial", "learning_rate", "momentum"]
    assert dots(order) == [[1, 0.2], [2, 0.6], [3, 0.4]]
    assert line(order) == [0.2, 0.6, 0.6]
    assert dots(rate) == [[0.1, 0.2], [0.001, 0.6], [0.01, 0.4]]
    assert (rate.get_xscale(), momentum.get_xscale()) == ("log", "linear")
    # The best is marked everywhere.
    assert [dots(axes, 1) for axes in figure.axes] == [[[2, 0.6]], [[0.001, 0.6]], [[0.6, 0.6]]]
    assert figure.get_suptitle() == "Best 0.600"


def test_values_to_choose_from_stand_side_by_side() -> None:
    axes = viz.plot_trials(trials(0.2, 0.6, 0.4, optimizer=["sgd", "adam", "sgd"])).axes[1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["adam", "sgd"]
    assert [round(place) for place, _ in dots(axes)] == [1, 0, 1]
    assert len(dots(viz.plot_trials(trials(0.2, optimizer=["sgd"])).axes[1])) == 1


def test_trials_without_a_figure_are_left_out() -> None:
    figure = viz.plot_trials(trials(math.nan, 0.6, momentum=[0.5, 0.6]), title="birds")
    assert line(figure.axes[0])[1] == 0.6
    assert dots(figure.axes[1], 1) == [[0.6, 0.6]]
    assert figure.get_suptitle() == "birds"


@pytest.mark.parametrize("table", [trials(), trials(math.nan, learning_rate=[0.1])])
def test_no_trial_has_a_figure_yet(table: pd.DataFrame) -> None:
    figure = viz.plot_trials(table)
    figure.canvas.draw()
    assert figure.get_suptitle() == "No trial has reached a figure yet"
    assert not figure.axes[0].lines


def test_many_hyperparameters_fill_rows() -> None:
    table = trials(0.2, **{f"parameter_{number}": [0.5] for number in range(4)})
    figure = viz.plot_trials(table)
    assert len(figure.axes) == 5
    labelled = [axes.get_ylabel() for axes in figure.axes]
    assert labelled == ["validation mAP", "", "", "validation mAP", ""]


def test_a_tuning_job_gives_its_table_and_its_name() -> None:
    class Tuning:
        name = "goldfinches"

        def trials(self) -> pd.DataFrame:
            return trials(0.25)

    tuning: Any = Tuning()
    assert viz.plot_trials(tuning).get_suptitle() == "goldfinches: best 0.250"


@pytest.mark.parametrize(
    ("given", "words"),
    [([0.2], "neither a tuning job nor a table"), (pd.DataFrame({"map": [0.1]}), "no column objective")],
)
def test_what_is_no_tuning_job(given: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        viz.plot_trials(given)
