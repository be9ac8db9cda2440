"""A chart that grows while a job trains."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, cast

from birdsod._arguments import named
from birdsod.errors import InputError
from birdsod.viz._canvas import FAINT, INK, new_figure, quiet
from birdsod.viz._curve import by_epoch, draw_map
from birdsod.viz._style import DASHES, run_colour

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from birdsod.estimator import Job
    from birdsod.viz._notebook import NotebookFigure

__all__ = ["watch"]

_OVER = frozenset({"Completed", "Failed", "Stopped"})
_LOSSES = {"cross_entropy": "class (cross entropy)", "smooth_l1": "boxes (smooth L1)"}


def watch(job: Job, *, poll_seconds: float = 5.0, title: str | None = None) -> Figure:
    """Show the validation mAP and the losses of a job in a chart that grows until the job is over.

    In a notebook the chart stands at the place of the call and is redrawn there; elsewhere nothing is seen until it
    is returned. Nothing is printed. An interrupt ends the watching and leaves the job running.

    Parameters
    ----------
    job : Job
        A training job of any engine, running or over.
    poll_seconds : float, default 5.0
        Time between two looks.
    title : str, optional
        By default the job's name.

    Returns
    -------
    matplotlib.figure.Figure
        As it stands when the job is over, however it ended: the status is in its title.

    Raises
    ------
    InputError
        If this is no job.

    Examples
    --------
    >>> import pandas as pd
    >>> class Done:
    ...     name, status = "goldfinches", "Completed"
    ...
    ...     def metrics(self):
    ...         return pd.DataFrame({"epoch": [0, 1], "map": [0.2, 0.7], "cross_entropy": [2.0, 1.1]})
    >>> watch(Done()).axes[0].get_title()
    'goldfinches: Completed, 2 epochs'
    """
    # Looked for without looking at it, which asks the cloud.
    if inspect.getattr_static(job, "status", None) is None or not callable(getattr(job, "metrics", None)):
        raise InputError("this is no job", value=named(job), cure="give what fit(data, wait=False) returned")
    figure = cast("NotebookFigure", new_figure(7.5, 6.0, layout="constrained"))
    quality, losses = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    shown = False
    while True:
        # Asked before reading: what a job told before it ended is drawn in any case.
        status = job.status
        frame = job.metrics()
        _draw(quality, losses, frame)
        name = title if title is not None else str(getattr(job, "name", "job"))
        quality.set_title(f"{name}: {status}, {_epochs(frame)}", fontsize=11, color=INK)
        if shown:
            figure.bring_up_to_date()
        else:
            figure.show_here()
            shown = True
        if status in _OVER:
            return figure
        time.sleep(poll_seconds)


def _draw(quality: Axes, losses: Axes, frame: pd.DataFrame) -> None:
    for axes in (quality, losses):
        axes.clear()
    draw_map(quality, by_epoch(frame, "map"))
    quality.set_xlabel("")
    for position, (column, label) in enumerate(_LOSSES.items()):
        figures = by_epoch(frame, column) if column in frame else None
        if figures is not None and figures.notna().any():
            losses.plot(
                figures.index,
                figures,
                color=run_colour(2 + position),
                linestyle=DASHES[position],
                marker="o",
                markersize=3,
                linewidth=1.6,
                label=label,
            )
    losses.set(xlabel="epoch", ylabel="training loss")
    if losses.lines:
        losses.set_ylim(bottom=0)
        losses.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)
    else:
        # Limits that fit nothing at all confuse the layout.
        losses.set(xlim=(0, 1), ylim=(0, 1), yticks=[])
    losses.grid(axis="y", color=FAINT, linewidth=0.8)
    quiet(losses)


def _epochs(frame: pd.DataFrame) -> str:
    count = int(frame["epoch"].nunique())
    return f"{count} epoch{'' if count == 1 else 's'}"
