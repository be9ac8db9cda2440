"""The commands that watch, host and clean up in an account in the cloud."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsod.cli._account import JobName, Poll, Profile, Region, cloud_of, job_of
from birdsod.cli._values import reported, say

if TYPE_CHECKING:
    from birdsod.estimator.sagemaker import SageMakerJob

__all__ = ["cleanup", "deploy", "logs", "status"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@reported
def status(*, job: JobName, region: Region = None, profile: Profile = None, as_json: Json = False) -> None:
    """Tell how a training job on SageMaker stands.

    A line a fact: its status, why it failed, how long it has trained, and what each epoch measured.
    """
    found = job_of(job, region, profile)
    facts, epochs = _facts(found), found.metrics()
    if as_json:
        say(json.dumps({**facts, "epochs": json.loads(epochs.to_json(orient="records"))}))
        return
    for name, fact in facts.items():
        if fact is not None:
            say(f"{name:<20}{fact}")
    if len(epochs):
        say(epochs.to_string(index=False))


def _facts(job: "SageMakerJob") -> dict[str, object]:
    state = job.status
    return {
        "name": job.name,
        "status": state,
        "reason": job.failure_reason,
        "seconds": job.seconds,
        "billable_seconds": job.billable_seconds,
        "artifact": job.artifact_uri if state == "Completed" else None,
    }


@reported
def logs(
    *,
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job is over.")] = False,
    region: Region = None,
    profile: Profile = None,
    poll_seconds: Poll = 10.0,
) -> None:
    """Print the log of a training job on SageMaker.

    Ctrl-C ends the printing, not the job. With --follow a job that failed ends with exit code 1 and its reason.
    """
    found = job_of(job, region, profile, poll_seconds)
    if follow:
        found.wait()
        say(found.status)
        return
    for line in found.logs():
        say(line)


@reported
def deploy(  # noqa: PLR0913 - what is hosted, on what, where, and what it may cost
    *,
    job: JobName,
    instance_type: Annotated[str, typer.Option(help="What the endpoint runs on.")] = "ml.m5.large",
    instances: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    serverless_memory_mb: Annotated[
        int | None, typer.Option(help="Host without instances, with so much memory.")
    ] = None,
    hours: Annotated[float | None, typer.Option(min=0.0, help="How long it is to stay, for the estimate.")] = None,
    max_cost: Annotated[
        float | None, typer.Option(metavar="DOLLARS", help="Refuse if so many hours may cost more.")
    ] = None,
    region: Region = None,
    profile: Profile = None,
    poll_seconds: Poll = 10.0,
) -> None:
    """Host the model of a training job at an endpoint.

    Prints the endpoint's name, and to the error stream what it may cost.
    It costs money until birdsod cleanup, or what asks it, takes it down.
    """
    from birdsod.estimator.sagemaker import Hosting

    if serverless_memory_mb is None:
        hosting = Hosting(instance_type, instances)
    else:
        hosting = Hosting(serverless_memory_mb=serverless_memory_mb)
    # A script reads the name; what it may cost is for whoever watches.
    with contextlib.redirect_stdout(sys.stderr):
        detector = job_of(job, region, profile, poll_seconds).deploy(hosting, hours=hours, max_cost=max_cost)
    # It is to outlive this command.
    detector.detach()
    say(detector.name)


@reported
def cleanup(
    *,
    older_than: Annotated[str | None, typer.Option(metavar="AGE", help="Keep what is younger: 30m, 2h, 7d.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what others made with birdsod in this account.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: do it, not only tell.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="File that notes what was made; else your own.")] = None,
    region: Region = None,
    profile: Profile = None,
    poll_seconds: Poll = 10.0,
) -> None:
    """Take down what birdsod made in an account.

    Endpoints, their configurations and models go, running jobs are stopped; models in S3 stay. By default only
    what is your own: by the ledger, and by tags from any machine. What bears no tag of birdsod's is never touched.
    """
    from birdsod.estimator.sagemaker import Ledger
    from birdsod.estimator.sagemaker.cleanup import cleanup as take_down

    report = take_down(
        cloud_of(region, profile),
        ledger=Ledger(ledger),
        older_than=older_than,
        dry_run=dry_run,
        everything=everything,
        yes=yes,
        poll_seconds=poll_seconds,
    )
    say(str(report))
    if report.failed:
        raise typer.Exit(1)
