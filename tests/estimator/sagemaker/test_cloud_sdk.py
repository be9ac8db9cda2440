"""The adapters to the SageMaker SDK, with stand-ins for its values; ``tests/sdk`` holds them to the real one."""

from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from birdsod import Hyperparameters
from birdsod.errors import CloudError, HyperparameterError, MissingDependencyError
from birdsod.estimator import SageMakerEstimator
from birdsod.estimator.sagemaker import from_model_trainer, to_model_trainer
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.recordio import pack

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.recordio import Packed
    from birdsod.testing import FakeSageMaker

NAMES = ("sagemaker", "sagemaker.train", "sagemaker.core", "sagemaker.core.shapes", "sagemaker.core.training")
MORE = ("sagemaker.core.training.configs", "sagemaker.core.helper", "sagemaker.core.helper.session_helper")


class StandIn(ModuleType):
    """A module all of whose classes keep what they are given, and see the environment that they are made in."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda **given: SimpleNamespace(kind=name, role_check=os.environ.get("SAGEMAKER_VALIDATE_ROLE"), **given)


@pytest.fixture
def _sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, *MORE):
        monkeypatch.setitem(sys.modules, name, StandIn(name))


@pytest.fixture
def data(tmp_path: Path) -> Packed:
    from birdsod.dataset import synthetic_birds

    train, validation = synthetic_birds(tmp_path / "birds", seed=0, classes=2, per_class=4).split()
    return pack({"train": train, "validation": validation}, tmp_path / "packed", resize=300)


def estimator_in(account: FakeSageMaker, data: Packed, **settings: Any) -> SageMakerEstimator:
    params = Hyperparameters.for_data(data, base_network="resnet-50")
    return SageMakerEstimator(params, account.bucket, account.role_arn, account.session(), **settings)


@pytest.mark.usefixtures("_sdk")
@pytest.mark.parametrize("before", [None, "true"])
def test_a_trainer_holds_the_same_job_and_its_data_are_uploaded(
    fake: FakeSageMaker, data: Packed, before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is None:
        monkeypatch.delenv("SAGEMAKER_VALIDATE_ROLE", raising=False)
    else:
        monkeypatch.setenv("SAGEMAKER_VALIDATE_ROLE", before)
    trainer = to_model_trainer(estimator_in(fake, data, spot=True, tags={"team": "birds"}), data)
    assert os.environ.get("SAGEMAKER_VALIDATE_ROLE") == before
    assert trainer.role_check == "false"
    assert trainer.training_image == built_in_image(fake.region)
    assert trainer.hyperparameters["num_classes"] == "2"
    assert trainer.compute.enable_managed_spot_training is True
    assert trainer.checkpoint_config.s3_uri.startswith(f"s3://{fake.bucket}/")
    assert trainer.sagemaker_session.default_bucket == fake.bucket
    assert {"team", "birdsod:ledger"} <= {tag.key for tag in trainer.tags}
    channels = {channel.channel_name: channel for channel in trainer.input_data_config}
    source = channels["train"].data_source["s3_data_source"]
    assert source["s3_data_type"] == "S3Prefix"
    listed = fake.session().client("s3").list_objects_v2(Bucket=fake.bucket)
    assert any(source["s3_uri"].endswith(f"{row['Key'].rpartition('/')[0]}/") for row in listed["Contents"])
    assert not [call for call in fake.calls if call.operation.startswith("Create")]


@pytest.mark.usefixtures("_sdk")
def test_there_and_back_is_the_same_engine(fake: FakeSageMaker, data: Packed) -> None:
    there = estimator_in(fake, data, volume_gb=70, max_hours=2.0, checkpoints=False)
    trainer = to_model_trainer(there, data)
    # The SDK's own mark for what nobody set.
    trainer.compute.volume_kms_key_id = type("Unassigned", (), {})()
    again = from_model_trainer(trainer, prefix="elsewhere", session=fake.session())
    assert again.params.to_request() == there.params.to_request()
    assert (again.settings.volume_gb, again.settings.max_hours) == (70, 2.0)
    assert again.settings.volume_kms_key is None
    assert (again.prefix, again.settings.image) == ("elsewhere", None)


@pytest.mark.usefixtures("_sdk")
def test_a_trainer_without_much_is_an_engine_with_defaults(fake: FakeSageMaker) -> None:
    trainer = SimpleNamespace(
        training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1",
        role="R",
        sagemaker_session=None,
        compute=SimpleNamespace(
            instance_type=None,
            instance_count=None,
            volume_size_in_gb=None,
            volume_kms_key_id=None,
            enable_managed_spot_training=None,
        ),
        stopping_condition=SimpleNamespace(max_runtime_in_seconds=None, max_wait_time_in_seconds=None),
        output_data_config=None,
        networking=None,
        training_input_mode=None,
        tags=None,
        hyperparameters={"num_classes": 5, "num_training_samples": 150},
    )
    found = from_model_trainer(trainer, session=fake.session())
    assert found.settings.image == trainer.training_image
    assert (found.settings.instance_type, found.settings.max_hours, found.tags) == ("ml.g4dn.xlarge", 4.0, {})
    with pytest.raises(HyperparameterError):
        from_model_trainer(SimpleNamespace(**{**vars(trainer), "hyperparameters": None}), session=fake.session())


@pytest.mark.parametrize("given", [object(), SimpleNamespace(training_image=None)])
def test_what_is_no_trainer_is_refused(given: object) -> None:
    with pytest.raises(CloudError, match="no trainer with a container"):
        from_model_trainer(given)


def test_without_the_sdk_the_cure_is_named(fake: FakeSageMaker, data: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sagemaker", None)
    with pytest.raises(MissingDependencyError, match="pip install 'sagemaker>=3'"):
        to_model_trainer(estimator_in(fake, data), data)
