"""The course of a training job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod._arguments import named
from birdsod.errors import InputError
from birdsod.viz._canvas import FAINT, INK, figure_of, finished, place, quiet
from birdsod.viz._style import run_colour

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from birdsod.estimator import Job

__all__ = ["by_epoch", "draw_map", "plot_map"]

MIDDLE = 0.5


def plot_map(job: Job | pd.DataFrame, ax: Axes | None = None, title: str | None = None) -> Figure:
    """Show the mean average precision on the validation images, epoch by epoch, and its maximum.

    Parameters
    ----------
    job : Job or pandas.DataFrame
        A training job, running or over, or what its ``metrics()`` returned. An epoch without a figure is a gap.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        By default the job's name, where it has one.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If this is neither a job nor a table, or the table has no columns ``epoch`` and ``map``.

    Examples
    --------
    >>> import pandas as pd
    >>> from birdsod.viz import plot_map
    >>> figure = plot_map(pd.DataFrame({"epoch": [0, 1, 2], "map": [0.2, 0.7, 0.6]}), title="goldfinches")
    >>> figure.axes[0].texts[0].get_text()
    'maximum 0.700 at epoch 1'
    """
    axes = place(ax, 7.5, 4.2)
    draw_map(axes, by_epoch(_frame(job), "map"))
    name = getattr(job, "name", None)
    default = f"Validation mAP: {name}" if isinstance(name, str) else "Validation mAP"
    axes.set_title(default if title is None else title, fontsize=11, color=INK)
    return finished(figure_of(axes), ours=ax is None)


def _frame(job: Any) -> pd.DataFrame:  # noqa: ANN401 - a job or a table
    import pandas as pd

    frame = job.metrics() if callable(getattr(job, "metrics", None)) else job
    if not isinstance(frame, pd.DataFrame):
        cure = "give a job, or the table that its metrics() returns"
        raise InputError("this is neither a job nor a table", value=named(frame), cure=cure)
    if not {"epoch", "map"} <= set(frame):
        cure = "give a job, or the table that its metrics() returns"
        raise InputError("the table has no columns epoch and map", value=list(frame), cure=cure)
    return frame


def by_epoch(frame: pd.DataFrame, column: str) -> pd.Series[float]:
    """Return the last figure of each epoch, NaN for those that have none, from the first epoch to the last."""
    latest = frame.dropna(subset=["epoch"]).drop_duplicates("epoch", keep="last")
    figures = latest.set_index(latest["epoch"].astype(int))[column].astype(float)
    if figures.empty:
        return figures
    return figures.reindex(range(int(figures.index.min()), int(figures.index.max()) + 1))


def draw_map(ax: Axes, figures: pd.Series[float]) -> None:
    """Draw the curve of a job into axes, with its maximum."""
    from matplotlib.ticker import MaxNLocator

    ax.set(xlabel="epoch", ylabel="mAP at overlap 0.5", ylim=(0, 1), yticks=np.arange(11) / 10)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(axis="y", color=FAINT, linewidth=0.8)
    quiet(ax)
    if figures.notna().any():
        # The dots show an epoch between two gaps, which a line alone would not.
        ax.plot(figures.index, figures, color=run_colour(0), marker="o", markersize=3, linewidth=1.8, clip_on=False)
        _mark_maximum(ax, figures)
    else:
        # No empty line is drawn, which the layout would take for a dot in the figure's corner.
        note = "no validation mAP in the log yet"
        ax.text(0.5, 0.5, note, ha="center", va="center", transform=ax.transAxes, color=INK)


def _mark_maximum(ax: Axes, figures: pd.Series[float]) -> None:
    position = int(np.nanargmax(figures))
    epoch, value = int(figures.index[position]), float(figures.iloc[position])
    ax.vlines(epoch, 0, value, color=run_colour(1), linewidth=1, linestyle=":")
    ax.plot([epoch], [value], marker="o", markersize=8, color=run_colour(1), clip_on=False, zorder=4)
    x, y = _emptiest_corner(figures)
    frame = {"facecolor": "white", "edgecolor": run_colour(1), "boxstyle": "round,pad=0.4"}
    aligned = {"ha": "left" if x < MIDDLE else "right", "va": "bottom" if y < MIDDLE else "top"}
    ax.text(
        x, y, f"maximum {value:.3f} at epoch {epoch}", fontdict=aligned, transform=ax.transAxes, color=INK, bbox=frame
    )


def _emptiest_corner(figures: pd.Series[float]) -> tuple[float, float]:
    """Return the corner that keeps the text farthest from the curve; of equals, the lower right."""
    across = np.linspace(0, 1, len(figures)) if len(figures) > 1 else np.array([MIDDLE])
    near = {corner: figures[np.abs(across - corner) < MIDDLE].dropna().to_numpy() for corner in (0.98, 0.02)}
    corners = [(x, y) for y in (0.05, 0.95) for x in (0.98, 0.02)]
    return max(corners, key=lambda corner: float(np.abs(near[corner[0]] - corner[1]).min(initial=1.0)))
