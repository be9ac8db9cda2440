"""Sessions, accounts, planned errors and the server itself of the fake cloud."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from birdsod.errors import BirdsodError, MissingDependencyError
from birdsod.testing import AliveResource, FakeSageMaker
from birdsod.testing._fake_sagemaker import loopback

if TYPE_CHECKING:
    from tests.testing_fake.conftest import Account


def test_a_session_is_wired_and_nothing_else_is_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-3\nendpoint_url = http://127.0.0.1:9\n")
    hostile = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PROFILE": "mine",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with FakeSageMaker() as cloud:
        session = cloud.session()
        assert session.region_name == "us-east-1"
        assert session.client("sagemaker").list_models()["Models"] == []
        assert session.client("sts").get_caller_identity()["Account"] == cloud.account
        assert [bucket.name for bucket in session.resource("s3").buckets.all()] == [cloud.bucket]
        inner = boto3.Session(botocore_session=session._session)
        assert inner.client("sagemaker").list_models()["Models"] == []
    assert dict(os.environ) == before
    assert boto3.DEFAULT_SESSION is None


def test_an_address_that_is_given_is_taken(account: Account, fake: FakeSageMaker) -> None:
    account.model()
    with FakeSageMaker() as other:
        client = other.session().client("sagemaker", endpoint_url=fake.url)
        assert [row["ModelName"] for row in client.list_models()["Models"]] == ["birds"]


def test_a_child_process_is_wired_by_its_environment(fake: FakeSageMaker) -> None:
    code = (
        "import boto3; "
        "print(boto3.client('sts').get_caller_identity()['Account'], "
        "boto3.client('s3').list_buckets()['Buckets'][0]['Name'], "
        "boto3.client('sagemaker').list_models()['Models'], boto3.Session().region_name)"
    )
    hostile = {"AWS_PROFILE": "nobody", "HTTP_PROXY": "http://127.0.0.1:9", "AWS_SESSION_TOKEN": "old"}
    environment = {**os.environ, **hostile, **fake.environment()}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [fake.account, fake.bucket, "[]", "us-east-1"]


def test_several_fakes_keep_apart(account: Account, fake: FakeSageMaker) -> None:
    account.model()
    with FakeSageMaker(region="eu-west-1") as other:
        assert other.account != fake.account
        assert other.url != fake.url
        session = other.session()
        assert session.region_name == "eu-west-1"
        assert session.client("sagemaker").list_models()["Models"] == []
        assert [row["Name"] for row in session.client("s3").list_buckets()["Buckets"]] == [other.bucket]
        assert session.client("s3").head_bucket(Bucket=other.bucket)["BucketRegion"] == "eu-west-1"
        assert other.alive() == []
    assert fake.alive() == [AliveResource("model", "birds")]
    assert account.s3.head_bucket(Bucket=fake.bucket)


def test_an_account_is_used_once_and_forgotten(fake: FakeSageMaker) -> None:
    with (
        pytest.raises(BirdsodError, match="another fake of this process has that account"),
        FakeSageMaker(account=fake.account),
    ):
        pass
    with FakeSageMaker(account="210987654321") as first:
        first.session().client("s3").create_bucket(Bucket="birds-of-mine")
    with FakeSageMaker(account="210987654321") as second:
        assert second.role_arn == "arn:aws:iam::210987654321:role/BirdsodExecution"
        assert [row["Name"] for row in second.session().client("s3").list_buckets()["Buckets"]] == [second.bucket]


def test_regions_keep_apart(account: Account, fake: FakeSageMaker) -> None:
    account.model()
    assert fake.session(region="eu-west-1").client("sagemaker").list_models()["Models"] == []


def test_a_session_may_be_a_role_s(fake: FakeSageMaker) -> None:
    arn = fake.session(role=fake.role_arn).client("sts").get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::{fake.account}:assumed-role/BirdsodExecution/SageMaker"


def _ask_again(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/")
    connection.getresponse()


def test_a_fake_that_does_not_run_says_so() -> None:
    cloud = FakeSageMaker()
    with pytest.raises(BirdsodError, match="the fake cloud is not running"):
        cloud.alive()
    with cloud:
        url = cloud.url
        folder = cloud._folder
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        connection.request("GET", "/")
        connection.getresponse().read()
    cloud.close()
    assert not folder.exists()
    with pytest.raises(BirdsodError, match="not running"):
        _ = cloud.url
    # A connection that was left open is closed too.
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        _ask_again(connection)
    connection.close()
    with pytest.raises(ConnectionError):
        socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), timeout=5)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("birdsod-fake")]


def test_a_block_that_is_never_left_ends_with_the_process() -> None:
    code = (
        "from birdsod.testing import FakeSageMaker\n"
        "cloud = FakeSageMaker().__enter__()\n"
        "print(cloud._folder, cloud._folder.exists())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder, existed = done.stdout.split()
    assert existed == "True"
    assert not Path(folder).exists()


def test_what_was_asked_is_kept_in_order(account: Account, fake: FakeSageMaker) -> None:
    fake.calls.clear()
    account.sagemaker.create_training_job(**account.training())
    with pytest.raises(ClientError):
        account.sagemaker.create_training_job(**account.training())
    account.logs.describe_log_groups()
    account.quotas.list_service_quotas(ServiceCode="sagemaker")
    asked = [call.operation for call in fake.calls]
    assert asked == ["CreateTrainingJob", "CreateTrainingJob", "DescribeLogGroups", "ListServiceQuotas"]
    assert fake.calls[0].request == account.training()


def test_errors_are_planned_for_any_operation(account: Account, fake: FakeSageMaker) -> None:
    fake.fail("CreateTrainingJob", "ResourceLimitExceeded", "no more", times=2, after=1)
    account.sagemaker.create_training_job(**account.training())
    for _ in range(2):
        with pytest.raises(account.sagemaker.exceptions.ResourceLimitExceeded, match="no more"):
            account.sagemaker.create_training_job(**account.training("birds-2"))
    account.sagemaker.create_training_job(**account.training("birds-2"))
    fake.fail("DescribeTrainingJob", "ThrottlingException", "Rate exceeded", status=400)
    with pytest.raises(ClientError, match=r"ThrottlingException.*Rate exceeded"):
        account.sagemaker.describe_training_job(TrainingJobName="birds-1")
    fake.fail("InvokeEndpoint", "ServiceUnavailable", status=503)
    with pytest.raises(ClientError) as caught:
        account.runtime.invoke_endpoint(EndpointName="birds", Body=b"")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    fake.fail("DescribeNotebookInstance", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        account.sagemaker.describe_notebook_instance(NotebookInstanceName="a")
    with pytest.raises(ClientError, match=r"UnknownOperation.*does not know the operation DescribeNotebookInstance"):
        account.sagemaker.describe_notebook_instance(NotebookInstanceName="a")


@pytest.mark.parametrize(
    ("operation", "ask"),
    [
        ("ListBuckets", lambda s3, _: s3.list_buckets()),
        ("HeadBucket", lambda s3, bucket: s3.head_bucket(Bucket=bucket)),
        ("GetBucketLocation", lambda s3, bucket: s3.get_bucket_location(Bucket=bucket)),
        ("CreateBucket", lambda s3, _: s3.create_bucket(Bucket="birds-of-mine")),
        ("ListObjectsV2", lambda s3, bucket: s3.list_objects_v2(Bucket=bucket)),
        ("ListObjects", lambda s3, bucket: s3.list_objects(Bucket=bucket)),
        ("DeleteObjects", lambda s3, bucket: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}]})),
        ("PutObject", lambda s3, bucket: s3.put_object(Bucket=bucket, Key="a", Body=b"")),
        ("CopyObject", lambda s3, bucket: s3.copy_object(Bucket=bucket, Key="a", CopySource=f"{bucket}/b")),
        ("GetObject", lambda s3, bucket: s3.get_object(Bucket=bucket, Key="a")),
        ("HeadObject", lambda s3, bucket: s3.head_object(Bucket=bucket, Key="a")),
        ("CreateMultipartUpload", lambda s3, bucket: s3.create_multipart_upload(Bucket=bucket, Key="a")),
        (
            "UploadPart",
            lambda s3, bucket: s3.upload_part(Bucket=bucket, Key="a", UploadId="u", PartNumber=1, Body=b""),
        ),
    ],
)
def test_errors_are_planned_for_s3_too(account: Account, fake: FakeSageMaker, operation: str, ask: object) -> None:
    assert callable(ask)
    fake.fail(operation, "SlowDown", "slower <please>", status=503)
    with pytest.raises(ClientError) as caught:
        ask(account.s3, fake.bucket)
    told = caught.value.response
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 503
    if not operation.startswith("Head"):
        assert (told["Error"]["Code"], told["Error"]["Message"]) == ("SlowDown", "slower <please>")


def test_plans_do_not_concern_the_fake_s_own_requests(account: Account, fake: FakeSageMaker) -> None:
    fake.fail("PutObject", "AccessDenied", status=403)
    fake.fail("GetRole", "AccessDenied", status=403)
    assert account.train()["TrainingJobStatus"] == "Completed"
    with pytest.raises(ClientError, match="AccessDenied"):
        account.put("a", b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        fake.session().client("iam").get_role(RoleName="BirdsodExecution")


def test_errors_are_planned_for_sts_too(fake: FakeSageMaker) -> None:
    fake.fail("GetCallerIdentity", "ExpiredToken", "The security token included in the request is expired", status=403)
    sts = fake.session().client("sts")
    with pytest.raises(ClientError, match="ExpiredToken"):
        sts.get_caller_identity()
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{fake.account}:user/birdsod"


def test_quotas_are_listed_and_found(account: Account, fake: FakeSageMaker) -> None:
    fake.script_quota("ml.g4dn.xlarge for training job usage", 2)
    pages = account.quotas.get_paginator("list_service_quotas").paginate(
        ServiceCode="sagemaker", PaginationConfig={"PageSize": 10}
    )
    rows = {row["QuotaName"]: row for part in pages for row in part["Quotas"]}
    assert len(rows) > 10
    assert rows["ml.m5.large for endpoint usage"]["Value"] == 4
    row = rows["ml.g4dn.xlarge for training job usage"]
    assert row["Value"] == 2
    ask = account.quotas.get_service_quota
    assert ask(ServiceCode="sagemaker", QuotaCode=row["QuotaCode"])["Quota"] == row
    with pytest.raises(ClientError, match="specified quota does not exist"):
        ask(ServiceCode="sagemaker", QuotaCode="L-0")
    with pytest.raises(ClientError, match="specified service does not exist"):
        ask(ServiceCode="ec2", QuotaCode="L-0")


def raw(fake: FakeSageMaker, data: bytes) -> bytes:
    """Return the first line of the answer to raw bytes."""
    split = urlsplit(fake.url)
    with socket.create_connection((split.hostname or "", split.port or 0), timeout=30) as connection:
        connection.sendall(data)
        return connection.makefile("rb").readline()


SIGNED = b"Authorization: AWS4-HMAC-SHA256 Credential=A/20261122/us-east-1/%s/aws4_request\r\n"


def test_bodies_are_bounded(fake: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "BODY_BYTES", 10)
    assert b" 413 " in raw(fake, b"PUT /birds/a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
    assert b" 413 " in raw(fake, b"PUT /birds/a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n")
    chunked = b"PUT /birds/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 413 " in raw(fake, chunked + b"8\r\n12345678\r\n8\r\n")
    assert b" 413 " in raw(fake, chunked + b"many\r\n")
    small = b"3\r\n{}\n\r\n1\r\n \r\n0\r\n\r\n"
    signed = b"X-Amz-Target: SageMaker.ListModels\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    assert b" 200 " in raw(fake, b"POST / HTTP/1.1\r\n" + SIGNED % b"sagemaker" + signed + b"\r\n" + small)


def test_trailers_of_a_body_are_passed_over(fake: FakeSageMaker) -> None:
    signed = b"X-Amz-Target: SageMaker.ListModels\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    body = b"2\r\n{}\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\nx-amz-meta-a: b\r\n\r\n"
    assert b" 200 " in raw(fake, b"POST / HTTP/1.1\r\n" + SIGNED % b"sagemaker" + signed + b"\r\n" + body)


def test_what_is_no_json_is_told(fake: FakeSageMaker) -> None:
    head = b"X-Amz-Target: SageMaker.ListModels\r\nHost: a\r\nContent-Length: 1\r\n\r\n{"
    assert b" 400 " in raw(fake, b"POST / HTTP/1.1\r\n" + SIGNED % b"sagemaker" + head)
    list_ = b"X-Amz-Target: SageMaker.ListModels\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]"
    assert b" 400 " in raw(fake, b"POST / HTTP/1.1\r\n" + SIGNED % b"sagemaker" + list_)


def test_a_fault_of_the_fake_itself_is_an_answer_too(
    account: Account, fake: FakeSageMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fake._here, "calls", None)
    with pytest.raises(ClientError, match=r"\(500\).*the fake failed"):
        account.sagemaker.list_models()
    assert "AttributeError" in capsys.readouterr().err


def test_another_path_of_the_runtime_is_unknown(fake: FakeSageMaker) -> None:
    head = b"Host: a\r\nContent-Length: 0\r\n\r\n"
    assert b" 400 " in raw(fake, b"POST /endpoints/a/other HTTP/1.1\r\n" + SIGNED % b"sagemaker" + head)


def test_large_uploads_go_in_parts(account: Account, fake: FakeSageMaker, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 17
    (tmp_path / "large").write_bytes(data)
    account.s3.upload_file(str(tmp_path / "large"), fake.bucket, "large", ExtraArgs={"Metadata": {"sha": "1"}})
    assert account.get(f"s3://{fake.bucket}/large") == data
    head = account.s3.head_object(Bucket=fake.bucket, Key="large")
    assert (head["ContentLength"], head["Metadata"]) == (len(data), {"sha": "1"})
    with pytest.raises(ClientError, match="404"):
        account.s3.head_object(Bucket=fake.bucket, Key="nothing")


@pytest.mark.parametrize("missing", ["moto.moto_server.werkzeug_app", "boto3"])
def test_what_is_not_installed_is_told(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r"birdsod\[testing\]"), FakeSageMaker():
        pass
    monkeypatch.undo()
    with FakeSageMaker() as cloud:
        assert cloud.account == "123456789012"
