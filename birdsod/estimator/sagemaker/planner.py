"""What a job would be, looked at from all sides before anything is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from birdsod._arguments import named
from birdsod.errors import HyperparameterError
from birdsod.estimator.sagemaker.draft import Draft
from birdsod.estimator.sagemaker.job_record import record_uri
from birdsod.estimator.sagemaker.prices import estimate_training
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

__all__ = ["Planner"]


class Planner:
    """The part of an estimator that looks ahead: settings, checks, requests and costs.

    Its parameters are those of :class:`SageMakerEstimator <birdsod.estimator.SageMakerEstimator>`.
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
        self.settings: Settings = Settings(**settings)
        self.prefix: str = prefix.strip("/")
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
