"""A container of one's own really trains, and finds behind an endpoint what its model finds on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from birdsod.classes import ClassTable
from birdsod.dataset import synthetic_birds, write_images
from birdsod.errors import CloudError
from birdsod.estimator import SageMakerEstimator
from birdsod.estimator.sagemaker import Cloud, Hosting, ManifestInputs
from birdsod.estimator.sagemaker.endpoint import deploy
from birdsod.estimator.sagemaker.transform import transform
from birdsod.hyperparameters import Hyperparameters
from birdsod.image import encode
from birdsod.ssd.options import LocalOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.detections import Detections
    from birdsod.image import ImageSource
    from birdsod.testing import FakeSageMaker

torch = pytest.importorskip("torch")

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birds:1"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a network that has learned nothing."""
    from birdsod.ssd import save_artifact
    from birdsod.ssd.building import build_network

    torch.manual_seed(0)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    params = Hyperparameters(
        num_classes=2, num_training_samples=8, mini_batch_size=8, base_network="efficientnet-lite0"
    )
    return save_artifact(tmp_path_factory.mktemp("model") / "model.tar.gz", network, params, CLASSES)


def assert_same(found: Detections | None, expected: Detections) -> None:
    assert found is not None
    assert (found.width, found.height, found.classes) == (expected.width, expected.height, expected.classes)
    np.testing.assert_array_equal(found.class_id, expected.class_id)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)
    np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=1e-2)


def test_the_cloud_finds_what_this_machine_finds(fake: FakeSageMaker, artifact: Path) -> None:
    from birdsod.ssd import load_model

    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (height, 120, 3), dtype=np.uint8) for height in (90, 100, 110)]
    sources: list[ImageSource] = [images[0], encode(images[1]), encode(images[2], encoding=".png")]
    expected = load_model(artifact).predict_batch(sources)
    assert all(len(answer) for answer in expected)
    cloud = Cloud.of(fake.session())
    cloud.s3.upload_file(str(artifact), fake.bucket, "model.tar.gz")
    uri = f"s3://{fake.bucket}/model.tar.gz"
    for hosting in (Hosting(), Hosting(asynchronous=True)):
        with deploy(
            cloud,
            artifact_uri=uri,
            image=OWN,
            role=fake.role_arn,
            classes=CLASSES,
            hosting=hosting,
            poll_seconds=0,
        ) as detector:
            for found, wanted in zip(detector.predict_batch(sources), expected, strict=True):
                assert_same(found, wanted)
    done = transform(
        cloud, images=sources, artifact_uri=uri, image=OWN, role=fake.role_arn, classes=CLASSES, poll_seconds=0
    )
    for answer, wanted in zip(done.detections, expected, strict=True):
        assert_same(answer, wanted)
    assert fake.alive() == []


def test_an_own_image_trains_with_options_and_through_an_interruption(fake: FakeSageMaker, tmp_path: Path) -> None:
    from birdsod.ssd import save_artifact
    from birdsod.ssd.building import build_network

    train, validation = synthetic_birds(tmp_path / "birds", seed=1, classes=2, per_class=4).split()
    images = write_images({"train": train, "validation": validation}, tmp_path / "images")
    params = Hyperparameters.for_data(
        images, base_network="efficientnet-lite0", use_pretrained_model=0, mini_batch_size=4
    )
    torch.manual_seed(0)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    fake.script_training(interruptions=1)
    job = SageMakerEstimator(
        params,
        model=save_artifact(tmp_path / "seed.tar.gz", network, params, images.class_table),
        role=fake.role_arn,
        session=fake.session(),
        image=OWN,
        options=LocalOptions(updates=2, optimizer="adamw", crop=0.5),
        spot=True,
        poll_seconds=0,
    ).fit(ManifestInputs(images), logs=False)
    lines = job.logs()
    assert any("Setting: updates = 2 (local option)" in line for line in lines)
    assert any("Setting: optimizer = 'adamw' (local option)" in line for line in lines)
    assert any("input/data/model/model.tar.gz" in line for line in lines)
    assert any("Copied the channel validation from its pipe" in line for line in lines)
    assert any("this is the model of what was learned so far" in line for line in lines)
    assert any("Going on after update" in line for line in lines)
    frame = job.metrics()
    assert frame["epoch"].tolist() == [0, 1]
    assert frame.columns.tolist() == ["epoch", "cross_entropy", "smooth_l1", "map", "throughput"]
    assert frame.notna().all(axis=None)
    photo = tmp_path / "images" / "validation" / images.channels["validation"].files[0].name
    with job.deploy() as detector:
        assert_same(detector.predict(photo), job.predict(photo))
        assert detector.classes == images.class_table
    assert fake.alive() == []


def test_the_built_in_algorithm_has_no_such_options(make: Callable[..., SageMakerEstimator]) -> None:
    with pytest.raises(CloudError, match="options are those of the local engine"):
        make(options=LocalOptions(updates=2))
