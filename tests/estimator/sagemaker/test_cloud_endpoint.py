"""From a model archive to an endpoint that answers, or to nothing at all."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.config import Config

from birdsod.classes import ClassTable
from birdsod.errors import CloudError, PreflightError, ServingError
from birdsod.estimator import Detector
from birdsod.estimator.sagemaker import Cloud, Hosting, Ledger, SageMakerDetector
from birdsod.estimator.sagemaker.endpoint import deploy
from birdsod.estimator.sagemaker.job_record import JobRecord
from birdsod.estimator.sagemaker.regions import built_in_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.testing import FakeSageMaker

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
KINDS = ["endpoint", "endpoint-config", "model"]

Host = "Callable[..., SageMakerDetector]"


@pytest.fixture
def cloud(fake: FakeSageMaker) -> Cloud:
    return Cloud.of(fake.session())


@pytest.fixture
def uri(fake: FakeSageMaker, cloud: Cloud) -> str:
    cloud.s3.put_object(Bucket=fake.bucket, Key="birdsod/jobs/birds-1/output/model.tar.gz", Body=b"a model")
    return f"s3://{fake.bucket}/birdsod/jobs/birds-1/output/model.tar.gz"


@pytest.fixture
def host(fake: FakeSageMaker, cloud: Cloud, uri: str) -> Callable[..., SageMakerDetector]:
    def made(hosting: Hosting | None = None, **options: Any) -> SageMakerDetector:
        settings = {"artifact_uri": uri, "image": built_in_image(fake.region), "role": fake.role_arn}
        return deploy(
            options.pop("cloud", cloud),
            **{**settings, "classes": CLASSES, "hosting": hosting, "poll_seconds": 0, **options},
        )

    return made


def impatient(fake: FakeSageMaker) -> Cloud:
    """Return a cloud whose requests are sent once by botocore, so that all patience is birdsod's."""
    session = fake.session()
    session._session.set_default_client_config(Config(retries={"total_max_attempts": 1}))
    return Cloud.of(session)


def operations(fake: FakeSageMaker) -> list[str]:
    return [call.operation for call in fake.calls]


def interrupted(fake: FakeSageMaker, event: str, operation: str, *, error: type[BaseException]) -> Cloud:
    """Return a cloud in which an error strikes at one moment of the first call of an operation."""
    session = fake.session()
    left = [error]

    def strike(**_: object) -> None:
        if left:
            raise left.pop()

    session.events.register(f"{event}.{operation}", strike)
    return Cloud.of(session)


def test_a_detector_goes_with_its_block(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    with host() as detector:
        assert isinstance(detector, Detector)
        assert [item.kind for item in fake.alive()] == KINDS
        assert [resource.kind for resource in detector.resources] == KINDS
        assert detector.status == "InService"
        assert detector.url.endswith(f"/endpoints/{detector.name}/invocations")
        assert detector.log_group == f"/aws/sagemaker/Endpoints/{detector.name}"
        assert repr(detector).startswith(f"SageMakerDetector({detector.name!r}")
        assert len(Ledger().open_resources()) == 3
    assert fake.alive() == []
    assert Ledger().open_resources() == ()
    assert detector.status == "Deleted"
    detector.close()
    assert operations(fake).count("DeleteModel") == 1


def test_every_resource_is_on_the_ledger_before_it_is_asked_for(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    session, noted = fake.session(), []

    def look(model: Any, **_: object) -> None:
        kinds = [entry.resource.kind for entry in Ledger().open_resources()]
        if model.name.startswith("Create"):
            noted.append((model.name, kinds[-1]))

    session.events.register("before-call.sagemaker", look)
    host(cloud=Cloud.of(session)).close()
    assert noted == [
        ("CreateModel", "model"),
        ("CreateEndpointConfig", "endpoint-config"),
        ("CreateEndpoint", "endpoint"),
    ]


def test_nothing_is_made_without_the_ledger(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CloudError, match="cannot be kept"):
        host(ledger=Ledger(tmp_path / "file" / "ledger.jsonl"))
    assert not any(name.startswith("Create") for name in operations(fake))


def test_all_that_is_made_bears_the_tags(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., SageMakerDetector]
) -> None:
    with host(Hosting(tags={"team": "birds"})):
        creations = [call.request for call in fake.calls if call.operation.startswith("Create")]
    assert len(creations) == 3
    for request in creations:
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        assert set(tags) == {"team", "birdsod:ledger", "birdsod:caller", "birdsod:created"}
        assert (tags["birdsod:ledger"], tags["birdsod:caller"]) == (Ledger().id, cloud.caller)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_at_any_moment_leaves_nothing(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], error: type[BaseException]
) -> None:
    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "DescribeEndpoint"):
        for event in ("before-send.sagemaker", "after-call.sagemaker"):
            with pytest.raises(error):
                host(cloud=interrupted(fake, event, operation, error=error))
            assert fake.alive() == []
            assert Ledger().open_resources() == ()
        assert operation in operations(fake)


def test_a_refusal_leaves_nothing(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"):
        fake.fail(operation, "ResourceLimitExceeded", "The account-level service limit is 0")
        with pytest.raises(CloudError, match="limit is 0") as caught:
            host()
        assert caught.value.value == "ResourceLimitExceeded"
        assert fake.alive() == []
        assert Ledger().open_resources() == ()


def test_an_error_in_the_block_ends_it_all_and_stays_the_error(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    with pytest.raises(ZeroDivisionError), host():
        _ = 1 / 0
    assert fake.alive() == []


def test_a_request_that_was_sent_twice_is_known_by_its_tags(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    session = fake.session()
    twin = fake.session().client("sagemaker")
    sent: list[object] = []

    def send_twice(params: Any, **_: object) -> None:
        if not sent:
            sent.append(params)
            twin.create_model(**params)

    session.events.register("provide-client-params.sagemaker.CreateModel", send_twice)
    with host(cloud=Cloud.of(session)) as detector:
        assert [item.kind for item in fake.alive()] == KINDS
        assert detector.status == "InService"
    assert fake.alive() == []


def test_startup_that_fails_tells_why_and_what_the_log_says_and_leaves_nothing(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., SageMakerDetector]
) -> None:
    reason = "The primary container for production variant AllTraffic did not pass the ping health check."
    fake.script_endpoint(states=["Creating"], failure=reason)
    group = "/aws/sagemaker/Endpoints/birds"
    cloud.logs.create_log_group(logGroupName=group)
    cloud.logs.create_log_stream(logGroupName=group, logStreamName="AllTraffic/i-0a1b")
    lines: list[Any] = [
        {"timestamp": 1_763_000_000_000 + number, "message": f"line {number}\n"} for number in range(30)
    ]
    cloud.logs.put_log_events(logGroupName=group, logStreamName="AllTraffic/i-0a1b", logEvents=lines)
    with pytest.raises(ServingError, match="does not start: it is Failed") as caught:
        host(name="birds")
    assert reason[:-1] in str(caught.value)
    assert "line 18 | line 19" in str(caught.value)
    assert "line 29" in str(caught.value)
    assert "line 17 " not in str(caught.value)
    assert fake.alive() == []


def test_a_log_that_cannot_be_read_does_not_hide_the_reason(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    fake.script_endpoint(failure="no capacity")
    fake.fail("DescribeLogStreams", "AccessDeniedException")
    with pytest.raises(ServingError, match="no capacity"):
        host()


def test_an_endpoint_that_takes_too_long_is_given_up(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    fake.script_endpoint(states=["Creating"] * 4 + ["InService"])
    with pytest.raises(ServingError, match="not in service after 1e-09 seconds"):
        host(Hosting(startup_seconds=1e-9))
    assert fake.alive() == []
    assert operations(fake).count("DeleteEndpoint") > 1


def test_what_cannot_be_deleted_is_told_with_the_error_and_stays_on_the_ledger(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    fake.script_endpoint(failure="no capacity")
    fake.fail("DeleteEndpoint", "AccessDeniedException", "not allowed")
    with pytest.raises(ServingError, match="no capacity") as caught:
        host()
    notes = caught.value.__notes__
    assert [note.split()[2] for note in notes] == KINDS
    assert "not allowed" in notes[0]
    assert "used by what is still there" in notes[1]
    assert [entry.resource.kind for entry in Ledger().open_resources()] == KINDS[::-1]


def test_it_need_not_be_waited_for(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    with host(wait=False) as detector:
        assert "DescribeEndpoint" not in operations(fake)
        with pytest.raises(ServingError, match=r"no endpoint .* that answers"):
            detector.predict(np.zeros((9, 7, 3), np.uint8))
        detector.wait()
        assert detector.status == "InService"
    assert fake.alive() == []


def test_an_artifact_that_is_not_there_is_found_before_anything_is_made(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    wrong = {
        f"s3://{fake.bucket}/nowhere/model.tar.gz": "no such model archive",
        f"s3://{fake.bucket}": "no such model archive",
        "s3://no-such-bucket-of-birds/model.tar.gz": "no such bucket",
        "model.tar.gz": "no address",
    }
    for uri, words in wrong.items():
        with pytest.raises(CloudError, match=words):
            host(artifact_uri=uri)
    assert operations(fake) == []


def test_a_hosting_that_would_fail_is_found_before_anything_is_made(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    with pytest.raises(PreflightError, match="retired"):
        host(Hosting("ml.p2.xlarge"))
    assert not any(name.startswith("Create") for name in operations(fake))
    with host(Hosting("ml.p2.xlarge"), check=False) as detector:
        assert detector.status == "InService"
    with pytest.warns(UserWarning, match="hosting without servers"):
        host(Hosting(serverless_memory_mb=2048)).close()


def test_an_artifact_in_another_region_is_found_before_anything_is_made(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    elsewhere = fake.session(region="eu-west-1").client("s3")
    elsewhere.create_bucket(Bucket="birds-of-ireland", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    elsewhere.put_object(Bucket="birds-of-ireland", Key="model.tar.gz", Body=b"a model")
    with pytest.raises(PreflightError, match="lies in eu-west-1, but is to be hosted in us-east-1"):
        host(artifact_uri="s3://birds-of-ireland/model.tar.gz")
    assert operations(fake) == []


def test_a_bucket_that_may_not_be_looked_at_still_tells_its_region(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    session = fake.session()

    def deny(http_response: Any, parsed: dict[str, Any], **_: object) -> None:
        http_response.status_code = 403
        parsed["Error"] = {"Code": "403", "Message": "Forbidden"}

    session.events.register("after-call.s3.HeadBucket", deny)
    with host(cloud=Cloud.of(session)) as detector:
        assert detector.status == "InService"


def test_a_name_that_the_service_does_not_take_is_refused(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    for name in ("birds_1", "-birds", "b" * 64, ""):
        with pytest.raises(PreflightError, match="no name for an endpoint"):
            host(name=name)
    assert operations(fake) == []


def test_a_name_that_is_taken_is_refused_and_its_owner_left_alone(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    with host(name="birds"):
        with pytest.raises(PreflightError, match="an endpoint of this name"):
            host(name="birds")
        assert [item.name for item in fake.alive() if item.kind == "endpoint"] == ["birds"]
        assert len(fake.alive()) == 3


def test_one_who_takes_the_name_meanwhile_is_left_alone(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    session, other = fake.session(), fake.session().client("sagemaker")

    def be_quicker(params: Any, **_: object) -> None:
        if not any(item.kind == "endpoint" for item in fake.alive()):
            other.create_endpoint(EndpointName="birds", EndpointConfigName=params["EndpointConfigName"])

    session.events.register("provide-client-params.sagemaker.CreateEndpoint", be_quicker)
    with pytest.raises(CloudError, match="already existing"):
        host(name="birds", cloud=Cloud.of(session))
    assert [(item.kind, item.name) for item in fake.alive()] == [("endpoint", "birds")]
    assert Ledger().open_resources() == ()


def test_expired_credentials_and_throttling_are_no_end(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    fake.fail("DescribeEndpoint", "ExpiredTokenException", "expired", after=1)
    with host(cloud=impatient(fake)):
        fake.fail("DeleteEndpoint", "ExpiredTokenException", "expired")
        fake.fail("DeleteModel", "ThrottlingException", "Rate exceeded", times=5)
    assert fake.alive() == []
    assert operations(fake).count("DeleteModel") == 6


def test_one_that_is_dropped_is_taken_down(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    host()
    gc.collect()
    assert fake.alive() == []


def test_one_that_is_dropped_and_cannot_be_taken_down_says_so(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    detector = host()
    fake.fail("DeleteEndpoint", "AccessDeniedException", "not allowed")
    with pytest.warns(UserWarning, match="still there: endpoint"):
        del detector
    assert len(Ledger().open_resources()) == 3


def test_why_it_was_refused_is_told_even_if_nobody_tells_what_there_is(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    fake.fail("CreateEndpoint", "ResourceLimitExceeded", "The account-level service limit is 0")
    fake.fail("DescribeEndpoint", "AccessDeniedException", "not allowed", times=2)
    with pytest.raises(CloudError, match="limit is 0") as caught:
        host()
    assert "still there: endpoint" in caught.value.__notes__[0]


def test_one_that_is_detached_stays_and_is_found_again(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., SageMakerDetector]
) -> None:
    record = JobRecord("birds-1", CLASSES, {}, "0f", "image")
    record.write(cloud, f"s3://{fake.bucket}/birdsod/jobs")
    detector = host(name="birds")
    detector.detach()
    del detector
    gc.collect()
    assert len(fake.alive()) == 3
    found = SageMakerDetector.attach("birds", session=cloud.session, poll_seconds=0)
    found.detach()
    assert found.classes == CLASSES
    del found
    gc.collect()
    assert len(fake.alive()) == 3
    with SageMakerDetector.attach("birds", session=cloud.session, poll_seconds=0) as again:
        assert len(again.predict(np.zeros((9, 7, 3), np.uint8))) == 2
    assert fake.alive() == []
    assert Ledger().open_resources() == ()


@pytest.mark.filterwarnings("ignore:.*hosting without servers")
@pytest.mark.parametrize("hosting", [Hosting(serverless_memory_mb=2048), Hosting(asynchronous=True)])
def test_what_is_found_again_is_asked_as_before(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., SageMakerDetector], hosting: Hosting
) -> None:
    made = host(hosting)
    with SageMakerDetector.attach(made.name, session=cloud.session, classes=CLASSES, poll_seconds=0) as found:
        assert found._site == made._site
    assert fake.alive() == []
    made.close()


def test_one_whose_classes_nobody_knows_is_not_asked(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., SageMakerDetector]
) -> None:
    with host(name="birds"):
        with pytest.raises(ServingError, match="classes of endpoint birds are not known"):
            SageMakerDetector.attach("birds", session=cloud.session)
        with pytest.raises(ServingError, match="there is no endpoint wrens"):
            SageMakerDetector.attach("wrens", session=cloud.session)
        assert len(fake.alive()) == 3


@pytest.mark.parametrize("own", [False, True])
def test_one_that_birdsod_did_not_make_for_the_caller_stays(
    fake: FakeSageMaker, cloud: Cloud, uri: str, own: bool
) -> None:
    client = cloud.sagemaker
    tags = [{"Key": "birdsod:caller", "Value": cloud.caller if own else "someone"}]
    container = {"Image": built_in_image(fake.region), "ModelDataUrl": uri}
    client.create_model(ModelName="m", ExecutionRoleArn=fake.role_arn, PrimaryContainer=container, Tags=tags)  # type: ignore[arg-type]
    variant: Any = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant], Tags=tags)  # type: ignore[arg-type]
    client.create_endpoint(EndpointName="e", EndpointConfigName="c", Tags=tags)  # type: ignore[arg-type]
    found = SageMakerDetector.attach("e", session=cloud.session, classes=CLASSES, poll_seconds=0)
    found.wait()
    if own:
        found.close()
        assert fake.alive() == []
        return
    with pytest.warns(UserWarning, match="so it stays: endpoint e"):
        found.close()
    assert len(fake.alive()) == 3


def test_closing_tells_what_is_still_there_and_can_be_repeated(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    detector = host()
    fake.fail("DeleteEndpoint", "AccessDeniedException", "not allowed")
    with pytest.raises(CloudError, match="still there: endpoint") as caught:
        detector.close()
    assert caught.value.value == "AccessDeniedException"
    with pytest.raises(ServingError, match="closed"):
        detector.predict(b"")
    detector.close()
    assert fake.alive() == []


def test_an_error_in_the_block_is_not_hidden_by_what_is_still_there(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    fake.fail("DeleteEndpoint", "AccessDeniedException", "not allowed", times=2)
    with pytest.raises(ZeroDivisionError) as caught, host() as detector:
        _ = 1 / 0
    assert "still there: endpoint" in caught.value.__notes__[0]
    with pytest.raises(CloudError, match="still there"), detector:
        pass
    detector.close()


def test_an_interrupt_while_it_is_taken_down_can_be_made_good(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector]
) -> None:
    cloud = interrupted(fake, "after-call.sagemaker", "DeleteEndpoint", error=KeyboardInterrupt)
    detector = host(cloud=cloud)
    with pytest.raises(KeyboardInterrupt):
        detector.close()
    assert [item.kind for item in fake.alive()] == KINDS[1:]
    assert len(Ledger().open_resources()) == 3
    detector.close()
    assert fake.alive() == []
    assert Ledger().open_resources() == ()


def test_deleting_is_waited_for(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    fake.script_endpoint(deleting=3)
    host().close()
    assert fake.alive() == []
    assert operations(fake)[-4:] == ["DescribeEndpoint"] * 4


CHILD = """
import os, signal, sys
import boto3
from birdsod.classes import ClassTable
from birdsod.estimator.sagemaker import Cloud
from birdsod.estimator.sagemaker.endpoint import deploy

detector = deploy(
    Cloud.of(boto3.Session()), artifact_uri=sys.argv[1], image=sys.argv[2], role=sys.argv[3],
    classes=ClassTable((17,), ("017.Cardinal",)), poll_seconds=0,
)
exec(sys.argv[4])
"""


@pytest.mark.parametrize(
    ("ending", "code", "left"),
    [
        ("", 0, 0),
        ("sys.exit(3)", 3, 0),
        ("raise KeyboardInterrupt", -2, 0),
        ("1 / 0", 1, 0),
        ("detector.detach()", 0, 3),
        ("pid = os.fork()\nif pid == 0: sys.exit(0)\nos.waitpid(pid, 0); print(detector.status); os._exit(0)", 0, 3),
    ],
)
def test_python_takes_its_endpoints_down_when_it_exits(
    fake: FakeSageMaker, uri: str, tmp_path: Path, ending: str, code: int, left: int
) -> None:
    arguments = [uri, built_in_image(fake.region), fake.role_arn, ending]
    environment = {**os.environ, **fake.environment(), "BIRDSOD_LEDGER": str(tmp_path / "ledger.jsonl")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert len(fake.alive()) == left
    assert len(Ledger(tmp_path / "ledger.jsonl").open_resources()) == left
    assert "fork" not in ending or "InService" in done.stdout
