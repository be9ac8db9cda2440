"""The notebook's cells run on the cloud engine too: one line changes, and nothing stays alive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient

from birdsod.testing import FakeSageMaker

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "walkthrough.ipynb"
SMALL = {"EPOCHS = ": ("16", "2"), "seed=0": ("seed=0", "seed=0, classes=2, per_class=8")}
# The container that the fake account really runs: it trains and answers as the engine on this machine does.
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birdsod:1"


@pytest.fixture(scope="module")
def account() -> Iterator[FakeSageMaker]:
    with FakeSageMaker() as made:
        yield made


@pytest.fixture(scope="module")
def executed(account: FakeSageMaker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    settings = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cloud = {"image": IMAGE, "role": account.role_arn, "poll_seconds": 0.0}
    for old, new in {**dict(SMALL.values()), "CLOUD = None": f"CLOUD = {cloud!r}"}.items():
        assert old in settings.source
        settings.source = settings.source.replace(old, new)
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        # The kernel is a process of its own, which only the environment reaches.
        homes = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state")}
        for name, value in {**account.environment(), **homes}.items():
            patch.setenv(name, value)
        patch.delenv("BIRDSOD_LEDGER", raising=False)
        yield NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()


def test_every_cell_runs_and_shows_its_pictures(executed: Any) -> None:
    pictures = [
        output
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    # Thumbnails, boxes, two curves, three and two detections, two classes, the comparison.
    assert len(pictures) == 1 + 1 + 2 + 2 + 2 + 2 + 1


def test_two_jobs_trained_two_endpoints_answered_and_nothing_is_left(executed: Any, account: FakeSageMaker) -> None:
    assert executed
    operations = [call.operation for call in account.calls]
    assert operations.count("CreateTrainingJob") == operations.count("CreateEndpoint") == 2
    assert operations.count("InvokeEndpoint") > 2
    assert account.alive() == []
