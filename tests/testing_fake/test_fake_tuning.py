"""Tuning jobs of the fake cloud, through boto3."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from birdsod.testing import FakeSageMaker
    from tests.testing_fake.conftest import Account

RANGES: dict[str, list[dict[str, Any]]] = {
    "ContinuousParameterRanges": [
        {"Name": "learning_rate", "MinValue": "1e-5", "MaxValue": "1e-2", "ScalingType": "Logarithmic"},
        {"Name": "momentum", "MinValue": "0", "MaxValue": "0.999"},
    ],
    "IntegerParameterRanges": [{"Name": "mini_batch_size", "MinValue": "8", "MaxValue": "16"}],
    "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adam"]}],
}
STATIC = {"num_classes": "2", "num_training_samples": "16", "epochs": "2"}


def tuning(account: Account, name: str = "tune-1", *, jobs: int = 5, parallel: int = 2, **config: Any) -> Any:
    definition = account.training()
    del definition["TrainingJobName"], definition["HyperParameters"]
    whole: dict[str, Any] = {
        "Strategy": "Bayesian",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel},
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:mAP"},
        "ParameterRanges": RANGES,
    }
    request: dict[str, Any] = {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {**whole, **config},
        "TrainingJobDefinition": {**definition, "StaticHyperParameters": STATIC},
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    return copy.deepcopy(request)


def end(account: Account, name: str = "tune-1") -> Any:
    for _ in range(60):
        told = account.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        counters = told["TrainingJobStatusCounters"]
        assert counters["InProgress"] <= 2
        if told["HyperParameterTuningJobStatus"] not in {"InProgress", "Stopping"}:
            return told
    raise AssertionError("it does not end")


def trials(account: Account, name: str = "tune-1", **more: Any) -> list[Any]:
    ask = account.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job
    rows: list[Any] = ask(HyperParameterTuningJobName=name, **more)["TrainingJobSummaries"]
    return rows


def test_trials_run_a_few_at_a_time_and_the_best_is_told(account: Account, fake: FakeSageMaker) -> None:
    fake.script_tuning([0.3, 0.8, 0.5, 0.1, 0.6])
    made = account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account))
    assert made["HyperParameterTuningJobArn"].endswith(":hyper-parameter-tuning-job/tune-1")
    assert [row.kind for row in fake.alive()] == ["training-job", "training-job", "tuning-job"]
    told = end(account)
    assert told["HyperParameterTuningJobStatus"] == "Completed"
    assert [row.get("FailureReason") for row in trials(account)] == [None] * 5
    assert told["TrainingJobStatusCounters"]["Completed"] == told["ObjectiveStatusCounters"]["Succeeded"] == 5
    assert fake.alive() == []
    rows = trials(account, SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    values = [row["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for row in rows]
    assert values == pytest.approx([0.8, 0.6, 0.5, 0.3, 0.1])
    assert told["BestTrainingJob"]["TrainingJobName"] == rows[0]["TrainingJobName"]
    assert set(rows[0]["TunedHyperParameters"]) == {"learning_rate", "momentum", "mini_batch_size", "optimizer"}
    job = account.sagemaker.describe_training_job(TrainingJobName=rows[0]["TrainingJobName"])
    assert job["TuningJobArn"] == told["HyperParameterTuningJobArn"]
    assert job["HyperParameters"].items() >= {**STATIC, **rows[0]["TunedHyperParameters"]}.items()
    assert job["HyperParameters"]["_tuning_objective_metric"] == "validation:mAP"
    assert account.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"] == [{"Key": "a", "Value": "b"}]


def test_values_differ_and_lie_within_their_ranges(account: Account) -> None:
    account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account))
    end(account)
    tuned = [row["TunedHyperParameters"] for row in trials(account)]
    assert len({row["learning_rate"] for row in tuned}) == 5
    assert all(1e-5 <= float(row["learning_rate"]) <= 1e-2 for row in tuned)
    assert all(8 <= int(row["mini_batch_size"]) <= 16 for row in tuned)
    assert {row["optimizer"] for row in tuned} == {"sgd", "adam"}


def test_the_objective_may_depend_on_the_values_and_be_minimized(account: Account, fake: FakeSageMaker) -> None:
    fake.script_tuning(lambda values: 1 - float(values["learning_rate"]))
    objective = {"Type": "Minimize", "MetricName": "validation:mAP"}
    request = tuning(account, HyperParameterTuningJobObjective=objective)
    account.sagemaker.create_hyper_parameter_tuning_job(**request)
    best = end(account)["BestTrainingJob"]["TunedHyperParameters"]["learning_rate"]
    assert float(best) == max(float(row["TunedHyperParameters"]["learning_rate"]) for row in trials(account))


def test_trials_may_fail(account: Account, fake: FakeSageMaker) -> None:
    fake.script_tuning(failures=[1])
    account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account))
    told = end(account)
    assert told["HyperParameterTuningJobStatus"] == "Completed"
    assert told["TrainingJobStatusCounters"]["NonRetryableError"] == told["ObjectiveStatusCounters"]["Failed"] == 1
    (failed,) = trials(account, StatusEquals="Failed")
    assert "scripted to fail" in failed["FailureReason"]
    fake.script_tuning(failures=range(5))
    account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account, "tune-2"))
    told = end(account, "tune-2")
    assert (told["HyperParameterTuningJobStatus"], "BestTrainingJob" in told) == ("Failed", False)
    assert told["FailureReason"].startswith("All training jobs failed")


def test_a_tuning_job_is_stopped_with_its_trials(account: Account, fake: FakeSageMaker) -> None:
    account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account))
    account.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune-1")
    account.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune-1")
    told = end(account)
    assert told["HyperParameterTuningJobStatus"] == "Stopped"
    assert told["TrainingJobStatusCounters"]["Stopped"] == 2
    assert fake.alive() == []


def test_it_is_listed_and_deleted(account: Account) -> None:
    account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account))
    (row,) = account.sagemaker.list_hyper_parameter_tuning_jobs(StatusEquals="InProgress")[
        "HyperParameterTuningJobSummaries"
    ]
    assert (row["HyperParameterTuningJobName"], row["Strategy"]) == ("tune-1", "Bayesian")
    with pytest.raises(ClientError, match="ResourceInUse"):
        account.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune-1")
    end(account)
    for _ in range(2):
        account.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune-1")
    with pytest.raises(ClientError, match=r"ResourceNotFound.*can't find a tuning job called tune-1"):
        end(account)


def test_trials_are_paged_and_sorted(account: Account) -> None:
    account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account))
    end(account)
    pages = account.sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName="tune-1", PaginationConfig={"PageSize": 2}
    )
    assert [len(part["TrainingJobSummaries"]) for part in pages] == [2, 2, 1]
    by_time = [row["TrainingJobName"] for row in trials(account, SortBy="CreationTime")]
    assert by_time == [row["TrainingJobName"] for row in trials(account)]
    assert len(trials(account, SortBy="Status", SortOrder="Descending")) == 5


def refused(account: Account, request: dict[str, Any]) -> str:
    with pytest.raises(ClientError) as caught:
        account.sagemaker.create_hyper_parameter_tuning_job(**request)
    assert account.fake.alive() == []
    return str(caught.value)


def test_names_are_short_and_taken_once(account: Account) -> None:
    assert "length less than or equal to 32" in refused(account, tuning(account, "t" * 33))
    account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account))
    with pytest.raises(ClientError, match=r"ResourceInUse.*must be unique"):
        account.sagemaker.create_hyper_parameter_tuning_job(**tuning(account))


def changed(account: Account, kind: str, **values: Any) -> dict[str, Any]:
    request: dict[str, Any] = tuning(account)
    request["HyperParameterTuningJobConfig"]["ParameterRanges"][kind][0] |= values
    return request


def test_a_tuning_job_of_one_s_own_image_waits_for_its_trials(account: Account) -> None:
    request = tuning(account, jobs=1, parallel=1)
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = account.OWN
    account.sagemaker.create_hyper_parameter_tuning_job(**request)
    told = end(account)
    assert told["HyperParameterTuningJobStatus"] == "Failed"
    (trial,) = trials(account)
    assert "train.rec, record 0: " in trial["FailureReason"]


def test_ranges_are_checked(account: Account) -> None:
    real, whole = "ContinuousParameterRanges", "IntegerParameterRanges"
    assert "is empty: 64 to 16" in refused(account, changed(account, whole, MinValue="64"))
    assert "few is not a number" in refused(account, changed(account, whole, MinValue="few"))
    assert "must be above 0 for logarithmic" in refused(account, changed(account, real, MinValue="0"))
    assert "colour of algorithm object-detection is not tunable" in refused(
        account, changed(account, real, Name="colour")
    )
    assert "momentum is given more than once" in refused(account, changed(account, real, Name="momentum"))
    assert "epochs is given more than once" in refused(account, changed(account, whole, Name="epochs"))
    assert "At least one" in refused(account, tuning(account, ParameterRanges={}))


def test_limits_objective_and_definition_are_checked(account: Account) -> None:
    assert "cannot be greater" in refused(account, tuning(account, jobs=1, parallel=2))
    objective = {"Type": "Maximize", "MetricName": "Accuracy"}
    said = refused(account, tuning(account, HyperParameterTuningJobObjective=objective))
    assert "supported: validation:mAP" in said
    request = tuning(account)
    request["TrainingJobDefinition"]["RoleArn"] = "arn:aws:iam::123456789012:role/Nobody"
    assert "Could not assume role" in refused(account, request)
    del request["TrainingJobDefinition"]
    assert "TrainingJobDefinition is required" in refused(account, request)
