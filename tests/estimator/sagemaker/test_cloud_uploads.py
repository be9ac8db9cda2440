"""Files to the object store: whole or not at all, and not twice."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from birdsod._files import sha256
from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.estimator.sagemaker.uploads import (
    FileUpload,
    fetch,
    read_bytes,
    size_of,
    upload_files,
    write_object,
)

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.testing import FakeSageMaker

MEGABYTE = 1 << 20


@pytest.fixture
def cloud(fake: FakeSageMaker) -> Cloud:
    return Cloud.of(fake.session())


@pytest.fixture
def uri(fake: FakeSageMaker) -> str:
    return f"s3://{fake.bucket}/birds/train.rec"


def made(path: Path, size: int) -> Path:
    path.write_bytes(hashlib.sha256(str(size).encode()).digest() * (size // 32))
    return path


def keys(cloud: Cloud, bucket: str) -> list[str]:
    return [each["Key"] for each in cloud.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def parts(cloud: Cloud, bucket: str) -> list[str]:
    """Uploads that were begun and not ended."""
    return [each["Key"] for each in cloud.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


@pytest.mark.parametrize("size", [0, 32, 20 * MEGABYTE])
def test_what_comes_up_comes_down(cloud: Cloud, uri: str, tmp_path: Path, size: int) -> None:
    file = made(tmp_path / "train.rec", size)
    report = upload_files(cloud, [FileUpload.of(file, uri)])
    assert (report.sent, report.skipped) == ((uri,), ())
    assert size_of(cloud, uri) == size
    assert sha256(fetch(cloud, uri, tmp_path / "back" / "train.rec")) == sha256(file)


def test_the_same_bytes_are_sent_once(cloud: Cloud, uri: str, tmp_path: Path) -> None:
    upload = FileUpload.of(made(tmp_path / "train.rec", 320), uri)
    upload_files(cloud, [upload])
    assert upload_files(cloud, [upload]).skipped == (uri,)
    changed = FileUpload.of(made(tmp_path / "train.rec", 640), uri)
    assert upload_files(cloud, [changed]).sent == (uri,)


def test_the_same_size_is_not_the_same_bytes(cloud: Cloud, uri: str, tmp_path: Path) -> None:
    file = tmp_path / "train.rec"
    file.write_bytes(b"one")
    upload_files(cloud, [FileUpload.of(file, uri)])
    file.write_bytes(b"two")
    assert upload_files(cloud, [FileUpload.of(file, uri)]).sent == (uri,)
    assert read_bytes(cloud, uri, most=3) == b"two"


def test_a_file_that_changed_since_it_was_packed_is_refused(
    cloud: Cloud, uri: str, fake: FakeSageMaker, tmp_path: Path
) -> None:
    upload = FileUpload.of(made(tmp_path / "train.rec", 320), uri)
    upload.path.write_bytes(b"x" * 320)
    with pytest.raises(CloudError, match="not what was packed"):
        upload_files(cloud, [upload])
    upload.path.unlink()
    with pytest.raises(CloudError, match="cannot be read"):
        upload_files(cloud, [upload])
    assert keys(cloud, fake.bucket) == []


def test_a_key_encrypts(cloud: Cloud, uri: str, tmp_path: Path) -> None:
    upload = FileUpload.of(made(tmp_path / "train.rec", 320), uri)
    upload_files(cloud, [upload])
    # What is there without encryption does not do.
    assert upload_files(cloud, [upload], kms_key="key-1").sent == (uri,)
    assert upload_files(cloud, [upload], kms_key="key-1").skipped == (uri,)
    assert upload_files(cloud, [upload], kms_key="key-2").sent == (uri,)
    assert upload_files(cloud, [upload], kms_key="alias/birds").skipped == (uri,)
    head = cloud.s3.head_object(Bucket=uri.split("/")[2], Key="birds/train.rec")
    assert head["ServerSideEncryption"] == "aws:kms"
    write_object(cloud, uri, b"{}", content_type="application/json", kms_key="key-3")
    assert cloud.s3.head_object(Bucket=uri.split("/")[2], Key="birds/train.rec")["SSEKMSKeyId"].endswith("key-3")


def refusing(cloud: Cloud, operation: str, code: str, *, after: int = 0) -> None:
    """Let the store answer an operation with an error, from its so-many-th call on."""
    left = [after]

    def refuse(**_: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise ClientError({"Error": {"Code": code, "Message": f"{code} planned"}}, operation)

    cloud.s3.meta.events.register(f"before-call.s3.{operation}", refuse)


def test_an_upload_that_fails_leaves_nothing(cloud: Cloud, uri: str, fake: FakeSageMaker, tmp_path: Path) -> None:
    refusing(cloud, "UploadPart", "InternalError", after=1)
    with pytest.raises(CloudError, match="planned"):
        upload_files(cloud, [FileUpload.of(made(tmp_path / "train.rec", 20 * MEGABYTE), uri)])
    assert keys(cloud, fake.bucket) == []
    assert parts(cloud, fake.bucket) == []


def test_an_interrupted_upload_leaves_all_or_nothing(
    cloud: Cloud, uri: str, fake: FakeSageMaker, tmp_path: Path
) -> None:
    def interrupt(**_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    file = FileUpload.of(made(tmp_path / "train.rec", 20 * MEGABYTE), uri)
    cloud.s3.meta.events.register("needs-retry.s3.UploadPart", interrupt)
    with pytest.raises(KeyboardInterrupt):
        upload_files(cloud, [file])
    assert size_of(cloud, uri) in {None, file.bytes}
    assert parts(cloud, fake.bucket) == []


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import boto3
    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.estimator.sagemaker.uploads import FileUpload, upload_files

    cloud = Cloud.of(boto3.Session())
    left = [2]

    def die(**_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    cloud.s3.meta.events.register("after-call.s3.UploadPart", die)
    upload_files(cloud, [FileUpload.of(Path(sys.argv[1]), sys.argv[2])])
"""


def test_a_killed_upload_leaves_no_half_object_and_the_next_one_clears_up(
    cloud: Cloud, uri: str, fake: FakeSageMaker, tmp_path: Path
) -> None:
    file = made(tmp_path / "train.rec", 40 * MEGABYTE)
    other = f"{uri}.idx"
    cloud.s3.create_multipart_upload(Bucket=fake.bucket, Key=other.split("/", 3)[3])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(file), uri],
        env={**os.environ, **fake.environment()},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert keys(cloud, fake.bucket) == []
    assert len(parts(cloud, fake.bucket)) == 2
    upload_files(cloud, [FileUpload.of(file, uri)])
    assert keys(cloud, fake.bucket) == ["birds/train.rec"]
    # The other object's upload is none of ours.
    assert parts(cloud, fake.bucket) == ["birds/train.rec.idx"]
    # Also where nothing needs to be sent any more.
    cloud.s3.create_multipart_upload(Bucket=fake.bucket, Key="birds/train.rec")
    assert upload_files(cloud, [FileUpload.of(file, uri)]).sent == ()
    assert parts(cloud, fake.bucket) == ["birds/train.rec.idx"]


def test_another_session_may_have_sent_the_same(cloud: Cloud, uri: str, fake: FakeSageMaker, tmp_path: Path) -> None:
    file = FileUpload.of(made(tmp_path / "train.rec", 20 * MEGABYTE), uri)
    other = Cloud.of(fake.session())
    ended: list[bool] = []

    def meanwhile(**_: Any) -> None:
        if not ended:
            ended.append(True)
            upload_files(other, [file])
            raise ClientError({"Error": {"Code": "NoSuchUpload", "Message": "gone"}}, "CompleteMultipartUpload")

    cloud.s3.meta.events.register("before-call.s3.CompleteMultipartUpload", meanwhile)
    assert upload_files(cloud, [file]).sent == (uri,)
    assert size_of(cloud, uri) == file.bytes


@pytest.mark.parametrize(("code", "fine"), [("AccessDenied", True), ("NotImplemented", True), ("InternalError", False)])
def test_whoever_may_not_list_uploads_may_upload(cloud: Cloud, uri: str, tmp_path: Path, code: str, fine: bool) -> None:
    refusing(cloud, "ListMultipartUploads", code)
    file = FileUpload.of(made(tmp_path / "train.rec", 32), uri)
    if fine:
        assert upload_files(cloud, [file]).sent == (uri,)
    else:
        with pytest.raises(CloudError, match="broken uploads"):
            upload_files(cloud, [file])


@pytest.mark.parametrize(("code", "fine"), [("403", True), ("InternalError", False)])
def test_whoever_may_not_look_may_upload(cloud: Cloud, uri: str, tmp_path: Path, code: str, fine: bool) -> None:
    refusing(cloud, "HeadObject", code)
    file = FileUpload.of(made(tmp_path / "train.rec", 32), uri)
    if fine:
        assert upload_files(cloud, [file]).sent == (uri,)
    else:
        with pytest.raises(CloudError, match="look at"):
            upload_files(cloud, [file])


def test_a_bucket_that_is_not_there(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="existing bucket") as caught:
        upload_files(cloud, [FileUpload.of(made(tmp_path / "a", 32), "s3://no-such-bucket-of-birds/a")])
    assert caught.value.value == "NoSuchBucket"


def test_reading_is_bounded(cloud: Cloud, uri: str) -> None:
    assert read_bytes(cloud, uri, most=10) is None
    write_object(cloud, uri, b"0123456789", content_type="text/plain")
    assert read_bytes(cloud, uri, most=10) == b"0123456789"
    with pytest.raises(CloudError, match="more than 9 bytes"):
        read_bytes(cloud, uri, most=9)
    refusing(cloud, "GetObject", "AccessDenied")
    with pytest.raises(CloudError, match="AccessDenied"):
        read_bytes(cloud, uri, most=10)


def test_what_was_fetched_is_kept(cloud: Cloud, uri: str, tmp_path: Path) -> None:
    write_object(cloud, uri, b"0123456789", content_type="text/plain")
    path = fetch(cloud, uri, tmp_path / "file")
    before = path.stat().st_ino
    assert fetch(cloud, uri, path).stat().st_ino == before
    path.write_bytes(b"cut off")
    assert fetch(cloud, uri, path).read_bytes() == b"0123456789"


def test_what_is_not_there_cannot_be_fetched(cloud: Cloud, uri: str, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="no such object"):
        fetch(cloud, uri, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_an_object_that_changes_meanwhile_is_told(cloud: Cloud, uri: str, tmp_path: Path) -> None:
    write_object(cloud, uri, b"0123456789", content_type="text/plain")
    again: list[bool] = []

    def change(**_: Any) -> None:
        if not again:
            again.append(True)
            write_object(cloud, uri, b"01234", content_type="text/plain")

    cloud.s3.meta.events.register("after-call.s3.HeadObject", change)
    with pytest.raises(CloudError, match="changed while"):
        fetch(cloud, uri, tmp_path / "file")
    assert list(tmp_path.glob("*file*")) == []
