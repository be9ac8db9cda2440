"""Jobs in the cloud, watched from start to end: chart, figures and warnings out of logs that are hard to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from birdsod import training_log, viz
from birdsod.classes import ClassTable
from birdsod.estimator.sagemaker import ChannelPlan, SageMakerEstimator, UploadedInputs
from birdsod.estimator.sagemaker.ledger import Ledger
from birdsod.estimator.sagemaker.metrics import incidents
from birdsod.estimator.sagemaker.requests import RECORDIO
from birdsod.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.estimator.sagemaker import SageMakerJob
    from birdsod.testing import FakeSageMaker

PARAMS = Hyperparameters(num_classes=1, num_training_samples=100, epochs=6, base_network="resnet-50")


@pytest.fixture
def start(fake: FakeSageMaker, tmp_path: Path) -> Callable[[], SageMakerJob]:
    store = fake.session().client("s3")
    for name in ("train", "validation"):
        store.put_object(Bucket=fake.bucket, Key=f"data/{name}/{name}.rec", Body=b"a record")
    channels = tuple(
        ChannelPlan(name=name, uri=f"s3://{fake.bucket}/data/{name}/", content_type=RECORDIO)
        for name in ("train", "validation")
    )
    estimator = SageMakerEstimator(
        PARAMS, fake.bucket, fake.role_arn, fake.session(), ledger=Ledger(tmp_path / "ledger.jsonl"), poll_seconds=0
    )
    data = UploadedInputs(channels, ClassTable((17,), ("017.Cardinal",)))
    return lambda: estimator.fit(data, wait=False, check=False)


def test_a_chart_grows_with_the_job(fake: FakeSageMaker, start: Callable[[], SageMakerJob]) -> None:
    fake.script_logs(page_size=5, empty_pages=1)
    job = start()
    figure = viz.watch(job, poll_seconds=0)
    assert job.status == "Completed"
    assert figure.axes[0].get_title() == f"{job.name}: Completed, 6 epochs"
    assert len(job.metrics()) == 6


def test_a_job_that_was_interrupted_shows_each_epoch_once(
    fake: FakeSageMaker, start: Callable[[], SageMakerJob]
) -> None:
    def epoch(number: int, quality: float) -> list[str]:
        return [
            training_log.stamped(training_log.quality_line(number, 3, "smooth_l1", 1 - quality)),
            training_log.stamped(training_log.map_line(number, quality)),
        ]

    lines = [*epoch(0, 0.1), *epoch(1, 0.2), *epoch(2, 0.3), "Restarting", *epoch(1, 0.25), *epoch(3, 0.5)]
    fake.script_training(log=lines)
    job = start()
    job.wait(logs=False)
    frame = job.metrics()
    assert frame["epoch"].tolist() == [0, 1, 3]
    assert frame["map"].tolist() == [0.1, 0.25, 0.5]
    assert [incident.kind for incident in incidents(job.logs())] == ["restart"]
    assert np.isnan(np.asarray(viz.plot_map(job).axes[0].lines[0].get_ydata(), float)).tolist() == [
        False,
        False,
        True,
        False,
    ]


def test_images_that_were_passed_over_are_told(fake: FakeSageMaker, start: Callable[[], SageMakerJob]) -> None:
    fake.script_training(log=["Expected number of batches: 10, did not match the number of batches processed: 7"])
    with pytest.warns(UserWarning, match="3 of 10 batches were missing"):
        start().wait(logs=False)


def test_two_machines_are_averaged(fake: FakeSageMaker, start: Callable[[], SageMakerJob]) -> None:
    fake.script_training(hosts=2)
    fake.script_logs(page_size=7, empty_pages=1, late_lines=3, late_streams=2)
    job = start()
    job.wait(logs=False)
    assert job.metrics()["epoch"].tolist() == list(range(6))
    assert set(job.figures()["host"]) == {"algo-1", "algo-2"}
