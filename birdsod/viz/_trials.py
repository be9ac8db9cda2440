"""The trials of a tuning job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod._arguments import named
from birdsod.errors import InputError
from birdsod.viz._canvas import FAINT, INK, finished, new_figure, quiet
from birdsod.viz._style import run_colour

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from birdsod.estimator.sagemaker import TuningJob

__all__ = ["plot_trials"]

_NOT_VARIED = frozenset({"name", "status", "objective", "seconds"})
_ACROSS = 3
_WIDE = 50.0
_SPREAD = 0.18


def plot_trials(tuning: TuningJob | pd.DataFrame, title: str | None = None) -> Figure:
    """Show what each trial of a tuning job reached: in their order, and by each hyperparameter that was varied.

    The line is the best so far; the best trial is marked everywhere.

    Parameters
    ----------
    tuning : TuningJob or pandas.DataFrame
        A tuning job, running or over, or what its ``trials()`` returned.
    title : str, optional
        By default the job's name, where it has one.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If this is neither a tuning job nor a table, or the table has no column ``objective``.

    Examples
    --------
    >>> import pandas as pd
    >>> from birdsod.viz import plot_trials
    >>> table = pd.DataFrame({"name": ["a", "b"], "objective": [0.2, 0.6], "learning_rate": [0.1, 0.001]})
    >>> [axes.get_xlabel() for axes in plot_trials(table).axes]
    ['trial', 'learning_rate']
    """
    frame = _frame(tuning).reset_index(drop=True)
    varied = [str(column) for column in frame if column not in _NOT_VARIED]
    rows = -(-(len(varied) + 1) // _ACROSS)
    across = min(_ACROSS, len(varied) + 1)
    figure: Any = new_figure(3.4 * across + 0.6, 3.0 * rows + 0.4, layout="constrained")
    panels = figure.subplots(rows, across, sharey=True, squeeze=False).ravel()
    _draw_order(panels[0], frame)
    for axes, column in zip(panels[1:], varied, strict=False):
        _draw_parameter(axes, frame, column)
    for axes in panels[len(varied) + 1 :]:
        axes.remove()
    for axes in panels[: len(varied) + 1 : across]:
        axes.set_ylabel("validation mAP", color=INK)
    figure.suptitle(_title(tuning, frame) if title is None else title, fontsize=11, color=INK)
    return finished(figure, ours=True)


def _frame(tuning: Any) -> pd.DataFrame:  # noqa: ANN401 - a tuning job or a table
    import pandas as pd

    frame = tuning.trials() if callable(getattr(tuning, "trials", None)) else tuning
    cure = "give a tuning job, or the table that its trials() returns"
    if not isinstance(frame, pd.DataFrame):
        raise InputError("this is neither a tuning job nor a table", value=named(frame), cure=cure)
    if "objective" not in frame:
        raise InputError("the table has no column objective", value=list(frame), cure=cure)
    return frame


def _title(tuning: object, frame: pd.DataFrame) -> str:
    name = getattr(tuning, "name", None)
    best = _best(frame)
    told = "no trial has reached a figure yet" if best is None else f"best {frame['objective'][best]:.3f}"
    return f"{name}: {told}" if isinstance(name, str) else told[0].upper() + told[1:]


def _best(frame: pd.DataFrame) -> int | None:
    objective = frame["objective"].to_numpy(float)
    return int(np.nanargmax(objective)) if np.isfinite(objective).any() else None


def _draw_order(ax: Axes, frame: pd.DataFrame) -> None:
    from matplotlib.ticker import MaxNLocator

    places = np.arange(1, len(frame) + 1)
    best_so_far = frame["objective"].cummax().ffill()
    if best_so_far.notna().any():
        ax.step(places, best_so_far, where="post", color=FAINT, linewidth=2, zorder=1)
    _dots(ax, places, frame)
    ax.set_xlabel("trial")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _draw_parameter(ax: Axes, frame: pd.DataFrame, column: str) -> None:
    import pandas as pd

    values = frame[column]
    ax.set_xlabel(column)
    if not pd.api.types.is_numeric_dtype(values):
        names = sorted(set(values.astype(str)))
        # Trials of the same value lie beside each other, in their order.
        shift = np.linspace(-_SPREAD, _SPREAD, len(frame)) if len(frame) > 1 else np.zeros(len(frame))
        _dots(ax, np.array([names.index(str(value)) for value in values]) + shift, frame)
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(-0.5, max(len(names), 1) - 0.5)
        return
    low, high = values.min(), values.max()
    if low > 0 and high / low >= _WIDE:
        ax.set_xscale("log")
        ax.minorticks_off()
    _dots(ax, values.to_numpy(float), frame)


def _dots(ax: Axes, places: np.ndarray[Any, np.dtype[Any]], frame: pd.DataFrame) -> None:
    objective = frame["objective"].to_numpy(float)
    if np.isfinite(objective).any():
        ax.scatter(places, objective, s=26, color=run_colour(0), zorder=2)
    best = _best(frame)
    if best is not None:
        ax.scatter([places[best]], [objective[best]], s=80, color=run_colour(1), zorder=3)
    ax.set_ylim(0, 1)
    ax.grid(axis="y", color=FAINT, linewidth=0.8)
    quiet(ax)
