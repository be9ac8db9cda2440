"""Tuning: many training jobs that look for the hyperparameters with the best validation mAP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, get_args

from birdsod.errors import BirdsodError, HyperparameterError
from birdsod.estimator.sagemaker.names import TUNING_NAME_LIMIT, is_name, unique_name
from birdsod.estimator.sagemaker.requests import channel, resources, stopping, tag_list, training_request
from birdsod.estimator.sagemaker.tuning_ranges import (
    TUNABLE,
    Categorical,
    Continuous,
    Integer,
    Range,
    checked_ranges,
    range_request,
)
from birdsod.hyperparameters import GIVEN
from birdsod.training_log import METRIC_DEFINITIONS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sagemaker.type_defs import (
        CreateHyperParameterTuningJobRequestTypeDef,
        HyperParameterAlgorithmSpecificationTypeDef,
        HyperParameterTrainingJobDefinitionTypeDef,
        HyperParameterTuningJobConfigTypeDef,
        ResourceLimitsTypeDef,
    )

    from birdsod.classes import ClassTable
    from birdsod.estimator.sagemaker.ledger import Ledger
    from birdsod.estimator.sagemaker.requests import TrainingPlan
    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.estimator.sagemaker.tuning_job import TuningJob

__all__ = [
    "OBJECTIVE",
    "TUNABLE",
    "Categorical",
    "Continuous",
    "Integer",
    "Range",
    "Search",
    "SearchOptions",
    "tune",
    "tuning_plan",
    "tuning_request",
]

OBJECTIVE = Kind.MAP.value
"""Name of the metric that is maximised, ``validation:mAP``."""

Strategy = Literal["Bayesian", "Random", "Hyperband"]
_HOUR = 3600
_LEAST_SECONDS = 120
_MOST_SECONDS = 15_768_000


class SearchOptions(TypedDict, total=False):
    """What :class:`Search` takes, all by keyword."""

    jobs: int
    parallel: int
    strategy: Strategy
    early_stopping: bool
    max_hours: float | None
    random_seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How a tuning job looks, and how far.

    Parameters
    ----------
    jobs : int, default 8
        Training jobs altogether.
    parallel : int, default 2
        Training jobs at a time: more end sooner, fewer learn more from each other.
    strategy : {"Bayesian", "Random", "Hyperband"}
        How the next values are chosen. ``Hyperband`` ends weak jobs early by a rule of its own.
    early_stopping : bool, default True
        Whether the service ends jobs that fall behind the others.
    max_hours : float, optional
        How long all of it may take.
    random_seed : int, optional
        Makes the choice of values the same in each tuning job that is asked for in the same way.

    Raises
    ------
    HyperparameterError
        If a value is out of range, or two do not fit together.

    Examples
    --------
    >>> Search(jobs=20, parallel=4).strategy
    'Bayesian'
    """

    jobs: int = 8
    parallel: int = 2
    strategy: Strategy = "Bayesian"
    early_stopping: bool = True
    max_hours: float | None = None
    random_seed: int | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise HyperparameterError("a tuning job needs jobs", value=self.jobs, cure="give jobs=1 or more")
        if not 1 <= self.parallel <= self.jobs:
            cure = f"give parallel=1 to {self.jobs}"
            raise HyperparameterError("so many jobs cannot run at a time", value=self.parallel, cure=cure)
        if self.strategy not in get_args(Strategy):
            cure = "choose from " + ", ".join(get_args(Strategy))
            raise HyperparameterError("this is no strategy of tuning", value=self.strategy, cure=cure)
        if self.max_hours is not None and not _LEAST_SECONDS <= self.max_hours * _HOUR <= _MOST_SECONDS:
            cure = "give between two minutes and half a year"
            raise HyperparameterError("max_hours is out of range", value=self.max_hours, cure=cure)
        if self.random_seed is not None and self.random_seed < 0:
            raise HyperparameterError("random_seed is below 0", value=self.random_seed, cure="give 0 or more")


def tune(
    cloud: Cloud,
    plan: TrainingPlan,
    ranges: Mapping[str, object] | None = None,
    *,
    ledger: Ledger,
    classes: ClassTable | None = None,
    wait: bool = True,
    poll_seconds: float = 10.0,
    **options: Unpack[SearchOptions],
) -> TuningJob:
    """Start a tuning job; an interrupt while waiting stops it.

    Everything is checked before anything is created, and what is created is noted in the ledger first.

    Parameters
    ----------
    cloud : Cloud
        Account and region.
    plan : TrainingPlan
        What its training jobs are made of. Its name is taken where the service has room for it, 32 characters.
    ranges : mapping of str to range, optional
        What is varied; see :func:`checked_ranges <birdsod.estimator.sagemaker.tuning_ranges.checked_ranges>`.
    ledger : Ledger
        Where the job is noted.
    classes : ClassTable, optional
        What the class ids stand for; noted beside the jobs, so that :meth:`TuningJob.attach` knows them anywhere.
    wait : bool, default True
        Wait until it is over.
    poll_seconds : float, default 10.0
        Time between two looks.
    **options
        What :class:`Search` takes.

    Returns
    -------
    TuningJob

    Raises
    ------
    HyperparameterError
        If a range or an option is not what the algorithm or the service takes.
    PreflightError
        If the request would be refused.
    CloudError
        If the cloud refuses.
    TrainingError
        If the tuning failed, where it is waited for.
    """
    from birdsod.estimator.sagemaker.endpoint import give_up
    from birdsod.estimator.sagemaker.findings import raise_errors
    from birdsod.estimator.sagemaker.tuning_job import TuningJob
    from birdsod.estimator.sagemaker.undertaking import Undertaking
    from birdsod.estimator.sagemaker.validation import request_findings

    made = Undertaking(cloud, ledger, tags=plan.tags, poll_seconds=poll_seconds)
    named = tuning_plan(replace(plan, tags=made.tags))
    request = tuning_request(named, ranges, Search(**options))
    raise_errors(request_findings("CreateHyperParameterTuningJob", request))
    if classes is not None:
        _note_classes(cloud, named, classes)
    job = TuningJob(cloud, named.name, classes=classes, ledger=ledger, poll_seconds=poll_seconds)
    begun = False
    try:
        made.make("tuning-job", named.name, lambda: cloud.sagemaker.create_hyper_parameter_tuning_job(**request))
        begun = True
        if wait:
            job.wait()
    except BaseException as error:
        # A search that failed is over, and one that is only out of sight goes on.
        if not (begun and isinstance(error, BirdsodError)):
            give_up(made, error)
        raise
    return job


def tuning_plan(plan: TrainingPlan) -> TrainingPlan:
    """Return a plan as trials are made of it.

    Its name has at most 32 characters. The jobs write no checkpoints, which they would read from each other. An own
    container gets the metric definitions by which the service reads its log; the built-in one has them.

    Parameters
    ----------
    plan : TrainingPlan
        Of a training job.

    Returns
    -------
    TrainingPlan
    """
    from birdsod.estimator.sagemaker.regions import is_built_in

    name = plan.name if is_name(plan.name, limit=TUNING_NAME_LIMIT) else unique_name("birdsod", limit=TUNING_NAME_LIMIT)
    metrics = {} if is_built_in(plan.image) else plan.metrics or METRIC_DEFINITIONS
    return replace(plan, name=name, checkpoint_uri=None, metrics=metrics)


def tuning_request(
    plan: TrainingPlan, ranges: Mapping[str, object] | None = None, search: Search | None = None
) -> CreateHyperParameterTuningJobRequestTypeDef:
    """Return the request that creates a tuning job.

    Parameters
    ----------
    plan : TrainingPlan
        What :func:`tuning_plan` returned.
    ranges : mapping of str to range, optional
        What is varied; all that the algorithm lets be tuned if left out.
    search : Search, optional
        How it looks.

    Returns
    -------
    dict
        What ``create_hyper_parameter_tuning_job`` takes, by keyword.

    Raises
    ------
    HyperparameterError
        If a range is not what the algorithm takes.

    Source
    ------
    CreateHyperParameterTuningJob in the Amazon SageMaker API reference.
    """
    from birdsod.estimator.sagemaker.regions import is_built_in

    varied = checked_ranges(ranges, plan.hyperparameters, built_in=is_built_in(plan.image))
    return {
        "HyperParameterTuningJobName": plan.name,
        "HyperParameterTuningJobConfig": _config(plan, varied, search or Search()),
        "TrainingJobDefinition": _definition(plan, varied),
        "Tags": tag_list(plan.tags),
    }


def _config(plan: TrainingPlan, varied: Mapping[str, Range], search: Search) -> HyperParameterTuningJobConfigTypeDef:
    limits: ResourceLimitsTypeDef = {
        "MaxNumberOfTrainingJobs": search.jobs,
        "MaxParallelTrainingJobs": search.parallel,
    }
    if search.max_hours is not None:
        limits["MaxRuntimeInSeconds"] = round(search.max_hours * _HOUR)
    made: HyperParameterTuningJobConfigTypeDef = {
        "Strategy": search.strategy,
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": OBJECTIVE},
        "ResourceLimits": limits,
        "ParameterRanges": range_request(varied),
        "TrainingJobEarlyStoppingType": "Auto" if search.early_stopping else "Off",
    }
    if search.strategy == "Hyperband":
        # It ends jobs itself, and needs to know how many epochs it may give a job.
        epochs = int(plan.hyperparameters.get("epochs", "30"))
        made["TrainingJobEarlyStoppingType"] = "Off"
        made["StrategyConfig"] = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": epochs}}
    if search.random_seed is not None:
        made["RandomSeed"] = search.random_seed
    return made


def _definition(plan: TrainingPlan, varied: Mapping[str, Range]) -> HyperParameterTrainingJobDefinitionTypeDef:
    whole = training_request(plan)
    made: HyperParameterTrainingJobDefinitionTypeDef = {
        "StaticHyperParameters": _static(plan.hyperparameters, varied),
        "AlgorithmSpecification": _algorithm(plan),
        "RoleArn": plan.role,
        "InputDataConfig": [channel(each) for each in plan.channels],
        "OutputDataConfig": whole["OutputDataConfig"],
        "ResourceConfig": resources(plan),
        "StoppingCondition": stopping(plan),
        "EnableManagedSpotTraining": plan.spot,
        "EnableNetworkIsolation": plan.network_isolation,
        "EnableInterContainerTrafficEncryption": plan.encrypt_traffic,
    }
    if "VpcConfig" in whole:
        made["VpcConfig"] = whole["VpcConfig"]
    return made


def _static(hyperparameters: Mapping[str, str], varied: Mapping[str, Range]) -> dict[str, str]:
    """Return what is the same for all trials; what is varied counts as chosen, so that no recipe overrides it."""
    made = {name: text for name, text in hyperparameters.items() if name not in varied}
    if GIVEN in made:
        made[GIVEN] = ",".join(sorted({*filter(None, made[GIVEN].split(",")), *varied}))
    return made


def _algorithm(plan: TrainingPlan) -> HyperParameterAlgorithmSpecificationTypeDef:
    made: HyperParameterAlgorithmSpecificationTypeDef = {
        "TrainingImage": plan.image,
        "TrainingInputMode": plan.input_mode,
    }
    if plan.metrics:
        made["MetricDefinitions"] = [{"Name": name, "Regex": regex} for name, regex in plan.metrics.items()]
    return made


def _note_classes(cloud: Cloud, plan: TrainingPlan, classes: ClassTable) -> None:
    from birdsod.estimator.sagemaker.job_record import JobRecord

    record = JobRecord(plan.name, classes, plan.hyperparameters, "", plan.image)
    record.write(cloud, plan.output_uri, kms_key=plan.kms_key)
