"""Batch transform jobs of the fake cloud, through boto3."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from birdsod.testing import FakeSageMaker
    from tests.testing_fake.conftest import Account


@pytest.fixture
def images(account: Account, jpeg: bytes) -> str:
    """Put two images, one in a folder of its own; return where."""
    account.model()
    account.put("images/a.jpg", jpeg)
    return account.put("images/more/b.jpg", jpeg).removesuffix("more/b.jpg")


def request(account: Account, uri: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}
    return copy.deepcopy(
        {
            "TransformJobName": "birds-1",
            "ModelName": "birds",
            "MaxPayloadInMB": 6,
            "TransformInput": {"ContentType": "image/jpeg", "SplitType": "None", "DataSource": source},
            "TransformOutput": {"S3OutputPath": f"s3://{account.fake.bucket}/out", "Accept": "application/json"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            **changes,
        }
    )


def states(account: Account, looks: int = 10) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    while not told or told[-1]["TransformJobStatus"] in {"InProgress", "Stopping"}:
        assert len(told) < looks
        told.append(account.sagemaker.describe_transform_job(TransformJobName="birds-1"))
    return told


def outputs(account: Account) -> list[str]:
    rows = account.s3.list_objects_v2(Bucket=account.fake.bucket, Prefix="out/").get("Contents", [])
    return [row["Key"] for row in rows]


def test_each_image_gets_its_answer(account: Account, fake: FakeSageMaker, images: str, jpeg: bytes) -> None:
    fake.script_predictions(lambda body: [[0, len(body), 0, 0, 1, 1]])
    made = account.sagemaker.create_transform_job(**request(account, images))
    assert made["TransformJobArn"].endswith(":transform-job/birds-1")
    assert [row.kind for row in fake.alive()] == ["model", "transform-job"]
    told = states(account)
    assert [row["TransformJobStatus"] for row in told] == ["InProgress", "Completed"]
    assert [row.kind for row in fake.alive()] == ["model"]
    assert outputs(account) == ["out/a.jpg.out", "out/more/b.jpg.out"]
    answer = json.loads(account.get(f"s3://{fake.bucket}/out/a.jpg.out"))
    assert answer["prediction"][0][1] == len(jpeg)
    assert states(account)[0]["TransformEndTime"] == told[-1]["TransformEndTime"]


def test_an_image_that_fails_fails_the_job_and_is_told_in_the_log(account: Account, images: str) -> None:
    account.put("images/c.jpg", b"no image")
    account.put("images/d.jpg", bytes(6 * 1024 * 1024 + 1))
    account.sagemaker.create_transform_job(**request(account, images))
    last = states(account)[-1]
    assert last["TransformJobStatus"] == "Failed"
    assert "See job logs" in last["FailureReason"]
    assert len(outputs(account)) == 2
    events = account.logs.filter_log_events(logGroupName="/aws/sagemaker/TransformJobs")["events"]
    said = [event["message"] for event in events]
    assert f"{account.fake.bucket}/images/c.jpg: ClientError: 400" in said
    assert f"{account.fake.bucket}/images/d.jpg: ClientError: 413" in said


def test_a_failure_may_be_scripted(account: Account, fake: FakeSageMaker, images: str) -> None:
    fake.script_transform(states=["InProgress", "InProgress", "Completed"], failure="InternalServerError: try again")
    account.sagemaker.create_transform_job(**request(account, images))
    told = states(account)
    assert (len(told), told[-1]["TransformJobStatus"]) == (3, "Failed")
    assert told[-1]["FailureReason"] == "InternalServerError: try again"
    assert outputs(account) == []


def test_a_job_is_stopped(account: Account, fake: FakeSageMaker, images: str) -> None:
    account.sagemaker.create_transform_job(**request(account, images))
    account.sagemaker.stop_transform_job(TransformJobName="birds-1")
    account.sagemaker.stop_transform_job(TransformJobName="birds-1")
    (row,) = account.sagemaker.list_transform_jobs(StatusEquals="Stopping")["TransformJobSummaries"]
    assert row["TransformJobName"] == "birds-1"
    assert ("transform-job", "birds-1") in [(row.kind, row.name) for row in fake.alive()]
    assert states(account)[-1]["TransformJobStatus"] == "Stopped"
    assert outputs(account) == []
    with pytest.raises(ClientError, match="is in status Stopped"):
        account.sagemaker.stop_transform_job(TransformJobName="birds-1")


def test_requests_are_checked(account: Account, fake: FakeSageMaker, images: str) -> None:
    def refused(**changes: Any) -> str:
        with pytest.raises(ClientError) as caught:
            account.sagemaker.create_transform_job(**request(account, images, **changes))
        return str(caught.value)

    assert "Could not find model" in refused(ModelName="nothing")
    assert "not supported by this algorithm" in refused(MaxPayloadInMB=0)
    assert "less than or equal to 100" in refused(MaxPayloadInMB=60, MaxConcurrentTransforms=2)
    nothing = request(account, images + "nothing/")["TransformInput"]
    assert "No S3 objects found" in refused(TransformInput=nothing)
    nothing["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    assert "give S3DataType S3Prefix" in refused(TransformInput=nothing)
    fake.script_quota("ml.m5.large for transform job usage", 0)
    assert "ResourceLimitExceeded" in refused()
    fake.script_quota("ml.m5.large for transform job usage", 1)
    account.sagemaker.create_transform_job(**request(account, images))
    assert "ResourceInUse" in refused()
    with pytest.raises(ClientError, match="Could not find requested job with name: nothing"):
        account.sagemaker.describe_transform_job(TransformJobName="nothing")
