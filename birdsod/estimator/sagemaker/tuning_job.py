"""A tuning job in the cloud, running or over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self, TypeVar

from birdsod._progress import bar
from birdsod.errors import CloudError, TrainingError
from birdsod.estimator.sagemaker.endings import pause
from birdsod.estimator.sagemaker.faults import asking, patient
from birdsod.estimator.sagemaker.job_record import recorded_classes
from birdsod.estimator.sagemaker.ledger import Ledger
from birdsod.estimator.sagemaker.session import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import boto3
    import pandas as pd
    from mypy_boto3_sagemaker.type_defs import DescribeHyperParameterTuningJobResponseTypeDef
    from tqdm.std import tqdm

    from birdsod.classes import ClassTable
    from birdsod.estimator.sagemaker.job import SageMakerJob

__all__ = ["TuningJob"]

T = TypeVar("T")

_OVER = frozenset({"Completed", "Failed", "Stopped"})
_PAGE = 100


class TuningJob:
    """A tuning job on SageMaker: what :func:`tune` returns, and :meth:`attach` finds again.

    Parameters
    ----------
    cloud : Cloud
        Account and region.
    name : str
        Name of the job.
    classes : ClassTable, optional
        What the class ids stand for; by default what was noted beside the job, else the numbers themselves.
    ledger : Ledger, optional
        Where what is made of its models is noted; the user's own by default.
    poll_seconds : float, default 10.0
        Time between two looks at a running job.
    """

    def __init__(
        self,
        cloud: Cloud,
        name: str,
        *,
        classes: ClassTable | None = None,
        ledger: Ledger | None = None,
        poll_seconds: float = 10.0,
    ) -> None:
        self.cloud = cloud
        self.poll_seconds = poll_seconds
        self._name = name
        self._classes = classes
        self.ledger: Ledger = ledger or Ledger()

    @classmethod
    def attach(
        cls,
        name: str,
        session: boto3.Session | None = None,
        *,
        classes: ClassTable | None = None,
        ledger: Ledger | None = None,
        poll_seconds: float = 10.0,
    ) -> Self:
        """Return a tuning job by its name, running or over, from any machine.

        Parameters
        ----------
        name : str
            Name of the job.
        session : boto3.Session, optional
            Whose account and region; boto3's default otherwise.
        classes, ledger, poll_seconds
            As for the class.

        Returns
        -------
        TuningJob

        Raises
        ------
        CloudError
            If there is no such job in this region and account.
        """
        job = cls(Cloud.of(session), name, classes=classes, ledger=ledger, poll_seconds=poll_seconds)
        job.describe()
        return job

    @property
    def name(self) -> str:
        """Name of the job."""
        return self._name

    @property
    def classes(self) -> ClassTable:
        """What the class ids of a prediction stand for."""
        if self._classes is None:
            definition: Any = self.describe().get("TrainingJobDefinition", {})
            output, values = definition["OutputDataConfig"]["S3OutputPath"], definition.get("StaticHyperParameters", {})
            self._classes = recorded_classes(self.cloud, output, self.name, values)
        return self._classes

    @property
    def status(self) -> str:
        """``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``, asked for anew each time."""
        return self.describe()["HyperParameterTuningJobStatus"]

    @property
    def best(self) -> SageMakerJob:
        """The training job with the best validation mAP (so far).

        Raises
        ------
        TrainingError
            If none has reached one (yet).
        """
        from birdsod.estimator.sagemaker.job import SageMakerJob

        told = self.describe()
        name = told.get("BestTrainingJob", {}).get("TrainingJobName")
        if not name:
            status = told["HyperParameterTuningJobStatus"]
            message = f"the tuning job {self.name} has no best job: its status is {status}"
            raise TrainingError(message, cause=told.get("FailureReason"), cure="wait() for it, and see trials()")
        return SageMakerJob(self.cloud, name, classes=self.classes, ledger=self.ledger, poll_seconds=self.poll_seconds)

    def describe(self) -> DescribeHyperParameterTuningJobResponseTypeDef:
        """Return all that the service tells about the job.

        Returns
        -------
        dict
            As ``DescribeHyperParameterTuningJob`` answers.

        Raises
        ------
        CloudError
            If the service does not tell, or there is no such job.
        """
        return self._ask(
            "look at the tuning job",
            lambda: self.cloud.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name),
        )

    def wait(self) -> None:
        """Wait until the job is over; a progress bar counts the trials and tells the best so far.

        An interrupt ends the waiting, not the job; :meth:`stop` ends the job.

        Raises
        ------
        TrainingError
            If the tuning failed.
        CloudError
            If the service does not answer; the job goes on.
        """
        told = self.describe()
        total = told["HyperParameterTuningJobConfig"]["ResourceLimits"].get("MaxNumberOfTrainingJobs")
        shown: tqdm[None] = bar(total=total, description=self.name, unit="job")
        with shown as progress:
            while True:
                _show(told, progress)
                if told["HyperParameterTuningJobStatus"] in _OVER:
                    break
                pause(self.poll_seconds)
                told = self.describe()
        self._note_end()
        if told["HyperParameterTuningJobStatus"] == "Failed":
            reason = str(told.get("FailureReason") or "the service gives no reason").rstrip(".")
            raise TrainingError(f"{self.name} failed: {reason}", cure="see trials(), and the log of one of them")

    def stop(self) -> None:
        """Ask the job to stop and wait until it has, with its training jobs. Over already: nothing."""
        if self.status in _OVER:
            return
        try:
            self._ask(
                "stop the tuning job",
                lambda: self.cloud.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name),
            )
        except CloudError:
            # It may have come to its end by itself just now.
            if self.status not in _OVER:
                raise
        while self.status not in _OVER:
            pause(self.poll_seconds)
        self._note_end()

    def trials(self) -> pd.DataFrame:
        """Return the training jobs so far, in the order in which they were made.

        Returns
        -------
        pandas.DataFrame
            Columns ``name``, ``status``, ``objective`` (the validation mAP), one for each hyperparameter that is
            varied, and ``seconds``; what is not known (yet) is missing.

        Raises
        ------
        CloudError
            If the service does not tell.
        """
        import pandas as pd

        told: Any = self.describe()
        ranges = told["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
        numeric = [
            each["Name"] for kind in ("Continuous", "Integer") for each in ranges.get(f"{kind}ParameterRanges", [])
        ]
        choices = [each["Name"] for each in ranges.get("CategoricalParameterRanges", [])]
        rows = [_row(each, numeric, choices) for each in self._summaries()]
        columns = ["name", "status", "objective", *numeric, *choices, "seconds"]
        return pd.DataFrame(rows, columns=columns).astype(
            dict.fromkeys(["objective", *numeric, "seconds"], "float64") | dict.fromkeys(["name", "status"], "str")
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.cloud.region!r})"

    def _summaries(self) -> list[Mapping[str, Any]]:
        request: dict[str, Any] = {
            "HyperParameterTuningJobName": self.name,
            "SortBy": "CreationTime",
            "SortOrder": "Ascending",
            "MaxResults": _PAGE,
        }
        found: list[Mapping[str, Any]] = []
        while True:
            told: Any = self._ask(
                "list the trials of",
                lambda: self.cloud.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(**request),
            )
            found += told["TrainingJobSummaries"]
            if not told.get("NextToken"):
                return found
            request["NextToken"] = told["NextToken"]

    def _ask(self, action: str, call: Callable[[], T]) -> T:
        with asking(action, resource=self.name):
            return patient(call, seconds=min(1.0, self.poll_seconds), renew=self.cloud.renewed)

    def _note_end(self) -> None:
        from birdsod.estimator.sagemaker.ledger import Resource

        noted = Resource("tuning-job", self.name, self.cloud.region, self.cloud.account)
        # A job that was started elsewhere is on another ledger.
        if any(entry.resource == noted for entry in self.ledger.open_resources(noted.region, noted.account)):
            self.ledger.gone(noted)


def _show(told: Mapping[str, Any], progress: tqdm[None]) -> None:
    counted = told.get("TrainingJobStatusCounters", {})
    ended = sum(counted.get(kind, 0) for kind in ("Completed", "NonRetryableError", "Stopped"))
    progress.update(ended - progress.n)
    best = _objective(told.get("BestTrainingJob", {}))
    if not math.isnan(best):
        progress.set_postfix(mAP=f"{best:.3f}")


def _objective(summary: Mapping[str, Any]) -> float:
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric", {})
    return float(metric.get("Value", math.nan))


def _row(summary: Mapping[str, Any], numeric: list[str], choices: list[str]) -> dict[str, object]:
    tuned = summary.get("TunedHyperParameters", {})
    start, end = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    return {
        "name": summary["TrainingJobName"],
        "status": summary["TrainingJobStatus"],
        "objective": _objective(summary),
        **{name: float(tuned.get(name, math.nan)) for name in numeric},
        **{name: str(tuned.get(name, "")).strip('"') for name in choices},
        "seconds": math.nan if start is None or end is None else (end - start).total_seconds(),
    }
