"""A training job before it exists: what it would be made of, what is wrong with it, and how it is started."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from birdsod.errors import CloudError, TrainingError
from birdsod.estimator.sagemaker.faults import asking, code_of
from birdsod.estimator.sagemaker.inputs import inputs_of
from birdsod.estimator.sagemaker.job import SageMakerJob
from birdsod.estimator.sagemaker.job_record import JobRecord
from birdsod.estimator.sagemaker.preflight import preflight
from birdsod.estimator.sagemaker.regions import is_built_in
from birdsod.estimator.sagemaker.requests import training_request
from birdsod.estimator.sagemaker.settings import training_plan
from birdsod.estimator.sagemaker.telling import say
from birdsod.estimator.sagemaker.undertaking import Undertaking
from birdsod.estimator.sagemaker.uploads import upload_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.estimator.sagemaker.findings import Finding
    from birdsod.estimator.sagemaker.inputs import Inputs
    from birdsod.estimator.sagemaker.ledger import Ledger
    from birdsod.estimator.sagemaker.price_table import PriceTable
    from birdsod.estimator.sagemaker.requests import TrainingPlan
    from birdsod.estimator.sagemaker.seeds import Seed
    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.estimator.sagemaker.settings import Settings
    from birdsod.estimator.sagemaker.uploads import FileUpload, UploadReport
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed

__all__ = ["Draft"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A training job before it exists.

    Parameters
    ----------
    cloud : Cloud
        Where it would run.
    params : Hyperparameters
        What it would train with, as the user gave them.
    data : Packed or Inputs
        What it would learn from, as the user gave it.
    inputs : Inputs
        The same, as channels and files.
    seed : Seed or None
        The model that it would start from.
    plan : TrainingPlan
        All that it would be made of.
    files : tuple of FileUpload
        What must be in the object store first.
    """

    cloud: Cloud
    params: Hyperparameters
    data: Packed | Inputs
    inputs: Inputs
    seed: Seed | None
    plan: TrainingPlan
    files: tuple[FileUpload, ...]

    @classmethod
    def of(
        cls,
        cloud: Cloud,
        params: Hyperparameters,
        settings: Settings,
        data: Packed | Inputs,
        *,
        seed: Seed | None,
        role: str,
        home: str,
        tags: Mapping[str, str],
    ) -> Draft:
        """Return the draft of a job.

        Parameters
        ----------
        cloud : Cloud
            Where it would run.
        params : Hyperparameters
            What it would train with.
        settings : Settings
            On what.
        data : Packed or Inputs
            What it would learn from.
        seed : Seed or None
            What it would start from.
        role : str
            ARN of its role.
        home : str
            ``bucket/prefix``, below which all is kept.
        tags : mapping of str to str
            Labels.

        Returns
        -------
        Draft

        Raises
        ------
        TrainingError
            If these are no data, or a channel is missing.
        CloudError
            If the region does not have the built-in algorithm.
        """
        own = not is_built_in(settings.container(cloud.region))
        inputs = inputs_of(data, input_mode=settings.input_mode, classes_channel=own)
        bucket, _, prefix = home.partition("/")
        channels, files = inputs.channel_plans(bucket, prefix), inputs.files(bucket, prefix)
        if seed is not None:
            upload = seed.upload(bucket, prefix)
            channels, files = (*channels, seed.channel(upload)), (*files, *filter(None, [upload]))
        plan = training_plan(settings, params, region=cloud.region, role=role, home=f"s3://{home}", channels=channels)
        return cls(cloud, params, data, inputs, seed, replace(plan, tags=tags), files)

    def findings(self) -> tuple[Finding, ...]:
        """Return what the job would fail of, or what would surprise.

        Returns
        -------
        tuple of Finding
        """
        found = preflight(self.plan, self.data, self.params, self.cloud, pending=[file.uri for file in self.files])
        if self.seed is None:
            return found
        return (*found, *self.seed.findings(self.plan.hyperparameters, self.inputs.class_table))

    def upload(self) -> UploadReport:
        """Bring the files to the object store, and say what was there already.

        Returns
        -------
        UploadReport
        """
        report = upload_files(self.cloud, self.files, kms_key=self.plan.kms_key)
        if report.skipped:
            say(f"{len(report.skipped)} of {len(self.files)} files are uploaded already")
        return report

    def start(self, ledger: Ledger, *, prices: PriceTable, poll_seconds: float, wait: bool, logs: bool) -> SageMakerJob:
        """Upload, note the job, create it, and wait for it if that is wanted.

        Parameters
        ----------
        ledger : Ledger
            Where it is noted, before it is created.
        prices : PriceTable
            What an hour costs.
        poll_seconds : float
            Time between two looks.
        wait, logs : bool
            As for ``fit``.

        Returns
        -------
        SageMakerJob
        """
        self.upload()
        undertaking = Undertaking(self.cloud, ledger, tags=self.plan.tags, poll_seconds=poll_seconds)
        plan = replace(self.plan, tags=undertaking.tags)
        self._record().write(self.cloud, plan.output_uri, kms_key=plan.kms_key)
        classes = self.inputs.class_table
        job = SageMakerJob(
            self.cloud, plan.name, classes=classes, ledger=ledger, poll_seconds=poll_seconds, prices=prices
        )
        made = False
        try:
            undertaking.make("training-job", plan.name, lambda: _create(self.cloud, plan))
            made = True
            if wait:
                job.wait(logs=logs)
        except (TrainingError, CloudError) as error:
            _leave(undertaking, error, plan.name, made=made)
            raise
        except BaseException:
            # An interrupt above all: nobody waits for it any more, and it costs money.
            say(f"stopping {plan.name}; what it has learned so far is kept")
            _end(undertaking)
            raise
        return job

    def _record(self) -> JobRecord:
        return JobRecord(
            name=self.plan.name,
            classes=self.inputs.class_table,
            hyperparameters=self.plan.hyperparameters,
            data=self.inputs.fingerprint,
            image=self.plan.image,
        )


def _create(cloud: Cloud, plan: TrainingPlan) -> None:
    try:
        with asking("create the training job", resource=plan.name):
            cloud.sagemaker.create_training_job(**training_request(plan))
    except CloudError as error:
        # A request that broke off was sent again, and the first one had been heard: the name is ours alone.
        if code_of(error) != "ResourceInUse":
            raise


def _leave(undertaking: Undertaking, error: TrainingError | CloudError, name: str, *, made: bool) -> None:
    """Note what became of a job that was not made, or that is no longer watched."""
    if not made:
        _end(undertaking)
    elif isinstance(error, CloudError):
        error.cure = f"the job goes on: attach({name!r}) finds it, and .wait() waits for it"


def _end(undertaking: Undertaking) -> None:
    for resource, error in undertaking.end().items():
        say(f"{resource} could not be ended: {error}; `birdsod cleanup` ends it")
