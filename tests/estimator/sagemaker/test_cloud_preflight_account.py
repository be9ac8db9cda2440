"""What only the account can tell is asked before anything is created, and nothing else is."""

from __future__ import annotations

import functools
import io
import json
import tarfile
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

import birdsod as bd
from birdsod import ClassTable
from birdsod.errors import ArtifactError, CloudError
from birdsod.estimator.sagemaker.estimator import SageMakerEstimator
from birdsod.estimator.sagemaker.findings import FINDING_KINDS
from birdsod.estimator.sagemaker.hosting import Hosting
from birdsod.estimator.sagemaker.inputs import UploadedInputs
from birdsod.estimator.sagemaker.preflight import preflight
from birdsod.estimator.sagemaker.preflight_account import (
    _trusts,
    bucket_findings,
    image_findings,
    object_findings,
    quota_findings,
    role_findings,
)
from birdsod.estimator.sagemaker.preflight_hosting import hosting_findings, payload_findings
from birdsod.estimator.sagemaker.preflight_manifest import manifest_findings, manifest_findings_at
from birdsod.estimator.sagemaker.preflight_objects import listings
from birdsod.estimator.sagemaker.preflight_seed import read_seed, seed_findings, seed_findings_at
from birdsod.estimator.sagemaker.quotas import find_quota
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.estimator.sagemaker.requests import RECORDIO, SEED_MODEL, ChannelPlan, TrainingPlan
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.hyperparameters import Hyperparameters
from birdsod.testing import FakeSageMaker
from birdsod.testing._fake_sagemaker.loopback import Answer, LoopbackServer, Request
from birdsod.testing._fake_sagemaker.wiring import wired

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from birdsod.estimator.sagemaker.findings import Finding

OWN_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birds:1"
PARAMS = Hyperparameters(num_classes=2, num_training_samples=40, base_network="resnet-50", mini_batch_size=16)
LINE = {
    "source-ref": "s3://birds/1.jpg",
    "birds": {
        "image_size": [{"width": 100, "height": 80, "depth": 3}],
        "annotations": [{"class_id": 0, "left": 10, "top": 10, "width": 20, "height": 20}],
    },
}


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeSageMaker]:
    with FakeSageMaker() as fake:
        west = fake.session(region="eu-west-1").client("s3")
        west.create_bucket(Bucket="birds-in-the-west", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        iam = fake.session().client("iam")
        trust = {"Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}}
        iam.create_role(RoleName="Other", AssumeRolePolicyDocument=json.dumps(trust))
        yield fake


@pytest.fixture
def fake(shared: FakeSageMaker) -> Iterator[FakeSageMaker]:
    before = len(shared.calls)
    yield shared
    assert not [call.operation for call in shared.calls[before:] if call.operation.startswith(("Create", "Delete"))]
    assert not shared.alive()


@pytest.fixture
def cloud(fake: FakeSageMaker) -> Cloud:
    return cloud_of(fake)


@functools.cache
def cloud_of(fake: FakeSageMaker) -> Cloud:
    # Opening clients takes longer than all that they are asked.
    return Cloud.of(fake.session())


def put(fake: FakeSageMaker, key: str, body: bytes) -> str:
    cloud_of(fake).s3.put_object(Bucket=fake.bucket, Key=key, Body=body)
    return f"s3://{fake.bucket}/{key}"


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("_json", ".json"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def seed(**values: str) -> bytes:
    told = {"base_network": "resnet-50", "num_classes": "2", **values}
    return archive(weights=bytes(100), hyperparams_json=json.dumps(told).encode())


@pytest.fixture
def plan(fake: FakeSageMaker) -> TrainingPlan:
    names = ("train", "validation")
    for name in names:
        put(fake, f"data/{name}/{name}.rec", b"records")
    channels = tuple(
        ChannelPlan(name=name, uri=f"s3://{fake.bucket}/data/{name}/", content_type=RECORDIO) for name in names
    )
    return TrainingPlan(
        name="birdsod-20261122-120000-abcd",
        image=built_in_image("us-east-1"),
        role=fake.role_arn,
        hyperparameters=PARAMS.to_request(),
        channels=channels,
        output_uri=f"s3://{fake.bucket}/jobs/",
    )


def kinds(findings: tuple[Finding, ...] | Iterator[Finding]) -> list[str]:
    found = tuple(findings)
    assert all(finding.cure for finding in found if finding.severity == "error")
    assert {finding.kind for finding in found} <= set(FINDING_KINDS)
    return [finding.kind for finding in found]


def inputs(plan: TrainingPlan) -> UploadedInputs:
    return UploadedInputs(plan.channels, ClassTable((1, 2), ("a", "b")))


def test_a_clean_plan_has_no_finding(plan: TrainingPlan, cloud: Cloud) -> None:
    assert preflight(plan, inputs(plan), PARAMS, cloud) == ()


ACCOUNT_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "container of another region": ("image-region", {"image": built_in_image("eu-west-1")}),
    "own container of another region": ("image-region", {"image": OWN_IMAGE.replace("us-east-1", "eu-west-1")}),
    "role that is not there": ("role-missing", {"role": "arn:aws:iam::{account}:role/Nobody"}),
    "role of another service": ("role-trust", {"role": "arn:aws:iam::{account}:role/Other"}),
    "bucket that is not there": ("bucket-missing", {"output_uri": "s3://no-such-birds/jobs/"}),
    "bucket in another region": ("bucket-region", {"output_uri": "s3://birds-in-the-west/jobs/"}),
    "checkpoints in another region": (
        "bucket-region",
        {"spot": True, "max_wait_seconds": 20_000, "checkpoint_uri": "s3://birds-in-the-west/c/"},
    ),
    "several machines beyond the quota": ("no-quota", {"instances": 5}),
}


@pytest.mark.parametrize("fault", ACCOUNT_FAULTS)
def test_a_planted_fault_is_found(plan: TrainingPlan, cloud: Cloud, fault: str) -> None:
    kind, changes = ACCOUNT_FAULTS[fault]
    filled: dict[str, Any] = {
        name: value.replace("{account}", cloud.account) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    sent = {**plan.hyperparameters, **({"kv_store": "dist_sync"} if "instances" in changes else {})}
    planted = replace(plan, hyperparameters=sent, **filled)
    assert kinds(preflight(planted, inputs(plan), None, cloud)) == [kind]


def test_a_quota_of_none_is_found_with_what_to_ask_for(fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud) -> None:
    name = "ml.g5.2xlarge for training job usage"
    fake.script_quota(name, 0)
    found = preflight(replace(plan, instance_type="ml.g5.2xlarge"), inputs(plan), None, cloud)
    assert kinds(found) == ["no-quota"]
    quota = find_quota(cloud, "ml.g5.2xlarge", "training")
    assert quota is not None
    assert name in str(found[0].cure)
    assert quota.code in str(found[0].cure)


def test_a_quota_beyond_the_first_page_is_found(fake: FakeSageMaker, cloud: Cloud) -> None:
    for number in range(250):
        fake.script_quota(f"ml.a{number:03}.large for endpoint usage", 1)
    fake.script_quota("ml.z9.large for endpoint usage", 7)
    quota = find_quota(cloud, "ml.z9.large", "endpoint")
    assert quota is not None
    assert quota.value == 7
    assert find_quota(cloud, "ml.z9.large", "transform") is None
    assert kinds(quota_findings(cloud, "ml.z9.large", "transform", 5)) == []


def test_data_that_are_not_there_are_found(plan: TrainingPlan, cloud: Cloud) -> None:
    gone = replace(plan.channels[0], uri=f"{plan.channels[0].uri}elsewhere/")
    planted = replace(plan, channels=(gone, plan.channels[1]))
    assert kinds(preflight(planted, inputs(planted), None, cloud)) == ["missing-object"]
    assert preflight(planted, inputs(planted), None, cloud, pending=[f"{gone.uri}train.rec"]) == ()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (seed(), None),
        (seed(base_network="vgg-16"), "seed-network"),
        (seed(num_classes="3"), "seed-classes"),
        (seed()[:60], "seed-archive"),
        (b"no archive", "seed-archive"),
        (archive(weights=b"w"), "seed-archive"),
        (archive(hyperparams_json=b"[1]"), "seed-archive"),
        (archive(hyperparams_json=b"{"), "seed-archive"),
    ],
    # An archive knows the second in which it was made, which differs between the processes that collect tests.
    ids=["same", "other network", "other classes", "cut", "none", "no values", "a list", "no JSON"],
)
def test_a_seed_model_is_compared(
    fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud, body: bytes, kind: str | None
) -> None:
    uri = put(fake, "old/model.tar.gz", body)
    planted = replace(plan, channels=(*plan.channels, ChannelPlan(name="model", uri=uri, content_type=SEED_MODEL)))
    assert kinds(preflight(planted, inputs(plan), None, cloud)) == ([] if kind is None else [kind])


def test_a_seed_model_that_is_not_there_is_found(fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud) -> None:
    uri = f"s3://{fake.bucket}/never/model.tar.gz"
    planted = replace(plan, channels=(*plan.channels, ChannelPlan(name="model", uri=uri, content_type=SEED_MODEL)))
    assert kinds(preflight(planted, inputs(plan), None, cloud)) == ["missing-object"]
    assert preflight(planted, inputs(plan), None, cloud, pending=[uri]) == ()


def test_a_seed_whose_values_are_unknown_or_unreadable_is_not_judged() -> None:
    assert kinds(seed_findings({}, {"num_classes": "2"})) == []
    assert kinds(seed_findings({"num_classes": "many"}, {"num_classes": "2"})) == []
    assert kinds(seed_findings({"num_classes": "2", "base_network": "vgg-16"}, {"num_classes": "2"})) == []


def test_an_archive_with_too_many_members_is_given_up() -> None:
    many = archive(**{f"m{number}": b"" for number in range(1001)})
    with pytest.raises(ArtifactError, match=r"no hyperparams\.json"):
        read_seed(io.BytesIO(many))


MANIFEST_FAULTS: dict[str, tuple[str, str]] = {
    "no JSON": ("manifest-line", "{"),
    "no object": ("manifest-line", "[]"),
    "nested without end": ("manifest-line", "[" * 100_000),
    "attribute missing": ("manifest-line", json.dumps({"source-ref": "s3://birds/1.jpg"})),
    "frame of a video": ("video-manifest", json.dumps({"frame-ref": "s3://v/1.jpg", "birds": {}})),
    "label without its parts": ("manifest-line", json.dumps({**LINE, "birds": {}})),
    "label that is none": ("manifest-line", json.dumps({**LINE, "birds": 3})),
}


def with_box(**changes: Any) -> str:
    label: Any = LINE["birds"]
    return json.dumps({**LINE, "birds": {**label, "annotations": [{**label["annotations"][0], **changes}]}})


MANIFEST_FAULTS |= {
    "class beyond the last": ("bad-class-id", with_box(class_id=2)),
    "class of a fraction": ("bad-class-id", with_box(class_id=0.5)),
    "box without width": ("bad-box", with_box(width=0)),
    "box beyond the right": ("bad-box", with_box(left=90)),
    "box above the top": ("bad-box", with_box(top=-1)),
    "box of words": ("manifest-line", with_box(left="left")),
}


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_a_fault_in_a_manifest_is_found(fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud, fault: str) -> None:
    kind, line = MANIFEST_FAULTS[fault]
    fine = json.dumps(LINE)
    found = manifest_kinds(fake, plan, cloud, f"{fine}\n\n{line}\n{fine}\n{line}\n")
    assert [finding.kind for finding in found] == [kind]
    assert found[0].message.startswith("line 3: ")
    assert found[0].message.endswith("and in 1 more lines")


def test_an_image_without_objects_is_found_in_a_manifest(fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud) -> None:
    label: Any = LINE["birds"]
    line = json.dumps({**LINE, "birds": {**label, "annotations": []}})
    assert [finding.kind for finding in manifest_kinds(fake, plan, cloud, line)] == ["image-without-objects"]


def test_attributes_that_are_not_named_are_not_looked_at() -> None:
    assert kinds(manifest_findings([json.dumps({"source-ref": "s3://birds/1.jpg"})], ("source-ref",))) == []


def test_a_manifest_of_nothing_is_found(fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud) -> None:
    assert [finding.kind for finding in manifest_kinds(fake, plan, cloud, "\n")] == ["empty-channel"]
    assert manifest_kinds(fake, plan, cloud, with_box(left=10)) == ()


def test_a_manifest_without_sizes_is_judged_by_what_it_has(
    fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud
) -> None:
    label: Any = LINE["birds"]
    line = json.dumps({**LINE, "birds": {**label, "image_size": [{"depth": 3}]}})
    assert manifest_kinds(fake, plan, cloud, line) == ()


def test_a_long_manifest_is_read_at_its_beginning(
    fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdsod.estimator.sagemaker.preflight_manifest._MOST_BYTES", 500)
    fine = json.dumps(LINE)
    assert manifest_kinds(fake, plan, cloud, "\n".join([fine] * 9)) == ()


def test_a_manifest_that_is_not_there_is_found(fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud) -> None:
    assert [finding.kind for finding in manifest_kinds(fake, plan, cloud, None)] == ["missing-object"] * 2


def manifest_kinds(fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud, text: str | None) -> tuple[Finding, ...]:
    changes: dict[str, Any] = {
        "kind": "AugmentedManifestFile",
        "input_mode": "Pipe",
        "record_wrapper": "RecordIO",
        "attribute_names": ("source-ref", "birds"),
    }
    fine = put(fake, "fine.manifest", json.dumps(LINE).encode())
    gone = f"s3://{fake.bucket}/gone.manifest"
    first = gone if text is None else put(fake, "given.manifest", text.encode())
    uris = (first, gone if text is None else fine)
    channels = tuple(replace(each, uri=uri, **changes) for each, uri in zip(plan.channels, uris, strict=True))
    return preflight(replace(plan, channels=channels), inputs(plan), None, cloud)


# Images and record files that lie there


def pictures(fake: FakeSageMaker, plan: TrainingPlan, home: str, names: dict[str, list[str]]) -> TrainingPlan:
    for channel, files in names.items():
        for name in files:
            put(fake, f"{home}/{channel}/{name}", b"x" * 10)
    channels = tuple(
        ChannelPlan(name=name, uri=f"s3://{fake.bucket}/{home}/{name}/", content_type="image/jpeg")
        for name in ("train", "validation", "train_annotation", "validation_annotation")
    )
    return replace(plan, channels=channels, hyperparameters={**plan.hyperparameters, **SMALL})


SMALL = {"num_training_samples": "2", "mini_batch_size": "2"}
PICTURES = {
    "train": ["1.jpg", "a/2.PNG"],
    "validation": ["3.jpeg", "folder/"],
    "train_annotation": ["1.json", "a/2.json"],
    "validation_annotation": ["3.json"],
}


@pytest.mark.parametrize(
    ("fault", "changes", "kinds_found"),
    [
        ("none", {}, []),
        ("without", {"validation_annotation": ["4.json"]}, ["unmatched-annotations"] * 2),
        ("orphan", {"train_annotation": ["1.json", "a/2.json", "9.json"]}, ["unmatched-annotations"]),
        ("elsewhere", {"train_annotation": ["1.json", "b/2.json"]}, ["unmatched-annotations"] * 2),
        ("more", {"train": ["1.jpg", "a/2.png", "5.jpg"]}, ["sample-count", "unmatched-annotations"]),
        ("nothing", {"validation": []}, ["missing-object", "unmatched-annotations"]),
        ("others", {"validation": ["3.bmp"]}, ["empty-channel", "unmatched-annotations"]),
    ],
)
def test_images_and_annotations_are_matched_by_name(
    fake: FakeSageMaker,
    plan: TrainingPlan,
    cloud: Cloud,
    fault: str,
    changes: dict[str, list[str]],
    kinds_found: list[str],
) -> None:
    planted = pictures(fake, plan, f"images-{fault}", {**PICTURES, **changes})
    assert kinds(preflight(planted, None, None, cloud)) == kinds_found


def test_of_very_many_images_only_the_first_are_listed(
    fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdsod.estimator.sagemaker.preflight_objects._MOST", 1)
    planted = pictures(fake, plan, "images-many", {**PICTURES, "train": ["1.jpg", "2.jpg", "3.jpg"]})
    assert kinds(preflight(planted, None, None, cloud)) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [(["a.rec", "a.idx"], []), (["a.rec", "b.rec"], ["several-records"]), (["a.lst"], ["empty-channel"])],
)
def test_a_channel_has_one_record_file(
    fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud, files: list[str], found: list[str]
) -> None:
    home = f"records-{len(files)}-{len(found)}-{files[0]}"
    for name in files:
        put(fake, f"{home}/{name}", b"x")
    train = replace(plan.channels[0], uri=f"s3://{fake.bucket}/{home}")
    assert kinds(preflight(replace(plan, channels=(train, plan.channels[1])), None, None, cloud)) == found


def test_a_channel_may_be_one_record_file(fake: FakeSageMaker, plan: TrainingPlan, cloud: Cloud) -> None:
    train = replace(plan.channels[0], uri=put(fake, "single/train.rec", b"x"))
    assert kinds(preflight(replace(plan, channels=(train, plan.channels[1])), None, None, cloud)) == []


def test_channels_that_may_not_be_listed_are_passed_over(plan: TrainingPlan) -> None:
    with guarded("AccessDenied", status=403) as cloud:
        assert listings(cloud, plan.channels) == ({}, [])
    with guarded("InternalError", status=500) as cloud:
        found, doubts = listings(cloud, plan.channels)
        assert found == {}
        assert [finding.kind for finding in doubts] == ["not-checked"] * 2


# What the account does not let us ask


@pytest.mark.parametrize("code", ["AccessDeniedException", "AccessDenied"])
def test_a_quota_that_may_not_be_asked_for_is_passed_over(fake: FakeSageMaker, cloud: Cloud, code: str) -> None:
    fake.fail("ListServiceQuotas", code)
    assert kinds(quota_findings(cloud, "ml.g4dn.xlarge", "training", 1000)) == []


def test_what_could_not_be_checked_is_a_warning(fake: FakeSageMaker, cloud: Cloud) -> None:
    fake.fail("ListServiceQuotas", "ValidationException")
    found = tuple(quota_findings(cloud, "ml.g4dn.xlarge", "training", 1000))
    assert [(finding.kind, finding.severity) for finding in found] == [("not-checked", "warning")]


@contextmanager
def guarded(code: str, *, status: int, region: str | None = None) -> Iterator[Cloud]:
    """A cloud that tells who one is and refuses everything else, for services of which the fake knows no refusal."""

    def answer(request: Request) -> Answer:
        if b"GetCallerIdentity" in request.body:
            who = "<Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/me</Arn><UserId>me</UserId>"
            told = f"<GetCallerIdentityResponse><GetCallerIdentityResult>{who}</GetCallerIdentityResult>"
            return Answer(200, (), f"{told}</GetCallerIdentityResponse>".encode())
        error = f"<Code>{code}</Code><Message>no</Message>"
        query = f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
        body = query if b"Action=" in request.body else f"<Error>{error}</Error>"
        headers = () if region is None else (("x-amz-bucket-region", region),)
        return Answer(status, headers, b"" if request.method == "HEAD" else body.encode())

    server = LoopbackServer(answer)
    try:
        session = wired(server.url, "us-east-1", "AKIAIOSFODNN7EXAMPLE", "birdsod")
        session._session.set_default_client_config(Config(retries={"total_max_attempts": 1}))
        yield Cloud.of(session)
    finally:
        server.close()


ROLE = "arn:aws:iam::123456789012:role/birds"


def test_what_may_not_be_looked_at_is_passed_over() -> None:
    with guarded("AccessDenied", status=403) as cloud:
        assert kinds(bucket_findings(cloud, ["s3://birds/x"])) == []
        assert kinds(role_findings(cloud, ROLE)) == []
        assert kinds(object_findings(cloud, "s3://birds/x", what="it", cure="wait")) == []
        assert kinds(seed_findings_at(cloud, "s3://birds/x", {})) == ["not-checked"]
        line = ChannelPlan(name="train", uri="s3://birds/x", attribute_names=("source-ref", "birds"))
        assert kinds(manifest_findings_at(cloud, line)) == ["not-checked"]


def test_a_service_that_fails_is_a_warning() -> None:
    with guarded("InternalError", status=500) as cloud:
        assert kinds(bucket_findings(cloud, ["s3://birds/x"])) == ["not-checked"]
        assert kinds(role_findings(cloud, ROLE)) == ["not-checked"]
        assert kinds(object_findings(cloud, "s3://birds/x", what="it", cure="wait")) == ["not-checked"]


def test_a_bucket_that_only_tells_where_it_is_counts() -> None:
    with guarded("AccessDenied", status=403, region="eu-west-1") as cloud:
        assert kinds(bucket_findings(cloud, ["s3://birds/x"])) == ["bucket-region"]
    with guarded("AccessDenied", status=403, region="us-east-1") as cloud:
        assert kinds(bucket_findings(cloud, ["s3://birds/x", "", "https://birds/x"])) == []


def test_the_default_bucket_need_not_be_there_yet() -> None:
    with guarded("NoSuchBucket", status=404) as cloud:
        uris = ["s3://sagemaker-us-east-1-123456789012/jobs/", "s3://other/jobs/"]
        assert [finding.value for finding in bucket_findings(cloud, uris)] == ["other"]


def test_roles_of_others_are_not_looked_at(cloud: Cloud) -> None:
    assert kinds(role_findings(cloud, "arn:aws:iam::999999999999:role/birds")) == []
    assert kinds(role_findings(cloud, "no role")) == []


@pytest.mark.parametrize(
    ("document", "trusts"),
    [
        ({"Statement": [{"Effect": "Allow", "Principal": {"Service": ["a", "sagemaker.amazonaws.com"]}}]}, True),
        ({"Statement": {"Effect": "Allow", "Principal": "*"}}, True),
        ({"Statement": [{"Effect": "Deny", "Principal": {"Service": "sagemaker.amazonaws.com"}}]}, False),
        ({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:root"}}]}, False),
        ({}, False),
        (None, False),
    ],
)
def test_trust_is_read_from_the_policy(document: object, trusts: bool) -> None:
    assert _trusts(document) is trusts


def test_a_region_without_the_algorithm_is_found_with_its_neighbours() -> None:
    found = tuple(image_findings(built_in_image("us-east-1"), "ap-southeast-5"))
    assert kinds(found) == ["image-unavailable"]
    assert "ap-southeast-1" in str(found[0].cure)
    assert kinds(image_findings("birds:latest", "ap-southeast-5")) == []


# Endpoints


def hosted(cloud: Cloud | None, uri: str, **changes: Any) -> list[str]:
    given = {"image": built_in_image("us-east-1"), "hosting": Hosting(), **changes}
    return kinds(hosting_findings(artifact_uri=uri, cloud=cloud, **given))


def test_an_endpoint_that_would_start_has_no_finding(fake: FakeSageMaker, cloud: Cloud) -> None:
    uri = put(fake, "jobs/1/output/model.tar.gz", seed())
    assert hosted(cloud, uri, role=fake.role_arn) == []
    assert hosted(cloud, uri, image=OWN_IMAGE, hosting=Hosting(serverless_memory_mb=2048)) == []


@pytest.mark.parametrize(
    ("instance_type", "kind"),
    [
        ("ml.p2.xlarge", "retired-instance"),
        ("ml.p3.2xlarge", "retired-instance"),
        ("ml.m5.huge", "bad-request"),
        ("ml.zz.huge", "bad-request"),
        ("ml.m6g.large", "architecture"),
        ("ml.inf1.xlarge", "accelerator"),
        ("ml.g6.xlarge", "untested-instance"),
    ],
)
def test_an_instance_that_does_not_fit_is_found(instance_type: str, kind: str) -> None:
    assert hosted(None, "s3://birds/model.tar.gz", hosting=Hosting(instance_type)) == [kind]


def test_a_container_of_ones_own_may_run_on_other_processors() -> None:
    assert hosted(None, "s3://birds/model.tar.gz", hosting=Hosting("ml.m6g.large"), image=OWN_IMAGE) == []


def test_a_model_that_is_not_there_is_found_before_the_endpoint_is_made(fake: FakeSageMaker, cloud: Cloud) -> None:
    assert hosted(cloud, f"s3://{fake.bucket}/none/model.tar.gz") == ["missing-object"]
    assert hosted(cloud, "s3://birds-in-the-west/model.tar.gz") == ["bucket-region"]
    assert hosted(cloud, "s3://no-such-birds/model.tar.gz") == ["bucket-missing"]
    assert hosted(None, "s3://birds/model.params") == ["model-archive"]


def test_hosting_without_servers_is_a_doubt_with_the_built_in_container() -> None:
    found = hosting_findings(
        artifact_uri="s3://birds/model.tar.gz",
        image=built_in_image("us-east-1"),
        hosting=Hosting(serverless_memory_mb=4096),
    )
    assert [(finding.kind, finding.severity) for finding in found] == [("serverless", "warning")]


def test_a_request_that_is_too_large_is_found() -> None:
    assert payload_findings(6_291_456, "real-time") == ()
    assert kinds(payload_findings(6_291_457, "real-time")) == ["payload"]
    assert kinds(payload_findings(4_194_305, "serverless")) == ["payload"]
    assert payload_findings(6_291_457, "asynchronous") == ()


def test_an_account_that_cannot_be_told_is_an_error_of_the_cloud(cloud: Cloud, fake: FakeSageMaker) -> None:
    fake.fail("ListServiceQuotas", "AccessDeniedException")
    with pytest.raises(CloudError, match="read the quotas"):
        find_quota(cloud, "ml.g4dn.xlarge", "training")


# The estimator as a whole


def test_a_seed_from_this_machine_is_uploaded_only_after_the_check(fake: FakeSageMaker, tmp_path: Path) -> None:
    drawn = bd.synthetic_birds(tmp_path / "birds", 0, classes=2, per_class=6)
    data = bd.pack({"train": drawn, "validation": drawn}, tmp_path / "packed", resize=300, jobs=1)
    params = Hyperparameters.for_data(data, base_network="resnet-50")
    file = tmp_path / "model.tar.gz"
    for classes, found in (("2", []), ("3", ["seed-classes"])):
        file.write_bytes(seed(num_classes=classes))
        estimator = SageMakerEstimator(params, fake.bucket, fake.role_arn, fake.session(), model=file)
        assert kinds(estimator.check(data)) == found
    # Packed data are known to come later; that the seed does must be told.
    assert kinds(preflight(estimator.plan(data), data, params, estimator.cloud)) == ["missing-object"]
