"""Models, endpoint configurations, endpoints and invocations of the fake cloud, through boto3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from birdsod.testing import FakeSageMaker
    from tests.testing_fake.conftest import Account

SIX_MEGABYTES = 6_291_456


def alive(fake: FakeSageMaker) -> list[tuple[str, str]]:
    return [(row.kind, row.name) for row in fake.alive()]


def states(account: Account, looks: int) -> list[str]:
    ask = account.sagemaker.describe_endpoint
    return [ask(EndpointName="birds")["EndpointStatus"] for _ in range(looks)]


@pytest.fixture
def hosted(account: Account) -> Account:
    """An endpoint in service."""
    account.model()
    account.endpoint(config=account.config())
    return account


def invoke(account: Account, body: bytes, **more: Any) -> Any:
    return account.runtime.invoke_endpoint(
        **{"EndpointName": "birds", "ContentType": "image/jpeg", **more, "Body": body}
    )


def test_an_endpoint_comes_up_look_by_look_and_all_of_it_goes(account: Account, fake: FakeSageMaker) -> None:
    account.model()
    account.config()
    account.sagemaker.create_endpoint(EndpointName="birds", EndpointConfigName="birds")
    assert states(account, 4) == ["Creating", "Creating", "InService", "InService"]
    assert alive(fake) == [("endpoint", "birds"), ("endpoint-config", "birds"), ("model", "birds")]
    told = account.sagemaker.describe_endpoint(EndpointName="birds")
    assert told["ProductionVariants"][0]["VariantName"] == "AllTraffic"
    account.sagemaker.delete_endpoint(EndpointName="birds")
    account.sagemaker.delete_endpoint_config(EndpointConfigName="birds")
    account.sagemaker.delete_model(ModelName="birds")
    assert alive(fake) == []
    gone: tuple[Callable[[], object], ...] = (
        lambda: account.sagemaker.describe_endpoint(EndpointName="birds"),
        lambda: account.sagemaker.delete_endpoint(EndpointName="birds"),
        lambda: account.sagemaker.describe_endpoint_config(EndpointConfigName="birds"),
        lambda: account.sagemaker.delete_endpoint_config(EndpointConfigName="birds"),
        lambda: account.sagemaker.describe_model(ModelName="birds"),
        lambda: account.sagemaker.delete_model(ModelName="birds"),
    )
    for call in gone:
        with pytest.raises(ClientError, match=r"ValidationException.* Could not find "):
            call()


def test_the_waiter_of_boto3_waits(account: Account) -> None:
    account.model()
    account.config()
    account.sagemaker.create_endpoint(EndpointName="birds", EndpointConfigName="birds")
    account.sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName="birds", WaiterConfig={"Delay": 0, "MaxAttempts": 5}
    )


def test_an_endpoint_that_is_being_made_cannot_be_deleted(account: Account) -> None:
    account.model()
    account.config()
    account.sagemaker.create_endpoint(EndpointName="birds", EndpointConfigName="birds")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        account.sagemaker.delete_endpoint(EndpointName="birds")
    states(account, 3)
    account.sagemaker.delete_endpoint(EndpointName="birds")


def test_an_endpoint_may_fail(account: Account, fake: FakeSageMaker) -> None:
    fake.script_endpoint(failure="The primary container did not pass the ping health check.")
    account.model()
    account.endpoint(config=account.config())
    told = account.sagemaker.describe_endpoint(EndpointName="birds")
    assert (told["EndpointStatus"], told["FailureReason"]) == (
        "Failed",
        "The primary container did not pass the ping health check.",
    )
    assert ("endpoint", "birds") in alive(fake)
    account.sagemaker.delete_endpoint(EndpointName="birds")


def test_a_deletion_may_take_its_time(hosted: Account, fake: FakeSageMaker) -> None:
    fake.script_endpoint(deleting=2)
    hosted.sagemaker.delete_endpoint(EndpointName="birds")
    assert states(hosted, 2) == ["Deleting", "Deleting"]
    assert ("endpoint", "birds") in alive(fake)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        states(hosted, 1)
    assert ("endpoint", "birds") not in alive(fake)


def test_states_may_be_scripted(account: Account, fake: FakeSageMaker) -> None:
    fake.script_endpoint(states=["Creating", "InService"])
    account.model()
    account.config()
    account.sagemaker.create_endpoint(EndpointName="birds", EndpointConfigName="birds")
    assert states(account, 3) == ["Creating", "InService", "InService"]


def test_an_endpoint_is_updated(hosted: Account) -> None:
    hosted.model("other")
    hosted.config("other", model="other")
    hosted.sagemaker.update_endpoint(EndpointName="birds", EndpointConfigName="other")
    assert states(hosted, 2) == ["Updating", "InService"]
    assert hosted.sagemaker.describe_endpoint(EndpointName="birds")["EndpointConfigName"] == "other"
    hosted.sagemaker.update_endpoint(EndpointName="birds", EndpointConfigName="birds")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        hosted.sagemaker.update_endpoint(EndpointName="birds", EndpointConfigName="other")


def test_names_are_taken_once(hosted: Account) -> None:
    for call in (hosted.model, hosted.config, hosted.endpoint):
        with pytest.raises(ClientError, match=r"ValidationException.*Cannot create already existing"):
            call()


def test_a_model_needs_its_artifact(account: Account, fake: FakeSageMaker) -> None:
    with pytest.raises(ClientError, match=r"Could not find model data at s3://.*/nothing\.tar\.gz"):
        account.model(artifact=f"s3://{fake.bucket}/nothing.tar.gz")
    assert alive(fake) == []


def test_a_model_needs_a_role_and_a_container(account: Account, fake: FakeSageMaker) -> None:
    create = account.sagemaker.create_model
    with pytest.raises(ClientError, match="Could not assume role"):
        create(
            ModelName="a",
            ExecutionRoleArn="arn:aws:iam::123456789012:role/Nobody",
            PrimaryContainer={"Image": account.BUILT_IN},
        )
    with pytest.raises(ClientError, match="either PrimaryContainer or Containers"):
        create(ModelName="a", ExecutionRoleArn=fake.role_arn)
    create(ModelName="a", ExecutionRoleArn=fake.role_arn, Containers=[{"Image": account.BUILT_IN}])


def test_what_does_not_exist_is_not_configured_or_hosted(account: Account) -> None:
    with pytest.raises(ClientError, match='Could not find model "arn:'):
        account.config()
    with pytest.raises(ClientError, match='Could not find endpoint configuration "arn:'):
        account.endpoint()
    account.model()
    account.config()
    account.sagemaker.delete_model(ModelName="birds")
    with pytest.raises(ClientError, match='Could not find model "arn:'):
        account.endpoint()


def test_a_variant_has_instances_or_is_serverless(account: Account) -> None:
    account.model()
    create = account.sagemaker.create_endpoint_config
    both: dict[str, Any] = {"VariantName": "a", "ModelName": "birds"}
    with pytest.raises(ClientError, match="InstanceType and InitialInstanceCount are required"):
        create(EndpointConfigName="a", ProductionVariants=[both])
    both |= {"InstanceType": "ml.m5.large", "ServerlessConfig": {"MemorySizeInMB": 4096, "MaxConcurrency": 5}}
    with pytest.raises(ClientError, match="cannot both be specified"):
        create(EndpointConfigName="a", ProductionVariants=[both])


def test_a_quota_holds_for_endpoints(account: Account, fake: FakeSageMaker) -> None:
    account.model()
    account.config()
    fake.script_quota("ml.m5.large for endpoint usage", 0)
    with pytest.raises(ClientError, match=r"ResourceLimitExceeded.*'ml.m5.large for endpoint usage' is 0"):
        account.endpoint()


def test_what_exists_is_described_and_listed(hosted: Account) -> None:
    ask = hosted.sagemaker
    assert ask.describe_model(ModelName="birds")["PrimaryContainer"]["Image"] == hosted.BUILT_IN
    assert ask.describe_endpoint_config(EndpointConfigName="birds")["ProductionVariants"][0]["ModelName"] == "birds"
    assert [row["ModelName"] for row in ask.list_models()["Models"]] == ["birds"]
    assert [row["EndpointConfigName"] for row in ask.list_endpoint_configs()["EndpointConfigs"]] == ["birds"]
    assert ask.list_endpoints(StatusEquals="InService", SortBy="Name")["Endpoints"][0]["EndpointName"] == "birds"
    assert ask.list_endpoints(StatusEquals="Failed")["Endpoints"] == []


def test_images_get_scripted_answers(hosted: Account, fake: FakeSageMaker, jpeg: bytes) -> None:
    answer = invoke(hosted, jpeg, Accept="application/json")
    rows = json.loads(answer["Body"].read())["prediction"]
    assert rows[0] == [0.0, 0.9, 0.25, 0.25, 0.75, 0.75]
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "application/json"
    assert fake.calls[-1].operation == "InvokeEndpoint"
    assert fake.calls[-1].request["Body"] == jpeg
    fake.script_predictions([(1, 0.5, 0, 0, 1, 1)])
    assert json.loads(invoke(hosted, jpeg)["Body"].read())["prediction"] == [[1, 0.5, 0, 0, 1, 1]]
    fake.script_predictions(lambda body: [[0, len(body), 0, 0, 1, 1]])
    assert json.loads(invoke(hosted, jpeg)["Body"].read())["prediction"][0][1] == len(jpeg)


def fails(_: bytes) -> list[list[float]]:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("body", "kind", "script", "status", "said"),
    [
        (b"no image", "image/jpeg", None, 400, "Unable to decode the image"),
        (None, "text/csv", None, 415, "Unsupported content type: text/csv"),
        (None, "image/jpeg", fails, 500, "RuntimeError: out of memory"),
    ],
)
def test_the_model_s_own_errors(
    hosted: Account,
    jpeg: bytes,
    body: bytes | None,
    kind: str,
    script: Callable[[bytes], list[list[float]]] | None,
    status: int,
    said: str,
) -> None:
    if script is not None:
        hosted.fake.script_predictions(script)
    with pytest.raises(hosted.runtime.exceptions.ModelError) as caught:
        invoke(hosted, jpeg if body is None else body, ContentType=kind)
    told = caught.value.response
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert (told["OriginalStatusCode"], said in told["OriginalMessage"]) == (status, True)
    assert told["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/birds")


def test_a_body_that_is_too_large_is_refused(hosted: Account) -> None:
    with pytest.raises(ClientError, match=f"exceeded {SIX_MEGABYTES} bytes") as caught:
        invoke(hosted, bytes(SIX_MEGABYTES + 1))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_serverless_takes_less(account: Account, jpeg: bytes) -> None:
    account.model()
    account.endpoint(config=account.config(serverless={"MemorySizeInMB": 4096, "MaxConcurrency": 5}))
    assert invoke(account, jpeg)["Body"].read()
    with pytest.raises(ClientError, match="exceeded 4194304 bytes"):
        invoke(account, bytes(4_194_305))


def test_only_what_is_in_service_answers(account: Account, jpeg: bytes) -> None:
    with pytest.raises(ClientError, match=r"ValidationError.*Endpoint birds of account 123456789012 not found"):
        invoke(account, jpeg)
    account.model()
    account.config()
    account.sagemaker.create_endpoint(EndpointName="birds", EndpointConfigName="birds")
    with pytest.raises(ClientError, match="not found"):
        invoke(account, jpeg)


def test_an_endpoint_outlives_its_configuration_and_model(hosted: Account, jpeg: bytes) -> None:
    hosted.sagemaker.delete_endpoint_config(EndpointConfigName="birds")
    hosted.sagemaker.delete_model(ModelName="birds")
    assert invoke(hosted, jpeg)["Body"].read()


def test_a_variant_may_be_named(hosted: Account, jpeg: bytes) -> None:
    assert invoke(hosted, jpeg, TargetVariant="AllTraffic")["InvokedProductionVariant"] == "AllTraffic"
    with pytest.raises(ClientError, match="Variant Other not found"):
        invoke(hosted, jpeg, TargetVariant="Other")


def test_asynchronous_endpoints_read_and_write_s3(account: Account, fake: FakeSageMaker, jpeg: bytes) -> None:
    account.model()
    output = {"S3OutputPath": f"s3://{fake.bucket}/out", "S3FailurePath": f"s3://{fake.bucket}/failed"}
    account.endpoint(config=account.config(AsyncInferenceConfig={"OutputConfig": output}))
    assert "AsyncInferenceConfig" in account.sagemaker.describe_endpoint(EndpointName="birds")
    ask = account.runtime.invoke_endpoint_async
    good = ask(
        EndpointName="birds", ContentType="image/jpeg", InputLocation=account.put("in/a.jpg", jpeg), InferenceId="a"
    )
    assert (good["InferenceId"], good["OutputLocation"]) == ("a", f"s3://{fake.bucket}/out/a.out")
    assert json.loads(account.get(good["OutputLocation"]))["prediction"]
    bad = ask(EndpointName="birds", ContentType="image/jpeg", InputLocation=account.put("in/b.jpg", b"no image"))
    assert b"Unable to decode" in account.get(bad["FailureLocation"])
    with pytest.raises(ClientError, match="NoSuchKey"):
        account.get(bad["OutputLocation"])
    with pytest.raises(ClientError, match="Could not find the input"):
        ask(EndpointName="birds", ContentType="image/jpeg", InputLocation=f"s3://{fake.bucket}/in/nothing.jpg")
    with pytest.raises(ClientError, match="use InvokeEndpointAsync"):
        invoke(account, jpeg)
    assert account.get(ask(EndpointName="birds", ContentType="image/jpeg", Body=jpeg)["OutputLocation"])
    with pytest.raises(ClientError, match="at most 128000 bytes"):
        ask(EndpointName="birds", ContentType="image/jpeg", Body=bytes(128_001))


def test_an_ordinary_endpoint_is_not_asynchronous(hosted: Account, jpeg: bytes) -> None:
    with pytest.raises(ClientError, match="is not asynchronous"):
        hosted.runtime.invoke_endpoint_async(EndpointName="birds", InputLocation=hosted.put("in/a.jpg", jpeg))


def test_a_model_without_an_artifact_is_scripted_too(account: Account, fake: FakeSageMaker, jpeg: bytes) -> None:
    create = account.sagemaker.create_model
    create(ModelName="birds", ExecutionRoleArn=fake.role_arn, PrimaryContainer={"Image": account.OWN})
    account.endpoint(config=account.config())
    assert json.loads(invoke(account, jpeg)["Body"].read())["prediction"]


def test_an_archive_that_is_none_is_scripted_too(account: Account, jpeg: bytes) -> None:
    account.model(image=account.OWN)
    account.endpoint(config=account.config())
    assert json.loads(invoke(account, jpeg)["Body"].read())["prediction"]
