"""How a model is hosted: a value that is checked when it is made, and the requests made of it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from birdsod.errors import PreflightError
from birdsod.estimator.sagemaker import Hosting
from birdsod.estimator.sagemaker.hosting import endpoint_config_request, endpoint_request, model_request
from birdsod.estimator.sagemaker.validation import request_findings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"instance_type": "m5.large"}, "no type of instance"),
        ({"instance_type": "ml.M5.large"}, "no type of instance"),
        ({"instances": 0}, "at least one instance"),
        ({"serverless_memory_mb": 1500}, "no such serverless memory"),
        ({"serverless_memory_mb": 2048, "serverless_concurrency": 0}, "1 to 200 requests"),
        ({"serverless_memory_mb": 2048, "serverless_concurrency": 201}, "1 to 200 requests"),
        ({"serverless_memory_mb": 2048, "asynchronous": True}, "not both"),
        ({"serverless_memory_mb": 2048, "instance_type": "ml.m5.xlarge"}, "has no instances"),
        ({"serverless_memory_mb": 2048, "instances": 2}, "has no instances"),
        ({"async_output_uri": "s3://birds/answers"}, "only an asynchronous endpoint"),
        ({"asynchronous": True, "async_output_uri": "answers"}, "no address in S3"),
        ({"startup_seconds": 0}, "takes time to start"),
        ({"startup_seconds": float("nan")}, "takes time to start"),
        ({"variant": "all_traffic"}, "no name for a variant"),
        ({"subnets": ["subnet-1"]}, "both subnets and security groups"),
        ({"security_groups": ["sg-1"]}, "both subnets and security groups"),
        ({"tags": {str(number): "" for number in range(41)}}, "more than 40 tags"),
        ({"tags": {"birdsod:ledger": "mine"}}, "not yours to give"),
        ({"tags": {"aws:owner": "mine"}}, "not yours to give"),
    ],
)
def test_what_does_not_go_is_refused_when_it_is_made(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PreflightError, match=words):
        Hosting(**options)


def test_it_is_a_value() -> None:
    hosting = Hosting("ml.g4dn.xlarge", 2, tags={"team": "birds"})
    assert hosting == Hosting(instances=2, instance_type="ml.g4dn.xlarge", tags={"team": "birds"})
    assert replace(hosting, instances=1).instances == 1
    with pytest.raises(FrozenInstanceError):
        hosting.instances = 3  # type: ignore[misc]
    for twin in (copy.copy(hosting), copy.deepcopy(hosting), pickle.loads(pickle.dumps(hosting))):  # noqa: S301 - our own
        assert (twin, twin.given) == (hosting, hosting.given)


def test_it_knows_what_was_given_even_where_that_is_the_default() -> None:
    assert Hosting().given == ()
    assert Hosting("ml.m5.large").given == ("instance_type",)
    assert Hosting("ml.m5.large", 1, variant="AllTraffic").given == ("instance_type", "instances", "variant")
    assert Hosting() == Hosting("ml.m5.large")


def test_modes() -> None:
    assert Hosting().mode == "real-time"
    assert Hosting(serverless_memory_mb=1024).mode == "serverless"
    assert Hosting(asynchronous=True).mode == "asynchronous"


@pytest.mark.parametrize(
    "hosting",
    [
        Hosting(),
        Hosting("ml.g4dn.xlarge", 3, variant="blue", tags={"team": "birds"}, kms_key="alias/birds"),
        Hosting(serverless_memory_mb=6144, serverless_concurrency=200),
        Hosting(asynchronous=True, kms_key="alias/birds"),
        Hosting(subnets=["subnet-0a1b2c3d"], security_groups=["sg-0a1b2c3d"]),
    ],
    ids=lambda hosting: f"{hosting.mode} {' '.join(hosting.given)}",
)
def test_requests_are_what_the_service_model_takes(hosting: Hosting) -> None:
    tags = {"birdsod:ledger": "0f", **(hosting.tags or {})}
    role = "arn:aws:iam::123456789012:role/birds"
    image = "811284229777.dkr.ecr.us-east-1.amazonaws.com/object-detection:1"
    uri = "s3://birds/jobs/birds-1/output/model.tar.gz"
    model = model_request("birds-1", image=image, artifact_uri=uri, role=role, hosting=hosting, tags=tags)
    config = endpoint_config_request(
        "birds-1", model="birds-1", hosting=hosting, output_uri="s3://birds/answers", tags=tags
    )
    endpoint = endpoint_request("birds", config="birds-1", tags=tags)
    requests: dict[str, Any] = {"CreateModel": model, "CreateEndpointConfig": config, "CreateEndpoint": endpoint}
    for operation, request in requests.items():
        assert request_findings(operation, request) == ()
        assert {"Key": "birdsod:ledger", "Value": "0f"} in request["Tags"]
    assert ("VpcConfig" in model) == bool(hosting.subnets)
    assert ("AsyncInferenceConfig" in config) == hosting.asynchronous
    assert ("KmsKeyId" in config) == bool(hosting.kms_key)
    variant = config["ProductionVariants"][0]
    assert ("ServerlessConfig" in variant) == (hosting.mode == "serverless") != ("InstanceType" in variant)
