"""What the cloud's refusals become."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ParamValidationError

from birdsod.errors import CloudError, MissingDependencyError
from birdsod.estimator.sagemaker.faults import asking, code_of, is_expired, is_missing, is_throttled, patient
from birdsod.estimator.sagemaker.session import Cloud

if TYPE_CHECKING:
    from birdsod.testing import FakeSageMaker


def refusal(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "CreateTrainingJob")


def refused(error: Exception) -> CloudError:
    with pytest.raises(CloudError) as caught, asking("create the job", resource="birds-1"):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("ResourceLimitExceeded", "Service Quotas"),
        ("AccessDeniedException", "administrator"),
        ("ExpiredTokenException", "attach(name)"),
        ("ThrottlingException", "in a minute"),
        ("ValidationException", "check(data)"),
        ("ResourceInUse", "leave the name out"),
        ("NoSuchBucket", "bucket="),
        ("NoSuchEntity", "role="),
        ("UnrecognizedClientException", "profile_name"),
    ],
)
def test_each_refusal_has_its_cure(code: str, told: str) -> None:
    error = refused(refusal(code))
    assert error.value == code
    assert error.cause
    assert told in str(error.cure)
    assert error.message.startswith("cannot create the job birds-1: ")


def test_an_unknown_code_is_told_as_it_is() -> None:
    error = refused(refusal("Peculiar", "the moon is full."))
    assert (error.value, error.cause, error.cure) == ("Peculiar", None, None)
    assert "the moon is full" in error.message


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NoCredentialsError(), "aws configure"),
        (EndpointConnectionError(endpoint_url="https://moon"), "connection"),
        (ParamValidationError(report="bad"), "message"),
    ],
)
def test_what_never_reached_the_service_is_told_too(error: Exception, told: str) -> None:
    assert told in str(refused(error).cure)


def test_other_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), asking("divide"):
        raise ZeroDivisionError


def test_a_transfer_tells_what_the_store_said() -> None:
    from boto3.exceptions import S3UploadFailedError

    wrapped = S3UploadFailedError("failed")
    wrapped.__cause__ = refusal("NoSuchBucket", "no bucket of this name")
    error = refused(wrapped)
    assert error.value == "NoSuchBucket"
    assert "no bucket of this name" in error.message


def test_what_the_service_says(fake: FakeSageMaker) -> None:
    fake.fail("DescribeTrainingJob", "AccessDeniedException", "not for you")
    with pytest.raises(CloudError, match="not for you") as caught, asking("look"):
        Cloud.of(fake.session()).sagemaker.describe_training_job(TrainingJobName="birds")
    assert code_of(caught.value) == "AccessDeniedException"


def test_what_is_missing_is_known_by_code_or_words(fake: FakeSageMaker) -> None:
    with pytest.raises(ClientError) as caught:
        Cloud.of(fake.session()).sagemaker.describe_training_job(TrainingJobName="birds")
    assert is_missing(caught.value)
    assert is_missing(refusal("404"))
    assert is_missing(refusal("ResourceNotFound"))
    assert not is_missing(refusal("ValidationException", "1 is not above 2"))


def test_what_has_expired_or_is_busy() -> None:
    assert is_expired(refusal("ExpiredToken"))
    assert not is_expired(refusal("AccessDenied"))
    assert is_throttled(refusal("ThrottlingException"))
    assert is_throttled(refusal("ThrottledByMoon"))
    assert not is_throttled(refusal("ValidationException"))


def test_patience_doubles_and_ends() -> None:
    waits: list[float] = []

    def call() -> None:
        raise refusal("ThrottlingException")

    with pytest.raises(ClientError, match="ThrottlingException"):
        patient(call, attempts=4, sleep=waits.append, seconds=1)
    assert waits == [1, 2, 4]


def test_patience_brings_the_answer() -> None:
    answers = [refusal("SlowDown"), None]

    def call() -> str:
        error = answers.pop(0)
        if error:
            raise error
        return "done"

    assert patient(call, sleep=lambda _: None) == "done"


def test_expired_credentials_are_renewed() -> None:
    fresh: list[bool] = []

    def call() -> str:
        if not fresh:
            raise refusal("ExpiredTokenException")
        return "done"

    assert patient(call, sleep=lambda _: None, renew=lambda: fresh.append(True)) == "done"
    assert fresh == [True]
    fresh.clear()
    with pytest.raises(ClientError, match="Expired"):
        patient(call, sleep=lambda _: None)


def test_keys_that_were_replaced_are_renewed_once() -> None:
    renewals: list[int] = []

    def call() -> str:
        if not renewals:
            raise refusal("UnrecognizedClientException")
        return "done"

    assert patient(call, sleep=lambda _: None, renew=lambda: renewals.append(1)) == "done"

    def wrong() -> None:
        raise refusal("UnrecognizedClientException")

    renewals.clear()
    with pytest.raises(ClientError):
        patient(wrong, sleep=lambda _: None, renew=lambda: renewals.append(1))
    assert renewals == [1]


def test_what_no_patience_helps_is_raised_at_once() -> None:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise refusal("ValidationException")

    with pytest.raises(ClientError):
        patient(call, sleep=lambda _: None)
    assert calls == [1]


def test_no_attempt_is_no_patience() -> None:
    with pytest.raises(ValueError, match="at least one"):
        patient(lambda: None, attempts=0)


def test_without_boto3_the_cure_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingDependencyError, match=r"birdsod\[cloud\]"):
        Cloud.of()
    with pytest.raises(MissingDependencyError), asking("look"):
        pass
