"""Every plan gives a request that botocore's own model of the service takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.estimator.sagemaker.names import unique_name
from birdsod.estimator.sagemaker.requests import (
    RECORDIO,
    SEED_MODEL,
    ChannelPlan,
    TrainingPlan,
    channel,
    training_request,
)
from birdsod.estimator.sagemaker.validation import request_findings
from birdsod.hyperparameters import Hyperparameters
from birdsod.training_log import METRIC_DEFINITIONS

ROLE = "arn:aws:iam::123456789012:role/birds"
PLAN = TrainingPlan(
    name="birdsod-20261122-120000-abcd",
    image="811284229777.dkr.ecr.us-east-1.amazonaws.com/object-detection:1",
    role=ROLE,
    hyperparameters={"num_classes": "2"},
    channels=(ChannelPlan(name="train", uri="s3://birds/train/", content_type=RECORDIO),),
    output_uri="s3://birds/jobs/",
)

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=3, max_size=20)
uris = st.builds("s3://{}/{}/".format, words, words)
channels = st.builds(
    ChannelPlan,
    name=st.sampled_from(["train", "validation", "model", "train_annotation", "classes"]),
    uri=uris,
    content_type=st.sampled_from([None, RECORDIO, SEED_MODEL, "image/jpeg"]),
    input_mode=st.sampled_from(["File", "Pipe"]),
    kind=st.sampled_from(["S3Prefix", "ManifestFile", "AugmentedManifestFile"]),
    attribute_names=st.sampled_from([(), ("source-ref", "birds")]),
    record_wrapper=st.sampled_from(["None", "RecordIO"]),
)
hyperparameters = st.builds(
    lambda rate, shape: Hyperparameters(
        num_classes=2, num_training_samples=40, learning_rate=rate, image_shape=shape
    ).to_request(),
    st.floats(1e-6, 1.0),
    st.integers(300, 1024),
)


def plan_in(network: tuple[tuple[str, ...], tuple[str, ...]], **rest: Any) -> TrainingPlan:
    return TrainingPlan(subnets=network[0], security_groups=network[1], **rest)


plans = st.builds(
    plan_in,
    name=st.builds(unique_name, words),
    image=st.builds("{}.dkr.ecr.eu-west-1.amazonaws.com/detector:1".format, words),
    role=st.just(ROLE),
    hyperparameters=hyperparameters,
    channels=st.lists(channels, min_size=1, max_size=5, unique_by=lambda each: each.name).map(tuple),
    output_uri=uris,
    instance_type=st.sampled_from(["ml.g4dn.xlarge", "ml.g5.2xlarge", "ml.p3.2xlarge"]),
    instances=st.integers(1, 8),
    volume_gb=st.integers(1, 500),
    max_seconds=st.integers(1, 10_000),
    max_wait_seconds=st.none() | st.integers(10_000, 20_000),
    spot=st.booleans(),
    checkpoint_uri=st.none() | uris,
    input_mode=st.sampled_from(["File", "Pipe"]),
    kms_key=st.none() | words,
    volume_kms_key=st.none() | words,
    network=st.sampled_from([((), ()), (("subnet-0a1b2c3d",), ("sg-0a1b2c3d",))]),
    tags=st.dictionaries(words, words, max_size=5),
    metrics=st.sampled_from([{}, dict(METRIC_DEFINITIONS)]),
    network_isolation=st.booleans(),
    encrypt_traffic=st.booleans(),
)
SHAPE: Any = botocore.session.Session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape


@settings(max_examples=100)
@given(plans)
def test_every_plan_gives_a_request_that_the_model_takes(plan: TrainingPlan) -> None:
    request = training_request(plan)
    assert not ParamValidator().validate(request, SHAPE).has_errors()
    assert request_findings("CreateTrainingJob", request) == ()


@given(plans)
def test_a_request_says_all_of_its_plan(plan: TrainingPlan) -> None:
    request: Any = training_request(plan)
    assert request["HyperParameters"] == plan.hyperparameters
    assert {tag["Key"]: tag["Value"] for tag in request["Tags"]} == plan.tags
    assert [each["ChannelName"] for each in request["InputDataConfig"]] == [each.name for each in plan.channels]
    assert request["ResourceConfig"]["InstanceCount"] == plan.instances
    assert ("CheckpointConfig" in request) == (plan.checkpoint_uri is not None)
    assert ("KmsKeyId" in request["OutputDataConfig"]) == (plan.kms_key is not None)
    assert ("VolumeKmsKeyId" in request["ResourceConfig"]) == (plan.volume_kms_key is not None)
    assert ("MetricDefinitions" in request["AlgorithmSpecification"]) == bool(plan.metrics)
    assert ("MaxWaitTimeInSeconds" in request["StoppingCondition"]) == (plan.spot and plan.max_wait_seconds is not None)


@pytest.mark.parametrize("change", [{"name": "birds_1"}, {"instance_type": "ml.nonsense"}, {"max_seconds": 0}])
def test_a_plan_that_the_service_would_refuse_is_told_by_the_model(change: dict[str, Any]) -> None:
    assert request_findings("CreateTrainingJob", training_request(replace(PLAN, **change)))


def test_a_plain_job_joins_no_network_and_keeps_no_checkpoints() -> None:
    request = training_request(PLAN)
    assert "VpcConfig" not in request
    assert "CheckpointConfig" not in request
    assert "MaxWaitTimeInSeconds" not in request["StoppingCondition"]


def test_an_augmented_manifest_names_its_attributes_in_their_order() -> None:
    plan = ChannelPlan(
        name="train",
        uri="s3://birds/train.manifest",
        content_type=RECORDIO,
        input_mode="Pipe",
        kind="AugmentedManifestFile",
        attribute_names=("source-ref", "birds"),
        record_wrapper="RecordIO",
    )
    made: Any = channel(plan)
    assert made["DataSource"]["S3DataSource"]["AttributeNames"] == ["source-ref", "birds"]
    assert (made["InputMode"], made["RecordWrapperType"]) == ("Pipe", "RecordIO")
