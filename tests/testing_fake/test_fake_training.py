"""Training jobs of the fake cloud, through boto3."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from birdsod import training_log

if TYPE_CHECKING:
    from birdsod.testing import FakeSageMaker
    from tests.testing_fake.conftest import Account

EUROPE = "685385470294.dkr.ecr.eu-west-1.amazonaws.com/object-detection:1"


def refused(account: Account, code: str = "ValidationException", **changes: Any) -> str:
    """Return what a refusal says; nothing was created."""
    with pytest.raises(ClientError) as caught:
        account.sagemaker.create_training_job(**account.training("refused", **changes))
    assert caught.value.response["Error"]["Code"] == code
    assert not [row for row in account.fake.alive() if row.name == "refused"]
    return str(caught.value)


def test_a_job_goes_through_its_states_one_a_look(account: Account) -> None:
    made = account.sagemaker.create_training_job(**account.training())
    assert made["TrainingJobArn"] == "arn:aws:sagemaker:us-east-1:123456789012:training-job/birds-1"
    assert [(row.kind, row.name) for row in account.fake.alive()] == [("training-job", "birds-1")]
    told = account.states("birds-1")
    secondary = [row["SecondaryStatus"] for row in told]
    assert secondary == ["Starting", "Downloading", "Training", "Training", "Training", "Uploading", "Completed"]
    assert {row["TrainingJobStatus"] for row in told[:-1]} == {"InProgress"}
    assert account.fake.alive() == []
    last = told[-1]
    assert (last["TrainingTimeInSeconds"], last["BillableTimeInSeconds"]) == (180, 180)
    assert last["HyperParameters"] == account.training()["HyperParameters"]
    assert [row["Status"] for row in last["SecondaryStatusTransitions"]] == list(dict.fromkeys(secondary))
    assert last["CreationTime"] <= last["TrainingStartTime"] <= last["TrainingEndTime"]
    assert {row["MetricName"]: row["Value"] for row in last["FinalMetricDataList"]} == {
        "train:cross_entropy": 0.5,
        "train:smooth_l1": 0.25,
        "train:throughput": 100.0,
        "train:progress": 100.0,
        "validation:mAP": 0.428571,
    }
    assert account.end("birds-1") == last | {"ResponseMetadata": account.end("birds-1")["ResponseMetadata"]}


def test_its_log_grows_while_it_trains_and_says_that_it_is_scripted(account: Account) -> None:
    account.sagemaker.create_training_job(**account.training())
    seen = []
    for _ in range(3):
        state = account.sagemaker.describe_training_job(TrainingJobName="birds-1")["SecondaryStatus"]
    assert state == "Training"
    while state == "Training":
        seen.append(len(account.lines("birds-1")))
        state = account.sagemaker.describe_training_job(TrainingJobName="birds-1")["SecondaryStatus"]
    assert seen == [8, 16, 23]
    lines = account.lines("birds-1")
    assert "This run is scripted by birdsod.testing.FakeSageMaker: nothing is trained" in lines[0]
    assert training_log.to_frame(lines)["map"].tolist() == [0.2, 0.333333, 0.428571]


def test_its_artifact_lies_in_s3_and_says_that_it_is_scripted(account: Account) -> None:
    last = account.train()
    uri = last["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{account.fake.bucket}/jobs/birds-1/output/model.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(account.get(uri))) as archive:
        member = archive.extractfile("hyperparams.json")
        assert member is not None
        values = json.load(member)
    assert values["num_classes"] == "2"
    assert "scripted" in values["_scripted"]


def test_a_script_tells_everything(account: Account, fake: FakeSageMaker) -> None:
    fake.script_training(
        states=["Starting", "Training", "Completed"],
        log=[training_log.map_line(0, 0.75), "and more"],
        billable=7,
        seconds=21,
        hosts=2,
        artifact=b"the model",
    )
    told = account.train()
    assert (told["TrainingTimeInSeconds"], told["BillableTimeInSeconds"]) == (21, 7)
    assert told["FinalMetricDataList"][0]["Value"] == 0.75
    assert account.get(told["ModelArtifacts"]["S3ModelArtifacts"]) == b"the model"
    assert account.lines("birds-1", "algo-2") == [training_log.map_line(0, 0.75), "and more"]
    assert "is scripted" in account.lines("birds-1", "algo-1")[0]


def test_an_artifact_may_be_a_file(account: Account, fake: FakeSageMaker, tmp_path: Any) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"from a file")
    fake.script_training(artifact=tmp_path / "model.tar.gz")
    assert account.get(account.train()["ModelArtifacts"]["S3ModelArtifacts"]) == b"from a file"


def test_a_scripted_failure_has_its_reason_in_state_and_log(account: Account, fake: FakeSageMaker) -> None:
    fake.script_training(failure="AlgorithmError: the loss is not finite")
    told = account.train()
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Failed", "Failed")
    assert told["FailureReason"] == "AlgorithmError: the loss is not finite"
    assert "ModelArtifacts" not in told
    assert account.lines("birds-1")[-1].endswith("Customer Error: AlgorithmError: the loss is not finite")
    assert len(account.lines("birds-1")) == 24


@pytest.mark.parametrize("end", ["MaxRuntimeExceeded", "MaxWaitTimeExceeded"])
def test_time_that_is_up_stops_a_job(account: Account, fake: FakeSageMaker, end: str) -> None:
    fake.script_training(states=["Starting", "Training", end])
    told = account.train()
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", end)
    # What was trained until the time was up is kept; who waited for an instance in vain has nothing.
    assert ("ModelArtifacts" in told) == (end == "MaxRuntimeExceeded")


def test_a_state_that_fails_without_a_reason_gets_one(account: Account, fake: FakeSageMaker) -> None:
    fake.script_training(states=["Starting", "Failed"])
    assert account.train()["FailureReason"] == "InternalServerError: the script says so"


def test_spot_interruptions_are_seen_and_checkpoints_lie_in_s3(account: Account, fake: FakeSageMaker) -> None:
    fake.script_training(interruptions=2)
    checkpoints = f"s3://{fake.bucket}/checkpoints/birds-1"
    account.sagemaker.create_training_job(
        **account.training(
            EnableManagedSpotTraining=True,
            StoppingCondition={"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
            CheckpointConfig={"S3Uri": checkpoints},
        )
    )
    told = account.states("birds-1")
    secondary = [row["SecondaryStatus"] for row in told]
    assert secondary.count("Interrupted") == secondary.count("Restarting") == 2
    assert secondary[-1] == "Completed"
    assert told[-1]["BillableTimeInSeconds"] == 54
    assert b"scripted" in account.get(f"{checkpoints}/scripted-checkpoint.json")


def test_a_stopped_job_stops_at_the_next_look(account: Account) -> None:
    account.sagemaker.create_training_job(**account.training())
    for _ in range(3):
        account.sagemaker.describe_training_job(TrainingJobName="birds-1")
    account.sagemaker.stop_training_job(TrainingJobName="birds-1")
    account.sagemaker.stop_training_job(TrainingJobName="birds-1")
    listed = account.sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert listed[0]["TrainingJobStatus"] == "Stopping"
    assert account.fake.alive()
    told = account.end("birds-1")
    assert told["TrainingJobStatus"] == "Stopped"
    assert "ModelArtifacts" in told
    with pytest.raises(ClientError, match="is in status Stopped"):
        account.sagemaker.stop_training_job(TrainingJobName="birds-1")


def test_a_job_stopped_before_it_trained_has_no_model(account: Account) -> None:
    account.sagemaker.create_training_job(**account.training())
    account.sagemaker.stop_training_job(TrainingJobName="birds-1")
    assert "ModelArtifacts" not in account.end("birds-1")


def test_a_job_is_deleted_when_it_is_over(account: Account) -> None:
    account.sagemaker.create_training_job(**account.training())
    with pytest.raises(ClientError, match="ResourceInUse"):
        account.sagemaker.delete_training_job(TrainingJobName="birds-1")
    account.end("birds-1")
    account.sagemaker.delete_training_job(TrainingJobName="birds-1")
    with pytest.raises(ClientError, match=r"ValidationException.*Requested resource not found\."):
        account.sagemaker.describe_training_job(TrainingJobName="birds-1")


def test_a_name_is_taken_once(account: Account) -> None:
    account.sagemaker.create_training_job(**account.training())
    with pytest.raises(ClientError, match=r"ResourceInUse.*must be unique"):
        account.sagemaker.create_training_job(**account.training())


def test_spot_needs_a_wait_that_is_no_shorter_than_the_run(account: Account) -> None:
    short = {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 3599}
    assert "MaxWaitTimeInSeconds" in refused(account, EnableManagedSpotTraining=True, StoppingCondition=short)
    assert "MaxWaitTimeInSeconds" in refused(account, EnableManagedSpotTraining=True)
    assert "EnableManagedSpotTraining" in refused(account, StoppingCondition=short)


def test_the_built_in_algorithm_takes_gpu_instances_only(account: Account) -> None:
    resources = {"InstanceType": "ml.c4.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50}
    said = refused(account, ResourceConfig=resources)
    assert "Instance type ml.c4.2xlarge is not supported by algorithm" in said
    assert "only GPU instances are supported" in said


@pytest.mark.parametrize("name", ["num_classes", "num_training_samples"])
def test_required_hyperparameters_are_required(account: Account, name: str) -> None:
    values = {key: value for key, value in account.training()["HyperParameters"].items() if key != name}
    assert name in refused(account, HyperParameters=values)


def test_the_built_in_algorithm_has_its_own_metrics(account: Account) -> None:
    algorithm = account.training()["AlgorithmSpecification"]
    algorithm["MetricDefinitions"] = [{"Name": "mAP", "Regex": "mAP=(.*)"}]
    assert "You can't override the metric definitions" in refused(account, AlgorithmSpecification=algorithm)


def test_a_role_that_is_not_there_is_refused(account: Account) -> None:
    assert "Could not assume role" in refused(account, RoleArn="arn:aws:iam::123456789012:role/Nobody")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (EUROPE, "is in region eu-west-1"),
        ("object-detection", "Invalid image"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/object-detection:1", "does not exist, or access"),
    ],
)
def test_an_image_elsewhere_is_refused(account: Account, image: str, said: str) -> None:
    algorithm = {"TrainingImage": image, "TrainingInputMode": "File"}
    assert said in refused(account, AlgorithmSpecification=algorithm)


def test_a_region_without_the_algorithm_has_no_image_of_it(account: Account, fake: FakeSageMaker) -> None:
    image = "811284229777.dkr.ecr.mx-central-1.amazonaws.com/object-detection:1"
    algorithm = {"TrainingImage": image, "TrainingInputMode": "File"}
    there = fake.session(region="mx-central-1").client("sagemaker")
    with pytest.raises(ClientError, match="does not exist, or access"):
        there.create_training_job(**account.training(AlgorithmSpecification=algorithm))


def test_the_output_bucket_must_be_there_and_here(account: Account, fake: FakeSageMaker) -> None:
    assert "does not exist" in refused(account, OutputDataConfig={"S3OutputPath": "s3://nobody-has-this/jobs"})
    west = fake.session(region="eu-west-1").client("s3")
    west.create_bucket(Bucket="birds-west", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert "not in us-east-1 region" in refused(account, OutputDataConfig={"S3OutputPath": "s3://birds-west/jobs"})


def test_a_quota_that_was_scripted_holds(account: Account, fake: FakeSageMaker) -> None:
    fake.script_quota("ml.g4dn.xlarge for training job usage", 0)
    said = refused(account, "ResourceLimitExceeded")
    assert "'ml.g4dn.xlarge for training job usage' is 0 Instances" in said
    fake.script_quota("ml.g4dn.xlarge for training job usage", 1)
    account.train()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TrainingJobName": "od_1"}, "'trainingJobName' failed to satisfy constraint: Member must satisfy regular"),
        ({"TrainingJobName": "b" * 64}, "Member must have length less than or equal to 63"),
        ({"HyperParameters": {"epochs": "1" * 2501}}, "length less than or equal to 2500"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "value greater than or equal to 1"),
    ],
)
def test_requests_are_held_against_the_model_of_the_service(
    account: Account, changes: dict[str, Any], said: str
) -> None:
    request = {**account.training(), **changes}
    with pytest.raises(ClientError, match="ValidationException") as caught:
        account.sagemaker.create_training_job(**request)
    assert said in str(caught.value)


def failing(account: Account, **changes: Any) -> str:
    """Return why a job fails; it is created, and fails while it downloads."""
    account.sagemaker.create_training_job(**account.training(**changes))
    told = account.states("birds-1")
    assert [row["SecondaryStatus"] for row in told] == ["Starting", "Downloading", "Failed"]
    assert "Customer Error: ClientError" in account.lines("birds-1")[-1]
    reason: str = told[-1]["FailureReason"]
    return reason


def test_objects_that_are_not_there_fail_a_job(account: Account, fake: FakeSageMaker) -> None:
    nothing = account.channel("validation", f"s3://{fake.bucket}/data/nothing/")
    reason = failing(account, InputDataConfig=[account.channel("train"), nothing])
    assert f'No S3 objects found under S3 URL "s3://{fake.bucket}/data/nothing/"' in reason


def test_a_bucket_that_is_not_there_fails_a_job(account: Account) -> None:
    nowhere = account.channel("train", "s3://nobody-has-this/train/")
    assert "nobody-has-this" in failing(account, InputDataConfig=[nowhere, account.channel("validation")])


def test_a_channel_that_is_missing_fails_a_job(account: Account) -> None:
    assert "'validation' is a required property" in failing(account, InputDataConfig=[account.channel("train")])


def test_images_need_their_annotations(account: Account) -> None:
    channels = [account.channel("train"), account.channel("validation")]
    extra = account.channel("train_annotation", f"s3://{account.fake.bucket}/data/train/")
    assert "'validation_annotation' is a required property" in failing(account, InputDataConfig=[*channels, extra])


def test_a_channel_without_a_content_type_fails_a_job(account: Account) -> None:
    untyped = account.channel("train")
    del untyped["ContentType"]
    assert "ContentType is required" in failing(account, InputDataConfig=[untyped, account.channel("validation")])


def test_a_channel_that_the_algorithm_does_not_know_fails_a_job(account: Account) -> None:
    classes = account.channel("classes", f"s3://{account.fake.bucket}/data/train/")
    channels = [account.channel("train"), account.channel("validation"), classes]
    assert "unexpected channel 'classes'" in failing(account, InputDataConfig=channels)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"base_network": "efficientnet-lite0"}, "'efficientnet-lite0' is not one of ['vgg-16', 'resnet-50']"),
        ({"learning_rate": "2"}, "learning_rate is out of range"),
        ({"colour": "red"}, "unknown hyperparameter"),
    ],
)
def test_values_that_the_algorithm_does_not_take_fail_a_job(
    account: Account, values: dict[str, str], said: str
) -> None:
    hyperparameters = {**account.training()["HyperParameters"], **values}
    assert said in failing(account, HyperParameters=hyperparameters)


def test_lists_are_filtered_sorted_and_paged(account: Account, fake: FakeSageMaker) -> None:
    for number in range(5):
        account.sagemaker.create_training_job(**account.training(f"birds-{number}"))
        fake.elapse(3600)
    account.sagemaker.create_training_job(**account.training("fish-1"))
    account.sagemaker.stop_training_job(TrainingJobName="birds-2")
    ask = account.sagemaker.list_training_jobs

    def names(**request: Any) -> list[str]:
        return [row["TrainingJobName"] for row in ask(**request)["TrainingJobSummaries"]]

    assert names(NameContains="BIRDS") == [f"birds-{number}" for number in range(5)]
    assert names(SortBy="Name", SortOrder="Descending")[0] == "fish-1"
    assert names(StatusEquals="Stopping") == ["birds-2"]
    assert names(SortBy="Status", SortOrder="Descending")[0] == "birds-2"
    since = datetime.now(UTC) + timedelta(hours=2.5)
    assert names(CreationTimeAfter=since) == ["birds-3", "birds-4", "fish-1"]
    assert names(CreationTimeBefore=since) == ["birds-0", "birds-1", "birds-2"]
    assert names(LastModifiedTimeBefore=since, MaxResults=2) == ["birds-0", "birds-1"]
    pages = account.sagemaker.get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [2, 2, 2]
    with pytest.raises(ClientError, match="token is invalid"):
        ask(NextToken="nothing")


def test_tags_are_kept_added_and_taken_off(account: Account) -> None:
    arn = account.sagemaker.create_training_job(**account.training(Tags=[{"Key": "a", "Value": "1"}]))["TrainingJobArn"]
    account.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    account.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert account.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    with pytest.raises(ClientError, match="at most 50 tags"):
        account.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
    with pytest.raises(ClientError, match="Could not find resource"):
        account.sagemaker.list_tags(ResourceArn=arn + "0")
