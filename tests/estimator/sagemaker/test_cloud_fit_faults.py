"""A fit that goes wrong: what is told, and what is left."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.errors import CloudError, TrainingError
from birdsod.estimator.sagemaker.ledger import Ledger
from birdsod.testing._fake_sagemaker.fake import AliveResource

if TYPE_CHECKING:
    from collections.abc import Callable

    from birdsod.estimator import SageMakerEstimator
    from birdsod.recordio import Packed
    from birdsod.testing import FakeSageMaker


def operations(fake: FakeSageMaker) -> list[str]:
    return [call.operation for call in fake.calls]


def created(fake: FakeSageMaker) -> dict[str, Any]:
    """The request that created the last job."""
    found: dict[str, Any] = next(call for call in reversed(fake.calls) if call.operation == "CreateTrainingJob").request
    return found


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
