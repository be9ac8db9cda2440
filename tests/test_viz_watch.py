"""The chart that grows while a job trains, outside and inside a notebook."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from birdsod import viz
from birdsod.errors import InputError

JOB = """
import pandas as pd
from birdsod import viz

class Job:
    name = "goldfinches"
    def __init__(self, looks=4, end="Completed", interrupted=False):
        self.seen, self.looks, self.end, self.interrupted, self.stopped = 0, looks, end, interrupted, False
    @property
    def status(self):
        self.seen += 1
        if self.interrupted and self.seen == 3:
            raise KeyboardInterrupt
        return self.end if self.seen == self.looks else "InProgress"
    def stop(self):
        self.stopped = True
    def metrics(self):
        count = self.seen // 2
        return pd.DataFrame({"epoch": range(count), "map": [0.3] * count, "cross_entropy": [1.5] * count})
"""


@dataclass
class Job:
    """A job that is over after some looks."""

    frames: list[pd.DataFrame]
    end: str = "Completed"
    name: str = "goldfinches"
    looks: int = 0

    @property
    def status(self) -> str:
        self.looks += 1
        return self.end if self.looks == len(self.frames) else "InProgress"

    def metrics(self) -> pd.DataFrame:
        return self.frames[self.looks - 1]


def frame(*quality: float, **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(len(quality)), "map": quality, **columns})


def watched(job: Any, **options: Any) -> Any:
    return viz.watch(job, poll_seconds=0, **options)


def test_it_ends_with_the_job_and_shows_the_last_state(capsys: pytest.CaptureFixture[str]) -> None:
    job = Job([frame(), frame(0.1), frame(0.1, 0.4, cross_entropy=[2.0, 1.0], smooth_l1=[0.5, 0.4])])
    figure = watched(job)
    quality, losses = figure.axes
    assert job.looks == 3
    assert quality.get_title() == "goldfinches: Completed, 2 epochs"
    assert quality.lines[0].get_ydata().tolist() == [0.1, 0.4]
    assert [line.get_ydata().tolist() for line in losses.lines] == [[2.0, 1.0], [0.5, 0.4]]
    assert [text.get_text() for text in losses.get_legend().get_texts()] == [
        "class (cross entropy)",
        "boxes (smooth L1)",
    ]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("end", ["Failed", "Stopped"])
def test_a_job_that_ends_otherwise_ends_it_too(end: str) -> None:
    assert watched(Job([frame(0.5)], end)).axes[0].get_title() == f"goldfinches: {end}, 1 epoch"


def test_a_job_without_figures_has_a_chart_that_says_so() -> None:
    figure = watched(Job([frame()], "Failed"), title="birds")
    figure.canvas.draw()
    quality, losses = figure.axes
    assert quality.get_title() == "birds: Failed, 0 epochs"
    assert quality.texts[0].get_text() == "no validation mAP in the log yet"
    assert not losses.lines
    # The layout still gives both their room.
    assert quality.get_position().height > 0.4
    assert losses.get_position().height > 0.2


def test_gaps_are_gaps() -> None:
    figures = pd.DataFrame({"epoch": [0, 2], "map": [0.1, 0.3], "smooth_l1": [1.0, 0.5]})
    axes = watched(Job([figures])).axes
    for each in axes:
        line = each.lines[0].get_ydata()
        assert len(line) == 3
        assert pd.isna(line[1])


def test_what_is_no_job_is_refused() -> None:
    with pytest.raises(InputError, match="this is no job"):
        watched(frame(0.5))


# what the cell shows how -> code
CELLS = {
    "to its end": "job = Job()\nfigure = viz.watch(job, poll_seconds=0)\nfigure",
    "interrupted": "job = Job(interrupted=True)\nviz.watch(job, poll_seconds=0)",
    "job after an interrupt": "print(job.stopped, job.status)",
    "a job that is over": "viz.watch(Job(1, 'Failed'), poll_seconds=0)\nNone",
}


@pytest.fixture(scope="module")
def executed() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Every cell's outputs, and the messages by which displays were updated."""
    cells = [nbformat.v4.new_code_cell(source) for source in (JOB, *CELLS.values())]  # type: ignore[no-untyped-call] # nbformat has no types
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call] # nbformat has no types
    client = Listening(notebook, timeout=120, kernel_name="python3", allow_errors=True)
    client.execute()
    return dict(zip(CELLS, (cell.outputs for cell in cells[1:]), strict=True)), client.updates


class Listening(NotebookClient):
    """Keeps what a notebook would have shown meanwhile."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.updates: list[dict[str, Any]] = []

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "update_display_data":
            self.updates.append({"cell": cell_index, **msg["content"]["data"]})
        return super().process_message(msg, cell, cell_index)


def images(outputs: Any) -> list[str]:
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


def test_one_chart_is_redrawn_in_its_place(executed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    outputs, updates = executed
    (last,) = images(outputs["to its end"])
    assert base64.b64decode(last).startswith(b"\x89PNG")
    redrawn = [update["image/png"] for update in updates if update["cell"] == 1]
    # The second and the fourth look found one more epoch each, the fourth another status; no picture comes twice.
    assert len(redrawn) == len(set(redrawn)) == 2
    assert redrawn[-1] == last
    assert [output.output_type for output in outputs["to its end"]] == ["display_data"]


def test_an_interrupt_ends_the_watching_alone(executed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    outputs, _ = executed
    assert [output.output_type for output in outputs["interrupted"]] == ["display_data", "error"]
    assert outputs["interrupted"][1].ename == "KeyboardInterrupt"
    assert outputs["job after an interrupt"][0].text == "False Completed\n"


def test_a_job_that_is_over_is_shown_once(executed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    outputs, updates = executed
    assert len(images(outputs["a job that is over"])) == 1
    assert [update for update in updates if update["cell"] == 4] == []
