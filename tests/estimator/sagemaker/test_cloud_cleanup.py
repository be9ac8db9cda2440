"""A clean-up ends what is one's own, from any machine, and tells about the rest."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.classes import ClassTable
from birdsod.errors import CloudError
from birdsod.estimator.sagemaker import CleanupReport, Cloud, Hosting, Ledger, Resource, SageMakerDetector, endings
from birdsod.estimator.sagemaker.cleanup import cleanup
from birdsod.estimator.sagemaker.endpoint import deploy
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.testing._fake_sagemaker.wiring import wired

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.testing import FakeSageMaker

CLASSES = ClassTable((17,), ("017.Cardinal",))
KINDS = ["endpoint", "endpoint-config", "model"]


@pytest.fixture
def cloud(fake: FakeSageMaker) -> Cloud:
    fake.session().client("s3").put_object(Bucket=fake.bucket, Key="model.tar.gz", Body=b"a model")
    return Cloud.of(fake.session())


@pytest.fixture
def host(fake: FakeSageMaker, cloud: Cloud) -> Callable[..., str]:
    """Hosts a model, as a process that is then gone."""

    def made(ledger: Ledger | None = None, name: str | None = None, **options: Any) -> str:
        detector: SageMakerDetector = deploy(
            options.pop("cloud", cloud),
            artifact_uri=f"s3://{fake.bucket}/model.tar.gz",
            image=built_in_image(fake.region),
            role=fake.role_arn,
            classes=CLASSES,
            hosting=Hosting(),
            ledger=ledger,
            name=name,
            poll_seconds=0,
            **options,
        )
        detector.detach()
        return detector.name

    return made


def someone(fake: FakeSageMaker, name: str) -> Cloud:
    """Another caller in the same account."""
    iam = fake.session().client("iam")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Cloud.of(wired(fake.url, fake.region, key["AccessKeyId"], key["SecretAccessKey"]))


def clean(cloud: Cloud, **options: Any) -> CleanupReport:
    return cleanup(cloud, **{"poll_seconds": 0, **options})


def kinds(items: tuple[Any, ...]) -> list[str]:
    return [item.resource.kind for item in items]


def test_ones_own_goes_in_the_right_order_and_once(fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]) -> None:
    name = host()
    report = clean(cloud)
    assert kinds(report.removed) == KINDS
    assert (report.kept, report.failed, report.pending) == ((), (), ())
    assert name in str(report)
    assert [call.operation for call in fake.calls if call.operation.startswith("Delete")] == [
        "DeleteEndpoint",
        "DeleteEndpointConfig",
        "DeleteModel",
    ]
    assert fake.alive() == []
    assert Ledger().open_resources() == ()
    assert str(clean(cloud)) == "nothing to clean up"


def test_a_dry_run_changes_nothing_at_all(fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]) -> None:
    host()
    Ledger().plan(Resource("model", "never-made", fake.region, fake.account))
    before = Ledger().path.read_bytes()
    report = clean(cloud, dry_run=True)
    assert kinds(report.pending) == KINDS
    assert report.removed == ()
    assert len(fake.alive()) == 3
    assert Ledger().path.read_bytes() == before
    assert "would go  endpoint" in str(report)
    clean(cloud)
    assert Ledger().open_resources() == ()


def test_from_another_machine_the_same_caller_finds_it_by_its_tags(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str], tmp_path: Path
) -> None:
    host(name="birds")
    assert kinds(clean(cloud, ledger=Ledger(tmp_path / "other.jsonl")).removed) == KINDS
    assert fake.alive() == []


def test_another_callers_things_stay_unless_everything_is_meant(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str], tmp_path: Path
) -> None:
    wren = someone(fake, "wren")
    assert wren.caller != cloud.caller
    host(Ledger(tmp_path / "wren.jsonl"), cloud=wren)
    report = clean(cloud)
    assert report.removed == ()
    assert kinds(report.kept) == KINDS
    assert {item.why for item in report.kept} == {f"another caller's: {wren.caller}"}
    listed = clean(cloud, everything=True)
    assert kinds(listed.pending) == KINDS
    assert "yes=True" in listed.pending[0].why
    assert len(fake.alive()) == 3
    assert kinds(clean(cloud, everything=True, yes=True).removed) == KINDS
    assert fake.alive() == []


def test_another_callers_things_on_the_same_ledger_are_ones_own(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]
) -> None:
    host(cloud=someone(fake, "wren"))
    assert kinds(clean(cloud).removed) == KINDS


def test_what_birdsod_did_not_make_stays_even_if_all_of_it_looks_so(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]
) -> None:
    host(name="birds")
    client: Any = cloud.sagemaker
    for kind in ("endpoint", "endpoint-config", "model"):
        arn = f"arn:aws:sagemaker:{fake.region}:{fake.account}:{kind}"
        names = [item.name for item in fake.alive() if item.kind == kind]
        client.delete_tags(ResourceArn=f"{arn}/{names[0]}", TagKeys=["birdsod:ledger"])
    report = clean(cloud, everything=True, yes=True)
    assert (report.removed, report.kept, report.failed) == ((), (), ())
    assert len(fake.alive()) == 3
    assert Ledger().open_resources() == ()


def test_what_others_use_stays(fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]) -> None:
    host(name="birds")
    config = next(item.name for item in fake.alive() if item.kind == "endpoint-config")
    cloud.sagemaker.create_endpoint(EndpointName="wrens", EndpointConfigName=config)
    report = clean(cloud)
    assert kinds(report.removed) == ["endpoint"]
    assert [(item.resource.kind, item.why) for item in report.kept] == [
        ("endpoint-config", f"used by endpoint wrens ({fake.region})"),
        ("model", f"used by endpoint wrens ({fake.region})"),
    ]
    cloud.sagemaker.describe_endpoint(EndpointName="wrens")
    cloud.sagemaker.describe_endpoint(EndpointName="wrens")
    cloud.sagemaker.describe_endpoint(EndpointName="wrens")
    cloud.sagemaker.delete_endpoint(EndpointName="wrens")
    assert kinds(clean(cloud).removed) == KINDS[1:]


def test_what_is_young_stays(fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]) -> None:
    fake.elapse(-7201)
    host()
    fake.elapse(7201)
    report = clean(cloud, older_than="2h", dry_run=True)
    assert kinds(report.pending) == KINDS
    host()
    report = clean(cloud, older_than="120m")
    assert (kinds(report.removed), kinds(report.kept)) == (KINDS, KINDS)
    for age in ("2h", "90 m", timedelta(minutes=61)):
        report = clean(cloud, older_than=age)
        assert kinds(report.kept) == KINDS
        assert "younger than" in report.kept[0].why
    with pytest.raises(CloudError, match="no age"):
        clean(cloud, older_than="two hours")


def test_one_failure_does_not_stop_the_rest(fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]) -> None:
    host(name="birds")
    host(name="wrens")
    fake.fail("DeleteEndpoint", "AccessDeniedException", "not allowed")
    fake.fail("ListModels", "AccessDeniedException", "not allowed")
    fake.fail("ListTags", "AccessDeniedException", "not allowed", after=2)
    report = clean(cloud)
    assert (kinds(report.removed).count("endpoint"), kinds(report.removed).count("model")) == (1, 1)
    failed = [(item.resource.kind, item.resource.name) for item in report.failed]
    assert ("model", "*") in failed
    assert len([kind for kind, _ in failed if kind == "endpoint"]) == 1
    assert len([kind for kind, _ in failed if kind == "endpoint-config"]) == 1
    assert all(item.error is not None and item.error.cure for item in report.failed)
    assert "failed" in str(report)
    clean(cloud)
    assert fake.alive() == []


def test_where_it_is_not_known_what_an_endpoint_uses_all_of_it_stays(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]
) -> None:
    host(name="birds")
    cloud.sagemaker.delete_endpoint(EndpointName="birds")
    config = next(item.name for item in fake.alive() if item.kind == "endpoint-config")
    cloud.sagemaker.create_endpoint(EndpointName="wrens", EndpointConfigName=config)
    fake.fail("DescribeEndpointConfig", "AccessDeniedException", "not allowed")
    report = clean(cloud)
    assert report.removed == ()
    assert kinds(report.kept) == KINDS[1:]
    assert [item.resource.name for item in report.failed] == ["wrens"]


def test_an_endpoint_that_is_being_created_is_waited_for(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]
) -> None:
    fake.script_endpoint(states=["Creating"] * 5 + ["InService"])
    host(wait=False)
    assert kinds(clean(cloud).removed) == KINDS
    assert fake.alive() == []


def test_an_endpoint_that_cannot_be_deleted_in_time_is_told_with_the_cure(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]
) -> None:
    fake.script_endpoint(states=["Creating"])
    host(name="birds", wait=False)
    report = clean(cloud, patience_seconds=0)
    assert kinds(report.failed) == KINDS
    first, second, _ = report.failed
    assert "cannot be deleted while it is created" in str(first)
    assert "cleanup` again" in str(first.error.cure if first.error else "")
    assert "used by what is still there: endpoint birds" in str(second)
    assert len(Ledger().open_resources()) == 3


def test_one_that_is_going_is_told_if_it_takes_too_long(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str]
) -> None:
    fake.script_endpoint(deleting=3)
    host()
    report = clean(cloud, patience_seconds=0)
    assert kinds(report.removed) == KINDS[1:]
    assert "going but not gone yet" in str(report.failed[0])
    assert kinds(clean(cloud).removed) == ["endpoint"]


def test_what_is_on_the_ledger_for_another_place_is_told(fake: FakeSageMaker, cloud: Cloud) -> None:
    Ledger().plan(Resource("endpoint", "birds", "eu-west-1", fake.account))
    Ledger().plan(Resource("endpoint", "wrens", fake.region, "999999999999"))
    report = clean(cloud)
    assert [item.why for item in report.kept] == [
        f"in eu-west-1 of {fake.account}: clean up there",
        f"in {fake.region} of 999999999999: clean up there",
    ]
    assert len(Ledger().open_resources()) == 2


def test_it_needs_no_ledger(cloud: Cloud, host: Callable[..., str], tmp_path: Path) -> None:
    host()
    (tmp_path / "file").touch()
    nowhere = Ledger(tmp_path / "file" / "ledger.jsonl")
    assert kinds(clean(cloud, ledger=nowhere).removed) == KINDS


def test_a_note_that_cannot_be_checked_stays(fake: FakeSageMaker, cloud: Cloud) -> None:
    Ledger().plan(Resource("model", "birds", fake.region, fake.account))
    fake.fail("DescribeModel", "AccessDeniedException", "not allowed")
    assert kinds(clean(cloud).failed) == ["model"]
    assert len(Ledger().open_resources()) == 1


def test_someone_elses_of_the_name_that_was_noted_stays(fake: FakeSageMaker, cloud: Cloud) -> None:
    Ledger().plan(Resource("model", "wrens", fake.region, fake.account))
    container: Any = {"Image": built_in_image(fake.region), "ModelDataUrl": f"s3://{fake.bucket}/model.tar.gz"}
    cloud.sagemaker.create_model(ModelName="wrens", ExecutionRoleArn=fake.role_arn, PrimaryContainer=container)
    assert clean(cloud).removed == ()
    assert [item.name for item in fake.alive()] == ["wrens"]
    assert Ledger().open_resources() == ()


def test_a_model_on_the_ledger_is_found_whatever_its_name(fake: FakeSageMaker, cloud: Cloud) -> None:
    Ledger().plan(Resource("model", "wrens", fake.region, fake.account))
    tags: Any = [{"Key": key, "Value": value} for key, value in Ledger().tags(cloud).items()]
    container: Any = {"Image": built_in_image(fake.region), "ModelDataUrl": f"s3://{fake.bucket}/model.tar.gz"}
    client = cloud.sagemaker
    client.create_model(ModelName="wrens", ExecutionRoleArn=fake.role_arn, PrimaryContainer=container, Tags=tags)
    assert kinds(clean(cloud).removed) == ["model"]
    assert fake.alive() == []


def transforming(fake: FakeSageMaker, cloud: Cloud, name: str) -> None:
    """Start a transform job, as a process that is then gone."""
    client: Any = cloud.sagemaker
    tags = [{"Key": key, "Value": value} for key, value in Ledger().tags(cloud).items()]
    cloud.s3.put_object(Bucket=fake.bucket, Key="in/0.jpg", Body=b"a photograph")
    client.create_transform_job(
        TransformJobName=name,
        ModelName=name,
        TransformInput={
            "ContentType": "image/jpeg",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{fake.bucket}/in/"}},
        },
        TransformOutput={"S3OutputPath": f"s3://{fake.bucket}/out"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        Tags=tags,
    )


def test_jobs_are_stopped_and_the_models_of_young_ones_stay(fake: FakeSageMaker, cloud: Cloud) -> None:
    client: Any = cloud.sagemaker
    tags = [{"Key": key, "Value": value} for key, value in Ledger().tags(cloud).items()]
    container: Any = {"Image": built_in_image(fake.region), "ModelDataUrl": f"s3://{fake.bucket}/model.tar.gz"}
    name = "birdsod-20260101-000000-abcd"
    fake.elapse(-7201)
    client.create_model(ModelName=name, ExecutionRoleArn=fake.role_arn, PrimaryContainer=container, Tags=tags)
    fake.elapse(7201)
    transforming(fake, cloud, name)
    report = clean(cloud, older_than="2h")
    assert report.removed == ()
    assert [item.why.split()[0] for item in report.kept] == ["younger", "used"]
    assert kinds(clean(cloud).removed) == ["transform-job", "model"]
    assert fake.alive() == []


def test_what_goes_while_it_is_looked_at_is_no_failure(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str], tmp_path: Path
) -> None:
    host()
    other = Ledger(tmp_path / "other.jsonl")
    fake.fail("ListTags", "ValidationException", "Could not find resource")
    fake.fail("DescribeEndpoint", "ValidationException", "Could not find endpoint")
    report = clean(cloud, ledger=other)
    assert (kinds(report.removed), report.failed) == (KINDS[1:], ())
    assert kinds(clean(cloud, ledger=other).removed) == KINDS[:1]


def test_an_endpoint_that_goes_before_it_tells_what_it_uses_keeps_nothing(
    fake: FakeSageMaker, cloud: Cloud, host: Callable[..., str], tmp_path: Path
) -> None:
    host()
    fake.fail("DescribeEndpoint", "ValidationException", "Could not find endpoint")
    report = clean(cloud, ledger=Ledger(tmp_path / "other.jsonl"))
    assert (kinds(report.removed), report.kept, report.failed) == (KINDS, (), ())


def test_the_pauses_of_many_who_wait_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for _ in range(50):
        endings.pause(10)
    endings.pause(0)
    assert len(set(slept)) == 50
    assert all(8 <= seconds <= 12 for seconds in slept)
