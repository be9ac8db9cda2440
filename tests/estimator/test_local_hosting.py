"""What the engine on this machine makes of a hosting that was written for the cloud."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from birdsod.classes import ClassTable
from birdsod.errors import ServingError
from birdsod.estimator import LocalEstimator
from birdsod.estimator.sagemaker import Hosting
from birdsod.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from birdsod.estimator import LocalJob
    from birdsod.recordio import Packed

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_job.py")), "good")
PARAMS = Hyperparameters(num_classes=1, num_training_samples=8, mini_batch_size=8, base_network="efficientnet-lite0")


@pytest.fixture
def job(tmp_path: Path) -> LocalJob:
    """A job whose model cannot be served, so that hosting ends as soon as it begins."""
    data = SimpleNamespace(
        directory=tmp_path,
        channels={"train": SimpleNamespace(records=8), "validation": SimpleNamespace(records=8)},
        class_table=ClassTable((17,), ("017.Cardinal",)),
        longest_label=7,
        image_shape_hint=lambda _edge: None,
    )
    return LocalEstimator(PARAMS, tmp_path / "jobs", _command=COMMAND).fit(cast("Packed", data), logs=False)


def test_what_is_ignored_is_named_once(job: LocalJob) -> None:
    hosting = Hosting("ml.m5.large", tags={"team": "birds"}, startup_seconds=120)
    with pytest.raises(ServingError), pytest.warns(UserWarning, match="ignores instance_type, tags$") as told:
        job.deploy(hosting=hosting)
    assert [Path(warning.filename).name for warning in told] == [Path(__file__).name]


@pytest.mark.parametrize("hosting", [None, Hosting(), Hosting(startup_seconds=120)])
def test_nothing_is_said_where_nothing_is_ignored(job: LocalJob, hosting: Hosting | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ServingError, match="does not start"):
            job.deploy(hosting)


def test_how_long_it_may_take_is_heard(job: LocalJob) -> None:
    with pytest.raises(ServingError, match="not ready in time"):
        job.deploy(Hosting(startup_seconds=1e-6))
