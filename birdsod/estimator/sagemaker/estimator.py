"""The engine on SageMaker: from packed data to a training job in one's own account."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Unpack

from birdsod._arguments import named
from birdsod.errors import HyperparameterError
from birdsod.estimator.sagemaker.draft import Draft
from birdsod.estimator.sagemaker.findings import raise_errors, warnings_of
from birdsod.estimator.sagemaker.job import SageMakerJob
from birdsod.estimator.sagemaker.job_record import record_uri
from birdsod.estimator.sagemaker.prices import check_cost, estimate_training
from birdsod.estimator.sagemaker.requests import training_request
from birdsod.estimator.sagemaker.seeds import seed_of
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.estimator.sagemaker.settings import Settings, SettingValues

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import boto3

    from birdsod.estimator.sagemaker.findings import Finding
    from birdsod.estimator.sagemaker.inputs import Inputs
    from birdsod.estimator.sagemaker.ledger import Ledger
    from birdsod.estimator.sagemaker.price_table import PriceTable
    from birdsod.estimator.sagemaker.prices import Estimate
    from birdsod.estimator.sagemaker.requests import TrainingPlan
    from birdsod.estimator.sagemaker.seeds import SeedJob
    from birdsod.estimator.sagemaker.uploads import UploadReport
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed

__all__ = ["SageMakerEstimator"]


class SageMakerEstimator:
    """Trains on Amazon SageMaker, in one's own account, with the built-in algorithm or an own container.

    Nothing is asked of the cloud before one of the methods is called, and nothing is created before the data and
    the settings have been checked.

    Parameters
    ----------
    params : Hyperparameters
        Hyperparameters of the algorithm.
    bucket : str, optional
        Where data and models are kept; by default ``sagemaker-<region>-<account>``, which is made if need be.
    role : str, optional
        Name or ARN of the role that jobs run as; by default that of the notebook, or the caller's own.
    session : boto3.Session, optional
        Whose account and region; boto3's default otherwise.
    prefix : str, default "birdsod"
        Folder in the bucket.
    instance_type : str, default "ml.g4dn.xlarge"
        Type of the machines.
    instances : int, default 1
        How many.
    volume_gb : int, default 50
        Disk of each.
    image : str, optional
        Address of an own container; by default the built-in algorithm's in the region.
    input_mode : {"File", "Pipe"}, default "File"
        Whether a job copies the record files before it trains, or reads them as they come.
    max_hours : float, default 4
        How long it may train.
    spot : bool, default False
        Whether to train on spare capacity, which costs less and may be interrupted.
    max_wait_hours : float, optional
        With ``spot``: how long a job may take with all waiting; by default twice ``max_hours``.
    checkpoints : bool, default True
        Whether checkpoints are copied to the bucket, so that an interrupted job goes on where it was.
    tags : mapping of str to str, optional
        Labels of all that is made, for the bill.
    subnets, security_groups : sequence of str
        A private network that the machines join.
    kms_key, volume_kms_key : str, optional
        Keys that encrypt what is uploaded and written, and the machines' disks.
    network_isolation, encrypt_traffic : bool, default False
        Whether the container may reach nothing, and whether machines talk to each other encrypted.
    output_uri : str, optional
        ``s3://bucket/prefix/`` for models; by default ``jobs/`` below the prefix.
    model : str, path-like or job, optional
        A model to start from: ``s3://bucket/key``, a ``model.tar.gz`` on this machine, or a job.
    ledger : Ledger, optional
        Where what is made is noted; the user's own by default.
    prices : PriceTable, optional
        What an hour costs; by default the table that is shipped.
    max_cost : float, optional
        Dollars that a job may cost at most; above, or where the price is not known, it is refused.
    poll_seconds : float, default 10.0
        Time between two looks at what is under way.

    Raises
    ------
    HyperparameterError
        If the hyperparameters are something else.
    CloudError
        If two settings do not fit together, or the session has no region.
    MissingDependencyError
        If boto3 is not installed.

    Examples
    --------
    >>> import boto3
    >>> from birdsod import Hyperparameters
    >>> params = Hyperparameters(num_classes=5, num_training_samples=150, base_network="resnet-50")
    >>> SageMakerEstimator(params, "my-bucket", session=boto3.Session(region_name="eu-west-1"), spot=True)
    SageMakerEstimator('resnet-50', 'eu-west-1', instance_type='ml.g4dn.xlarge')
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own
        self,
        params: Hyperparameters,
        bucket: str | None = None,
        role: str | None = None,
        session: boto3.Session | None = None,
        prefix: str = "birdsod",
        *,
        tags: Mapping[str, str] | None = None,
        model: str | os.PathLike[str] | SeedJob | None = None,
        ledger: Ledger | None = None,
        prices: PriceTable | None = None,
        max_cost: float | None = None,
        poll_seconds: float = 10.0,
        **settings: Unpack[SettingValues],
    ) -> None:
        from birdsod.estimator.sagemaker.ledger import Ledger

        _check_params(params)
        self.params = params
        self.cloud: Cloud = Cloud.of(session)
        self.settings = Settings(**settings)
        self.prefix = prefix.strip("/")
        self.tags: dict[str, str] = dict(tags or {})
        self.ledger: Ledger = ledger or Ledger()
        self.max_cost = max_cost
        self.poll_seconds = poll_seconds
        self._bucket, self._role, self._model, self._prices = bucket, role, model, prices

    @property
    def prices(self) -> PriceTable:
        """What an hour costs."""
        if self._prices is None:
            from birdsod.estimator.sagemaker.price_table import PriceTable

            self._prices = PriceTable.shipped()
        return self._prices

    def check(self, data: Packed | Inputs) -> tuple[Finding, ...]:
        """Find what a job would fail of, or what would surprise, before anything is created.

        Parameters
        ----------
        data : Packed or Inputs
            What it is to be trained on.

        Returns
        -------
        tuple of Finding
            Each with its cure; empty if all is well.

        Raises
        ------
        TrainingError
            If these are no data, or a channel is missing.
        CloudError
            If the account cannot be asked who one is.
        """
        return self._draft(data).findings()

    def requests(self, data: Packed | Inputs) -> dict[str, object]:
        """Return exactly what ``fit`` would ask for, without asking: a dry run.

        Parameters
        ----------
        data : Packed or Inputs
            What is to be trained on.

        Returns
        -------
        dict
            ``uploads``, a list of files with their addresses; ``record``, the address of what is noted about the
            job; and ``CreateTrainingJob``, the request.

        Raises
        ------
        TrainingError, CloudError
            As :meth:`check`.
        """
        draft = self._draft(data)
        return {
            "uploads": [{"file": str(file.path), "uri": file.uri, "bytes": file.bytes} for file in draft.files],
            "record": record_uri(draft.plan.output_uri, draft.plan.name),
            "CreateTrainingJob": training_request(draft.plan),
        }

    def plan(self, data: Packed | Inputs) -> TrainingPlan:
        """Return what a job would be made of; each plan has a new name.

        Parameters
        ----------
        data : Packed or Inputs
            What is to be trained on.

        Returns
        -------
        TrainingPlan

        Raises
        ------
        TrainingError, CloudError
            As :meth:`check`.
        """
        return self._draft(data).plan

    def estimate(self, data: Packed | Inputs) -> Estimate:
        """Return what a job would cost, as far as the price table knows.

        Parameters
        ----------
        data : Packed or Inputs
            What is to be trained on.

        Returns
        -------
        Estimate

        Raises
        ------
        TrainingError, CloudError
            As :meth:`check`.
        """
        return estimate_training(self.plan(data), self.prices, region=self.cloud.region)

    def upload(self, data: Packed | Inputs) -> UploadReport:
        """Upload the data, and the model to start from; what is there already is skipped.

        ``fit`` and ``tune`` do this by themselves.

        Parameters
        ----------
        data : Packed or Inputs
            What is to be trained on.

        Returns
        -------
        UploadReport

        Raises
        ------
        TrainingError, CloudError
            As :meth:`check`, or if the store refuses.
        """
        return self._draft(data, create=True).upload()

    def fit(self, data: Packed | Inputs, *, wait: bool = True, logs: bool = True, check: bool = True) -> SageMakerJob:
        """Check, upload and train.

        An interrupt while waiting stops the job; what it has learned so far is kept. A connection that fails, or
        credentials that expire for good, leave it running: :meth:`attach` finds it.

        Parameters
        ----------
        data : Packed or Inputs
            What :func:`birdsod.pack` returned, or another value that knows its channels.
        wait : bool, default True
            Wait until the job is over; otherwise return as soon as it is created.
        logs : bool, default True
            Whether its states and log lines are printed while it is waited for.
        check : bool, default True
            Whether :meth:`check` comes first, which refuses what would fail.

        Returns
        -------
        SageMakerJob

        Warns
        -----
        UserWarning
            For each finding that one may live with.

        Raises
        ------
        PreflightError
            If the check finds errors, all of them in one message, or the job may cost more than ``max_cost``.
        TrainingError
            If these are no data, a channel is missing, or the job failed, where it is waited for.
        CloudError
            If the cloud refuses.
        """
        draft = self._draft(data)
        if check:
            findings = draft.findings()
            raise_errors(findings)
            for finding in warnings_of(findings):
                warnings.warn(str(finding), UserWarning, stacklevel=2)
        check_cost(estimate_training(draft.plan, self.prices, region=self.cloud.region), self.max_cost)
        self.cloud.find_bucket(self._bucket)
        return draft.start(self.ledger, poll_seconds=self.poll_seconds, wait=wait, logs=logs)

    def attach(self, name: str) -> SageMakerJob:
        """Return a job by its name, running or over.

        Parameters
        ----------
        name : str
            Name of the job.

        Returns
        -------
        SageMakerJob

        Raises
        ------
        CloudError
            If there is no such job in this region and account.
        """
        return SageMakerJob.attach(name, self.cloud.session, ledger=self.ledger, poll_seconds=self.poll_seconds)

    def __repr__(self) -> str:
        where = f"{self.params.base_network!r}, {self.cloud.region!r}"
        return f"{type(self).__name__}({where}, instance_type={self.settings.instance_type!r})"

    def _draft(self, data: Packed | Inputs, *, create: bool = False) -> Draft:
        bucket = self.cloud.find_bucket(self._bucket, create=create)
        return Draft.of(
            self.cloud,
            self.params,
            self.settings,
            data,
            seed=seed_of(self.cloud, self._model),
            role=self.cloud.find_role(self._role),
            home="/".join(filter(None, [bucket, self.prefix])),
            tags={**self.tags, **self.ledger.tags(self.cloud)},
        )


def _check_params(given: object) -> None:
    from birdsod.hyperparameters import Hyperparameters

    if not isinstance(given, Hyperparameters):
        cure = "give Hyperparameters.for_data(packed, ...)"
        raise HyperparameterError("these are no Hyperparameters", value=named(given), cure=cure)
