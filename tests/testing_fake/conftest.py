"""A fake cloud, and requests as boto3 takes them."""

from __future__ import annotations

import copy
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from botocore.config import Config

from birdsod.testing import FakeSageMaker
from birdsod.testing._fake_sagemaker.shapes import problems

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/object-detection:1"
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birdsod:1"
HYPERPARAMETERS = {"num_classes": "2", "num_training_samples": "16", "epochs": "3", "mini_batch_size": "8"}


def _check_answer(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Hold an answer against the model of the service, as the fake holds requests; boto3 takes anything."""
    if response_dict["status_code"] == HTTPStatus.OK and operation_model.output_shape is not None:
        found = problems(operation_model.output_shape, json.loads(response_dict["body"]), "")
        # The model demands it of every job; the service leaves it out while a job runs, and where it failed.
        assert [problem for problem in found if "Value null at 'modelArtifacts'" not in problem] == []


class Account:
    """Clients of a fake, and requests that it takes as they are."""

    BUILT_IN = IMAGE
    OWN = OWN

    def __init__(self, fake: FakeSageMaker) -> None:
        session: Any = fake.session()
        once = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        self.fake = fake
        self.sagemaker, self.runtime, self.s3, self.logs, self.quotas = (
            session.client(name, config=once)
            for name in ("sagemaker", "sagemaker-runtime", "s3", "logs", "service-quotas")
        )
        for client in (self.sagemaker, self.logs, self.quotas):
            client.meta.events.register("before-parse", _check_answer)
        for name in ("train", "validation"):
            self.put(f"data/{name}/{name}.rec", b"records")

    def put(self, key: str, data: bytes) -> str:
        self.s3.put_object(Bucket=self.fake.bucket, Key=key, Body=data)
        return f"s3://{self.fake.bucket}/{key}"

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        data: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data

    def channel(self, name: str, uri: str | None = None) -> dict[str, Any]:
        address = uri or f"s3://{self.fake.bucket}/data/{name}/"
        source = {"S3DataType": "S3Prefix", "S3Uri": address, "S3DataDistributionType": "FullyReplicated"}
        kind = "application/x-recordio"
        return {"ChannelName": name, "ContentType": kind, "DataSource": {"S3DataSource": source}}

    def training(self, name: str = "birds-1", **changes: Any) -> dict[str, Any]:
        request: dict[str, Any] = {
            "TrainingJobName": name,
            "RoleArn": self.fake.role_arn,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "InputDataConfig": [self.channel("train"), self.channel("validation")],
            "HyperParameters": dict(HYPERPARAMETERS),
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.fake.bucket}/jobs"},
            "ResourceConfig": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        }
        return copy.deepcopy({**request, **changes})

    def train(self, name: str = "birds-1", **changes: Any) -> dict[str, Any]:
        """Run a job to its end."""
        self.sagemaker.create_training_job(**self.training(name, **changes))
        return self.end(name)

    def end(self, name: str, looks: int = 20) -> dict[str, Any]:
        return self.states(name, looks)[-1]

    def states(self, name: str, looks: int = 20) -> list[dict[str, Any]]:
        """Return what describe calls tell until the job is over."""
        told: list[dict[str, Any]] = []
        while not told or told[-1]["TrainingJobStatus"] in {"InProgress", "Stopping"}:
            assert len(told) < looks
            told.append(self.sagemaker.describe_training_job(TrainingJobName=name))
        return told

    def model(self, name: str = "birds", *, image: str = IMAGE, artifact: str | None = None) -> str:
        uri = artifact or self.put("jobs/model.tar.gz", b"weights")
        container = {"Image": image, "ModelDataUrl": uri}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.fake.role_arn, PrimaryContainer=container)
        return name

    def config(self, name: str = "birds", *, model: str = "birds", **changes: Any) -> str:
        variant: dict[str, Any] = {"VariantName": "AllTraffic", "ModelName": model}
        if "serverless" in changes:
            variant["ServerlessConfig"] = changes.pop("serverless")
        else:
            variant |= {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **changes)
        return name

    def endpoint(self, name: str = "birds", *, config: str = "birds") -> str:
        """Make an endpoint and look until it has come up or failed."""
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        for _ in range(10):
            if self.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] != "Creating":
                break
        return name

    def lines(self, job: str, host: str = "algo-1") -> list[str]:
        group = "/aws/sagemaker/TrainingJobs"
        found = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/{host}")["logStreams"]
        (stream,) = (row["logStreamName"] for row in found)
        page = self.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        return [event["message"] for event in page["events"]]


@pytest.fixture
def fake() -> Iterator[FakeSageMaker]:
    with FakeSageMaker() as made:
        yield made


@pytest.fixture
def account(fake: FakeSageMaker) -> Account:
    return Account(fake)


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    data: bytes = cv2.imencode(".jpg", np.zeros((32, 40, 3), np.uint8))[1].tobytes()
    return data
