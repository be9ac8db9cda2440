"""A figure that shows itself in a notebook, once. Loads Matplotlib: imported when the first figure is made."""

from __future__ import annotations

import base64
import io
import uuid

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from birdsod import _progress

__all__ = ["NotebookFigure"]

_shown_in_this_cell: list[NotebookFigure] = []


class NotebookFigure(Figure):
    """A figure unknown to pyplot, which would show it again at the end of the cell.

    A figure that Jupyter shows only as the value of a cell is lost inside a ``with`` block or a loop. This one is
    shown where it is made, and is then silent as that cell's value; in a later cell its name shows it again.
    """

    _cell: int | None = None
    _display_id = ""
    _png = b""

    def show_here(self) -> None:
        """Show the figure at this place of the notebook; outside a notebook nothing happens."""
        shell = _progress.notebook()
        if shell is None:
            return
        if not _shown_in_this_cell:
            shell.events.register("post_execute", _bring_up_to_date)
        _shown_in_this_cell.append(self)
        self._cell, self._display_id, self._png = shell.execution_count, uuid.uuid4().hex, self._rendered()
        self._publish(update=False)

    def _ipython_display_(self) -> None:
        """Take the place of every other way in which IPython would show the figure."""
        shell = _progress.notebook()
        if shell is None:
            raise NotImplementedError  # IPython's word for: show it as you would without me
        if self._cell != shell.execution_count:
            self.show_here()

    def bring_up_to_date(self) -> None:
        """Show what was changed since the figure was shown, in the same place; nothing if it never was."""
        if not (self._display_id and self.stale):
            return
        before, self._png = self._png, self._rendered()
        if self._png != before:
            self._publish(update=True)

    def _rendered(self) -> bytes:
        stream = io.BytesIO()
        FigureCanvasAgg(self).print_png(stream)  # type: ignore[no-untyped-call] # Matplotlib's backends are not typed
        return stream.getvalue()

    def _publish(self, *, update: bool) -> None:
        from IPython.display import publish_display_data

        data = {"image/png": base64.b64encode(self._png).decode("ascii"), "text/plain": str(self)}
        place = {"display_id": self._display_id}
        publish_display_data(data, transient=place, update=update)  # type: ignore[no-untyped-call] # nor is IPython


def _bring_up_to_date() -> None:
    """Do what the end of a cell asks for, once."""
    _progress.notebook().events.unregister("post_execute", _bring_up_to_date)
    figures = _shown_in_this_cell.copy()
    _shown_in_this_cell.clear()
    for figure in figures:
        figure.bring_up_to_date()
