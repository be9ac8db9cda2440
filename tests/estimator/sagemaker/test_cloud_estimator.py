"""From packed data to a training job: what is checked, asked for and told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.validate import ParamValidator

from birdsod.classes import ClassTable
from birdsod.errors import CloudError, HyperparameterError, PreflightError, TrainingError
from birdsod.estimator import Estimator, SageMakerEstimator, SageMakerJob
from birdsod.estimator.sagemaker import ChannelPlan, UploadedInputs
from birdsod.estimator.sagemaker.inputs import PackedInputs, inputs_of
from birdsod.estimator.sagemaker.job_record import JobRecord
from birdsod.estimator.sagemaker.ledger import Ledger, Resource
from birdsod.estimator.sagemaker.price_table import PriceTable
from birdsod.estimator.sagemaker.requests import RECORDIO
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.viz import plot_map

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.recordio import Packed
    from birdsod.testing import FakeSageMaker

OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birds:1"


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
    other = replace(data, class_table=ClassTable.numbered(2))
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
