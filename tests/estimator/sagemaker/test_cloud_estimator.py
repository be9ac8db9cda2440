"""From packed data to a training job: what is asked for, in which order, and what is left when it goes wrong."""

from __future__ import annotations

import io
import json
import signal
import tarfile
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.validate import ParamValidator

from birdsod.classes import ClassTable
from birdsod.dataset import synthetic_birds
from birdsod.errors import CloudError, HyperparameterError, PreflightError, TrainingError
from birdsod.estimator import Estimator, SageMakerEstimator, SageMakerJob
from birdsod.estimator.sagemaker import ChannelPlan, UploadedInputs
from birdsod.estimator.sagemaker.inputs import PackedInputs, inputs_of
from birdsod.estimator.sagemaker.job_record import JobRecord, numbered_classes
from birdsod.estimator.sagemaker.ledger import Ledger, Resource
from birdsod.estimator.sagemaker.price_table import PriceTable
from birdsod.estimator.sagemaker.requests import RECORDIO
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.hyperparameters import Hyperparameters
from birdsod.recordio import pack
from birdsod.testing._fake_sagemaker.fake import AliveResource
from birdsod.viz import plot_map

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.recordio import Packed
    from birdsod.testing import FakeSageMaker

OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birds:1"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    birds = synthetic_birds(tmp_path_factory.mktemp("made-up") / "birds", seed=1, classes=2, per_class=6)
    train, validation = birds.split()
    return pack({"train": train, "validation": validation}, tmp_path_factory.mktemp("work") / "packed", resize=300)


@pytest.fixture
def make(fake: FakeSageMaker, data: Packed) -> Callable[..., SageMakerEstimator]:
    def estimator(**options: Any) -> SageMakerEstimator:
        network = options.pop("base_network", "resnet-50")
        given = {"base_network": network, "epochs": 3, **options.pop("params", {})}
        params = Hyperparameters.for_data(data, **given)
        settings = {"role": fake.role_arn, "session": fake.session(), "poll_seconds": 0, **options}
        return SageMakerEstimator(params, **settings)

    return estimator


def operations(fake: FakeSageMaker) -> list[str]:
    return [call.operation for call in fake.calls]


def created(fake: FakeSageMaker) -> dict[str, Any]:
    """The request that created the last job."""
    found: dict[str, Any] = next(call for call in reversed(fake.calls) if call.operation == "CreateTrainingJob").request
    return found


def test_it_is_an_estimator_like_the_local_one(make: Callable[..., SageMakerEstimator]) -> None:
    assert isinstance(make(), Estimator)
    assert repr(make()) == "SageMakerEstimator('resnet-50', 'us-east-1', instance_type='ml.g4dn.xlarge')"


def test_a_job_is_checked_uploaded_noted_created_and_followed(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    estimator = make(tags={"team": "birds"})
    assert estimator.check(data) == ()
    job = estimator.fit(data)
    assert isinstance(job, SageMakerJob)
    assert job.status == "Completed"
    assert job.classes == data.class_table
    assert list(job.metrics()["epoch"]) == [0, 1, 2]
    assert plot_map(job).axes
    told = capsys.readouterr().out
    assert "Training: Training image download completed" in told
    assert "validation mAP" in told
    tags = {tag["Key"]: tag["Value"] for tag in created(fake)["Tags"]}
    assert tags["team"] == "birds"
    assert tags["birdsod:ledger"] == Ledger().id
    assert Ledger().open_resources() == ()
    assert fake.alive() == []
    store = fake.session().client("s3")
    keys = {each["Key"] for each in store.list_objects_v2(Bucket=fake.bucket)["Contents"]}
    home = f"birdsod/data/{PackedInputs(data).fingerprint}"
    assert {f"{home}/train/train.rec", f"{home}/validation/validation.rec", f"{home}/packed.json"} <= keys
    assert f"birdsod/jobs/{job.name}/birdsod.json" in keys
    assert f"birdsod/jobs/{job.name}/output/model.tar.gz" in keys
    again = estimator.fit(data, logs=False)
    assert capsys.readouterr().out == "3 of 3 files are uploaded already\n"
    assert again.name != job.name


def test_a_dry_run_shows_the_exact_request_and_asks_for_nothing(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    fake.session().client("s3").delete_bucket(Bucket=fake.bucket)
    before = len(fake.calls)
    told = make(spot=True, max_hours=1).requests(data)
    assert not [name for name in operations(fake)[before:] if not name.startswith(("Describe", "List"))]
    assert json.loads(json.dumps(told)) == told
    request: Any = told["CreateTrainingJob"]
    shape: Any = fake.session().client("sagemaker").meta.service_model.operation_model("CreateTrainingJob").input_shape
    assert not ParamValidator().validate(request, shape).has_errors()
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert request["CheckpointConfig"]["S3Uri"].endswith(f"/checkpoints/{request['TrainingJobName']}/")
    uploads: Any = told["uploads"]
    assert [each["uri"].rpartition("/")[2] for each in uploads] == ["train.rec", "validation.rec", "packed.json"]
    assert [each["Key"] for each in request["Tags"]] == ["birdsod:caller", "birdsod:created", "birdsod:ledger"]
    assert fake.session().client("s3").list_buckets()["Buckets"] == []


def test_what_is_sent_is_what_the_dry_run_showed(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    estimator = make(kms_key="key-1", encrypt_traffic=True, volume_gb=30)
    shown: Any = estimator.requests(data)["CreateTrainingJob"]
    job = estimator.fit(data, wait=False)
    sent = created(fake)

    def without_names(request: dict[str, Any]) -> str:
        text = json.dumps({**request, "Tags": []}, sort_keys=True)
        return text.replace(request["TrainingJobName"], "NAME")

    assert without_names(sent) == without_names(shown)
    job.stop()
    assert job.status == "Stopped"


def test_all_settings_arrive(make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed) -> None:
    estimator = make(
        prefix="/mine/",
        instance_type="ml.g5.2xlarge",
        instances=2,
        volume_gb=70,
        input_mode="Pipe",
        max_hours=2,
        spot=True,
        max_wait_hours=3,
        checkpoints=False,
        subnets=["subnet-0a1b2c3d"],
        security_groups=["sg-0a1b2c3d"],
        kms_key="key-1",
        volume_kms_key="key-2",
        network_isolation=True,
        encrypt_traffic=True,
        output_uri=f"s3://{fake.bucket}/models/",
    )
    estimator.fit(data, wait=False, check=False).stop()
    sent = created(fake)
    assert sent["ResourceConfig"] == {
        "InstanceType": "ml.g5.2xlarge",
        "InstanceCount": 2,
        "VolumeSizeInGB": 70,
        "VolumeKmsKeyId": "key-2",
    }
    assert sent["HyperParameters"]["kv_store"] == "dist_sync"
    assert sent["VpcConfig"] == {"Subnets": ["subnet-0a1b2c3d"], "SecurityGroupIds": ["sg-0a1b2c3d"]}
    assert sent["OutputDataConfig"] == {"S3OutputPath": f"s3://{fake.bucket}/models/", "KmsKeyId": "key-1"}
    assert sent["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 10_800}
    assert {each["InputMode"] for each in sent["InputDataConfig"]} == {"Pipe"}
    assert sent["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"].startswith(
        f"s3://{fake.bucket}/mine/data/"
    )
    assert "CheckpointConfig" not in sent
    assert (sent["EnableNetworkIsolation"], sent["EnableInterContainerTrafficEncryption"]) == (True, True)
    head = (
        fake.session()
        .client("s3")
        .head_object(Bucket=fake.bucket, Key=f"mine/data/{PackedInputs(data).fingerprint}/packed.json")
    )
    assert head["SSEKMSKeyId"].endswith("key-1")


def test_a_kv_store_that_was_chosen_is_kept(make: Callable[..., SageMakerEstimator], data: Packed) -> None:
    estimator = make(instances=2, params={"kv_store": "dist_async"})
    assert estimator.plan(data).hyperparameters["kv_store"] == "dist_async"
    assert "kv_store" not in make().plan(data).hyperparameters


def test_what_it_may_cost_is_told_before(
    make: Callable[..., SageMakerEstimator], data: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make(input_mode="Pipe").fit(data)
    assert (
        capsys.readouterr().out.splitlines()[0].startswith("training on ml.g4dn.xlarge in us-east-1 for at most 4 hou")
    )
    with job.deploy():
        assert "hosting on ml.m5.large in us-east-1" in capsys.readouterr().out


def test_spot_reports_what_it_saved(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script_training(
        states=["Starting", "Training", "Interrupted", "Starting", "Training", "Uploading", "Completed"],
        billable=60,
        seconds=240,
    )
    job = make(spot=True).fit(data)
    assert (job.seconds, job.billable_seconds, job.saved) == (240, 60, 0.75)
    told = capsys.readouterr().out
    assert "Interrupted" in told
    assert "spare capacity saved 75%: 240 s trained, 60 s paid for" in told


def test_errors_of_the_check_refuse_before_anything_is_made(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    before = len(fake.calls)
    with pytest.raises(PreflightError) as caught:
        make(base_network="efficientnet-lite0", instance_type="ml.m5.large", spot=True, max_wait_hours=1).fit(data)
    assert "image=" in str(caught.value)
    assert "CreateTrainingJob" not in operations(fake)[before:]
    assert "Contents" not in fake.session().client("s3").list_objects_v2(Bucket=fake.bucket)
    assert Ledger().open_resources() == ()


def test_what_one_may_live_with_is_warned_of(make: Callable[..., SageMakerEstimator], data: Packed) -> None:
    estimator = make(params={"use_pretrained_model": 0})
    with pytest.warns(UserWarning, match="use_pretrained_model"):
        estimator.fit(data, logs=False)


def test_a_limit_of_cost_refuses(make: Callable[..., SageMakerEstimator], data: Packed, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="price is not known"):
        make(max_cost=1.0).fit(data)
    table = tmp_path / "prices.csv"
    table.write_text(
        "instance_type,region,use,usd_per_hour,source,as_of\nml.g4dn.xlarge,us-east-1,training,0.7,mine,2026-11-01\n"
    )
    prices = PriceTable.read(table)
    assert make(prices=prices).estimate(data).most == pytest.approx(2.8)
    with pytest.raises(PreflightError, match="may cost"):
        make(max_cost=1.0, prices=prices).fit(data)
    assert make(max_cost=3.0, prices=prices).fit(data, logs=False).status == "Completed"


# When it goes wrong


def test_a_refused_job_leaves_the_ledger_clean(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    fake.fail("CreateTrainingJob", "ResourceLimitExceeded", "limit 0")
    with pytest.raises(CloudError, match="Service Quotas") as caught:
        make().fit(data)
    assert caught.value.value == "ResourceLimitExceeded"
    assert Ledger().open_resources() == ()
    assert fake.alive() == []


def test_a_request_that_was_heard_twice_is_one_job(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    estimator = make()
    inner = estimator.cloud.sagemaker

    def twice(params: dict[str, Any], **_: Any) -> None:
        if not ended:
            ended.append(True)
            fake.session().client("sagemaker").create_training_job(**json.loads(params["body"]))

    ended: list[bool] = []
    inner.meta.events.register("before-call.sagemaker.CreateTrainingJob", twice)
    job = estimator.fit(data, logs=False)
    assert job.status == "Completed"
    assert operations(fake).count("CreateTrainingJob") == 2


def test_a_failure_tells_the_reason_and_what_led_to_it(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    fake.script_training(
        log=["first", "what led to it"],
        failure="ClientError: Please look at the log. , exit code: 2",
    )
    with pytest.raises(TrainingError) as caught:
        make().fit(data, logs=False)
    error = caught.value
    assert "ClientError: Please look at the log" in error.message
    assert str(error.cause).startswith("Customer Error: ")
    assert "what led to it" in str(error.cause)
    assert Ledger().open_resources() == ()
    assert fake.alive() == []


def test_ctrl_c_stops_the_job_and_says_so(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script_training(states=["Starting", *["Training"] * 50, "Completed"])
    estimator = make()

    def interrupt(**_: Any) -> None:
        if operations(fake).count("DescribeTrainingJob") == 3:
            signal.raise_signal(signal.SIGINT)

    estimator.cloud.sagemaker.meta.events.register("after-call.sagemaker.DescribeTrainingJob", interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(data)
    name = created(fake)["TrainingJobName"]
    assert f"stopping {name}" in capsys.readouterr().out
    assert estimator.attach(name).status == "Stopped"
    assert fake.alive() == []
    assert Ledger().open_resources() == ()


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_an_interrupt_around_the_creation_leaves_nothing(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, moment: str
) -> None:
    estimator = make()

    def interrupt(**_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    estimator.cloud.sagemaker.meta.events.register(f"{moment}.sagemaker.CreateTrainingJob", interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(data, logs=False)
    assert fake.alive() == []
    assert Ledger().open_resources() == ()


def test_a_job_that_cannot_be_ended_is_told_and_stays_on_the_ledger(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script_training(states=["Starting", *["Training"] * 50, "Completed"])
    fake.fail("StopTrainingJob", "AccessDeniedException", times=50)
    estimator = make()

    def interrupt(**_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    estimator.cloud.sagemaker.meta.events.register("after-call.sagemaker.CreateTrainingJob", interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(data, logs=False)
    assert "`birdsod cleanup` ends it" in capsys.readouterr().out
    (entry,) = Ledger().open_resources()
    assert entry.resource.name == created(fake)["TrainingJobName"]


def test_a_service_that_falls_silent_leaves_the_job_running(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    fake.script_training(states=["Starting", *["Training"] * 8, "Completed"])
    fake.fail("DescribeTrainingJob", "AccessDeniedException", "no more", times=1, after=2)
    estimator = make()
    with pytest.raises(CloudError, match="the job goes on: attach") as caught:
        estimator.fit(data, logs=False)
    name = created(fake)["TrainingJobName"]
    assert name in str(caught.value.cure)
    assert fake.alive() == [AliveResource("training-job", name)]
    assert [entry.resource.name for entry in Ledger().open_resources()] == [name]
    job = estimator.attach(name)
    job.wait(logs=False)
    assert job.status == "Completed"
    assert Ledger().open_resources() == ()


def test_expired_credentials_are_survived(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    fake.script_training(states=["Starting", *["Training"] * 5, "Completed"])
    fake.fail("DescribeTrainingJob", "ExpiredTokenException", times=2, after=2)
    estimator = make()
    before = estimator.cloud.sagemaker
    assert estimator.fit(data, logs=False).status == "Completed"
    assert estimator.cloud.sagemaker is not before


# What it starts from


def trained(fake: FakeSageMaker, make: Callable[..., SageMakerEstimator], data: Packed) -> SageMakerJob:
    _ = fake
    return make().fit(data, logs=False)


def channel(request: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in request["InputDataConfig"] if each["ChannelName"] == name)
    return found


def test_training_goes_on_from_a_job(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    seed = trained(fake, make, data)
    estimator = make(model=seed)
    assert estimator.check(data) == ()
    estimator.fit(data, logs=False)
    given = channel(created(fake), "model")
    assert given["ContentType"] == "application/x-sagemaker-model"
    assert given["DataSource"]["S3DataSource"]["S3Uri"] == seed.artifact_uri


def test_training_goes_on_from_an_address_or_a_file(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    seed = trained(fake, make, data)
    assert make(model=seed.artifact_uri).fit(data, logs=False).status == "Completed"
    estimator = make(model=seed.artifact)
    estimator.fit(data, logs=False)
    uri = channel(created(fake), "model")["DataSource"]["S3DataSource"]["S3Uri"]
    assert uri.startswith(f"s3://{fake.bucket}/birdsod/seeds/")
    assert uri.endswith("/model.tar.gz")


@pytest.mark.parametrize("kind", ["job", "uri", "file"])
def test_another_network_is_refused(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, kind: str
) -> None:
    seed = trained(fake, make, data)
    model = {"job": seed, "uri": seed.artifact_uri, "file": seed.artifact}[kind]
    before = operations(fake).count("CreateTrainingJob")
    with pytest.raises(PreflightError, match="base_network") as caught:
        make(model=model, base_network="vgg-16").fit(data)
    assert caught.value.value == ["seed-network"]
    assert operations(fake).count("CreateTrainingJob") == before


@pytest.mark.parametrize("kind", ["job", "uri"])
def test_other_classes_by_the_same_numbers_are_warned_of(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, kind: str
) -> None:
    seed = trained(fake, make, data)
    other = replace(data, class_table=ClassTable((2, 1), tuple(reversed(data.class_table.names))))
    (finding,) = make(model=seed if kind == "job" else seed.artifact_uri).check(other)
    assert (finding.kind, finding.severity) == ("seed-classes", "warning")


def test_what_cannot_be_started_from(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, tmp_path: Path
) -> None:
    with pytest.raises(CloudError, match="no model to start from"):
        make(model=tmp_path / "none.tar.gz").check(data)
    with pytest.raises(CloudError, match="this is no model"):
        make(model=7).check(data)
    broken = tmp_path / "model.tar.gz"
    broken.write_bytes(b"no archive")
    findings = make(model=broken).check(data)
    assert [finding.kind for finding in findings] == ["seed-archive"]
    fake.script_training(states=["Starting", "Stopping", "Stopped"])
    stopped = make().fit(data, logs=False)
    with pytest.raises(TrainingError, match="has no model"):
        make(model=stopped).check(data)
    # An address that no job of ours has written is preflight's to open.
    kinds = [finding.kind for finding in make(model=f"s3://{fake.bucket}/none.tar.gz").check(data)]
    assert kinds == ["missing-object"]


def archive(path: Path, **members: object) -> Path:
    """A model archive with these JSON files."""
    with tarfile.open(path, "w:gz") as packed:
        for name, value in members.items():
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            entry = tarfile.TarInfo(f"{name}.json")
            entry.size = len(body)
            packed.addfile(entry, io.BytesIO(body))
    return path


def test_a_local_archive_is_opened_without_trust(
    make: Callable[..., SageMakerEstimator], data: Packed, tmp_path: Path
) -> None:
    trained_with = {"base_network": "resnet-50", "num_classes": "2"}
    other = ClassTable((5, 6), ("a", "b")).to_json()

    def kinds(**members: object) -> list[tuple[str, str]]:
        model = archive(tmp_path / "model.tar.gz", **members)
        return [(finding.kind, finding.severity) for finding in make(model=model).check(data)]

    assert kinds(hyperparams=trained_with) == []
    assert kinds(hyperparams=trained_with, classes=data.class_table.to_json()) == []
    assert kinds(hyperparams=trained_with, classes=other) == [("seed-classes", "warning")]
    # Class names only help: those that cannot be read say nothing.
    assert kinds(hyperparams=trained_with, classes=b"{") == []
    assert kinds(hyperparams=trained_with, classes={}) == []
    assert kinds(hyperparams={**trained_with, "num_classes": "5"}) == [("seed-classes", "error")]
    assert kinds(hyperparams=b"{") == [("seed-archive", "error")]


def test_a_job_of_another_engine_is_a_start_too(
    make: Callable[..., SageMakerEstimator], data: Packed, tmp_path: Path
) -> None:
    model = archive(tmp_path / "model.tar.gz", hyperparams={"base_network": "resnet-50", "num_classes": "2"})
    job = SimpleNamespace(classes=data.class_table, artifact=model)
    estimator = make(model=job)
    assert estimator.check(data) == ()
    uploads: Any = estimator.requests(data)["uploads"]
    assert uploads[-1]["file"] == str(model)


def test_a_record_that_may_not_be_read_is_no_hindrance(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    seed = trained(fake, make, data)
    fake.session().client("s3").put_object(Bucket=fake.bucket, Key=f"birdsod/jobs/{seed.name}/birdsod.json", Body=b"{")
    assert make(model=seed.artifact_uri).check(data) == ()


# Tuning


def test_tuning_starts_from_the_same_estimator(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    found = make().tune(data, jobs=2, parallel=1)
    assert found.status == "Completed"
    assert "CreateHyperParameterTuningJob" in operations(fake)
    assert fake.alive() == []
    assert make().tune(data, jobs=1, parallel=1, wait=False, check=False).name != found.name
    with pytest.raises(PreflightError, match="price is not known"):
        make(max_cost=1.0).tune(data)
    with pytest.raises(PreflightError, match="image="):
        make(base_network="efficientnet-lite0").tune(data)
    with pytest.raises(HyperparameterError, match="needs jobs"):
        make().tune(data, jobs=0)


# Own containers, and data that are there


def test_an_own_container_gets_classes_and_metrics_and_what_was_given(
    make: Callable[..., SageMakerEstimator], data: Packed
) -> None:
    estimator = make(image=OWN, base_network="efficientnet-lite0")
    assert estimator.check(data) == ()
    request: Any = estimator.requests(data)["CreateTrainingJob"]
    assert [each["ChannelName"] for each in request["InputDataConfig"]] == ["train", "validation", "classes"]
    assert request["HyperParameters"]["_birdsod_given"] == "base_network,epochs"
    assert {each["Name"] for each in request["AlgorithmSpecification"]["MetricDefinitions"]} >= {"validation:mAP"}


def test_data_in_the_store_need_no_upload(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    estimator = make()
    assert len(estimator.upload(data).sent) == 3
    home = f"s3://{fake.bucket}/birdsod/data/{PackedInputs(data).fingerprint}"
    channels = tuple(
        ChannelPlan(name=name, uri=f"{home}/{name}/", content_type=RECORDIO) for name in ("train", "validation")
    )
    there = UploadedInputs(channels, data.class_table)
    assert there.fingerprint == UploadedInputs(channels, data.class_table).fingerprint
    assert UploadedInputs(channels, data.class_table, "mine").fingerprint == "mine"
    job = estimator.fit(there, logs=False)
    assert job.status == "Completed"
    assert estimator.attach(job.name).classes == data.class_table


def test_other_classes_are_other_data(data: Packed) -> None:
    one = PackedInputs(data)
    other = replace(data, class_table=numbered_classes(2))
    assert one.fingerprint != PackedInputs(other).fingerprint
    assert one.fingerprint == PackedInputs(data, "Pipe").fingerprint


def test_what_are_no_data(make: Callable[..., SageMakerEstimator], data: Packed, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no packed data"):
        make().fit(cast("Any", tmp_path))
    half = replace(data, channels={"train": data.channels["train"]})
    with pytest.raises(TrainingError, match="no channel validation"):
        make().check(half)
    lost = replace(data, directory=tmp_path)
    with pytest.raises(TrainingError, match=r"packed\.json"):
        inputs_of(lost, input_mode="File", classes_channel=False).files("birds", "")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_hours": 0}, "max_hours"),
        ({"subnets": ["subnet-1"]}, "give both"),
        ({"max_wait_hours": 2}, "spot=True"),
        ({"output_uri": "birds"}, "output_uri"),
    ],
)
def test_settings_that_do_not_fit(make: Callable[..., SageMakerEstimator], options: dict[str, Any], told: str) -> None:
    with pytest.raises(CloudError, match=told):
        make(**options)


def test_hyperparameters_are_asked_for(fake: FakeSageMaker) -> None:
    with pytest.raises(HyperparameterError, match="for_data"):
        SageMakerEstimator({"epochs": 3}, session=fake.session())  # type: ignore[arg-type]  # what is tested


# Jobs


def test_a_record_that_is_broken_says_how_to_go_on(fake: FakeSageMaker, data: Packed) -> None:
    cloud = Cloud.of(fake.session())
    home = f"s3://{fake.bucket}/jobs/"
    record = JobRecord("birds-1", data.class_table, {"epochs": "3"}, "0f", "image")
    record.write(cloud, home)
    assert JobRecord.read(cloud, home, "birds-1") == record
    assert JobRecord.read(cloud, home, "birds-2") is None
    for body in (b"{", b"[]", b'{"schema": 2}', b'{"schema": 1}'):
        cloud.s3.put_object(Bucket=fake.bucket, Key="jobs/birds-1/birdsod.json", Body=body)
        with pytest.raises(CloudError, match="classes="):
            JobRecord.read(cloud, home, "birds-1")


def test_a_foreign_job_has_numbered_classes_unless_they_are_given(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed
) -> None:
    job = make().fit(data, logs=False)
    fake.session().client("s3").delete_object(Bucket=fake.bucket, Key=f"birdsod/jobs/{job.name}/birdsod.json")
    found = SageMakerJob.attach(job.name, fake.session(), poll_seconds=0)
    assert found.classes.names == ("0", "1")
    named = SageMakerJob.attach(job.name, fake.session(), classes=data.class_table)
    assert named.classes == data.class_table
    with pytest.raises(CloudError, match="look at the training job nobody"):
        SageMakerJob.attach("nobody", fake.session())


def test_waiting_for_someone_elses_job_leaves_the_ledger_alone(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, data: Packed, tmp_path: Path
) -> None:
    job = make(ledger=Ledger(tmp_path / "theirs.jsonl")).fit(data, wait=False)
    mine = Ledger(tmp_path / "mine.jsonl")
    mine.plan(Resource("endpoint", "other", fake.region, fake.account))
    before = (tmp_path / "mine.jsonl").read_bytes()
    SageMakerJob.attach(job.name, fake.session(), ledger=mine, poll_seconds=0).wait(logs=False)
    assert (tmp_path / "mine.jsonl").read_bytes() == before
