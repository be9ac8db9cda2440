"""What the service tells about a training job."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from birdsod._files import write_text
from birdsod.errors import CloudError, TrainingError
from birdsod.estimator.sagemaker.faults import asking, is_missing, patient
from birdsod.estimator.sagemaker.job_cache import ARTIFACT, job_folder, read_log, write_log
from birdsod.estimator.sagemaker.job_record import recorded_classes
from birdsod.estimator.sagemaker.ledger import Ledger

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from mypy_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef

    from birdsod.classes import ClassTable
    from birdsod.estimator.sagemaker.logs import LogFollower, LogLine
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
    prices : PriceTable, optional
        What an hour costs.
    """

    def __init__(
        self,
        cloud: Cloud,
        name: str,
        *,
        classes: ClassTable | None = None,
        ledger: Ledger | None = None,
        poll_seconds: float = 10.0,
        prices: PriceTable | None = None,
    ) -> None:
        self.cloud = cloud
        self.poll_seconds = poll_seconds
        self._name = name
        self._classes = classes
        self.ledger: Ledger = ledger or Ledger()
        self._prices = prices
        self._last: DescribeTrainingJobResponseTypeDef | None = None
        self._follower: LogFollower | None = None
        self._log: list[LogLine] = []
        self._log_lock = threading.Lock()

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
    def classes(self) -> ClassTable:
        """What the class ids of a prediction stand for."""
        if self._classes is None:
            told = self.describe()
            output = told["OutputDataConfig"]["S3OutputPath"]
            self._classes = recorded_classes(self.cloud, output, self.name, told.get("HyperParameters", {}))
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

    @property
    def prices(self) -> PriceTable:
        """What an hour costs."""
        if self._prices is None:
            from birdsod.estimator.sagemaker.price_table import PriceTable

            self._prices = PriceTable.shipped()
        return self._prices

    @property
    def spent(self) -> float | None:
        """Dollars that the job has cost so far, storage and traffic not counted; None where there is no price."""
        from birdsod.estimator.sagemaker.prices import spent

        told: Mapping[str, Any] = self.describe()
        seconds = _seconds_so_far(told)
        machines: Mapping[str, Any] = told["ResourceConfig"]
        kind = machines.get("InstanceType")
        if seconds is None or kind is None:
            return None
        price = self.prices.hourly(kind, self.cloud.region, "training")
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

    def logs(self) -> list[str]:
        """Return the log lines so far, oldest first; those of a job that is over are kept on this machine.

        Returns
        -------
        list of str

        Raises
        ------
        CloudError
            If the service does not give them, and none were kept.
        """
        kept = read_log(self.folder)
        try:
            lines = self._lines_so_far()
        except CloudError as error:
            # Log groups are emptied after a while, and not everyone may read them.
            if kept or is_missing(error):
                return kept
            raise
        if len(lines) > len(kept) and self.status in OVER:
            write_log(self.folder, lines)
        return lines or kept

    def _lines_so_far(self) -> list[str]:
        """Read on from where the last look ended."""
        from birdsod.estimator.sagemaker.logs import TRAINING_JOBS, LogFollower

        with self._log_lock:
            if self._follower is None:
                seconds = min(1.0, self.poll_seconds)
                self._follower = LogFollower(self.cloud, TRAINING_JOBS, f"{self.name}/", poll_seconds=seconds)
                self._log = []
            try:
                self._log.extend(self._follower.drain())
            except BaseException:
                # Where it was interrupted is not known to the line: the next look reads anew.
                self._follower = None
                raise
            # A stream that was found late may hold earlier lines; within a stream they are in order.
            self._log.sort(key=lambda line: line.timestamp)
            return [line.text for line in self._log]

    def save_logs(self, path: str | os.PathLike[str]) -> None:
        """Write the log lines so far to a file.

        Parameters
        ----------
        path : path-like
            The file.
        """
        write_text(path, "".join(f"{line}\n" for line in self.logs()))

    def metrics(self) -> pd.DataFrame:
        """Return what the log says about quality, one row an epoch.

        Returns
        -------
        pandas.DataFrame
            Columns ``epoch``, ``cross_entropy``, ``smooth_l1``, ``map`` and ``throughput``.
        """
        from birdsod.estimator.sagemaker.metrics import to_frame

        return to_frame(self.logs())

    def figures(self) -> pd.DataFrame:
        """Return every figure that the log tells, one row each, with its epoch and host.

        Returns
        -------
        pandas.DataFrame
            Losses, validation mAP, throughput and progress.
        """
        from birdsod.estimator.sagemaker.metrics import to_long

        return to_long(self.logs())


def _seconds_so_far(told: Mapping[str, Any]) -> float | None:
    """Return what is paid for of each machine's time, as far as the service tells; else what has passed."""
    billed = told.get("BillableTimeInSeconds")
    if billed is not None and told["TrainingJobStatus"] in OVER:
        return float(billed)
    begun: datetime | None = told.get("TrainingStartTime")
    until: datetime = told.get("TrainingEndTime") or datetime.now(UTC)
    # The clocks of two machines differ a little.
    return None if begun is None else max(0.0, (until - begun).total_seconds())
