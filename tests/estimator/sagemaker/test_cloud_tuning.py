"""Tuning jobs through real boto3: checked first, watched, their trials as a table, the best as a job."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from birdsod import training_log
from birdsod.classes import ClassTable
from birdsod.errors import CloudError, HyperparameterError, PreflightError, TrainingError
from birdsod.estimator.sagemaker import SageMakerEstimator, UploadedInputs, tuning_job
from birdsod.estimator.sagemaker.ledger import Ledger
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.estimator.sagemaker.requests import RECORDIO, ChannelPlan, TrainingPlan
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.estimator.sagemaker.tuning import Search, tune, tuning_plan, tuning_request
from birdsod.estimator.sagemaker.tuning_job import TuningJob
from birdsod.estimator.sagemaker.tuning_ranges import (
    TUNABLE,
    Categorical,
    Continuous,
    Integer,
    checked_ranges,
    range_request,
)
from birdsod.estimator.sagemaker.validation import request_findings
from birdsod.hyperparameters import GIVEN, Hyperparameters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.testing import FakeSageMaker

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
PARAMS = Hyperparameters(num_classes=2, num_training_samples=100, epochs=3)
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birds:1"


@pytest.fixture
def cloud(fake: FakeSageMaker) -> Cloud:
    session = fake.session()
    inner: Any = session._session
    once = Config(retries={"total_max_attempts": 1})
    given = inner.get_default_client_config()
    inner.set_default_client_config(once if given is None else given.merge(once))
    return Cloud.of(session)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture
def plan(fake: FakeSageMaker) -> TrainingPlan:
    made = plan_of(f"arn:aws:iam::{fake.account}:role/BirdsodExecution", fake.bucket)
    store = fake.session().client("s3")
    for name in ("train", "validation"):
        store.put_object(Bucket=fake.bucket, Key=f"data/{name}/{name}.rec", Body=b"a record")
    return made


def plan_of(role: str = "arn:aws:iam::123456789012:role/birds", bucket: str = "birds-bucket") -> TrainingPlan:
    return TrainingPlan(
        name="birdsod-20261122-220000-abcd",
        image=built_in_image("us-east-1"),
        role=role,
        hyperparameters=PARAMS.to_request(),
        channels=tuple(
            ChannelPlan(name=name, uri=f"s3://{bucket}/data/{name}/", content_type=RECORDIO)
            for name in ("train", "validation")
        ),
        output_uri=f"s3://{bucket}/jobs/",
        tags={"team": "birds"},
    )


@pytest.fixture
def start(cloud: Cloud, plan: TrainingPlan, ledger: Ledger) -> Callable[..., TuningJob]:
    def run(ranges: Any = None, **options: Any) -> TuningJob:
        return tune(cloud, plan, ranges, ledger=ledger, poll_seconds=0, **{"classes": CLASSES, **options})

    return run


def test_the_request_holds_against_the_services_model() -> None:
    request = tuning_request(tuning_plan(plan_of()))
    assert request_findings("CreateHyperParameterTuningJob", request) == ()
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    assert config["HyperParameterTuningJobObjective"] == {"Type": "Maximize", "MetricName": "validation:mAP"}
    assert config["Strategy"] == "Bayesian"
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 2}
    assert config["TrainingJobEarlyStoppingType"] == "Auto"
    assert set(TUNABLE).isdisjoint(definition["StaticHyperParameters"])
    assert definition["StaticHyperParameters"]["epochs"] == "3"
    assert "MetricDefinitions" not in definition["AlgorithmSpecification"]
    assert {row["Key"]: row["Value"] for row in request["Tags"]} == {"team": "birds"}


def test_settings_of_the_plan_reach_the_trials() -> None:
    plan = replace(
        plan_of(),
        spot=True,
        max_wait_seconds=20_000,
        checkpoint_uri="s3://birds-bucket/checkpoints/",
        subnets=("subnet-1",),
        security_groups=("sg-1",),
        network_isolation=True,
        encrypt_traffic=True,
    )
    definition = tuning_request(tuning_plan(plan))["TrainingJobDefinition"]
    assert definition["EnableManagedSpotTraining"]
    assert definition["StoppingCondition"]["MaxWaitTimeInSeconds"] == 20_000
    assert definition["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert definition["EnableNetworkIsolation"]
    assert definition["EnableInterContainerTrafficEncryption"]
    # Trials would read each other's.
    assert "CheckpointConfig" not in definition


def test_own_containers_get_metric_definitions() -> None:
    definition = tuning_request(tuning_plan(replace(plan_of(), image=OWN)))["TrainingJobDefinition"]
    told = {row["Name"]: row["Regex"] for row in definition["AlgorithmSpecification"]["MetricDefinitions"]}
    assert told == dict(training_log.METRIC_DEFINITIONS)
    own = tuning_plan(replace(plan_of(), image=OWN, metrics={"validation:mAP": "mAP=(.*)"}))
    assert own.metrics == {"validation:mAP": "mAP=(.*)"}


def test_what_is_varied_counts_as_chosen_by_the_user() -> None:
    plan = replace(plan_of(), image=OWN, hyperparameters={**PARAMS.to_request(), GIVEN: "epochs,momentum"})
    definition = tuning_request(tuning_plan(plan), {"momentum": (0.5, 0.9), "learning_rate": (0.001, 0.1)})
    assert definition["TrainingJobDefinition"]["StaticHyperParameters"][GIVEN] == "epochs,learning_rate,momentum"


def test_ranges_are_checked_before_anything_is_uploaded(fake: FakeSageMaker) -> None:
    estimator = SageMakerEstimator(PARAMS, fake.bucket, fake.role_arn, fake.session())
    data = UploadedInputs(plan_of(bucket=fake.bucket).channels, CLASSES)
    with pytest.raises(HyperparameterError, match="cannot be tuned"):
        estimator.tune(data, {"epochs": (1, 2)}, check=False)
    with pytest.raises(HyperparameterError, match="cannot run at a time"):
        estimator.tune(data, jobs=1, parallel=2, check=False)
    store = fake.session().client("s3")
    assert store.list_objects_v2(Bucket=fake.bucket).get("Contents", []) == []


def test_a_name_that_is_too_long_is_replaced() -> None:
    assert tuning_plan(plan_of()).name == "birdsod-20261122-220000-abcd"
    assert len(tuning_plan(replace(plan_of(), name="birds-" * 8 + "1")).name) <= 32


def test_how_a_job_looks() -> None:
    search = Search(jobs=20, parallel=4, strategy="Random", early_stopping=False, max_hours=2, random_seed=7)
    config = tuning_request(tuning_plan(plan_of()), None, search)["HyperParameterTuningJobConfig"]
    assert config["ResourceLimits"] == {
        "MaxNumberOfTrainingJobs": 20,
        "MaxParallelTrainingJobs": 4,
        "MaxRuntimeInSeconds": 7200,
    }
    assert (config["Strategy"], config["TrainingJobEarlyStoppingType"], config["RandomSeed"]) == ("Random", "Off", 7)


def test_hyperband_stops_by_its_own_rule() -> None:
    request = tuning_request(tuning_plan(plan_of()), None, Search(strategy="Hyperband"))
    config = request["HyperParameterTuningJobConfig"]
    assert config["TrainingJobEarlyStoppingType"] == "Off"
    assert config["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 3}}
    assert request_findings("CreateHyperParameterTuningJob", request) == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jobs": 0}, "needs jobs"),
        ({"jobs": 2, "parallel": 3}, "cannot run at a time"),
        ({"parallel": 0}, "cannot run at a time"),
        ({"strategy": "Grid"}, "no strategy"),
        ({"max_hours": 0.01}, "max_hours"),
        ({"random_seed": -1}, "random_seed"),
    ],
)
def test_options_that_do_not_fit(options: Any, words: str) -> None:
    with pytest.raises(HyperparameterError, match=words):
        Search(**options)


def test_ranges_as_the_service_takes_them() -> None:
    given = {
        "learning_rate": (1e-4, 1e-2),
        "mini_batch_size": (8, 32),
        "momentum": Continuous(0.5, 0.9, "ReverseLogarithmic"),
        "optimizer": ["sgd", "adam"],
    }
    assert range_request(checked_ranges(given, {}, built_in=True)) == {
        "ContinuousParameterRanges": [
            {"Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.01", "ScalingType": "Logarithmic"},
            {"Name": "momentum", "MinValue": "0.5", "MaxValue": "0.9", "ScalingType": "ReverseLogarithmic"},
        ],
        "IntegerParameterRanges": [
            {"Name": "mini_batch_size", "MinValue": "8", "MaxValue": "32", "ScalingType": "Auto"}
        ],
        "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adam"]}],
    }


@pytest.mark.parametrize(("samples", "batches"), [(1000, (8, 64)), (30, (8, 30)), (8, None)])
def test_default_batches_fit_the_number_of_samples(samples: int, batches: tuple[int, int] | None) -> None:
    made = checked_ranges(None, {"num_training_samples": str(samples)}, built_in=True)
    assert made.get("mini_batch_size") == (None if batches is None else Integer(*batches))
    assert set(made) | {"mini_batch_size"} == set(TUNABLE)


def test_categories_alone_are_a_range_too() -> None:
    made = range_request(checked_ranges({"optimizer": ("sgd", "adam")}, {}, built_in=True))
    assert list(made) == ["CategoricalParameterRanges"]
    assert list(range_request({"momentum": Continuous(0.1, 0.9)})) == ["ContinuousParameterRanges"]


def test_own_containers_may_vary_more() -> None:
    made = checked_ranges({"epochs": (3, 9), "nms_threshold": (0.3, 0.6)}, {}, built_in=False)
    assert made == {"epochs": Integer(3, 9), "nms_threshold": Continuous(0.3, 0.6)}


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({}, "no number of ranges"),
        ({"epochs": (3, 9)}, "cannot be tuned"),
        ({"learning_rate": (1e-7, 0.1)}, "beyond what the algorithm takes"),
        ({"learning_rate": (0.1, 0.6)}, "beyond what the algorithm takes"),
        ({"optimizer": ("sgd", "lion")}, "beyond what the algorithm takes"),
        ({"mini_batch_size": (8.0, 32.0)}, "another kind of range"),
        ({"learning_rate": Categorical(("0.1", "0.2"))}, "another kind of range"),
        ({"mini_batch_size": (8, 64)}, "above the number of training samples"),
        ({"learning_rate": 0.1}, "no range for learning_rate"),
        ({"learning_rate": (0.1, 0.2, 0.3)}, "no range for learning_rate"),
        ({"learning_rate": ("sgd", 0.2)}, "no range for learning_rate"),
        ({"learning_rate": (0.2, 0.1)}, "no range"),
        ({"learning_rate": (True, 2)}, "no range"),
    ],
)
def test_ranges_that_the_algorithm_does_not_take(ranges: Any, words: str) -> None:
    with pytest.raises(HyperparameterError, match=words):
        checked_ranges(ranges, {"num_training_samples": "50"}, built_in=True)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({"colour": (1, 2)}, "cannot be tuned"),
        ({"epochs": (0, 9)}, "epochs is out of range"),
        ({"base_network": ("resnet-50", "resnet-18")}, "base_network is out of range"),
    ],
)
def test_ranges_that_no_container_takes(ranges: Any, words: str) -> None:
    with pytest.raises(HyperparameterError, match=words):
        checked_ranges(ranges, {}, built_in=False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Continuous(0.1, math.inf), "no range"),
        (lambda: Continuous(0.0, 0.1, "Logarithmic"), "begins above 0"),
        (lambda: Continuous(0.5, 1.0, "ReverseLogarithmic"), "lies in"),
        (lambda: Continuous(0.5, 1.0, "Log"), "no scaling"),  # type: ignore[arg-type] # what is tested
        (lambda: Integer(8, 9, "Log"), "no scaling"),  # type: ignore[arg-type] # what is tested
        (lambda: Integer(8, 9.5), "no whole number"),  # type: ignore[arg-type] # what is tested
        (lambda: Integer(0, 8, "Logarithmic"), "begins above 0"),
        (lambda: Integer(1, 8, "ReverseLogarithmic"), "no such scaling"),
        (lambda: Categorical(()), "no choice"),
        (lambda: Categorical(("a", "a")), "no choice"),
    ],
)
def test_values_that_are_no_range(make: Callable[[], object], words: str) -> None:
    with pytest.raises(HyperparameterError, match=words):
        make()


def test_a_text_alone_is_one_value() -> None:
    assert Categorical("sgd").values == ("sgd",)  # type: ignore[arg-type] # what is tested


def test_a_tuning_job_to_its_end(fake: FakeSageMaker, start: Callable[..., TuningJob], ledger: Ledger) -> None:
    fake.script_tuning([0.2, 0.6, 0.4])
    job = start(jobs=3, parallel=2)
    assert job.status == "Completed"
    trials = job.trials()
    assert list(trials) == [
        "name",
        "status",
        "objective",
        "learning_rate",
        "momentum",
        "weight_decay",
        "mini_batch_size",
        "optimizer",
        "seconds",
    ]
    assert trials["objective"].tolist() == [0.2, 0.6, 0.4]
    assert trials["status"].tolist() == ["Completed"] * 3
    assert trials["learning_rate"].between(1e-6, 0.5).all()
    assert trials["optimizer"].isin(["sgd", "adam", "rmsprop", "adadelta"]).all()
    assert (trials["seconds"] > 0).all()
    assert job.best.name == trials["name"][1]
    assert job.best.status == "Completed"
    assert job.best.classes == CLASSES
    assert ledger.open_resources() == ()
    assert fake.alive() == []


def test_it_is_noted_and_tagged_before_it_is_made(
    fake: FakeSageMaker, cloud: Cloud, start: Callable[..., TuningJob], ledger: Ledger
) -> None:
    job = start(wait=False)
    (entry,) = ledger.open_resources()
    assert (entry.resource.kind, entry.resource.name) == ("tuning-job", job.name)
    arn = job.describe()["HyperParameterTuningJobArn"]
    tags = {row["Key"]: row["Value"] for row in cloud.sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags["birdsod:ledger"] == ledger.id
    assert tags["team"] == "birds"
    assert job.status == "InProgress"
    job.stop()
    assert job.status == "Stopped"
    job.stop()
    assert ledger.open_resources() == ()
    assert fake.alive() == []


def test_found_again_from_another_machine(fake: FakeSageMaker, start: Callable[..., TuningJob], tmp_path: Path) -> None:
    made = start(jobs=1, parallel=1)
    found = TuningJob.attach(made.name, fake.session(), ledger=Ledger(tmp_path / "other.jsonl"), poll_seconds=0)
    found.wait()
    assert found.classes == CLASSES
    assert found.best.name == made.best.name
    assert repr(found) == f"TuningJob({made.name!r}, 'us-east-1')"


def test_classes_that_nobody_noted_are_numbered(start: Callable[..., TuningJob]) -> None:
    assert len(start(jobs=1, parallel=1, classes=None).classes) == 2


def test_own_ledger_by_default(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BIRDSOD_LEDGER", str(tmp_path / "mine.jsonl"))
    assert TuningJob(cloud, "birds").ledger.path == tmp_path / "mine.jsonl"


def test_a_trial_that_fails_has_no_objective(fake: FakeSageMaker, start: Callable[..., TuningJob]) -> None:
    fake.script_tuning([0.2, 0.6], failures=[1])
    trials = start(jobs=2, parallel=1).trials()
    assert trials["status"].tolist() == ["Completed", "Failed"]
    assert trials["objective"].isna().tolist() == [False, True]


def test_a_tuning_job_that_fails(fake: FakeSageMaker, start: Callable[..., TuningJob], ledger: Ledger) -> None:
    fake.script_tuning(failures=[0, 1])
    with pytest.raises(TrainingError, match="All training jobs failed"):
        start(jobs=2, parallel=2)
    assert ledger.open_resources() == ()


def test_there_may_be_no_best_job(fake: FakeSageMaker, start: Callable[..., TuningJob]) -> None:
    fake.script_tuning(failures=[0])
    job = start(jobs=1, parallel=1, wait=False)
    with pytest.raises(TrainingError, match="has no best job: its status is InProgress"):
        _ = job.best


def test_nothing_is_made_where_the_ranges_do_not_fit(fake: FakeSageMaker, start: Callable[..., TuningJob]) -> None:
    with pytest.raises(HyperparameterError, match="cannot be tuned"):
        start({"epochs": (1, 2)})
    assert all(not call.operation.startswith("Create") for call in fake.calls)


def test_nothing_is_made_where_the_request_would_be_refused(
    fake: FakeSageMaker, cloud: Cloud, plan: TrainingPlan, ledger: Ledger
) -> None:
    with pytest.raises(PreflightError, match="InstanceType"):
        tune(cloud, replace(plan, instance_type="ml.nonsense"), ledger=ledger)
    assert ledger.open_resources() == ()
    assert all(not call.operation.startswith("Create") for call in fake.calls)


def test_the_service_refuses(fake: FakeSageMaker, start: Callable[..., TuningJob]) -> None:
    fake.fail("CreateHyperParameterTuningJob", "ResourceLimitExceeded", times=9)
    with pytest.raises(CloudError, match="ResourceLimitExceeded"):
        start()
    assert fake.alive() == []


def test_an_interrupt_stops_it(
    fake: FakeSageMaker, start: Callable[..., TuningJob], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None, None])

    def interrupted(_: float) -> None:
        if next(looks, "now") == "now":
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(tuning_job, "pause", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(jobs=20)
    assert fake.alive() == []
    assert ledger.open_resources() == ()


def test_whatever_ends_the_waiting_stops_it_and_tells_what_is_left(
    fake: FakeSageMaker, start: Callable[..., TuningJob], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(_: float) -> None:
        monkeypatch.undo()
        raise SystemExit(1)

    monkeypatch.setattr(tuning_job, "pause", left)
    fake.fail("StopHyperParameterTuningJob", "AccessDeniedException", "not for you", times=50)
    with pytest.raises(SystemExit) as caught:
        start(jobs=20)
    assert "still there: tuning-job" in caught.value.__notes__[0]
    assert [entry.resource.kind for entry in ledger.open_resources()] == ["tuning-job"]


def test_a_search_that_was_refused_is_on_no_ledger(
    fake: FakeSageMaker, start: Callable[..., TuningJob], ledger: Ledger
) -> None:
    fake.fail("CreateHyperParameterTuningJob", "ResourceLimitExceeded", "limit is 0")
    with pytest.raises(CloudError, match="limit is 0"):
        start()
    assert ledger.open_resources() == ()


def test_a_search_that_is_out_of_sight_goes_on(
    fake: FakeSageMaker, start: Callable[..., TuningJob], ledger: Ledger
) -> None:
    fake.fail("DescribeHyperParameterTuningJob", "AccessDeniedException", "not now", times=1, after=1)
    with pytest.raises(CloudError, match="not now"):
        start(jobs=20)
    assert "tuning-job" in {each.kind for each in fake.alive()}
    assert [entry.resource.kind for entry in ledger.open_resources()] == ["tuning-job"]


def test_stopping_waits_for_a_trial_that_has_only_begun(
    fake: FakeSageMaker, start: Callable[..., TuningJob], ledger: Ledger
) -> None:
    fake.script_training(states=("Training", "Completed"))
    job = start(jobs=8, parallel=1, wait=False)
    assert job.status == "InProgress"
    # The look before the stop finds the first trial done and the second begun, which then takes two looks to go.
    job.stop()
    assert job.status == "Stopped"
    assert job.trials()["status"].tolist() == ["Completed", "Stopped"]
    assert ledger.open_resources() == ()


def test_stopping_what_has_just_ended(fake: FakeSageMaker, start: Callable[..., TuningJob]) -> None:
    fake.script_training(states=("Training", "Completed"))
    job = start(jobs=1, parallel=1, wait=False)
    fake.fail("StopHyperParameterTuningJob", "ValidationException", "it is over", times=1)
    job.stop()
    assert job.status == "Completed"


def test_stopping_that_is_refused(fake: FakeSageMaker, start: Callable[..., TuningJob]) -> None:
    job = start(jobs=8, wait=False)
    fake.fail("StopHyperParameterTuningJob", "AccessDeniedException")
    with pytest.raises(CloudError, match="AccessDenied"):
        job.stop()


def test_a_busy_service_is_asked_again(fake: FakeSageMaker, start: Callable[..., TuningJob]) -> None:
    job = start(jobs=1, parallel=1, wait=False)
    fake.fail("DescribeHyperParameterTuningJob", "ThrottlingException", times=3)
    job.wait()
    assert job.status == "Completed"


def test_more_trials_than_a_page_lists(
    fake: FakeSageMaker, start: Callable[..., TuningJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_job, "_PAGE", 2)
    fake.script_training(states=("Training", "Completed"))
    job = start({"learning_rate": (1e-4, 1e-2)}, jobs=5, parallel=5)
    trials = job.trials()
    assert trials["name"].is_unique
    assert len(trials) == 5
    assert list(trials) == ["name", "status", "objective", "learning_rate", "seconds"]


def test_no_such_tuning_job(fake: FakeSageMaker) -> None:
    with pytest.raises(CloudError, match="look at the tuning job birds"):
        TuningJob.attach("birds", fake.session())
