"""Shards merged by the object store itself: the objects are the files of a merge in a folder."""

from __future__ import annotations

import builtins
import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from hypothesis import given, settings
from hypothesis import strategies as st

import birdsod as bd
from birdsod import ClassTable, DetectionDataset
from birdsod.errors import CloudError, DatasetError, MissingDependencyError, RecordError
from birdsod.recordio import Packed, Stored, merge
from birdsod.recordio._merge_parts import REAL, Limits, plan_parts
from birdsod.recordio._merge_store import merge_store
from birdsod.testing import FakeSageMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import boto3
    from mypy_boto3_s3.client import S3Client

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec" / "images"
TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
PHOTO = "d_noise_64x64.jpg"
TINY = Limits(least=1000, most=4000, parts=50, wanted=2000)
FILES = ["packed.json", *(f"{name}.{end}" for name in ("train", "validation") for end in ("idx", "lst", "rec"))]


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeSageMaker]:
    """A fake account, whose store takes parts as small as the tests send."""
    with pytest.MonkeyPatch.context() as patched, FakeSageMaker() as made:
        patched.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", TINY.least)
        yield made


@pytest.fixture(scope="module")
def session(fake: FakeSageMaker) -> boto3.Session:
    return fake.session()


@pytest.fixture(scope="module")
def stocked(fake: FakeSageMaker, session: boto3.Session, shards: Path) -> S3Client:
    client = session.client("s3")
    upload(client, fake.bucket, shards)
    return client


@pytest.fixture
def s3(fake: FakeSageMaker, stocked: S3Client) -> Iterator[S3Client]:
    """The store with the shards below in/, which tests leave as they are; all else goes."""
    yield stocked
    for row in stocked.list_objects_v2(Bucket=fake.bucket).get("Contents", []):
        if not row.get("Key", "").startswith("in/"):
            stocked.delete_object(Bucket=fake.bucket, Key=row.get("Key", ""))


def dataset(folder: Path, images: int) -> DetectionDataset:
    ids = list(range(images))
    for place in ids:
        (folder / f"{place}.jpg").unlink(missing_ok=True)
        (folder / f"{place}.jpg").symlink_to(GOLDEN / PHOTO)
    sides = {"xmin": -3, "ymin": 1, "xmax": 60, "ymax": 9}
    return DetectionDataset.from_tables(
        {"image_id": ids, "path": [f"{place}.jpg" for place in ids]},
        {"image_id": ids, "class_id": [place % 2 for place in ids]}
        | {side: [at] * images for side, at in sides.items()},
        root=folder,
        class_table=TABLE,
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards, one of which is empty."""
    folder = tmp_path_factory.mktemp("shards")
    channels = {"train": dataset(folder, 9), "validation": dataset(folder, 4)}
    (folder / "2.jpg").unlink()
    bd.pack(channels, folder / "out", resize=16, shards=4, on_error="collect")
    return folder / "out"


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return merge(shards, tmp_path_factory.mktemp("whole") / "out")


def upload(s3: S3Client, bucket: str, folder: Path, prefix: str = "in/") -> None:
    for path in folder.iterdir():
        s3.put_object(Bucket=bucket, Key=prefix + path.name, Body=path.read_bytes())


def objects(s3: S3Client, bucket: str, prefix: str = "out/") -> dict[str, bytes]:
    rows = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {
        row.get("Key", "").removeprefix(prefix): s3.get_object(Bucket=bucket, Key=row.get("Key", ""))["Body"].read()
        for row in rows
    }


def unseen(s3: S3Client, bucket: str) -> list[Any]:
    return list(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def merged(
    fake: FakeSageMaker, session: boto3.Session | None, target: str = "out/", source: str = "in", **how: Any
) -> Stored:
    options: dict[str, Any] = {"overwrite": False, "verify": True, "limits": TINY, **how}
    return merge_store(f"s3://{fake.bucket}/{source}", f"s3://{fake.bucket}/{target}", session=session, **options)


# How many parts, of what


@settings(max_examples=500)
@given(
    st.lists(st.integers(0, 3000), max_size=30),
    st.integers(1, 400),
    st.integers(2, 10),
    st.integers(2, 60),
    st.integers(1, 2000),
)
def test_parts_are_the_whole_and_what_the_store_takes(
    sizes: list[int], least: int, times: int, parts: int, wanted: int
) -> None:
    limits = Limits(least=least, most=least * times, parts=parts, wanted=wanted)
    try:
        planned = plan_parts(sizes, limits)
    except RecordError:
        # Twice as many bytes as the store takes by half are too many for certain, fewer than that never.
        assert 2 * sum(sizes) > limits.most * (parts - 1)
        return
    stretches = [stretch for part in planned for stretch in part.stretches]
    assert [number for each in stretches for number in range(each.begin, each.end)] == [
        number for size in sizes for number in range(size)
    ]
    assert [stretch.source for stretch in stretches] == sorted(stretch.source for stretch in stretches)
    assert all(stretch.size for stretch in stretches)
    assert len(planned) <= parts
    assert all(part.size <= limits.most for part in planned)
    assert all(part.size >= limits.least for part in planned[:-1])


MEBI = 1 << 20


@pytest.mark.parametrize(
    ("sizes", "parts", "fetched"),
    [
        # Shards of a size that anyone would choose are copied whole, and nothing comes here.
        ([512 * MEBI] * 40, 80, 0),
        ([5 * MEBI] * 3, 3, 0),
        ([5 * MEBI - 1] * 3, 3, 10 * MEBI),
        ([100 << 30], 400, 0),
        ([3 * MEBI, 100 * MEBI, 3 * MEBI], 3, 5 * MEBI),
        ([1000] * 99_999, 20, 19 * 5 * MEBI + (99_999_000 - 19 * 5 * MEBI)),
        ([20 << 40], 10_000, 0),
        ([], 0, 0),
        ([0, 7, 0], 1, 0),
    ],
)
def test_the_parts_of_real_sizes(sizes: list[int], parts: int, fetched: int) -> None:
    planned = plan_parts(sizes, REAL)
    assert len(planned) <= parts
    assert sum(part.size for part in planned) == sum(sizes)
    assert sum(part.size for part in planned if len(part.stretches) > 1) == fetched
    assert all(part.size >= REAL.least for part in planned[:-1])


def test_more_than_an_object_holds() -> None:
    with pytest.raises(RecordError, match="too large for the store") as caught:
        plan_parts([60 << 40], REAL)
    assert caught.value.cure


# The same bytes


@pytest.mark.parametrize("verify", [True, False])
def test_objects_are_the_files_of_a_merge_in_a_folder(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, whole: Packed, tmp_path: Path, verify: bool
) -> None:
    stored = merged(fake, session, verify=verify)
    found = objects(s3, fake.bucket)
    expected = contents(whole.directory)
    assert sorted(found) == FILES
    assert {name: found[name] for name in FILES[1:]} == {name: expected[name] for name in FILES[1:]}
    assert (found["packed.json"] == expected["packed.json"]) is verify
    assert not unseen(s3, fake.bucket)
    train = whole.channels["train"]
    assert stored.channels["train"].uri == f"s3://{fake.bucket}/out/train.rec"
    assert stored.channels["train"].sha256 == (train.sha256 if verify else None)
    assert (stored.channels["train"].records, stored.channels["train"].listed) == (train.records, train.listed)
    assert (stored.label_width, stored.class_table) == (whole.label_width, whole.class_table)
    assert str(stored).splitlines()[0] == f"s3://{fake.bucket}/out/: 2 classes"
    for name, data in found.items():
        (tmp_path / name).write_bytes(data)
    opened = Packed.open(tmp_path, verify=True)
    assert opened.channels["train"] == train.within(tmp_path)
    assert Packed.open(tmp_path) == opened


@settings(max_examples=10)
@given(st.integers(1000, 3000), st.integers(2, 4), st.integers(200, 3000))
def test_whatever_the_parts_the_bytes_are_the_same(
    fake: FakeSageMaker, stocked: S3Client, session: boto3.Session, whole: Packed, least: int, times: int, wanted: int
) -> None:
    limits = Limits(least=least, most=least * times, parts=40, wanted=wanted)
    merged(fake, session, target="drawn/", overwrite=True, limits=limits)
    assert objects(stocked, fake.bucket, "drawn/") == contents(whole.directory)


def test_the_parts_of_an_array_and_real_limits(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, tmp_path: Path
) -> None:
    images = dataset(tmp_path, 4)
    for index in range(2):
        bd.pack({"train": images}, tmp_path / "array", resize=16, shard=(index, 2))
    upload(s3, fake.bucket, tmp_path / "array", "deep/in/")
    one = f"s3://{fake.bucket}/deep/in/shards-00000-of-00002.json"
    stored = merge(one, f"s3://{fake.bucket}/deep/in/", session=session)
    assert isinstance(stored, Stored)
    merge(tmp_path / "array", tmp_path / "whole")
    found = objects(s3, fake.bucket, "deep/in/")
    assert {name: found[name] for name in contents(tmp_path / "whole")} == contents(tmp_path / "whole")
    assert contents(tmp_path / "array").items() <= found.items()


def test_changed_stretches_are_found_when_opened(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, tmp_path: Path
) -> None:
    merged(fake, session, verify=False)
    for name, data in objects(s3, fake.bucket).items():
        (tmp_path / name).write_bytes(data)
    rec = tmp_path / "train.rec"
    rec.write_bytes(rec.read_bytes()[:-1] + b"x")
    with pytest.raises(RecordError, match=r"the bytes from \d+ to \d+ have SHA-256"):
        Packed.open(tmp_path)
    content = json.loads((tmp_path / "packed.json").read_text())
    content["channels"]["train"]["stretches"].pop()
    (tmp_path / "packed.json").write_text(json.dumps(content))
    with pytest.raises(RecordError, match=r"packed\.json is malformed.*not the whole file"):
        Packed.open(tmp_path)


# What is there already


def test_nothing_is_replaced_unless_asked_for(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, whole: Packed, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    bd.pack({"test": dataset(tmp_path / "other", 2), "train": dataset(tmp_path / "other", 2)}, tmp_path / "old")
    upload(s3, fake.bucket, tmp_path / "old", "out/")
    s3.put_object(Bucket=fake.bucket, Key="out/mine.txt", Body=b"mine")
    before = objects(s3, fake.bucket)
    with pytest.raises(RecordError, match="the object exists already"):
        merged(fake, session)
    assert objects(s3, fake.bucket) == before
    merged(fake, session, overwrite=True)
    assert objects(s3, fake.bucket) == {**contents(whole.directory), "mine.txt": b"mine"}


def test_a_manifest_that_says_nothing_takes_nothing_away(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session
) -> None:
    s3.put_object(Bucket=fake.bucket, Key="out/packed.json", Body=b"{}")
    s3.put_object(Bucket=fake.bucket, Key="out/test.rec", Body=b"mine")
    merged(fake, session, overwrite=True)
    assert sorted(objects(s3, fake.bucket)) == sorted([*FILES, "test.rec"])


def test_a_shard_is_never_written_over(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, tmp_path: Path
) -> None:
    both = {"train": dataset(tmp_path, 2), "train-00000-of-00001": dataset(tmp_path, 2)}
    bd.pack(both, tmp_path / "out", shards=1, resize=16)
    upload(s3, fake.bucket, tmp_path / "out", "own/")
    with pytest.raises(RecordError, match="a shard has the name of a merged file"):
        merged(fake, session, target="own/", source="own", overwrite=True)


# What does not fit


def body(s3: S3Client, bucket: str, name: str, change: Callable[[bytes], bytes]) -> None:
    data = s3.get_object(Bucket=bucket, Key=f"bad/{name}")["Body"].read()
    s3.put_object(Bucket=bucket, Key=f"bad/{name}", Body=change(data))


REC = "train-00001-of-00004.rec"
FAULTS: dict[str, tuple[str, Callable[[bytes], bytes] | None, str]] = {
    "no manifest": ("shards.json", None, r"bad/shards\.json: there is no shards\.json"),
    "broken manifest": ("shards.json", lambda _: b"{", r"bad/shards\.json: shards\.json cannot be read"),
    "no record file": (REC, None, r"1 packed files are missing, the first of them train-00001-of-00004\.rec"),
    "a short record file": (REC, lambda data: data[:-4], r"bad/train-00001-of-00004\.rec: the shard has \d+ bytes"),
    "a byte": (REC, lambda data: data[:-1] + b"x", r"bad/train-00001-of-00004\.rec: the file has SHA-256"),
    "an index": (REC[:-3] + "idx", lambda _: b"x\n", r"bad/train-00001-of-00004\.idx, line 1: the line is not a key"),
    "a list": (REC[:-3] + "lst", lambda data: data + b"x", r"bad/train-00001-of-00004\.lst: the file has SHA-256"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_shards_that_do_not_fit_are_named_by_their_addresses(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, shards: Path, name: str
) -> None:
    upload(s3, fake.bucket, shards, "bad/")
    file, change, message = FAULTS[name]
    if change is None:
        s3.delete_object(Bucket=fake.bucket, Key=f"bad/{file}")
    else:
        body(s3, fake.bucket, file, change)
    with pytest.raises(RecordError, match=message) as caught:
        merged(fake, session, source="bad")
    assert str(caught.value.path).startswith(f"s3://{fake.bucket}/bad/")
    assert caught.value.cure
    assert not objects(s3, fake.bucket)
    assert not unseen(s3, fake.bucket)


def test_a_channel_of_refused_images_is_refused(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, tmp_path: Path
) -> None:
    images = dataset(tmp_path, 2)
    for index in range(2):
        (tmp_path / f"{index}.jpg").unlink()
        bd.pack({"train": images}, tmp_path / "out", shard=(index, 2), on_error="collect")
    upload(s3, fake.bucket, tmp_path / "out", "refused/")
    with pytest.raises(DatasetError, match="all its images were refused") as caught:
        merged(fake, session, source="refused")
    assert caught.value.path == f"s3://{fake.bucket}/refused/"


@pytest.mark.parametrize("uri", ["s3://", "s3:///in"])
def test_what_is_no_address(session: boto3.Session, uri: str) -> None:
    with pytest.raises(RecordError, match="no address in the store"):
        merge(uri, "s3://bucket/out", session=session)


def test_no_such_bucket(session: boto3.Session) -> None:
    with pytest.raises(CloudError, match="cannot list s3://no-such-bucket/in/") as caught:
        merge("s3://no-such-bucket/in", "s3://no-such-bucket/out", session=session)
    assert (caught.value.value, caught.value.cure) == ("NoSuchBucket", "give an existing bucket")


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "boto3":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match="boto3 is not installed") as caught:
        merge("s3://bucket/in", "s3://bucket/out")
    assert caught.value.cure == 'pip install "birdsod[cloud]"'


# What stops it


BROKEN_OFF, CUT, CTRL_C = 1, 2, 3


class Answer:
    """What a request is answered with, in the place of a connection."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content

    def read(self, *_: Any) -> bytes:
        content, self._content = self._content, b""
        return content


class Trouble:
    """Answers requests of some kinds in the store's place, from the given one on, so many times."""

    def __init__(self, fake: FakeSageMaker, *operations: str, code: int, first: int = 1, times: int = 1 << 30) -> None:
        self.session = fake.session()
        self.seen = 0
        self._code, self._first, self._times = code, first, times
        self._lock = threading.Lock()
        events: Any = self.session.events
        for operation in operations:
            events.register(f"before-send.s3.{operation}", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse | None:
        with self._lock:
            self.seen += 1
            if not self._first <= self.seen < self._first + self._times:
                return None
        if self._code == 0:
            raise KeyboardInterrupt
        if self._code == CTRL_C:
            # It reaches the main thread, whichever thread sends this request; the request goes on.
            os.kill(os.getpid(), signal.SIGINT)
            return None
        if self._code in {BROKEN_OFF, CUT}:
            # One that breaks off had promised more.
            headers = {"content-length": "9"} if self._code == BROKEN_OFF else {}
            return AWSResponse(request.url, 206, HTTPHeaders.from_dict(headers), Answer(b"cut"))
        name = {503: "SlowDown", 403: "AccessDenied", 412: "PreconditionFailed"}[self._code]
        content = f"<Error><Code>{name}</Code><Message>no</Message></Error>".encode()
        return AWSResponse(request.url, self._code, HTTPHeaders(), Answer(content))


STEPS = ["UploadPartCopy", "UploadPart", "PutObject", "CompleteMultipartUpload"]


@pytest.mark.parametrize("code", [403, 0, CTRL_C])
@pytest.mark.parametrize("operation", STEPS)
def test_whatever_stops_it_nothing_stays(fake: FakeSageMaker, s3: S3Client, operation: str, code: int) -> None:
    trouble = Trouble(fake, operation, code=code, first=2, times=1 if code == CTRL_C else 1 << 30)
    with pytest.raises(CloudError if code == 403 else KeyboardInterrupt):
        merged(fake, trouble.session)
    assert trouble.seen >= 2
    assert not objects(s3, fake.bucket)
    assert not unseen(s3, fake.bucket)


def test_what_was_half_replaced_has_nothing_that_vouches(fake: FakeSageMaker, s3: S3Client, whole: Packed) -> None:
    upload(s3, fake.bucket, whole.directory, "out/")
    trouble = Trouble(fake, "CompleteMultipartUpload", code=403)
    with pytest.raises(CloudError, match=r"cannot finish s3://.*AccessDenied"):
        merged(fake, trouble.session, overwrite=True)
    assert sorted(objects(s3, fake.bucket)) == FILES[1:]
    assert not unseen(s3, fake.bucket)


@pytest.mark.parametrize("operation", ["GetObject", *STEPS[:2]])
def test_a_busy_store_is_asked_again(fake: FakeSageMaker, s3: S3Client, whole: Packed, operation: str) -> None:
    trouble = Trouble(fake, operation, code=503, times=1)
    merged(fake, trouble.session)
    assert trouble.seen >= 2
    assert objects(s3, fake.bucket) == contents(whole.directory)


def test_what_cannot_be_taken_back_is_named(fake: FakeSageMaker, s3: S3Client) -> None:
    trouble = Trouble(fake, "CompleteMultipartUpload", "AbortMultipartUpload", "DeleteObject", code=403)
    with pytest.raises(CloudError, match="cannot finish") as caught:
        merged(fake, trouble.session)
    (note,) = caught.value.__notes__
    assert note.startswith(f"could not be taken back from s3://{fake.bucket}/out/: parts of train.rec, ")
    assert "validation.lst" in note
    for row in unseen(s3, fake.bucket):
        s3.abort_multipart_upload(Bucket=fake.bucket, Key=row.get("Key", ""), UploadId=row["UploadId"])


def test_an_answer_that_breaks_off_is_asked_for_again(fake: FakeSageMaker, s3: S3Client, whole: Packed) -> None:
    merged(fake, Trouble(fake, "GetObject", code=BROKEN_OFF, first=2, times=3).session)
    assert objects(s3, fake.bucket) == contents(whole.directory)
    trouble = Trouble(fake, "GetObject", code=BROKEN_OFF)
    with pytest.raises(CloudError, match=r"cannot read s3://.*/in/shards\.json: 3 read, but total bytes expected is 9"):
        merged(fake, trouble.session, overwrite=True)
    assert trouble.seen == 4


def test_an_answer_that_is_too_short(fake: FakeSageMaker, s3: S3Client) -> None:
    with pytest.raises(CloudError, match=r"3 bytes came where \d+ were asked for") as caught:
        merged(fake, Trouble(fake, "GetObject", code=CUT).session)
    assert caught.value.path == f"s3://{fake.bucket}/in/shards.json"
    assert not objects(s3, fake.bucket)


def test_a_shard_that_changes_meanwhile(fake: FakeSageMaker, s3: S3Client) -> None:
    trouble = Trouble(fake, "UploadPartCopy", code=412)
    with pytest.raises(CloudError, match="PreconditionFailed") as caught:
        merged(fake, trouble.session, verify=False)
    assert "replaced meanwhile" in str(caught.value.cure)
    assert not unseen(s3, fake.bucket)


def test_an_object_that_another_writes_is_told(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdsod.recordio._merge_store.plan_parts", lambda *given: plan_parts(*given)[:-1])
    with pytest.raises(CloudError, match=r"the object has \d+ bytes, not \d+"):
        merged(fake, session)
    assert not objects(s3, fake.bucket)


# Two at one address


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, fake: FakeSageMaker, stocked: S3Client) -> dict[str, bytes]:
    """The objects of other shards, which lie below in/other/."""
    folder = tmp_path_factory.mktemp("others")
    bd.pack({"train": dataset(folder, 9), "validation": dataset(folder, 4)}, folder / "out", resize=12, shards=2)
    upload(stocked, fake.bucket, folder / "out", "in/other/")
    return contents(merge(folder / "out", folder / "whole").directory)


class Meanwhile:
    """Has another merge end before a request of a kind is sent."""

    def __init__(self, fake: FakeSageMaker, operation: str, *, nth: int = 1) -> None:
        self.session = fake.session()
        self._left = nth
        self._fake = fake
        events: Any = self.session.events
        events.register(f"before-send.s3.{operation}", self._merge)

    def _merge(self, **_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            merged(self._fake, self._fake.session(), source="in/other", overwrite=True)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("operation", ["UploadPart", "PutObject"])
def test_of_two_that_merge_to_one_address_the_second_says_so(
    fake: FakeSageMaker, s3: S3Client, whole: Packed, others: dict[str, bytes], operation: str, *, overwrite: bool
) -> None:
    if overwrite:
        upload(s3, fake.bucket, whole.directory, "out/")
    meanwhile = Meanwhile(fake, operation)
    with pytest.raises(CloudError, match=r"PreconditionFailed|changed meanwhile") as caught:
        merged(fake, meanwhile.session, overwrite=overwrite)
    assert "merge again when nobody writes there" in str(caught.value)
    assert objects(s3, fake.bucket) == others
    assert not unseen(s3, fake.bucket)


def test_nothing_vouches_for_a_mixture(fake: FakeSageMaker, s3: S3Client, others: dict[str, bytes]) -> None:
    meanwhile = Meanwhile(fake, "CompleteMultipartUpload", nth=2)
    with pytest.raises(CloudError, match=r"PreconditionFailed|changed meanwhile"):
        merged(fake, meanwhile.session)
    assert objects(s3, fake.bucket)["packed.json"] == others["packed.json"]


def test_a_store_that_knows_no_conditions_is_written_to_without(
    fake: FakeSageMaker, s3: S3Client, whole: Packed
) -> None:
    session, refused = fake.session(), []

    def refusing(request: Any, **_: Any) -> AWSResponse | None:
        if not {"If-None-Match", "If-Match"} & set(request.headers):
            return None
        refused.append(request.url)
        content = b"<Error><Code>NotImplemented</Code><Message>A header is not implemented</Message></Error>"
        return AWSResponse(request.url, 501, HTTPHeaders(), Answer(content))

    events: Any = session.events
    for operation in STEPS[2:]:
        events.register(f"before-send.s3.{operation}", refusing)
    merged(fake, session)
    assert len(refused) >= len(FILES)
    assert objects(s3, fake.bucket) == contents(whole.directory)


def test_a_list_too_large_for_one_request_goes_in_parts(
    fake: FakeSageMaker, s3: S3Client, session: boto3.Session, whole: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdsod.recordio._store._MOST_AT_ONCE", 200)
    merged(fake, session)
    assert objects(s3, fake.bucket) == contents(whole.directory)
