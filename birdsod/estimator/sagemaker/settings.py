"""On what a training job runs, and how what it writes is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypedDict

from birdsod import training_log
from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.local_options import sent_options
from birdsod.estimator.sagemaker.names import unique_name
from birdsod.estimator.sagemaker.regions import built_in_image, is_built_in
from birdsod.estimator.sagemaker.requests import ChannelPlan, TrainingPlan
from birdsod.estimator.sagemaker.uploads import below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.options import LocalOptions

__all__ = ["SettingValues", "Settings", "sent_parameters", "training_plan"]

_SECONDS_AN_HOUR = 3600


class SettingValues(TypedDict, total=False):
    """What :class:`Settings` takes, all by keyword."""

    instance_type: str
    instances: int
    volume_gb: int
    image: str | None
    options: LocalOptions | None
    input_mode: Literal["File", "Pipe"]
    max_hours: float
    spot: bool
    max_wait_hours: float | None
    checkpoints: bool
    subnets: Sequence[str]
    security_groups: Sequence[str]
    kms_key: str | None
    volume_kms_key: str | None
    network_isolation: bool
    encrypt_traffic: bool
    output_uri: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """On what a training job runs, and how what it writes is kept.

    The parameters are those of :class:`SageMakerEstimator <birdsod.estimator.SageMakerEstimator>`.

    Raises
    ------
    CloudError
        If a value is out of range, or two do not fit together.
    """

    instance_type: str = "ml.g4dn.xlarge"
    instances: int = 1
    volume_gb: int = 50
    image: str | None = None
    options: LocalOptions | None = None
    input_mode: Literal["File", "Pipe"] = "File"
    max_hours: float = 4.0
    spot: bool = False
    max_wait_hours: float | None = None
    checkpoints: bool = True
    subnets: Sequence[str] = ()
    security_groups: Sequence[str] = ()
    kms_key: str | None = None
    volume_kms_key: str | None = None
    network_isolation: bool = False
    encrypt_traffic: bool = False
    output_uri: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "subnets", tuple(self.subnets))
        object.__setattr__(self, "security_groups", tuple(self.security_groups))
        if self.options is not None and self.image is None:
            cure = "give image= a container of your own, or train with LocalEstimator"
            raise CloudError("options are those of the local engine, which the built-in algorithm is not", cure=cure)
        if not self.max_hours > 0:
            raise CloudError("max_hours must be above 0", value=self.max_hours, cure="leave it out for 4 hours")
        if bool(self.subnets) != bool(self.security_groups):
            raise CloudError("a private network needs subnets and security groups", cure="give both, or neither")
        if self.max_wait_hours is not None and not self.spot:
            cure = "give spot=True too, or leave it out"
            raise CloudError("max_wait_hours is for spot training only", value=self.max_wait_hours, cure=cure)
        if self.output_uri is not None and not self.output_uri.startswith("s3://"):
            raise CloudError("output_uri is no address in S3", value=self.output_uri, cure="give s3://bucket/prefix/")

    @property
    def max_seconds(self) -> int:
        """Time limit of the training."""
        return max(1, round(self.max_hours * _SECONDS_AN_HOUR))

    @property
    def max_wait_seconds(self) -> int | None:
        """Time limit of training and waiting together: twice the training's own where none was given."""
        if not self.spot:
            return None
        hours = 2 * self.max_hours if self.max_wait_hours is None else self.max_wait_hours
        return max(1, round(hours * _SECONDS_AN_HOUR))

    def container(self, region: str) -> str:
        """Return the address of the container: one's own, or the built-in algorithm's of the region."""
        return self.image or built_in_image(region)


def sent_parameters(params: Hyperparameters, *, instances: int, built_in: bool) -> dict[str, str]:
    """Return the hyperparameters as a job is given them.

    Several machines must know how they exchange weights: ``kv_store`` is filled in for them. One's own container
    is told which values were set, so that its recipe can choose the others.

    Parameters
    ----------
    params : Hyperparameters
        As the user gave them.
    instances : int
        Machines of the job.
    built_in : bool
        Whether the container is the built-in algorithm's.

    Examples
    --------
    >>> from birdsod import Hyperparameters
    >>> params = Hyperparameters(num_classes=5, num_training_samples=150)
    >>> sent_parameters(params, instances=2, built_in=True)["kv_store"]
    'dist_sync'
    """
    from birdsod.hyperparameters import GIVEN

    several = instances > 1 and params.kv_store is None
    sent = (params.evolve(kv_store="dist_sync") if several else params).to_request()
    return sent if built_in else {**sent, GIVEN: ",".join(sorted(params.given))}


def training_plan(
    settings: Settings,
    params: Hyperparameters,
    *,
    region: str,
    role: str,
    home: str,
    channels: tuple[ChannelPlan, ...],
) -> TrainingPlan:
    """Return the plan of a new job; it has a name of its own and no tags yet.

    Parameters
    ----------
    settings : Settings
        On what it runs.
    params : Hyperparameters
        What it trains with.
    region : str
        Where.
    role : str
        ARN of its role.
    home : str
        ``s3://bucket/prefix``, below which it writes.
    channels : tuple of ChannelPlan
        What it learns from.

    Returns
    -------
    TrainingPlan

    Raises
    ------
    CloudError
        If the region does not have the built-in algorithm.
    """
    image = settings.container(region)
    built_in = is_built_in(image)
    name = unique_name("birdsod")
    plan = TrainingPlan(
        name=name,
        image=image,
        role=role,
        hyperparameters={
            **sent_parameters(params, instances=settings.instances, built_in=built_in),
            **sent_options(settings.options),
        },
        channels=channels,
        output_uri=settings.output_uri or below(home, "jobs", ""),
        instance_type=settings.instance_type,
        instances=settings.instances,
        volume_gb=settings.volume_gb,
        max_seconds=settings.max_seconds,
        max_wait_seconds=settings.max_wait_seconds,
        spot=settings.spot,
        input_mode=settings.input_mode,
        # The service knows the built-in algorithm's own.
        metrics={} if built_in else training_log.METRIC_DEFINITIONS,
    )
    return replace(
        plan,
        checkpoint_uri=below(home, "checkpoints", name, "") if settings.checkpoints else None,
        kms_key=settings.kms_key,
        volume_kms_key=settings.volume_kms_key,
        subnets=tuple(settings.subnets),
        security_groups=tuple(settings.security_groups),
        network_isolation=settings.network_isolation,
        encrypt_traffic=settings.encrypt_traffic,
    )
