"""In a notebook each figure appears exactly once, wherever the call stands."""

from __future__ import annotations

import base64
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

START = """
import contextlib
import numpy as np, pandas as pd
import matplotlib.pyplot as plt
from birdsod import ClassTable, Detections, Report, viz
from birdsod.metrics import GroundTruth, Predictions

def curve(**options):
    return viz.plot_map(pd.DataFrame({"epoch": [0, 1, 2], "map": [0.1, 0.4, 0.3]}), **options)

def comparison():
    truth, found = GroundTruth([1], [0], [[0, 0, 4, 3]]), Predictions([1], [0], [0.9], [[0, 0, 4, 3]])
    return viz.compare({"one": Report(truth, found, ClassTable((17,), ("Cardinal",)), [1])})

def detected():
    found = Detections([0], [0.9], [[0.2, 0.2, 0.8, 0.7]], 80, 60, ClassTable((17,), ("Cardinal",)))
    return viz.show_detections(np.zeros((60, 80, 3), np.uint8), found)
"""

# what the cell shows how -> (code, images that it must show)
CELLS = {
    "the last expression": ("curve()", 1),
    "the last expression, silenced": ("curve();", 1),
    "an expression in the middle": ("curve()\n1 + 1", 1),
    "in a with block": ("with contextlib.nullcontext():\n    curve()", 1),
    "in a with block, first of two": ("with contextlib.nullcontext():\n    detected()\n    print('done')", 1),
    "in a loop": ("for _ in range(3):\n    curve()", 3),
    "assigned": ("figure = curve()", 1),
    "assigned, then named": ("figure = curve()\nfigure", 1),
    "assigned, then displayed": ("figure = curve()\ndisplay(figure)", 1),
    "named in a later cell": ("figure", 1),
    "named in one more cell": ("figure", 1),
    "of different kinds": ("curve(); comparison(); detected()", 3),
    "returned by a function": ("def inner():\n    return curve()\ninner()", 1),
    "changed after it was shown": ("changed = curve()\nchanged.axes[0].set_title('renamed')\nNone", 1),
    "before an error": ("curve()\nraise RuntimeError('later')", 1),
    "after an error": ("curve()", 1),
    "into axes of pyplot": ("_, ax = plt.subplots()\n_ = curve(ax=ax)", 1),
    "beside a figure of pyplot": ("plt.plot([1, 2]); curve()\nNone", 2),
    "nothing": ("None", 0),
}


@pytest.fixture(scope="module")
def executed() -> dict[str, Any]:
    """Every cell's outputs, from one run of a kernel."""
    sources = [START, *(code for code, _ in CELLS.values())]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call] # nbformat has no types
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call] # nbformat has no types
    NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
    assert [output for output in cells[0].outputs if output.output_type == "error"] == []
    return dict(zip(CELLS, (cell.outputs for cell in cells[1:]), strict=True))


def images(outputs: Any) -> list[str]:
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


@pytest.mark.parametrize("case", CELLS)
def test_each_figure_appears_once(executed: dict[str, Any], case: str) -> None:
    shown = images(executed[case])
    assert len(shown) == CELLS[case][1]
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in shown)


def test_only_the_cell_that_raises_fails(executed: dict[str, Any]) -> None:
    failed = {case for case, outputs in executed.items() for output in outputs if output.output_type == "error"}
    assert failed == {"before an error"}


def test_a_change_within_the_cell_is_shown(executed: dict[str, Any]) -> None:
    assert images(executed["changed after it was shown"]) != images(executed["the last expression"])


def test_what_is_not_changed_stays_as_it_was(executed: dict[str, Any]) -> None:
    assert images(executed["assigned"]) == images(executed["the last expression"])
    assert images(executed["named in a later cell"]) == images(executed["the last expression"])


def test_a_figure_stands_before_what_is_printed_after_it(executed: dict[str, Any]) -> None:
    kinds = [output.output_type for output in executed["in a with block, first of two"]]
    assert kinds == ["display_data", "stream"]
