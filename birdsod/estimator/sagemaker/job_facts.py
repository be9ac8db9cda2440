"""What the service tells about a training job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from birdsod.errors import TrainingError
from birdsod.estimator.sagemaker.faults import asking, patient
from birdsod.estimator.sagemaker.job_cache import ARTIFACT, job_folder
from birdsod.estimator.sagemaker.job_record import JobRecord, numbered_classes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mypy_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef

    from birdsod.classes import ClassTable
    from birdsod.estimator.sagemaker.ledger import Ledger
    from birdsod.estimator.sagemaker.price_table import PriceTable
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["OVER", "JobFacts"]

OVER = frozenset({"Completed", "Failed", "Stopped"})
"""The statuses that stay."""


class JobFacts:
    """What the service tells about a training job; the part of a job that only looks.

    Parameters
    ----------
    cloud : Cloud
        Account and region.
    name : str
        Name of the job.
    classes : ClassTable, optional
        What the class ids stand for.
    ledger : Ledger, optional
        Where what it makes is noted.
    poll_seconds : float, default 10.0
        Time between two looks.
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
        self._ledger = ledger
        self._last: DescribeTrainingJobResponseTypeDef | None = None

    def describe(self) -> DescribeTrainingJobResponseTypeDef:
        """Return all that the service tells about the job.

        Returns
        -------
        dict
            As ``DescribeTrainingJob`` answers.

        Raises
        ------
        CloudError
            If the service does not tell, or there is no such job.
        """
        if self._last is None or self._last["TrainingJobStatus"] not in OVER:
            with asking("look at the training job", resource=self.name):
                self._last = patient(
                    lambda: self.cloud.sagemaker.describe_training_job(TrainingJobName=self.name),
                    seconds=min(1.0, self.poll_seconds),
                    renew=self.cloud.renewed,
                )
        return self._last

    @property
    def name(self) -> str:
        """Name of the job."""
        return self._name

    @property
    def ledger(self) -> Ledger:
        """Where what it makes is noted."""
        if self._ledger is None:
            from birdsod.estimator.sagemaker.ledger import Ledger

            self._ledger = Ledger()
        return self._ledger

    @property
    def classes(self) -> ClassTable:
        """What the class ids of a prediction stand for."""
        if self._classes is None:
            told = self.describe()
            record = JobRecord.read(self.cloud, told["OutputDataConfig"]["S3OutputPath"], self.name)
            number = int(told.get("HyperParameters", {}).get("num_classes", "0"))
            self._classes = numbered_classes(number) if record is None else record.classes
        return self._classes

    @property
    def status(self) -> str:
        """``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``, asked for anew each time."""
        return self.describe()["TrainingJobStatus"]

    @property
    def failure_reason(self) -> str | None:
        """Why it failed, in the service's words."""
        return self.describe().get("FailureReason")

    @property
    def seconds(self) -> int | None:
        """How long it has trained."""
        return self.describe().get("TrainingTimeInSeconds")

    @property
    def billable_seconds(self) -> int | None:
        """What of that is paid for, where the service tells (yet)."""
        return self.describe().get("BillableTimeInSeconds")

    @property
    def saved(self) -> float | None:
        """The share of the machine time that spare capacity saved, between 0 and 1."""
        told = self.describe()
        trained, billed = told.get("TrainingTimeInSeconds"), told.get("BillableTimeInSeconds")
        return None if not trained or billed is None else round(1.0 - billed / trained, 4)

    def spent(self, prices: PriceTable | None = None) -> float | None:
        """Return what the job has cost so far, in dollars, storage and traffic not counted.

        Parameters
        ----------
        prices : PriceTable, optional
            What an hour costs; by default the table that is shipped.

        Returns
        -------
        float or None
            None where there is no price, or it has not begun to train.
        """
        from birdsod.estimator.sagemaker.price_table import PriceTable
        from birdsod.estimator.sagemaker.prices import spent

        told: Mapping[str, Any] = self.describe()
        seconds = _seconds_so_far(told)
        machines = told["ResourceConfig"]
        kind = machines.get("InstanceType")
        if seconds is None or kind is None:
            return None
        price = (prices or PriceTable.shipped()).hourly(kind, self.cloud.region, "training")
        return spent(seconds, price, instances=machines.get("InstanceCount", 1))

    @property
    def artifact_uri(self) -> str:
        """Address of the trained model.

        Raises
        ------
        TrainingError
            If the job has none (yet).
        """
        told = self.describe()
        uri = told.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if not uri:
            message = f"the job {self.name} has no model: its status is {told['TrainingJobStatus']}"
            raise TrainingError(message, cause=told.get("FailureReason"), cure="wait() for it, or train again")
        return uri

    @property
    def artifact(self) -> Path:
        """The trained model, ``model.tar.gz``, on this machine; fetched when first asked for.

        Raises
        ------
        TrainingError
            If the job has none (yet).
        CloudError
            If it cannot be fetched.
        """
        from birdsod.estimator.sagemaker.uploads import fetch

        return fetch(self.cloud, self.artifact_uri, self.folder / ARTIFACT)

    @property
    def folder(self) -> Path:
        """Where its files are kept on this machine; it need not exist."""
        return job_folder(self.cloud, self.name)


def _seconds_so_far(told: Mapping[str, Any]) -> float | None:
    """Return what is paid for of each machine's time, as far as the service tells; else what has passed."""
    billed = told.get("BillableTimeInSeconds")
    if billed is not None and told["TrainingJobStatus"] in OVER:
        return float(billed)
    begun: datetime | None = told.get("TrainingStartTime")
    # The clocks of two machines differ a little.
    return None if begun is None else max(0.0, (datetime.now(UTC) - begun).total_seconds())
