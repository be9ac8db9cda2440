"""Where a figure is drawn: into a new one, or into axes that were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#333333"
FAINT = "#DDDDDD"


def new_figure(width: float, height: float, **options: Any) -> Figure:  # noqa: ANN401 - passed through
    """Return a figure of some inches that no pyplot keeps alive."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from birdsod.viz._notebook import NotebookFigure

    figure = NotebookFigure(figsize=(width, height), dpi=100, facecolor="white", **options)
    FigureCanvasAgg(figure)
    return figure


def place(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes that were given, or those of a new figure."""
    return new_figure(width, height, layout="constrained").add_subplot() if ax is None else ax


def finished(figure: Figure, *, ours: bool) -> Figure:
    """Return a figure, shown if this is a notebook and the figure is ours."""
    from birdsod.viz._notebook import NotebookFigure

    if ours and isinstance(figure, NotebookFigure):
        figure.show_here()
    return figure


def figure_of(ax: Axes) -> Figure:
    """Return the figure of axes, which may lie in a part of it."""
    return ax.figure.canvas.figure


def quiet(ax: Axes) -> None:
    """Give axes of a chart faint lines that leave the word to the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(colors=INK, length=0)
    ax.set_axisbelow(True)
