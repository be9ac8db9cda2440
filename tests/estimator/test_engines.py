"""One walkthrough for every engine: the local one, and a trivial second one that anyone could write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pytest

from birdsod import training_log
from birdsod.dataset import synthetic_birds
from birdsod.detections import Detections
from birdsod.errors import ServingError, TrainingError
from birdsod.estimator import (
    Detector,
    Estimator,
    Job,
    LocalEstimator,
    LocalJob,
    Predictor,
    SageMakerEstimator,
    SageMakerJob,
)
from birdsod.estimator.sagemaker import Ledger
from birdsod.evaluation import Report, evaluate
from birdsod.hyperparameters import Hyperparameters
from birdsod.image import as_rgb
from birdsod.recordio import pack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt
    import pandas as pd

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset
    from birdsod.estimator.sagemaker import Hosting
    from birdsod.image import ImageSource
    from birdsod.recordio import Packed


class MeanBoxes:
    """Predicts the mean box of each class, whatever the image shows."""

    def __init__(self, classes: ClassTable, boxes: npt.NDArray[np.float64]) -> None:
        self._classes = classes
        self._boxes = boxes

    @property
    def classes(self) -> ClassTable:
        return self._classes

    def predict(self, image: ImageSource) -> Detections:
        height, width = as_rgb(image).shape[:2]
        number = len(self._boxes)
        return Detections(np.arange(number), np.full(number, 0.5), self._boxes, width, height, self._classes)

    def predict_batch(self, images: Iterable[ImageSource]) -> list[Detections]:
        return [self.predict(image) for image in images]


class MeanBoxDetector(MeanBoxes):
    """Hosts nowhere."""

    name, url = "mean-boxes", "memory:"
    closed = False

    def predict(self, image: ImageSource) -> Detections:
        if self.closed:
            raise ServingError("the detector is closed")
        return super().predict(image)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MeanBoxJob(MeanBoxes):
    """Is complete as soon as it is made."""

    name, status = "mean-boxes-1", "Completed"

    def __init__(self, classes: ClassTable, boxes: npt.NDArray[np.float64], artifact: Path) -> None:
        super().__init__(classes, boxes)
        self._artifact = artifact

    @property
    def artifact(self) -> Path:
        return self._artifact

    def wait(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def logs(self) -> list[str]:
        return [training_log.map_line(0, 0.5)]

    def metrics(self) -> pd.DataFrame:
        return training_log.to_frame(self.logs())

    def deploy(self, hosting: Hosting | None = None) -> MeanBoxDetector:  # noqa: ARG002 - it hosts nowhere
        return MeanBoxDetector(self._classes, self._boxes)


class MeanBoxEstimator:
    """Trains by remembering the mean box of each class."""

    def fit(self, data: Packed, *, wait: bool = True) -> MeanBoxJob:
        del wait
        with data.channels["train"].open() as records:
            labels = [record.boxes for record in records]
        class_ids = np.concatenate([label.class_ids for label in labels])
        boxes = np.concatenate([label.boxes for label in labels])
        means = np.stack([boxes[class_ids == class_id].mean(axis=0) for class_id in range(len(data.class_table))])
        artifact = data.directory / "mean-boxes.npy"
        np.save(artifact, means)
        return MeanBoxJob(data.class_table, means, artifact)


def walkthrough(estimator: Estimator, data: Packed, validation: DetectionDataset) -> Report:
    """Do what the walkthrough does, with nothing but the protocols."""
    assert isinstance(estimator, Estimator)
    job: Job = estimator.fit(data)
    job.wait()
    job.stop()
    assert job.status == "Completed"
    assert job.artifact.is_file()
    assert job.logs()
    assert {"epoch", "map"} <= set(job.metrics().columns)
    paths = [record.path for record in validation]
    with job.deploy() as detector:
        assert isinstance(detector, Detector)
        assert isinstance(detector, Predictor)
        assert detector.name
        assert detector.url
        assert detector.classes == validation.class_table
        hosted = detector.predict_batch(paths[:3])
        assert hosted[0].names == detector.predict(paths[0]).names
    with pytest.raises(ServingError, match="closed"):
        detector.predict(paths[0])
    detector.close()
    assert job.predict(paths[0]).names == hosted[0].names
    for there, here in zip(hosted, job.predict_batch(paths[:3]), strict=True):
        np.testing.assert_array_equal(there.class_id, here.class_id)
        np.testing.assert_allclose(there.xyxy, here.xyxy, atol=1e-2)
    return evaluate(job, validation, progress=False)


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    return synthetic_birds(tmp_path_factory.mktemp("made-up"), seed=1, classes=2, per_class=16)


@pytest.fixture(scope="module")
def data(birds: DetectionDataset, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    train, validation = birds.split()
    return pack({"train": train, "validation": validation}, tmp_path_factory.mktemp("work") / "packed", resize=300)


def test_the_walkthrough_on_a_second_engine(birds: DetectionDataset, data: Packed) -> None:
    report = walkthrough(MeanBoxEstimator(), data, birds.subset("validation"))
    assert report.images == 16


def test_the_walkthrough_on_the_local_engine(birds: DetectionDataset, data: Packed, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from birdsod.ssd import LocalOptions

    params = Hyperparameters.for_data(data, base_network="efficientnet-lite0", epochs=1)
    estimator = LocalEstimator(params, tmp_path, options=LocalOptions(updates=1, threads=1))
    report = walkthrough(estimator, data, birds.subset("validation"))
    assert report.images == 16
    (directory,) = tmp_path.iterdir()
    job = LocalJob.attach(directory)
    assert (job.status, job.state().updates, job.state().epoch) == ("Completed", 1, 1)


def test_the_walkthrough_on_sagemaker(
    birds: DetectionDataset, data: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole cloud path without an account: the fake really trains, as an own container would, and hosts."""
    pytest.importorskip("torch")
    from birdsod.testing import FakeSageMaker

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BIRDSOD_LEDGER", str(tmp_path / "ledger.jsonl"))
    params = Hyperparameters.for_data(data, base_network="efficientnet-lite0", epochs=1)
    with FakeSageMaker() as cloud:
        image = f"{cloud.account}.dkr.ecr.{cloud.region}.amazonaws.com/birdsod:1"
        estimator = SageMakerEstimator(
            params, role=cloud.role_arn, session=cloud.session(), image=image, poll_seconds=0.1
        )
        report = walkthrough(estimator, data, birds.subset("validation"))
        assert report.images == 16
        assert cloud.alive() == []
        name = next(call.request["TrainingJobName"] for call in cloud.calls if call.operation == "CreateTrainingJob")
        assert SageMakerJob.attach(name, cloud.session()).classes == data.class_table
    assert Ledger(tmp_path / "ledger.jsonl").open_resources() == ()


def test_data_that_went_away_fail_the_job_with_the_reason(data: Packed, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import shutil
    from dataclasses import replace

    shutil.copytree(data.directory, tmp_path / "packed")
    moved = replace(data, directory=tmp_path / "packed")
    shutil.rmtree(tmp_path / "packed")
    params = Hyperparameters.for_data(data, base_network="efficientnet-lite0", epochs=1)
    with pytest.raises(TrainingError, match="packed"):
        LocalEstimator(params, tmp_path / "jobs").fit(moved, logs=False)


@pytest.mark.parametrize("module", ["birdsod.estimator", "birdsod.serving"])
def test_a_name_that_is_none_is_told(module: str) -> None:
    import importlib

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = importlib.import_module(module).nothing
