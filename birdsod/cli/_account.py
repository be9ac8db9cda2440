"""Options and helpers of the commands that use an account in the cloud."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import boto3

    from birdsod.estimator.sagemaker import Cloud, SageMakerEstimator, SageMakerJob
    from birdsod.recordio import Packed

__all__ = ["JobName", "Poll", "Profile", "Region", "cloud_of", "estimator_of", "job_of", "printed", "session_of"]

Region = Annotated[str | None, typer.Option(help="Region of the account; else what the environment says.")]
Profile = Annotated[str | None, typer.Option(help="Profile of the credentials; else what the environment says.")]
Poll = Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="Time between two looks at what is under way.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of a training job on SageMaker.")]


def session_of(region: str | None, profile: str | None) -> "boto3.Session | None":
    """Return the session that the options name; none if they name nothing."""
    if region is None and profile is None:
        return None
    from birdsod.estimator.sagemaker.faults import asking, boto3_module

    module = boto3_module()
    with asking("open a session"):
        session: boto3.Session = module.Session(region_name=region, profile_name=profile)
    return session


def cloud_of(region: str | None, profile: str | None) -> "Cloud":
    """Return the account and region that the options name."""
    from birdsod.estimator.sagemaker import Cloud

    return Cloud.of(session_of(region, profile))


def job_of(name: str, region: str | None, profile: str | None, poll: float = 10.0) -> "SageMakerJob":
    """Return a job by its name."""
    from birdsod.estimator.sagemaker import SageMakerJob

    return SageMakerJob.attach(name, session_of(region, profile), poll_seconds=poll)


def estimator_of(data: "Packed", values: dict[str, Any], settings: dict[str, Any]) -> "SageMakerEstimator":
    """Return the engine that the options describe; what is not given has the engine's own default."""
    from birdsod.estimator.sagemaker import SageMakerEstimator
    from birdsod.hyperparameters import Hyperparameters

    # The built-in algorithm's networks do not include the one that this machine trains by default.
    values = {"base_network": "efficientnet-lite0" if settings["image"] else "resnet-50", **values}
    chosen = {name: value for name, value in settings.items() if value is not None}
    return SageMakerEstimator(Hyperparameters.for_data(data, **values), **chosen)


def printed(value: object) -> str:
    """Return a value as JSON."""
    return json.dumps(value, indent=1, default=str)
