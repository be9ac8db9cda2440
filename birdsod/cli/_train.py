"""The commands that train, here or in the cloud, and check before it costs money."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsod.cli._account import Poll, Profile, Region, estimator_of, printed, session_of
from birdsod.cli._values import assignments, reported, say

if TYPE_CHECKING:
    from birdsod.estimator.sagemaker import SageMakerEstimator
    from birdsod.recordio import Packed

__all__ = ["check", "train"]


class Engine(enum.StrEnum):
    """Where a detector is trained."""

    LOCAL = "local"
    SAGEMAKER = "sagemaker"


Data = Annotated[Path, typer.Argument(metavar="PACKED", help="Folder that pack made.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training images.")]
BaseNetwork = Annotated[str | None, typer.Option(help="The network that looks at the image.")]
Given = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A hyperparameter.")]
Bucket = Annotated[str | None, typer.Option(help="SageMaker: bucket for data and models.")]
Role = Annotated[str | None, typer.Option(help="SageMaker: role that jobs run as.")]
Image = Annotated[str | None, typer.Option(help="SageMaker: address of an own container.")]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE", help="A setting of the engine: seed=1 here, spot=true or instance_type=... on SageMaker."
    ),
]


@reported
def train(  # noqa: PLR0913 - options of two engines
    *,
    packed: Data,
    out: Annotated[Path | None, typer.Option(help="Here: folder in which the job gets a folder of its own.")] = None,
    epochs: Epochs = None,
    base_network: BaseNetwork = None,
    given: Given = None,
    option: Setting = None,
    engine: Annotated[Engine, typer.Option(help="Where it trains.")] = Engine.LOCAL,
    bucket: Bucket = None,
    role: Role = None,
    image: Image = None,
    max_cost: Annotated[float | None, typer.Option(metavar="DOLLARS", help="SageMaker: refuse above this.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="SageMaker: print the requests, send none.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="SageMaker: do not wait for the job.")] = False,
    region: Region = None,
    profile: Profile = None,
    poll_seconds: Poll = 10.0,
) -> None:
    """Train a detector on packed data, on this machine or on SageMaker.

    Ctrl-C stops it; here it leaves a checkpoint.
    """
    values = _values(epochs, base_network, given)
    settings = assignments(option or [], "--option")
    if engine is Engine.LOCAL:
        if out is None:
            raise typer.BadParameter("name the folder for the job", param_hint="--out")
        _train_here(packed, out, values, settings)
        return

    from birdsod.recordio import Packed

    data = Packed.open(packed)
    estimator = estimator_of(
        data,
        values,
        {
            "bucket": bucket,
            "role": role,
            "image": image,
            "max_cost": max_cost,
            "session": session_of(region, profile),
            "poll_seconds": poll_seconds,
            **settings,
        },
    )
    _train_there(estimator, data, dry_run=dry_run, wait=not no_wait)


def _values(epochs: int | None, base_network: str | None, given: list[str] | None) -> dict[str, Any]:
    values: dict[str, Any] = assignments(given or [], "--set")
    named = {"epochs": epochs, "base_network": base_network}
    return {**values, **{name: value for name, value in named.items() if value is not None}}


def _train_here(packed: Path, out: Path, values: dict[str, Any], settings: dict[str, object]) -> None:
    from birdsod.estimator import LocalEstimator
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed
    from birdsod.ssd import LocalOptions

    data = Packed.open(packed)
    options = LocalOptions.from_json(settings)
    values.setdefault("base_network", "efficientnet-lite0")
    params = Hyperparameters.for_data(data, **values)
    job = LocalEstimator(params, out, options=options).fit(data)
    say(f"{job.status}: {job.artifact}")


def _train_there(estimator: "SageMakerEstimator", data: "Packed", *, dry_run: bool, wait: bool) -> None:
    if dry_run:
        say(printed(estimator.requests(data)))
        return
    job = estimator.fit(data, wait=wait)
    say(f"{job.name}: {job.artifact_uri if wait else job.status}")


@reported
def check(  # noqa: PLR0913 - options of the engine
    *,
    packed: Data,
    epochs: Epochs = None,
    base_network: BaseNetwork = None,
    given: Given = None,
    option: Setting = None,
    bucket: Bucket = None,
    role: Role = None,
    image: Image = None,
    region: Region = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find what a training job on SageMaker would fail of, before it costs money.

    Nothing is created. Exit code 1 if the job would fail, 0 if there are warnings or nothing.
    """
    from birdsod.estimator.sagemaker import describe
    from birdsod.estimator.sagemaker.findings import errors_of
    from birdsod.recordio import Packed

    data = Packed.open(packed)
    settings = {"bucket": bucket, "role": role, "image": image, "session": session_of(region, profile)}
    estimator = estimator_of(
        data, _values(epochs, base_network, given), {**settings, **assignments(option or [], "--option")}
    )
    findings = estimator.check(data)
    if as_json:
        say(
            printed({"findings": [each.to_dict() for each in findings], "estimate": estimator.estimate(data).to_dict()})
        )
    else:
        say(describe(findings))
        say(str(estimator.estimate(data)))
    if errors_of(findings):
        raise typer.Exit(1)
