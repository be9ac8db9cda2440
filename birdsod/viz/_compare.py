"""Reports side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod._arguments import named
from birdsod.errors import InputError
from birdsod.viz._canvas import FAINT, INK, finished, new_figure, quiet
from birdsod.viz._style import readable, run_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from birdsod.evaluation import Report

__all__ = ["compare"]

OVERALL = {
    "map50": "mAP@0.5",
    "map50_voc07": "mAP@0.5\n(VOC 2007)",
    "map75": "mAP@0.75",
    "coco_map": "mAP\n@[.5:.95]",
}

MOST_CLASSES = 30
ROOMY = 4
"""Runs up to which three digits fit above a bar."""
HEIGHT, BAR = 4.0, 0.16
"""Inches: of the panel for all classes, and of one bar of a class."""


def compare(reports: Mapping[str, Report]) -> Figure:
    """Show the figures of several reports side by side, overall and for each class.

    Of more than 30 classes, those are shown whose average precision differs most between the reports.

    Parameters
    ----------
    reports : mapping of str to Report
        Reports by the name that they are shown under, in this order.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no report, or something else than reports by name.

    Examples
    --------
    >>> from birdsod import ClassTable, Report
    >>> from birdsod.metrics import GroundTruth, Predictions
    >>> truth, found = GroundTruth([7], [0], [[0, 0, 40, 30]]), Predictions([7], [0], [0.9], [[0, 0, 40, 30]])
    >>> report = Report(truth, found, ClassTable((17,), ("017.Cardinal",)), [7])
    >>> from birdsod.viz import compare
    >>> [axes.get_title() for axes in compare({"as given": report}).axes]
    ['All classes', 'Each class, AP@0.5']
    """
    _check(reports)
    if not reports:
        raise InputError("there is no report to compare", cure="give {name: report}")
    names, figures, left_out = _per_class(list(reports.values()))
    figure, overall, each = _panels(len(names), len(reports))
    _draw_overall(overall, reports)
    _draw_classes(each, names, figures)
    if left_out:
        each.set_title(f"The {len(names)} of {len(names) + left_out} classes that differ most, AP@0.5", fontsize=11)
    figure.legend(handles=overall.containers, labels=list(reports), loc="outside upper center", ncols=4, frameon=False)
    return finished(figure, ours=True)


def _check(reports: object) -> None:
    from birdsod.evaluation import Report

    if not isinstance(reports, Mapping):
        raise InputError("the reports have no names", value=named(reports), cure="give {name: report}")
    for name, report in reports.items():
        if not isinstance(report, Report):
            raise InputError(f"{name!r} is no report", value=named(report), cure="give what evaluate(...) returned")


def _panels(classes: int, runs: int) -> tuple[Figure, Axes, Axes]:
    """Return a figure with two panels: side by side, or one above the other where there are many bars."""
    rows = max(HEIGHT, classes * (runs + 1) * BAR)
    if rows < 2 * HEIGHT:
        figure = new_figure(11, rows + 1, layout="constrained")
        overall, each = figure.subplots(1, 2, width_ratios=[1.1, 1])
    else:
        figure = new_figure(8, HEIGHT + rows + 1, layout="constrained")
        overall, each = figure.subplots(2, 1, height_ratios=[HEIGHT, rows])
    return figure, overall, each


def _per_class(reports: Sequence[Report]) -> tuple[list[str], npt.NDArray[np.float64], int]:
    """Return names of classes, figures of shape (classes, reports), and how many classes are left out."""
    tables = [dict(zip(report.classes.names, report.scores.area.tolist(), strict=True)) for report in reports]
    names = list(dict.fromkeys(name for table in tables for name in table))
    figures = np.array([[table.get(name, np.nan) for table in tables] for name in names])
    if len(names) <= MOST_CLASSES:
        return names, figures, 0
    known = np.nan_to_num(figures)
    differing = np.argsort(known.min(axis=1) - known.max(axis=1), kind="stable")[:MOST_CLASSES]
    chosen = np.sort(differing)
    return [names[k] for k in chosen], figures[chosen], len(names) - len(chosen)


def _draw_overall(ax: Axes, reports: Mapping[str, Report]) -> None:
    places = np.arange(len(OVERALL))
    thickness = 0.8 / len(reports)
    for position, report in enumerate(reports.values()):
        values = [getattr(report, figure) for figure in OVERALL]
        shift = (position - (len(reports) - 1) / 2) * thickness
        bars = ax.bar(places + shift, np.nan_to_num(values), thickness * 0.92, color=run_colour(position))
        ax.bar_label(
            bars,
            [_written(value, 3 if len(reports) <= ROOMY else 2) for value in values],
            fontsize=8,
            color=INK,
            padding=2,
        )
    ax.set(ylim=(0, 1.06), xticks=places, xticklabels=list(OVERALL.values()), yticks=np.arange(0, 11, 2) / 10)
    ax.grid(axis="y", color=FAINT, linewidth=0.8)
    ax.set_title("All classes", fontsize=11, color=INK)
    quiet(ax)


def _draw_classes(ax: Axes, names: Sequence[str], figures: npt.NDArray[np.float64]) -> None:
    places = np.arange(len(names))
    thickness = 0.8 / figures.shape[1]
    for position, values in enumerate(figures.T):
        shift = (position - (figures.shape[1] - 1) / 2) * thickness
        bars = ax.barh(places + shift, np.nan_to_num(values), thickness * 0.92, color=run_colour(position))
        ax.bar_label(bars, [_written(value, 2) for value in values], fontsize=8, color=INK, padding=2)
    labels: dict[str, Any] = {"yticks": places, "yticklabels": [readable(name) for name in names]}
    ax.set(xlim=(0, 1.08), xticks=np.arange(0, 11, 2) / 10, ylim=(len(names) - 0.4, -0.6), **labels)
    ax.grid(axis="x", color=FAINT, linewidth=0.8)
    ax.set_title("Each class, AP@0.5", fontsize=11, color=INK)
    quiet(ax)


def _written(value: float, digits: int) -> str:
    return "no objects" if np.isnan(value) else f"{value:.{digits}f}"
