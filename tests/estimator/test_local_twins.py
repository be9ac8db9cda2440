"""The built-in algorithm's own ResNet-50, trained on this machine by jobs that are real processes."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import birdsod as bd
from birdsod.errors import TrainingError
from birdsod.estimator import LocalJob
from birdsod.ssd.start import read_start

NARROW = str(Path(__file__).with_name("narrow_job.py"))


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> bd.DetectionDataset:
    return bd.synthetic_birds(tmp_path_factory.mktemp("drawn"), seed=0, classes=2, per_class=6)


@pytest.fixture(scope="module")
def packed(birds: bd.DetectionDataset, tmp_path_factory: pytest.TempPathFactory) -> bd.Packed:
    seen, unseen = birds.split()
    return bd.pack({"train": seen, "validation": unseen}, tmp_path_factory.mktemp("packed") / "data", resize=300)


def estimator(packed: bd.Packed, folder: Path, mode: str = "good", **told: Any) -> bd.LocalEstimator:
    params = bd.Hyperparameters.for_data(
        packed, base_network="resnet-50", mini_batch_size=2, epochs=2, use_pretrained_model=0
    )
    options = bd.LocalOptions(threads=1, loader_threads=1, device="cpu", learning_rate=1e-4)
    command = (sys.executable, NARROW, mode)
    return bd.LocalEstimator(params, folder, options=options, _command=command, **told)


@pytest.fixture(scope="module")
def trained(packed: bd.Packed, tmp_path_factory: pytest.TempPathFactory) -> LocalJob:
    return estimator(packed, tmp_path_factory.mktemp("jobs")).fit(packed, logs=False)


def test_a_job_leaves_a_model_as_the_built_in_algorithm_does(trained: LocalJob, packed: bd.Packed) -> None:
    assert trained.status == "Completed"
    with tarfile.open(trained.artifact) as archive:
        assert archive.getnames() == [
            "model_algo_1-0000.params",
            "model_algo_1-symbol.json",
            "hyperparams.json",
            "classes.json",
        ]
    assert trained.metrics()["map"].notna().all()
    assert bd.load_model(trained.artifact).classes == packed.class_table


def test_the_model_is_hosted_and_scored(trained: LocalJob, birds: bd.DetectionDataset) -> None:
    _, unseen = birds.split()
    report = bd.evaluate(trained, unseen)
    assert 0 <= report.map50 <= 1
    picture = np.random.default_rng(0).integers(0, 256, (120, 90, 3)).astype(np.uint8)
    expected = trained.predict(picture)
    with trained.deploy() as detector:
        found = detector.predict(picture)
    np.testing.assert_array_equal(found.class_id, expected.class_id)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)


def test_killed_and_resumed_it_ends_in_the_same_model(trained: LocalJob, packed: bd.Packed, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        estimator(packed, tmp_path, "dies").fit(packed, logs=False)
    (directory,) = tmp_path.iterdir()
    assert (directory / "died").exists()
    job = LocalJob.attach(directory)
    assert job.status == "Failed"
    job._command = (sys.executable, NARROW, "dies")
    assert job.resume().status == "Completed"
    assert job.artifact.read_bytes() == trained.artifact.read_bytes()


def test_a_job_goes_on_from_another(trained: LocalJob, packed: bd.Packed, tmp_path: Path) -> None:
    job = estimator(packed, tmp_path, model=trained).fit(packed, logs=False)
    assert any(f"training goes on from {trained.artifact}" in line for line in job.logs())
    moved = float(np.abs(first_weights(job) - first_weights(trained)).max())
    assert 0 < moved < 0.05


def first_weights(job: LocalJob) -> Any:
    return read_start(job.artifact).arrays["conv0_weight"]
