"""Jobs: stopped, limited, silent, failed, fetched; and a client that is killed at any point of fit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, CloudError, TrainingError
from birdsod.estimator import SageMakerJob
from birdsod.estimator.sagemaker.following import warn_of_losses, why_failed
from birdsod.estimator.sagemaker.job_facts import _seconds_so_far
from birdsod.estimator.sagemaker.ledger import Ledger, Resource
from birdsod.estimator.sagemaker.metrics import incidents
from birdsod.estimator.sagemaker.names import unique_name
from birdsod.estimator.sagemaker.price_table import Price, PriceTable
from birdsod.estimator.sagemaker.requests import TrainingPlan, training_request
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.testing._fake_sagemaker.fake import AliveResource
from birdsod.training_log import quality_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.testing import FakeSageMaker

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
PARAMETERS = {
    "num_classes": "2",
    "num_training_samples": "4",
    "base_network": "resnet-50",
    "use_pretrained_model": "1",
    "mini_batch_size": "2",
    "epochs": "2",
}


@pytest.fixture
def start(fake: FakeSageMaker) -> Callable[..., SageMakerJob]:
    """Start a job with the built-in image, and stand for it."""
    from birdsod.estimator.sagemaker.regions import built_in_image
    from birdsod.estimator.sagemaker.requests import RECORDIO, ChannelPlan

    store = fake.session().client("s3")
    for name in ("train", "validation"):
        store.put_object(Bucket=fake.bucket, Key=f"data/{name}/{name}.rec", Body=b"records")

    def started(**changes: Any) -> SageMakerJob:
        home = f"s3://{fake.bucket}"
        plan = TrainingPlan(
            name=unique_name("birdsod"),
            image=built_in_image(fake.region),
            role=fake.role_arn,
            hyperparameters=PARAMETERS,
            channels=tuple(
                ChannelPlan(name=name, uri=f"{home}/data/{name}/", content_type=RECORDIO)
                for name in ("train", "validation")
            ),
            output_uri=f"{home}/jobs/",
            **changes,
        )
        cloud = Cloud.of(fake.session())
        cloud.sagemaker.create_training_job(**training_request(plan))
        return SageMakerJob(cloud, plan.name, classes=CLASSES, poll_seconds=0)

    return started


def test_a_job_tells_about_itself(start: Callable[..., SageMakerJob]) -> None:
    job = start()
    assert job.status in {"InProgress", "Completed"}
    assert repr(job) == f"SageMakerJob('{job.name}', 'us-east-1')"
    assert job.failure_reason is None
    with pytest.raises(TrainingError, match=r"has no model: its status is InProgress.*wait\(\)"):
        _ = job.artifact
    job.wait(logs=False)
    assert job.status == "Completed"
    assert job.seconds
    assert job.seconds == job.billable_seconds
    assert job.saved == 0.0
    assert job.classes is CLASSES
    assert set(job.figures().columns) >= {"epoch"}
    assert len(job.metrics()) == 2


def test_what_was_spent_so_far(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = PriceTable((Price("ml.g4dn.xlarge", "us-east-1", "training", 3.6, "made up", date(2026, 11, 22)),))
    states = ["Starting", "Starting", *["Training"] * 20, "Completed"]
    fake.script_training(states=states, seconds=500, billable=100)
    name = start(instances=2).name
    job = SageMakerJob.attach(name, fake.session(), prices=prices, poll_seconds=0)
    so_far = [job.spent, job.spent, job.spent]
    assert so_far[0] is None
    assert so_far[-1] is not None
    assert 0 <= so_far[-1] < 1
    job.wait()
    assert f"{name} cost about $0.200" in capsys.readouterr().out
    assert job.spent == pytest.approx(0.2)
    assert SageMakerJob.attach(job.name, fake.session()).spent is None


def test_a_job_that_is_over_is_asked_for_once(start: Callable[..., SageMakerJob], fake: FakeSageMaker) -> None:
    job = start()
    job.wait(logs=False)
    before = len(fake.calls)
    assert (job.status, job.artifact_uri.rpartition("/")[2]) == ("Completed", "model.tar.gz")
    job.stop()
    assert len(fake.calls) == before


def test_stopping_waits_until_it_has(start: Callable[..., SageMakerJob], fake: FakeSageMaker) -> None:
    fake.script_training(states=["Starting", *["Training"] * 20, "Completed"])
    job = start()
    job.ledger.plan(Resource("training-job", job.name, fake.region, fake.account))
    job.stop()
    assert job.status == "Stopped"
    assert fake.alive() == []
    assert Ledger().open_resources() == ()
    job.wait(logs=False)


def test_a_job_may_end_while_it_is_told_to_stop(start: Callable[..., SageMakerJob], fake: FakeSageMaker) -> None:
    fake.script_training(states=["Starting", "Completed"])
    fake.fail("StopTrainingJob", "ValidationException", "The request was rejected because the job is not in progress")
    job = start()
    job.stop()
    assert job.status == "Completed"


def test_someone_else_may_have_stopped_the_job(start: Callable[..., SageMakerJob], fake: FakeSageMaker) -> None:
    fake.script_training(states=["Starting", *["Stopping"] * 3, "Stopped"])
    fake.fail("StopTrainingJob", "ValidationException", "The request was rejected because the job is stopping")
    job = start()
    job.stop()
    assert job.status == "Stopped"


def test_a_job_that_may_not_be_stopped(start: Callable[..., SageMakerJob], fake: FakeSageMaker) -> None:
    fake.script_training(states=["Starting", *["Training"] * 20, "Completed"])
    fake.fail("StopTrainingJob", "AccessDeniedException")
    with pytest.raises(CloudError, match="stop the training job"):
        start().stop()


@pytest.mark.parametrize(
    ("state", "told"), [("MaxRuntimeExceeded", "max_hours="), ("MaxWaitTimeExceeded", "max_wait_hours=")]
)
def test_a_time_limit_is_warned_of(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker, state: str, told: str
) -> None:
    fake.script_training(states=["Starting", "Training", state])
    job = start()
    with pytest.warns(UserWarning, match=told):
        job.wait(logs=False)
    assert job.status == "Stopped"


def test_images_that_were_passed_over_are_warned_of(start: Callable[..., SageMakerJob], fake: FakeSageMaker) -> None:
    line = "Expected number of batches: 1932, did not match the number of batches processed: 616"
    fake.script_training(log=["first", line])
    with pytest.warns(UserWarning, match="1316 of 1932"):
        start().wait(logs=False)


def test_a_restart_is_no_reason_to_warn() -> None:
    lines = [quality_line(epoch, 1, "smooth_l1", 0.5) for epoch in (0, 1, 0)]
    assert [incident.kind for incident in incidents(lines)] == ["restart"]
    warn_of_losses("birds-1", lines)


def test_states_and_lines_are_told_once(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"line {number}" for number in range(30)]
    fake.script_training(states=["Starting", *["Training"] * 6, "Uploading", "Completed"], log=lines, hosts=2)
    fake.script_logs(page_size=3, empty_pages=2, late_streams=2, late_lines=4)
    start(instances=2).wait()
    told = capsys.readouterr().out.splitlines()
    assert sorted(line for line in told if line.startswith("line ")) == sorted([*lines, *lines])
    assert len([line for line in told if line.startswith("Training:")]) == 1
    assert told[0].startswith("Starting")


def test_the_log_is_kept_and_read_without_the_service(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker, tmp_path: Path
) -> None:
    fake.script_training(log=["first", "second"])
    job = start()
    job.wait(logs=False)
    kept = job.logs()
    assert kept[-1] == "second"
    assert (job.folder / "log.txt").read_text().splitlines() == kept
    job.save_logs(tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_text().splitlines() == kept
    fake.fail("DescribeLogStreams", "AccessDeniedException", times=2)
    assert job.logs() == kept
    (job.folder / "log.txt").unlink()
    with pytest.raises(CloudError, match="AccessDenied"):
        job.logs()


def test_a_job_without_a_word_failed_all_the_same() -> None:
    error = why_failed("birds-1", {}, [])
    assert error.message == "birds-1 failed: the service gives no reason"
    assert error.cause == "it said nothing"
    assert why_failed("birds-1", {}, ["one", "", "two"]).cause == "one | two"


def test_a_failed_job_has_no_model_and_says_why(start: Callable[..., SageMakerJob], fake: FakeSageMaker) -> None:
    fake.script_training(failure="AlgorithmError: no images")
    job = start()
    with pytest.raises(TrainingError, match="AlgorithmError: no images"):
        job.wait(logs=False)
    assert job.failure_reason == "AlgorithmError: no images"
    with pytest.raises(TrainingError, match="Likely cause: AlgorithmError"):
        job.deploy()


def test_the_model_is_fetched_once_and_refused_where_it_is_not_ours(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker
) -> None:
    _ = fake
    job = start()
    job.wait(logs=False)
    first = job.artifact
    assert first.is_relative_to(os.environ["XDG_CACHE_HOME"])
    before = first.stat().st_ino
    assert job.artifact.stat().st_ino == before
    with pytest.raises(ArtifactError):
        job.predict(b"")
    with pytest.raises(ArtifactError):
        job.predict_batch([b""])


def test_the_cache_lies_in_the_home_by_default(
    start: Callable[..., SageMakerJob], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = start()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert job.folder == tmp_path / ".cache" / "birdsod" / "jobs" / job.cloud.account / "us-east-1" / job.name


def test_hosting_and_transform_take_the_jobs_own_parts(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker, tmp_path: Path
) -> None:
    from PIL import Image

    fake.script_predictions([[1, 0.9, 0.1, 0.2, 0.5, 0.6]])
    job = start()
    job.wait(logs=False)
    picture = tmp_path / "bird.jpg"
    Image.new("RGB", (60, 40)).save(picture)
    with job.deploy() as detector:
        assert list(detector.predict(picture).names) == ["036.Northern_Flicker"]
    transformed = job.transform([picture])
    assert len(transformed) == 1
    assert fake.alive() == []
    assert Ledger().open_resources() == ()


# Killed at any point

FIT = """
    import os, signal, sys
    from types import SimpleNamespace
    import boto3
    from birdsod import Hyperparameters
    from birdsod.classes import ClassTable
    from birdsod.estimator import SageMakerEstimator
    from birdsod.estimator.sagemaker import ChannelPlan, UploadedInputs

    bucket, role, moment, event = sys.argv[1:]
    session = boto3.Session()

    def die(**_):
        os.kill(os.getpid(), signal.SIGKILL)

    params = Hyperparameters(
        num_classes=2, num_training_samples=4, base_network="resnet-50", mini_batch_size=2, epochs=2
    )
    estimator = SageMakerEstimator(params, bucket, role, session, poll_seconds=0)
    client = estimator.cloud.s3 if event.startswith("s3") else estimator.cloud.sagemaker
    client.meta.events.register(f"{moment}.{event}", die)
    channels = tuple(
        ChannelPlan(name=name, uri=f"s3://{bucket}/data/{name}/", content_type="application/x-recordio")
        for name in ("train", "validation")
    )
    estimator.fit(UploadedInputs(channels, ClassTable((17, 36), ("a", "b"))), check=False)
"""


@pytest.mark.parametrize(
    ("moment", "event", "alive"),
    [
        ("before-call", "s3.PutObject", False),
        ("after-call", "s3.PutObject", False),
        ("before-call", "sagemaker.CreateTrainingJob", False),
        ("after-call", "sagemaker.CreateTrainingJob", True),
        ("after-call", "sagemaker.DescribeTrainingJob", True),
    ],
)
def test_a_client_that_is_killed_leaves_nothing_after_a_cleanup(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker, moment: str, event: str, alive: bool
) -> None:
    from birdsod.estimator.sagemaker.cleanup import cleanup

    fake.script_training(states=["Starting", *["Training"] * 100, "Completed"])
    foreign = start()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIT), fake.bucket, fake.role_arn, moment, event],
        env={**os.environ, **fake.environment()},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = [one for one in fake.alive() if one.name != foreign.name]
    assert len(left) == (1 if alive else 0)
    if "CreateTrainingJob" in event or alive:
        assert [entry.resource.kind for entry in Ledger().open_resources()] == ["training-job"]
    report = cleanup(Cloud.of(fake.session()), poll_seconds=0)
    assert not report.failed
    assert Ledger().open_resources() == ()
    # What nobody made with birdsod is never touched.
    assert fake.alive() == [AliveResource("training-job", foreign.name)]
    foreign.stop()


@pytest.mark.parametrize("operation", ["DescribeLogStreams", "GetLogEvents"])
def test_who_may_not_read_the_log_is_told_how_the_job_ended_all_the_same(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker, operation: str
) -> None:
    fake.script_training(failure="AlgorithmError: out of memory")
    fake.fail(operation, "AccessDeniedException", "not for you", times=1000)
    with (
        pytest.warns(UserWarning, match="without its log.*not for you") as told,
        pytest.raises(TrainingError, match="out of memory"),
    ):
        start().wait()
    assert len(told) == 1


def test_a_log_is_read_on_from_where_the_last_look_ended(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker
) -> None:
    fake.script_training(log=[f"line {number}" for number in range(200)])
    fake.script_logs(page_size=10)
    job = start()
    while job.status == "InProgress":
        job.logs()
    whole = job.logs()
    assert [line for line in whole if line.startswith("line ")] == [f"line {number}" for number in range(200)]
    begun = len(fake.calls)
    assert job.logs() == whole
    assert sum(call.operation == "GetLogEvents" for call in fake.calls[begun:]) <= 2


def test_a_look_at_the_log_that_is_interrupted_costs_no_line(
    start: Callable[..., SageMakerJob], fake: FakeSageMaker
) -> None:
    fake.script_training(log=[f"line {number}" for number in range(30)])
    fake.script_logs(page_size=10)
    job = start()
    while job.status == "InProgress":
        pass
    fake.fail("GetLogEvents", "AccessDeniedException", after=2)
    with pytest.raises(CloudError, match="AccessDenied"):
        job.logs()
    assert [line for line in job.logs() if line.startswith("line ")] == [f"line {number}" for number in range(30)]


def test_what_a_job_cost_does_not_grow_after_its_end() -> None:
    begun = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
    told = {"TrainingJobStatus": "Stopped", "TrainingStartTime": begun, "TrainingEndTime": begun + timedelta(minutes=5)}
    assert _seconds_so_far(told) == 300
