"""To and from the SageMaker SDK 3, for those who use it; birdsod itself does not."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from birdsod.errors import CloudError, MissingDependencyError
from birdsod.estimator.sagemaker.requests import CHECKPOINTS, training_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import boto3

    from birdsod.estimator.sagemaker.estimator import SageMakerEstimator
    from birdsod.estimator.sagemaker.requests import TrainingPlan
    from birdsod.recordio import Packed

__all__ = ["from_model_trainer", "model_trainer", "to_model_trainer"]

_CURE = "pip install 'sagemaker>=3'"
_SECONDS_AN_HOUR = 3600
# Before every capital but the first: S3DataSource is s3_data_source to the SDK.
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_ROLE_CHECK = "SAGEMAKER_VALIDATE_ROLE"


def to_model_trainer(estimator: SageMakerEstimator, data: Packed) -> Any:  # noqa: ANN401 - the SDK ships no types
    """Return the SDK's ``ModelTrainer`` that starts the same job; the data are uploaded, nothing else is done.

    Parameters
    ----------
    estimator : SageMakerEstimator
        The engine with its settings.
    data : Packed
        What is to be trained on.

    Returns
    -------
    sagemaker.train.ModelTrainer
        ``train()`` starts the job, with the channels that it holds already. Its name is the SDK's; it bears the
        tags of birdsod's ledger, so that ``birdsod cleanup`` finds it.

    Raises
    ------
    MissingDependencyError
        If the SDK is not installed, or an older one.
    TrainingError, CloudError
        As ``estimator.upload``.
    """
    _sdk()
    plan = estimator.plan(data)
    estimator.upload(data)
    return model_trainer(plan, estimator.cloud.session)


def model_trainer(plan: TrainingPlan, session: boto3.Session) -> Any:  # noqa: ANN401 - the SDK ships no types
    """Return the SDK's ``ModelTrainer`` of a plan.

    Parameters
    ----------
    plan : TrainingPlan
        What the job is made of.
    session : boto3.Session
        Whose account and region.

    Returns
    -------
    sagemaker.train.ModelTrainer

    Raises
    ------
    MissingDependencyError
        If the SDK is not installed, or an older one.
    """
    train, shapes, configs, helper = _sdk()
    with _role_as_it_is():
        return train.ModelTrainer(
            training_image=plan.image,
            role=plan.role,
            sagemaker_session=helper.Session(boto_session=session, default_bucket=_bucket(plan.output_uri)),
            base_job_name="birdsod",
            compute=configs.Compute(
                instance_type=plan.instance_type,
                instance_count=plan.instances,
                volume_size_in_gb=plan.volume_gb,
                volume_kms_key_id=plan.volume_kms_key,
                enable_managed_spot_training=plan.spot,
            ),
            stopping_condition=shapes.StoppingCondition(
                max_runtime_in_seconds=plan.max_seconds, max_wait_time_in_seconds=plan.max_wait_seconds
            ),
            output_data_config=shapes.OutputDataConfig(s3_output_path=plan.output_uri, kms_key_id=plan.kms_key),
            **_optional(plan, shapes, configs),
            training_input_mode=plan.input_mode,
            hyperparameters=dict(plan.hyperparameters),
            input_data_config=[
                _shaped(shapes.Channel, row) for row in training_request(plan).get("InputDataConfig", [])
            ],
            tags=[shapes.Tag(key=key, value=value) for key, value in plan.tags.items()],
        )


def from_model_trainer(trainer: Any, **given: Any) -> SageMakerEstimator:  # noqa: ANN401 - the SDK ships no types
    """Return the engine with the settings of the SDK's ``ModelTrainer``.

    Its channels are not taken over: ``fit`` brings its own data.

    Parameters
    ----------
    trainer : sagemaker.train.ModelTrainer
        With hyperparameters of the algorithm.
    **given
        Parameters of :class:`SageMakerEstimator <birdsod.estimator.SageMakerEstimator>` that take the place of the
        trainer's, or that it does not have.

    Returns
    -------
    SageMakerEstimator

    Raises
    ------
    HyperparameterError
        If the hyperparameters are not the algorithm's.
    CloudError
        If it is no such trainer, or trains in a way that this engine does not.
    """
    from birdsod.estimator.sagemaker.estimator import SageMakerEstimator
    from birdsod.hyperparameters import Hyperparameters

    if not hasattr(trainer, "training_image") or not trainer.training_image:
        cure = "give a sagemaker.train.ModelTrainer with a training_image"
        raise CloudError("this is no trainer with a container", value=type(trainer).__name__, cure=cure)
    params = Hyperparameters.from_request({name: str(value) for name, value in _values(trainer).items()})
    return SageMakerEstimator(params, **{**_settings_of(trainer), **given})


def _values(trainer: Any) -> Mapping[str, object]:  # noqa: ANN401 - the SDK ships no types
    return trainer.hyperparameters or {}


def _settings_of(trainer: Any) -> dict[str, Any]:  # noqa: ANN401 - the SDK ships no types
    from birdsod.estimator.sagemaker.regions import is_built_in

    compute, stopping, networking = trainer.compute, trainer.stopping_condition, trainer.networking
    found = {
        "role": trainer.role,
        "session": getattr(trainer.sagemaker_session, "boto_session", None),
        "instance_type": compute.instance_type,
        "instances": compute.instance_count,
        "volume_gb": compute.volume_size_in_gb,
        "volume_kms_key": compute.volume_kms_key_id,
        "image": None if is_built_in(trainer.training_image) else trainer.training_image,
        "input_mode": trainer.training_input_mode,
        "max_hours": _hours(stopping.max_runtime_in_seconds),
        "max_wait_hours": _hours(stopping.max_wait_time_in_seconds),
        "spot": bool(compute.enable_managed_spot_training),
        "output_uri": trainer.output_data_config.s3_output_path if trainer.output_data_config else None,
        "kms_key": trainer.output_data_config.kms_key_id if trainer.output_data_config else None,
        "tags": {tag.key: tag.value for tag in trainer.tags or []},
    }
    if networking is not None:
        found |= {
            "subnets": networking.subnets or (),
            "security_groups": networking.security_group_ids or (),
            "network_isolation": bool(networking.enable_network_isolation),
            "encrypt_traffic": bool(networking.enable_inter_container_traffic_encryption),
        }
    return {name: value for name, value in found.items() if value is not None and not _unset(value)}


def _unset(value: object) -> bool:
    """Tell the SDK's own mark for what nobody set."""
    return type(value).__name__ == "Unassigned"


def _hours(seconds: object) -> float | None:
    return seconds / _SECONDS_AN_HOUR if isinstance(seconds, int) else None


def _optional(plan: TrainingPlan, shapes: Any, configs: Any) -> dict[str, Any]:  # noqa: ANN401 - the SDK ships no types
    found: dict[str, Any] = {}
    if plan.checkpoint_uri:
        found["checkpoint_config"] = shapes.CheckpointConfig(s3_uri=plan.checkpoint_uri, local_path=CHECKPOINTS)
    found["networking"] = configs.Networking(
        subnets=list(plan.subnets) or None,
        security_group_ids=list(plan.security_groups) or None,
        enable_network_isolation=plan.network_isolation,
        enable_inter_container_traffic_encryption=plan.encrypt_traffic,
    )
    return found


def _shaped(kind: Any, row: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the SDK ships no types
    """Return a value of the SDK's with what a request says."""
    return kind(**_snake(row))


def _snake(value: Any) -> Any:  # noqa: ANN401 - a request as botocore takes it
    if isinstance(value, dict):
        return {_words(name): _snake(each) for name, each in value.items()}
    return [_snake(each) for each in value] if isinstance(value, list) else value


def _words(name: str) -> str:
    return _CAPITAL.sub("_", name).lower()


def _bucket(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[0]


def _sdk() -> tuple[Any, Any, Any, Any]:
    names = ("train", "core.shapes", "core.training.configs", "core.helper.session_helper")
    try:
        train, shapes, configs, helper = (import_module(f"sagemaker.{name}") for name in names)
    except ImportError as error:
        message = "the SageMaker SDK 3 is not installed"
        raise MissingDependencyError(message, cause=str(error), cure=_CURE) from error
    return train, shapes, configs, helper


@contextmanager
def _role_as_it_is() -> Iterator[None]:
    """Keep the SDK from asking IAM about the role, which many callers may not: birdsod's own check has asked."""
    before = os.environ.get(_ROLE_CHECK)
    os.environ[_ROLE_CHECK] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ROLE_CHECK]
        else:
            os.environ[_ROLE_CHECK] = before
