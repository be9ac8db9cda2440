"""Jobs with an own image really run, and their endpoints really answer."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from birdsod import Hyperparameters, Packed, pack, training_log
from birdsod.classes import ClassTable
from birdsod.dataset import synthetic_birds
from birdsod.recordio._framing import framed
from birdsod.testing._fake_sagemaker.local_container import Container
from birdsod.testing._fake_sagemaker.local_data import stream_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.testing import FakeSageMaker
    from tests.testing_fake.conftest import Account

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("birds")
    made = synthetic_birds(folder / "birds", 3, classes=2, per_class=6)
    train, validation = made.split()
    return pack({"train": train, "validation": validation}, folder / "packed", resize=64)


@pytest.fixture
def request_(account: Account, packed: Packed) -> dict[str, Any]:
    """Upload the data; return what a job is created with."""
    for name in ("train", "validation"):
        account.put(f"data/{name}/{name}.rec", packed.channels[name].rec.read_bytes())
    manifest = account.put("data/packed.json", (packed.directory / "packed.json").read_bytes())
    params = Hyperparameters.for_data(
        packed, base_network="efficientnet-lite0", epochs=1, use_pretrained_model=0, mini_batch_size=4
    )
    return account.training(
        "birds-1",
        AlgorithmSpecification={"TrainingImage": account.OWN, "TrainingInputMode": "File"},
        InputDataConfig=[
            account.channel("train"),
            account.channel("validation"),
            account.channel("classes", manifest),
        ],
        HyperParameters=params.to_request(),
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 50},
        CheckpointConfig={"S3Uri": f"s3://{account.fake.bucket}/checkpoints/birds-1"},
    )


def without(request: dict[str, Any], name: str) -> dict[str, Any]:
    channels = [channel for channel in request["InputDataConfig"] if channel["ChannelName"] != name]
    return {**request, "InputDataConfig": channels}


def end(account: Account, request: dict[str, Any]) -> dict[str, Any]:
    account.sagemaker.create_training_job(**request)
    return account.end(request["TrainingJobName"], looks=600)


def running() -> set[int]:
    """Return what runs as a child of this process, which ps itself is too."""
    command = [shutil.which("ps") or "ps", "-A", "-o", "ppid=,pid=,comm="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return {int(pid) for parent, pid, name in rows if parent == str(os.getpid()) and not name.endswith("ps")}


@pytest.fixture(autouse=True)
def _before() -> Iterator[None]:
    """Note what earlier tests of this process left running, such as helpers of its process pools."""
    BEFORE.update(running())
    yield
    BEFORE.clear()


def children() -> set[int]:
    """Return what the fake started."""
    return running() - BEFORE


BEFORE: set[int] = set()


@pytest.mark.slow
def test_a_job_trains_and_its_endpoint_answers(
    account: Account, fake: FakeSageMaker, request_: dict[str, Any], packed: Packed, jpeg: bytes
) -> None:
    request_["InputDataConfig"][0]["InputMode"] = "Pipe"
    told = end(account, request_)
    assert told.get("FailureReason") is None
    assert told["TrainingJobStatus"] == "Completed"
    states = [row["Status"] for row in told["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    lines = account.lines("birds-1")
    assert not any("scripted" in line for line in lines)
    assert any("Copied the channel train from its pipe to disk" in line for line in lines)
    assert len(training_log.to_frame(lines)) == 1
    assert {row["MetricName"] for row in told["FinalMetricDataList"]} >= {"train:cross_entropy", "validation:mAP"}
    assert account.s3.list_objects_v2(Bucket=fake.bucket, Prefix="checkpoints/birds-1/")["KeyCount"] > 0
    account.model(image=account.OWN, artifact=told["ModelArtifacts"]["S3ModelArtifacts"])
    account.endpoint(config=account.config())
    with packed.channels["train"].open() as reader:
        image = reader[0].image
    invoke = account.runtime.invoke_endpoint
    answer = json.loads(invoke(EndpointName="birds", ContentType="image/jpeg", Body=image)["Body"].read())
    assert answer["prediction"]
    assert all(len(row) == 6 for row in answer["prediction"])
    with pytest.raises(account.runtime.exceptions.ModelError) as caught:
        invoke(EndpointName="birds", ContentType="text/plain", Body=jpeg)
    assert caught.value.response["OriginalStatusCode"] == 415
    assert len(children()) == 1
    account.sagemaker.delete_endpoint(EndpointName="birds")
    assert children() == set()


@pytest.mark.slow
def test_a_job_is_stopped_while_it_learns(account: Account, request_: dict[str, Any]) -> None:
    request_["HyperParameters"]["epochs"] = "1000"
    account.sagemaker.create_training_job(**request_)
    looks = 0
    while not account.sagemaker.describe_training_job(TrainingJobName="birds-1").get("FinalMetricDataList"):
        looks += 1
        assert looks < 600
    account.sagemaker.stop_training_job(TrainingJobName="birds-1")
    told = account.end("birds-1", looks=600)
    assert told["TrainingJobStatus"] == "Stopped"
    assert told["ModelArtifacts"]["S3ModelArtifacts"].endswith("/birds-1/output/model.tar.gz")
    assert any("this is the model of what was learned so far" in line for line in account.lines("birds-1"))
    kept = account.s3.list_objects_v2(Bucket=account.fake.bucket, Prefix="checkpoints/birds-1/")
    assert kept["KeyCount"] > 0
    assert children() == set()


def test_a_job_is_stopped(account: Account, request_: dict[str, Any]) -> None:
    request_["HyperParameters"]["epochs"] = "1000"
    account.sagemaker.create_training_job(**request_)
    while account.sagemaker.describe_training_job(TrainingJobName="birds-1")["SecondaryStatus"] != "Training":
        pass
    account.sagemaker.stop_training_job(TrainingJobName="birds-1")
    told = account.end("birds-1", looks=600)
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert children() == set()


def test_what_runs_ends_with_the_fake(account: Account, fake: FakeSageMaker, request_: dict[str, Any]) -> None:
    folder: Path = fake._folder
    request_["HyperParameters"]["epochs"] = "1000"
    account.sagemaker.create_training_job(**request_)
    while account.sagemaker.describe_training_job(TrainingJobName="birds-1")["SecondaryStatus"] != "Training":
        pass
    assert children()
    fake.close()
    assert children() == set()
    assert not folder.exists()


def reason(account: Account, request: dict[str, Any]) -> str:
    told = end(account, request)
    assert told["TrainingJobStatus"] == "Failed"
    return str(told["FailureReason"])


def test_what_the_container_says_is_the_reason(account: Account, request_: dict[str, Any]) -> None:
    told = reason(account, without(request_, "validation"))
    assert told.startswith("AlgorithmError: ")
    assert "input/data: no channel validation (got ['train', 'classes'])" in told
    assert told.endswith(", exit code: 1")
    assert sum("Customer Error: " in line for line in account.lines("birds-1")) == 1


def test_a_program_that_is_killed_leaves_its_exit_code_as_the_reason(
    account: Account, request_: dict[str, Any]
) -> None:
    request_["HyperParameters"]["epochs"] = "1000"
    account.sagemaker.create_training_job(**request_)
    while account.sagemaker.describe_training_job(TrainingJobName="birds-1")["SecondaryStatus"] != "Training":
        pass
    (program,) = children()
    os.kill(program, signal.SIGKILL)
    assert account.end("birds-1", looks=600)["FailureReason"] == "AlgorithmError: , exit code: -9"


def test_a_job_that_fails_is_not_started_again(account: Account, fake: FakeSageMaker, request_: dict[str, Any]) -> None:
    fake.script_training(interruptions=1)
    assert "no channel validation" in reason(account, without(request_, "validation"))
    told = account.sagemaker.describe_training_job(TrainingJobName="birds-1")
    states = [row["Status"] for row in told["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Failed"]


def test_data_that_no_disk_holds_fail_a_job(account: Account, request_: dict[str, Any]) -> None:
    account.put(f"data/train/{'x' * 300}", b"records")
    told = reason(account, request_)
    assert told.startswith("InternalServerError: OSError: ")
    assert "File name too long" in told
    assert told[:100] in account.lines("birds-1")[-1]


def test_a_machine_that_never_started_has_nothing_to_end(
    account: Account, request_: dict[str, Any], tmp_path: Path
) -> None:
    request_["InputDataConfig"][0]["InputMode"] = "Pipe"
    machine = Container(account.fake._here.region("us-east-1"), request_, tmp_path, "algo-1", ["algo-1"])
    machine.stop()
    machine.end()
    assert (machine.exit_code, machine.new_lines(), machine.reason()) == (None, [], "")


def test_without_objects_a_job_fails_before_it_starts(account: Account, request_: dict[str, Any]) -> None:
    request_["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] += "nothing/"
    told = reason(account, request_)
    assert told.startswith("ClientError: Data download failed:No S3 objects found under S3 URL")
    assert "Customer Error: ClientError: Data download failed" in account.lines("birds-1")[-1]


def test_what_the_fake_does_not_bring_is_told(account: Account, request_: dict[str, Any]) -> None:
    request_["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    assert "the fake does not bring such data (got 'ManifestFile')" in reason(account, request_)


def test_a_model_to_go_on_from_is_brought(account: Account, request_: dict[str, Any]) -> None:
    account.put("seed/b/model.tar.gz", b"weights")
    request_["InputDataConfig"].append(account.channel("model", account.put("seed/a/model.tar.gz", b"weights")[:-14]))
    assert "the channel model must hold one model (got ['model.tar.gz', 'model.tar.gz'])" in reason(account, request_)


@pytest.mark.slow
def test_several_machines_train_together(account: Account, request_: dict[str, Any]) -> None:
    request_["ResourceConfig"]["InstanceCount"] = 2
    assert end(account, request_)["TrainingJobStatus"] == "Completed"
    said, others = account.lines("birds-1"), account.lines("birds-1", "algo-2")
    assert any("Setting: 2 processes train together, 1 on this machine" in line for line in said)
    assert any("The log, the checkpoints and the model are those of algo-1" in line for line in others)
    assert children() == set()


@pytest.mark.slow
def test_hyperparameters_that_do_not_fit_fail_a_job(account: Account, request_: dict[str, Any]) -> None:
    request_["HyperParameters"]["num_classes"] = "3"
    assert "num_classes does not fit the data, which have 2" in reason(account, request_)


def test_a_manifest_that_is_none_fails_a_job(account: Account, request_: dict[str, Any]) -> None:
    account.put("data/packed.json", b"not JSON")
    assert "packed.json: packed.json is malformed" in reason(account, request_)


@pytest.mark.slow
def test_a_job_goes_on_from_the_checkpoint_in_the_bucket(account: Account, request_: dict[str, Any]) -> None:
    account.put("checkpoints/birds-1/state.safetensors", b"damaged")
    assert "checkpoint/state.safetensors: the checkpoint cannot be read" in reason(account, request_)


@pytest.mark.parametrize("wrapper", ["None", "RecordIO"])
def test_objects_come_through_a_pipe_as_they_are_or_in_records(account: Account, wrapper: str) -> None:
    account.put("data/notes/a.txt", b"first")
    account.put("data/notes/b.txt", b"second")
    channel = {**account.channel("notes"), "InputMode": "Pipe", "RecordWrapperType": wrapper}
    region = account.fake._here.region("us-east-1")
    pieces = [b"first", b"second"]
    assert list(stream_of(region, channel)) == (pieces if wrapper == "None" else [framed(each) for each in pieces])


def test_lines_of_an_augmented_manifest_come_attribute_by_attribute(account: Account) -> None:
    label: dict[str, Any] = {"annotations": []}
    row = {"source-ref": account.put("photos/a.jpg", b"a photo"), "bounding-box": label, "other": 1}
    uri = account.put("data/birds.manifest", json.dumps(row).encode())
    channel = account.channel("train", uri)
    channel["DataSource"]["S3DataSource"] |= {
        "S3DataType": "AugmentedManifestFile",
        "AttributeNames": ["source-ref", "bounding-box"],
    }
    region = account.fake._here.region("us-east-1")
    assert list(stream_of(region, channel)) == [framed(b"a photo"), framed(json.dumps(label).encode())]


@pytest.mark.slow
def test_a_container_that_is_gone_is_the_model_s_error(account: Account, tmp_path: Path, jpeg: bytes) -> None:
    from birdsod.ssd import save_artifact
    from birdsod.ssd.building import build_network

    classes = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
    params = Hyperparameters(num_classes=2, num_training_samples=60, base_network="efficientnet-lite0")
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    archive = save_artifact(tmp_path / "model.tar.gz", network, params, classes)
    account.model(image=account.OWN, artifact=account.put("good/model.tar.gz", archive.read_bytes()))
    account.endpoint(config=account.config())
    ask = functools.partial(account.runtime.invoke_endpoint, EndpointName="birds", ContentType="image/jpeg", Body=jpeg)
    assert "prediction" in json.loads(ask()["Body"].read())
    (program,) = children()
    os.kill(program, signal.SIGKILL)
    with pytest.raises(account.runtime.exceptions.ModelError, match="the container is gone") as caught:
        ask()
    assert caught.value.response["OriginalStatusCode"] == 500
    account.sagemaker.delete_endpoint(EndpointName="birds")
    assert children() == set()


@pytest.mark.slow
def test_an_artifact_that_does_not_load_is_the_model_s_error(account: Account, tmp_path: Path, jpeg: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    archive = Path(shutil.make_archive(str(tmp_path / "model"), "gztar", tmp_path, "model.safetensors"))
    account.model(image=account.OWN, artifact=account.put("bad/model.tar.gz", archive.read_bytes()))
    account.endpoint(config=account.config())
    with pytest.raises(ClientError, match="the container does not start"):
        account.runtime.invoke_endpoint(EndpointName="birds", ContentType="image/jpeg", Body=jpeg)
    assert children() == set()
