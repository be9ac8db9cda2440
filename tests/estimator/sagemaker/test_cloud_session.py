"""Who asks, where, with which bucket and which role."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker import roles
from birdsod.estimator.sagemaker.buckets import split_uri
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.testing._fake_sagemaker.wiring import wired

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.testing import FakeSageMaker

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


@pytest.fixture
def cloud(fake: FakeSageMaker) -> Cloud:
    return Cloud.of(fake.session())


def assumed(fake: FakeSageMaker, role: str) -> Cloud:
    """The cloud as a session sees it that has assumed a role."""
    told = fake.session().client("sts").assume_role(RoleArn=role, RoleSessionName="tester")["Credentials"]
    session = fake.session()
    session._session.set_credentials(told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"])
    return Cloud.of(session)


def test_the_caller_is_asked_for_once(fake: FakeSageMaker, cloud: Cloud) -> None:
    assert (cloud.account, cloud.region, cloud.partition) == (fake.account, "us-east-1", "aws")
    assert cloud.caller == f"arn:aws:iam::{fake.account}:user/birdsod"
    assert repr(cloud) == "Cloud('us-east-1')"


def test_clients_are_shared_and_fresh_after_renewal(cloud: Cloud) -> None:
    before = cloud.sagemaker
    assert Cloud(cloud.session).sagemaker is before
    assert cloud.renewed().sagemaker is not before
    assert [client.meta.service_model.service_name for client in (cloud.runtime, cloud.logs, cloud.quotas)] == [
        "sagemaker-runtime",
        "logs",
        "service-quotas",
    ]


def test_one_client_for_many_threads(cloud: Cloud) -> None:
    found: set[int] = set()
    threads = [threading.Thread(target=lambda: found.add(id(cloud.s3))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_renewal_looks_up_again_what_was_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OLD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    cloud = Cloud.of(boto3.Session(region_name="eu-west-1"))
    assert _key(cloud) == "OLD"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NEW")
    assert _key(cloud) == "OLD"
    assert _key(cloud.renewed()) == "NEW"


def test_renewal_keeps_what_was_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    session = boto3.Session("GIVEN", "secret", region_name="eu-west-1")
    assert _key(Cloud.of(session).renewed()) == "GIVEN"


def _key(cloud: Cloud) -> str:
    signer: Any = cloud.sagemaker._request_signer  # type: ignore[attr-defined]  # what it signs with is not public
    return str(signer._credentials.access_key)


def test_retries_that_the_session_chose_are_kept() -> None:
    session = boto3.Session("a", "b", region_name="eu-west-1")
    session._session.set_default_client_config(Config(retries={"mode": "standard", "total_max_attempts": 2}))
    assert Cloud.of(session).sagemaker.meta.config.retries["total_max_attempts"] == 2  # type: ignore[attr-defined]
    plain = Cloud.of(boto3.Session("a", "b", region_name="eu-west-1"))
    assert plain.sagemaker.meta.config.retries["mode"] == "adaptive"  # type: ignore[attr-defined]
    assert plain.runtime.meta.config.read_timeout == 70  # type: ignore[attr-defined]


def test_a_session_without_region_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(CloudError, match="no region"):
        Cloud.of(boto3.Session())


def test_boto3s_own_session_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    session = boto3.Session("a", "b", region_name="eu-central-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    assert Cloud.of().session is session


def test_a_profile_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CloudError, match="list-profiles"):
        Cloud.of()


def test_no_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CloudError, match="aws configure"):
        _ = Cloud.of(boto3.Session(region_name="eu-west-1")).account


# Buckets


def test_the_default_bucket_is_the_sdks(fake: FakeSageMaker, cloud: Cloud) -> None:
    assert cloud.find_bucket(None) == fake.bucket


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_the_default_bucket_is_made_in_its_region(fake: FakeSageMaker, region: str) -> None:
    cloud = Cloud.of(fake.session(region=region))
    name = f"sagemaker-{region}-{fake.account}"
    if region == fake.region:
        cloud.s3.delete_bucket(Bucket=name)
    assert cloud.find_bucket(None, create=False) == name
    with pytest.raises(Exception, match="404"):
        cloud.s3.head_bucket(Bucket=name)
    assert cloud.find_bucket(None) == name
    assert cloud.find_bucket(None) == name
    where: str | None = cloud.s3.get_bucket_location(Bucket=name).get("LocationConstraint")
    assert where == (None if region == "us-east-1" else region)


@pytest.mark.parametrize(("code", "told"), [("AccessDenied", "bucket="), ("InternalError", None)])
def test_a_default_bucket_that_is_not_ones_own(fake: FakeSageMaker, cloud: Cloud, code: str, told: str | None) -> None:
    def refuse(**_: Any) -> None:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "HeadBucket")

    _ = fake
    cloud.s3.meta.events.register("before-call.s3.HeadBucket", refuse)
    with pytest.raises(CloudError) as caught:
        cloud.find_bucket(None)
    assert (told or "") in str(caught.value.cure)
    assert (caught.value.message == "the default bucket cannot be used") == (told is not None)


@pytest.mark.parametrize(
    ("code", "fine"), [("BucketAlreadyOwnedByYou", True), ("OperationAborted", True), ("TooManyBuckets", False)]
)
def test_another_session_may_make_the_bucket_first(cloud: Cloud, code: str, fine: bool) -> None:
    def refuse(**_: Any) -> None:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "CreateBucket")

    cloud.s3.delete_bucket(Bucket=cloud.find_bucket(None))
    cloud.s3.meta.events.register("before-call.s3.CreateBucket", refuse)
    if fine:
        cloud.find_bucket(None)
    else:
        with pytest.raises(CloudError, match="existing bucket of this region"):
            cloud.find_bucket(None)


def test_a_given_bucket_is_taken_without_asking() -> None:
    cloud = Cloud.of(boto3.Session("a", "b", region_name="eu-west-1"))
    assert cloud.find_bucket("birds") == "birds"
    assert cloud.find_bucket("s3://birds/") == "birds"


@pytest.mark.parametrize("name", ["", "Birds", "a", "birds/jobs", "s3://birds/jobs", "10.0.0.1", "a..b", "-birds"])
def test_what_is_no_bucket(name: str) -> None:
    with pytest.raises(CloudError, match="no name of a bucket"):
        Cloud.of(boto3.Session("a", "b", region_name="eu-west-1")).find_bucket(name)


def test_addresses_come_apart() -> None:
    assert split_uri("s3://birds") == ("birds", "")
    with pytest.raises(CloudError, match="no address"):
        split_uri("https://birds/key")


# Roles


def test_a_given_arn_is_taken_without_asking() -> None:
    cloud = Cloud.of(boto3.Session("a", "b", region_name="eu-west-1"))
    arn = "arn:aws:iam::123456789012:role/service-role/birds"
    assert cloud.find_role(arn) == arn


def test_a_given_name_is_looked_up(fake: FakeSageMaker, cloud: Cloud) -> None:
    assert cloud.find_role("BirdsodExecution") == fake.role_arn


@pytest.mark.parametrize("given", ["nobody", "not a role", "arn:aws:iam::1:role/x"])
def test_a_role_that_is_none_says_what_to_pass(cloud: Cloud, given: str) -> None:
    with pytest.raises(CloudError, match="role= the name or ARN"):
        cloud.find_role(given)


def test_a_user_has_no_role(cloud: Cloud) -> None:
    with pytest.raises(CloudError, match="signed in as a user") as caught:
        cloud.find_role(None)
    assert "role=" in str(caught.value.cure)


@pytest.mark.parametrize("path", ["/", "/service-role/", "/aws-reserved/sso.amazonaws.com/eu-west-1/"])
def test_an_assumed_role_is_found_with_its_path(fake: FakeSageMaker, path: str) -> None:
    name = "AWSReservedSSO_Admin_0123456789abcdef" if "sso" in path else "Birds"
    made = fake.session().client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=TRUST)
    arn = made["Role"]["Arn"]
    assert path in arn
    assert assumed(fake, arn).find_role(None) == arn


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Birds", "role/Birds"),
        ("AmazonSageMaker-ExecutionRole-2026", "role/service-role/AmazonSageMaker-ExecutionRole-2026"),
        ("AWSReservedSSO_Admin_0123456789abcdef", None),
    ],
)
def test_a_role_that_may_not_look_itself_up(fake: FakeSageMaker, name: str, found: str | None) -> None:
    iam = fake.session().client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    cloud = assumed(fake, arn)
    assert cloud.caller.startswith("arn:aws:sts::")
    iam.delete_role(RoleName=name)
    if found is None:
        with pytest.raises(CloudError, match="path of your own role"):
            cloud.find_role(None)
    else:
        assert cloud.find_role(None) == f"arn:aws:iam::{fake.account}:{found}"


@pytest.fixture
def metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "resource-metadata.json"
    monkeypatch.setattr(roles, "METADATA", path)
    return path


def test_studio_tells_its_role(cloud: Cloud, metadata: Path) -> None:
    metadata.write_text(json.dumps({"ExecutionRoleArn": "arn:aws:iam::123456789012:role/studio", "DomainId": "d"}))
    assert cloud.find_role(None) == "arn:aws:iam::123456789012:role/studio"


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_metadata_that_say_nothing_leave_the_caller(cloud: Cloud, metadata: Path, content: str) -> None:
    metadata.write_text(content)
    with pytest.raises(CloudError, match="signed in as a user"):
        cloud.find_role(None)


class Notebooks:
    """A service that knows about notebooks only, at the loopback address."""

    def __init__(self, answers: dict[str, dict[str, Any]]) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(self.headers["X-Amz-Target"].partition(".")[2])
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps(answers[asked[-1]]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def cloud(self) -> Cloud:
        return Cloud.of(wired(f"http://127.0.0.1:{self._server.server_port}", "eu-west-1", "key", "secret"))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


ROLE = "arn:aws:iam::123456789012:role/birds"


@pytest.mark.parametrize(
    ("told", "answers"),
    [
        ({"ResourceName": "notebook"}, {"DescribeNotebookInstance": {"RoleArn": ROLE}}),
        (
            {"DomainId": "d", "UserProfileName": "u"},
            {"DescribeUserProfile": {"UserSettings": {"ExecutionRole": ROLE}}},
        ),
        (
            {"DomainId": "d", "UserProfileName": "u"},
            {"DescribeUserProfile": {}, "DescribeDomain": {"DefaultUserSettings": {"ExecutionRole": ROLE}}},
        ),
        (
            {"DomainId": "d", "SpaceName": "s"},
            {"DescribeDomain": {"DefaultSpaceSettings": {"ExecutionRole": ROLE}, "DefaultUserSettings": {}}},
        ),
    ],
)
def test_a_notebook_has_its_role(metadata: Path, told: dict[str, str], answers: dict[str, Any]) -> None:
    metadata.write_text(json.dumps(told))
    with closing(Notebooks(answers)) as notebooks:
        assert notebooks.cloud().find_role(None) == ROLE
    assert notebooks.asked == list(answers)


def test_a_notebook_whose_role_may_not_look(fake: FakeSageMaker, cloud: Cloud, metadata: Path) -> None:
    fake.fail("DescribeNotebookInstance", "AccessDeniedException")
    metadata.write_text(json.dumps({"ResourceName": "notebook"}))
    with pytest.raises(CloudError, match="find the role of this notebook"):
        cloud.find_role(None)


def test_a_studio_may_name_no_role(metadata: Path) -> None:
    metadata.write_text(json.dumps({"DomainId": "d"}))
    with closing(Notebooks({"DescribeDomain": {}})) as notebooks:
        assert roles._of_notebook(notebooks.cloud()) is None
