"""A training job in the cloud, running or over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypedDict

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.endings import pause
from birdsod.estimator.sagemaker.faults import asking, patient
from birdsod.estimator.sagemaker.job_facts import OVER, JobFacts
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.estimator.sagemaker.telling import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    import boto3

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset
    from birdsod.detections import Detections
    from birdsod.estimator.sagemaker.detector import SageMakerDetector
    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.estimator.sagemaker.ledger import Ledger
    from birdsod.estimator.sagemaker.price_table import PriceTable
    from birdsod.estimator.sagemaker.transformed import Transformed
    from birdsod.image import ImageSource
    from birdsod.ssd.model import Model

__all__ = ["SageMakerJob"]


class _ModelParts(TypedDict):
    image: str
    role: str
    classes: ClassTable


class SageMakerJob(JobFacts):
    """A training job on SageMaker: what :meth:`SageMakerEstimator.fit` returns, and :meth:`attach` finds again.

    Parameters
    ----------
    cloud : Cloud
        Account and region.
    name : str
        Name of the job.
    classes : ClassTable, optional
        What the class ids stand for; by default what was noted beside the job, else the numbers themselves.
    ledger : Ledger, optional
        Where what it makes (endpoints, ...) is noted; the user's own by default.
    poll_seconds : float, default 10.0
        Time between two looks at a running job.
    prices : PriceTable, optional
        What an hour costs; by default the table that is shipped.
    """

    _model: Model | None = None

    @classmethod
    def attach(
        cls,
        name: str,
        session: boto3.Session | None = None,
        *,
        classes: ClassTable | None = None,
        ledger: Ledger | None = None,
        poll_seconds: float = 10.0,
        prices: PriceTable | None = None,
    ) -> Self:
        """Return a job by its name, running or over, from any machine.

        Parameters
        ----------
        name : str
            Name of the job.
        session : boto3.Session, optional
            Whose account and region; boto3's default otherwise.
        classes, ledger, poll_seconds, prices
            As for the class.

        Returns
        -------
        SageMakerJob

        Raises
        ------
        CloudError
            If there is no such job in this region and account.
        """
        job = cls(Cloud.of(session), name, classes=classes, ledger=ledger, poll_seconds=poll_seconds, prices=prices)
        job.describe()
        return job

    def wait(self, *, logs: bool = True) -> None:
        """Wait until the job is over, its states and log lines shown meanwhile.

        An interrupt ends the waiting, not the job; :meth:`stop` ends the job.

        Parameters
        ----------
        logs : bool, default True
            Whether they are printed; a progress bar is shown in any case where someone watches.

        Warns
        -----
        UserWarning
            If the job was ended by a time limit, the algorithm passed over images, or the log may not be read.

        Raises
        ------
        TrainingError
            If the job failed, with the service's reason, the algorithm's own and the lines that led to it.
        CloudError
            If the service does not answer; the job goes on.
        """
        from birdsod.estimator.sagemaker.following import follow, warn_of_limits, warn_of_losses, why_failed

        follow(self.cloud, self.name, self.describe, poll_seconds=self.poll_seconds, show=logs)
        told = self.describe()
        self._note_end()
        lines = self._lines_at_the_end()
        if told["TrainingJobStatus"] == "Failed":
            raise why_failed(self.name, told, lines)
        warn_of_limits(self.name, told)
        warn_of_losses(self.name, lines)
        if logs:
            self._tell_cost()

    def stop(self) -> None:
        """Ask the job to stop and wait until it has; what it has learned so far is kept. Over already: nothing."""
        if self.status in OVER:
            return
        try:
            with asking("stop the training job", resource=self.name):
                patient(
                    lambda: self.cloud.sagemaker.stop_training_job(TrainingJobName=self.name),
                    seconds=min(1.0, self.poll_seconds),
                    renew=self.cloud.renewed,
                )
        except CloudError:
            # It may have come to its end by itself just now, or someone else has stopped it.
            if self.status not in {*OVER, "Stopping"}:
                raise
        while self.status not in OVER:
            pause(self.poll_seconds)
        self._note_end()

    def predict(self, image: ImageSource) -> Detections:
        """Find the objects in one image, in this process and without hosting.

        Parameters
        ----------
        image : str, path-like, bytes or numpy.ndarray
            A file, its bytes, or an RGB array of shape (height, width, 3), ``uint8``.

        Returns
        -------
        Detections

        Raises
        ------
        ImageError
            If the image cannot be read.
        TrainingError
            If the job has no model (yet).
        ArtifactError
            If the model is one that only its own container can run: then :meth:`deploy` it.
        """
        return self._loaded().predict(image)

    def predict_batch(self, images: Iterable[ImageSource]) -> list[Detections]:
        """Find the objects in several images at once, in this process.

        Parameters
        ----------
        images : iterable of image source
            As :meth:`predict` takes them.

        Returns
        -------
        list of Detections
            In the order of the images.

        Raises
        ------
        ImageError, TrainingError, ArtifactError
            As :meth:`predict`.
        """
        return self._loaded().predict_batch(images)

    def deploy(
        self,
        hosting: Hosting | None = None,
        *,
        wait: bool = True,
        check: bool = True,
        hours: float | None = None,
        max_cost: float | None = None,
    ) -> SageMakerDetector:
        """Host the trained model at an endpoint, say what an hour costs, and wait until it answers.

        Parameters
        ----------
        hosting : Hosting, optional
            On what; one ``ml.m5.large`` by default.
        wait : bool, default True
            Whether to wait until it answers.
        check : bool, default True
            Whether instance, quota, role and container are checked first, as far as the account lets us.
        hours : float, optional
            How long it is to stay, for the estimate; nothing ends it then.
        max_cost : float, optional
            Dollars that so many hours may cost at most; above, or where the price is not known, it is refused.

        Returns
        -------
        SageMakerDetector
            To be used in a ``with`` block, or closed by hand: it costs money until it is.

        Raises
        ------
        TrainingError
            If the job has no model (yet).
        PreflightError
            If a check finds errors, or it may cost more than ``max_cost``.
        CloudError, ServingError
            If hosting fails; nothing that was made for it is left behind.
        """
        from birdsod.estimator.sagemaker.endpoint import deploy
        from birdsod.estimator.sagemaker.hosting import Hosting
        from birdsod.estimator.sagemaker.prices import check_cost, estimate_hosting

        hosting = hosting or Hosting()
        estimate = estimate_hosting(hosting, self.cloud.region, self.prices, hours=hours)
        check_cost(estimate, max_cost)
        say(str(estimate))
        return deploy(
            self.cloud,
            artifact_uri=self.artifact_uri,
            **self._model_parts(),
            hosting=hosting,
            ledger=self.ledger,
            wait=wait,
            check=check,
            poll_seconds=self.poll_seconds,
        )

    def transform(
        self, images: ImageSource | DetectionDataset | Iterable[ImageSource], *, hosting: Hosting | None = None
    ) -> Transformed:
        """Find the objects in many images with a batch transform job, which leaves nothing running.

        Parameters
        ----------
        images : image source, dataset or iterable of image source
            What :meth:`predict` takes, one or many.
        hosting : Hosting, optional
            On what machines.

        Returns
        -------
        Transformed
            Detections by image, as a DataFrame and as a data set.

        Raises
        ------
        TrainingError
            If the job has no model (yet).
        CloudError, ServingError
            If the transform fails; nothing that was made for it is left behind.
        """
        from birdsod.estimator.sagemaker.transform import transform

        return transform(
            self.cloud,
            images=images,
            artifact_uri=self.artifact_uri,
            **self._model_parts(),
            hosting=hosting,
            ledger=self.ledger,
            poll_seconds=self.poll_seconds,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.cloud.region!r})"

    def _model_parts(self) -> _ModelParts:
        told = self.describe()
        # A job of an algorithm from the marketplace has no image of its own; those are none of ours.
        image = told["AlgorithmSpecification"].get("TrainingImage", "")
        return {"image": image, "role": told["RoleArn"], "classes": self.classes}

    def _loaded(self) -> Model:
        if self._model is None:
            from birdsod.ssd import load_model

            self._model = load_model(self.artifact)
        return self._model

    def _tell_cost(self) -> None:
        if self.saved and self.describe().get("EnableManagedSpotTraining"):
            say(f"spare capacity saved {self.saved:.0%}: {self.seconds} s trained, {self.billable_seconds} s paid for")
        if self.spent is not None:
            say(f"{self.name} cost about ${self.spent:,.3f}")

    def _lines_at_the_end(self) -> list[str]:
        try:
            return self.logs()
        except CloudError:
            # How the job ended must not be hidden behind a log that cannot be read.
            return []

    def _note_end(self) -> None:
        from birdsod.estimator.sagemaker.ledger import Resource

        noted = Resource("training-job", self.name, self.cloud.region, self.cloud.account)
        # A job that was started elsewhere is on another ledger.
        if any(entry.resource == noted for entry in self.ledger.open_resources(noted.region, noted.account)):
            self.ledger.gone(noted)
