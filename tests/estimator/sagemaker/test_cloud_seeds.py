"""Training that starts from a model, and the search that starts from an estimator."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.classes import ClassTable
from birdsod.errors import CloudError, HyperparameterError, PreflightError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.estimator import SageMakerEstimator, SageMakerJob
    from birdsod.recordio import Packed
    from birdsod.testing import FakeSageMaker


def operations(fake: FakeSageMaker) -> list[str]:
    return [call.operation for call in fake.calls]


def created(fake: FakeSageMaker) -> dict[str, Any]:
    """The request that created the last job."""
    found: dict[str, Any] = next(call for call in reversed(fake.calls) if call.operation == "CreateTrainingJob").request
    return found


def trained(fake: FakeSageMaker, make: Callable[..., SageMakerEstimator], data: Packed) -> SageMakerJob:
    _ = fake
    return make().fit(data, logs=False)


def channel(request: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in request["InputDataConfig"] if each["ChannelName"] == name)
    return found


def test_training_goes_on_from_a_job(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    seed = trained(fake, make, data)
    estimator = make(model=seed)
    assert estimator.check(data) == ()
    estimator.fit(data, logs=False)
    given = channel(created(fake), "model")
    assert given["ContentType"] == "application/x-sagemaker-model"
    assert given["DataSource"]["S3DataSource"]["S3Uri"] == seed.artifact_uri


def test_training_goes_on_from_an_address_or_a_file(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    seed = trained(fake, make, data)
    assert make(model=seed.artifact_uri).fit(data, logs=False).status == "Completed"
    estimator = make(model=seed.artifact)
    estimator.fit(data, logs=False)
    uri = channel(created(fake), "model")["DataSource"]["S3DataSource"]["S3Uri"]
    assert uri.startswith(f"s3://{fake.bucket}/birdsod/seeds/")
    assert uri.endswith("/model.tar.gz")


@pytest.mark.parametrize("kind", ["job", "uri", "file"])
def test_another_network_is_refused(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, kind: str
) -> None:
    seed = trained(fake, make, data)
    model = {"job": seed, "uri": seed.artifact_uri, "file": seed.artifact}[kind]
    before = operations(fake).count("CreateTrainingJob")
    with pytest.raises(PreflightError, match="base_network") as caught:
        make(model=model, base_network="vgg-16").fit(data)
    assert caught.value.value == ["seed-network"]
    assert operations(fake).count("CreateTrainingJob") == before


@pytest.mark.parametrize("kind", ["job", "uri"])
def test_other_classes_by_the_same_numbers_are_warned_of(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, kind: str
) -> None:
    seed = trained(fake, make, data)
    other = replace(data, class_table=ClassTable((2, 1), tuple(reversed(data.class_table.names))))
    (finding,) = make(model=seed if kind == "job" else seed.artifact_uri).check(other)
    assert (finding.kind, finding.severity) == ("seed-classes", "warning")


def test_what_cannot_be_started_from(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, tmp_path: Path
) -> None:
    with pytest.raises(CloudError, match="no model to start from"):
        make(model=tmp_path / "none.tar.gz").check(data)
    with pytest.raises(CloudError, match="this is no model"):
        make(model=7).check(data)
    broken = tmp_path / "model.tar.gz"
    broken.write_bytes(b"no archive")
    findings = make(model=broken).check(data)
    assert [finding.kind for finding in findings] == ["seed-archive"]
    fake.script_training(states=["Starting", "Stopping", "Stopped"])
    stopped = make().fit(data, logs=False)
    with pytest.raises(TrainingError, match="has no model"):
        make(model=stopped).check(data)
    # An address that no job of ours has written is preflight's to open.
    kinds = [finding.kind for finding in make(model=f"s3://{fake.bucket}/none.tar.gz").check(data)]
    assert kinds == ["missing-object"]


def archive(path: Path, **members: object) -> Path:
    """A model archive with these JSON files."""
    with tarfile.open(path, "w:gz") as packed:
        for name, value in members.items():
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            entry = tarfile.TarInfo(f"{name}.json")
            entry.size = len(body)
            packed.addfile(entry, io.BytesIO(body))
    return path


def test_a_local_archive_is_opened_without_trust(
    make: Callable[..., SageMakerEstimator], data: Packed, tmp_path: Path
) -> None:
    trained_with = {"base_network": "resnet-50", "num_classes": "2"}
    other = ClassTable((5, 6), ("a", "b")).to_json()

    def kinds(**members: object) -> list[tuple[str, str]]:
        model = archive(tmp_path / "model.tar.gz", **members)
        return [(finding.kind, finding.severity) for finding in make(model=model).check(data)]

    assert kinds(hyperparams=trained_with) == []
    assert kinds(hyperparams=trained_with, classes=data.class_table.to_json()) == []
    assert kinds(hyperparams=trained_with, classes=other) == [("seed-classes", "warning")]
    # Class names only help: those that cannot be read say nothing.
    assert kinds(hyperparams=trained_with, classes=b"{") == []
    assert kinds(hyperparams=trained_with, classes={}) == []
    assert kinds(hyperparams={**trained_with, "num_classes": "5"}) == [("seed-classes", "error")]
    assert kinds(hyperparams=b"{") == [("seed-archive", "error")]


def test_a_job_of_another_engine_is_a_start_too(
    make: Callable[..., SageMakerEstimator], data: Packed, tmp_path: Path
) -> None:
    model = archive(tmp_path / "model.tar.gz", hyperparams={"base_network": "resnet-50", "num_classes": "2"})
    job = SimpleNamespace(classes=data.class_table, artifact=model)
    estimator = make(model=job)
    assert estimator.check(data) == ()
    uploads: Any = estimator.requests(data)["uploads"]
    assert uploads[-1]["file"] == str(model)


def test_a_record_that_may_not_be_read_is_no_hindrance(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    seed = trained(fake, make, data)
    fake.session().client("s3").put_object(Bucket=fake.bucket, Key=f"birdsod/jobs/{seed.name}/birdsod.json", Body=b"{")
    assert make(model=seed.artifact_uri).check(data) == ()


# Tuning


def test_tuning_starts_from_the_same_estimator(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    found = make().tune(data, jobs=2, parallel=1)
    assert found.status == "Completed"
    assert "CreateHyperParameterTuningJob" in operations(fake)
    assert fake.alive() == []
    assert make().tune(data, jobs=1, parallel=1, wait=False, check=False).name != found.name
    with pytest.raises(PreflightError, match="price is not known"):
        make(max_cost=1.0).tune(data)
    with pytest.raises(PreflightError, match="image="):
        make(base_network="efficientnet-lite0").tune(data)
    with pytest.raises(HyperparameterError, match="needs jobs"):
        make().tune(data, jobs=0)
