"""The engine on SageMaker: from packed data to a training job in one's own account."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Unpack

from birdsod.estimator.sagemaker.findings import raise_errors, warnings_of
from birdsod.estimator.sagemaker.job import SageMakerJob
from birdsod.estimator.sagemaker.planner import Planner
from birdsod.estimator.sagemaker.prices import check_cost, estimate_training, estimate_tuning
from birdsod.estimator.sagemaker.telling import say
from birdsod.estimator.sagemaker.tuning import Search, SearchOptions, tune, tuning_plan, tuning_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.estimator.sagemaker.draft import Draft
    from birdsod.estimator.sagemaker.inputs import Inputs
    from birdsod.estimator.sagemaker.tuning_job import TuningJob
    from birdsod.recordio import Packed

__all__ = ["SageMakerEstimator"]


class SageMakerEstimator(Planner):
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
    options : LocalOptions, optional
        With ``image``: what only the local engine knows, sent as further hyperparameters to the container.
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
            Whether what it may cost is printed, and its states and log lines while it is waited for.
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
            _refuse(draft)
        estimate = estimate_training(draft.plan, self.prices, region=self.cloud.region)
        check_cost(estimate, self.max_cost)
        if logs:
            say(str(estimate))
        self.cloud.find_bucket(self._bucket)
        return draft.start(self.ledger, prices=self.prices, poll_seconds=self.poll_seconds, wait=wait, logs=logs)

    def tune(
        self,
        data: Packed | Inputs,
        ranges: Mapping[str, object] | None = None,
        *,
        wait: bool = True,
        check: bool = True,
        **search: Unpack[SearchOptions],
    ) -> TuningJob:
        """Check, upload, and search for the hyperparameters with the best validation mAP.

        An interrupt while waiting stops the search.

        Parameters
        ----------
        data : Packed or Inputs
            As for :meth:`fit`.
        ranges : mapping of str to range, optional
            What is varied; by default all that the algorithm lets be tuned.
        wait : bool, default True
            Wait until it is over.
        check : bool, default True
            Whether :meth:`check` comes first.
        **search
            How it looks: ``jobs``, ``parallel``, ``strategy``, ... of
            :class:`Search <birdsod.estimator.sagemaker.tuning.Search>`.

        Returns
        -------
        TuningJob
            Its trials as a table, and the best one as a job.

        Raises
        ------
        HyperparameterError
            If a range or an option is not what the service takes.
        PreflightError, TrainingError, CloudError
            As :meth:`fit`.
        """
        draft = self._draft(data)
        # Made once more by tune, but a range that does not fit is better found before the upload.
        tuning_request(tuning_plan(draft.plan), ranges, Search(**search))
        if check:
            _refuse(draft)
        estimate = estimate_tuning(draft.plan, self.prices, jobs=Search(**search).jobs, region=self.cloud.region)
        check_cost(estimate, self.max_cost)
        say(str(estimate))
        self.cloud.find_bucket(self._bucket)
        draft.upload()
        return tune(
            self.cloud,
            draft.plan,
            ranges,
            ledger=self.ledger,
            classes=draft.inputs.class_table,
            wait=wait,
            poll_seconds=self.poll_seconds,
            **search,
        )

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
        return SageMakerJob.attach(
            name, self.cloud.session, ledger=self.ledger, poll_seconds=self.poll_seconds, prices=self.prices
        )


def _refuse(draft: Draft) -> None:
    findings = draft.findings()
    raise_errors(findings)
    for finding in warnings_of(findings):
        warnings.warn(str(finding), UserWarning, stacklevel=3)
