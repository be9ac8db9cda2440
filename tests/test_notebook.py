"""The notebook runs from the first cell to the last, and shows each picture exactly once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "walkthrough.ipynb"

# What a reader sees: a beginning of a cell's source, and how many pictures it shows.
PICTURES = {
    "species =": 1,
    "bd.viz.show_boxes": 1,
    "bd.viz.plot_map": 1,
    "show_predictions(detector": 3,
    "bird = validation[0]": 2,
    "mirrored = train": 1,
    "with job.deploy()": 4,
}
SMALL = {"EPOCHS = ": ("16", "2"), "seed=0": ("seed=0", "seed=0, classes=3, per_class=8")}


def code_lines(notebook: Any) -> list[str]:
    lines = [line.strip() for cell in code_cells(notebook) for line in cell.source.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def made_small(notebook: Any) -> Any:
    settings = code_cells(notebook)[0]
    for where, (old, new) in SMALL.items():
        assert where in settings.source
        settings.source = settings.source.replace(old, new)
    return notebook


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    notebook = made_small(nbformat.read(NOTEBOOK, as_version=4))  # type: ignore[no-untyped-call]
    folder = tmp_path_factory.mktemp("notebook")
    return NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()


def test_it_is_thin_and_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    assert len(code_lines(notebook)) < 60
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))


def test_every_picture_appears_exactly_once(executed: Any) -> None:
    shown = Counter[str]()
    for cell in code_cells(executed):
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        shown[next((start for start in PICTURES if cell.source.startswith(start)), "elsewhere")] += len(pictures)
    assert shown == Counter({**PICTURES, "elsewhere": 0})


def test_it_warns_of_nothing(executed: Any) -> None:
    warned = [output.text for cell in code_cells(executed) for output in cell.outputs if output.get("name") == "stderr"]
    assert not [text for text in warned if "Warning" in text or "Traceback" in text]


def test_it_shows_the_class_list_and_the_last_rows(executed: Any) -> None:
    results = [
        output.data.get("text/html", "")
        for cell in code_cells(executed)
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert any("source_id" in text and "validation" in text for text in results)
    # A row of names and three of the list.
    assert any("xmin" in text and "path" in text and text.count("<tr") == 4 for text in results)
