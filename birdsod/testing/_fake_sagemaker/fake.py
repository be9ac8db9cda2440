"""The fake cloud, as tests use it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from birdsod.errors import BirdsodError
from birdsod.testing._fake_sagemaker.runs import ALIVE
from birdsod.testing._fake_sagemaker.scripts import (
    EndpointScript,
    LogScript,
    Planned,
    TrainingScript,
    TransformScript,
    TuningScript,
)
from birdsod.testing._fake_sagemaker.wiring import SERVICES, wired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    import boto3
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType

    from birdsod.testing._fake_sagemaker.world import Call, Region, World

__all__ = ["AliveResource", "FakeSageMaker"]

_ROLE = "BirdsodExecution"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


@dataclass(frozen=True, slots=True, order=True)
class AliveResource:
    """Something that still exists and could cost money.

    Parameters
    ----------
    kind : str
        ``training-job``, ``tuning-job``, ``transform-job``, ``model``, ``endpoint-config`` or ``endpoint``.
    name : str
        Its name.
    """

    kind: str
    name: str


class FakeSageMaker:
    """SageMaker with S3, CloudWatch Logs, IAM, STS and Service Quotas on this machine, for tests without an account.

    Unmodified boto3 talks to it over HTTP at the loopback address. Jobs and endpoints go on by one state with each
    describe call, so that no test waits for a clock. Jobs with the built-in image are scripted and say so in
    their log; jobs with another image run birdsod's local engine on what was uploaded.

    Parameters
    ----------
    region : str, default "us-east-1"
        Region of its sessions; others may be asked for.
    account : str, optional
        Number of the account: 123456789012, or the next that no other fake of this process has.

    Raises
    ------
    MissingDependencyError
        On entering, if boto3 or moto is not installed.

    Examples
    --------
    >>> with FakeSageMaker() as cloud:
    ...     cloud.session().client("sagemaker").list_endpoints()["Endpoints"]
    []
    """

    def __init__(self, *, region: str = "us-east-1", account: str | None = None) -> None:
        self.region = region
        self._wanted = account
        self._world: World | None = None

    def __enter__(self) -> Self:
        from birdsod.testing._fake_sagemaker.front import Front
        from birdsod.testing._fake_sagemaker.loopback import LoopbackServer
        from birdsod.testing._fake_sagemaker.moto_services import MotoServices
        from birdsod.testing._fake_sagemaker.world import World

        self._moto = MotoServices(self._wanted)
        self._folder = Path(tempfile.mkdtemp(prefix="birdsod-fake-"))
        self._keys = ("AKIAIOSFODNN7EXAMPLE", "birdsod")
        world = World(self._moto.account, self._folder, lambda region: self.session(region=region))
        self._server = LoopbackServer(Front(world, self._moto))
        self._world = world
        try:
            self._furnish()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and all that it runs, and forget everything; a second call does nothing."""
        world, self._world = self._world, None
        if world is None:
            return
        # Runs end while their S3 still answers, and those that began meanwhile end after it.
        for _ in range(2):
            for region in world.regions():
                region.close()
            self._server.close()
        self._moto.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _furnish(self) -> None:
        """Make what every account has: a user, a role and a bucket."""
        session = self.session()
        iam = session.client("iam")
        iam.create_user(UserName="birdsod")
        made = iam.create_access_key(UserName="birdsod")["AccessKey"]
        self._keys = (made["AccessKeyId"], made["SecretAccessKey"])
        iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=json.dumps(_TRUST))
        self._make_bucket(session.client("s3"))

    def _make_bucket(self, s3: S3Client) -> None:
        if self.region == "us-east-1":
            s3.create_bucket(Bucket=self.bucket)
        else:
            where = cast("BucketLocationConstraintType", self.region)
            s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": where})

    @property
    def _here(self) -> World:
        if self._world is None:
            raise BirdsodError("the fake cloud is not running", cure="use it in its with block")
        return self._world

    @property
    def account(self) -> str:
        """Number of the account."""
        return self._here.account

    @property
    def url(self) -> str:
        """Where it answers."""
        _ = self._here
        return self._server.url

    @property
    def bucket(self) -> str:
        """A bucket that exists, with the name that the SageMaker SDK gives to its default."""
        return f"sagemaker-{self.region}-{self.account}"

    @property
    def role_arn(self) -> str:
        """A role that exists and that SageMaker may assume."""
        return f"arn:aws:iam::{self.account}:role/{_ROLE}"

    @property
    def calls(self) -> list[Call]:
        """Every request to SageMaker, its runtime, the logs and the quotas, in order, refused ones too."""
        return self._here.calls

    def session(self, *, region: str | None = None, role: str | None = None) -> boto3.Session:
        """Return a session that is wired to this fake; nothing outside the session is changed.

        Parameters
        ----------
        region : str, optional
            Its region; that of the fake where it is left out.
        role : str, optional
            ARN of a role, such as :attr:`role_arn`, whose temporary credentials the session gets, as in a notebook
            of SageMaker; without it, it is a user's.

        Returns
        -------
        boto3.Session
        """
        chosen = region or self.region
        if role is None:
            return wired(self._server.url, chosen, *self._keys)
        sts = self.session(region=chosen).client("sts")
        given = sts.assume_role(RoleArn=role, RoleSessionName="SageMaker")["Credentials"]
        keys = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
        return wired(self._server.url, chosen, *keys)

    def environment(self) -> dict[str, str]:
        """Return environment variables that wire a child process to this fake.

        Returns
        -------
        dict of str to str
        """
        key, secret = self._keys
        config = self._folder / "config"
        # A profile that the parent's environment names would be looked for there.
        config.write_text("[default]\n", encoding="utf-8")
        return {
            "AWS_PROFILE": "default",
            "AWS_CONFIG_FILE": str(config),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **{f"AWS_ENDPOINT_URL_{service}": self.url for service in SERVICES},
            "AWS_ENDPOINT_URL": self.url,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def alive(self) -> list[AliveResource]:
        """Return running jobs, models, endpoint configurations and endpoints, of all regions.

        Returns
        -------
        list of AliveResource
            Sorted.
        """
        with self._here.lock:
            return sorted(row for region in self._here.regions() for row in _alive(region))

    def elapse(self, seconds: float) -> None:
        """Put the fake's clock forward, as if what exists had been made so much earlier.

        Parameters
        ----------
        seconds : float
            How far.
        """
        self._here.elapse(seconds)

    def fail(
        self, operation: str, code: str, message: str = "planned", *, status: int = 400, times: int = 1, after: int = 0
    ) -> None:
        """Let an operation answer with an error; also operations of S3, IAM and STS.

        Parameters
        ----------
        operation : str
            Such as ``CreateTrainingJob``.
        code : str
            Such as ``ResourceLimitExceeded``.
        message : str
            What the error says.
        status : int, default 400
            HTTP status.
        times : int, default 1
            How often.
        after : int, default 0
            Calls that go well first.
        """
        with self._here.lock:
            self._here.scripts.planned.append(Planned(operation, code, message, status, times, after))

    def script_training(
        self,
        *,
        states: Sequence[str] | None = None,
        log: Iterable[str] | None = None,
        failure: str | None = None,
        billable: int | None = None,
        seconds: int = 180,
        hosts: int = 1,
        interruptions: int = 0,
        artifact: bytes | str | os.PathLike[str] | None = None,
    ) -> None:
        """Tell how jobs with the built-in image go that are created from now on.

        Parameters
        ----------
        states : sequence of str, optional
            Secondary states, one a describe call; the last is kept. Log lines are spread over ``Training``.
        log : iterable of str, optional
            Lines of each host's log; those of a run that goes well where they are left out.
        failure : str, optional
            The job fails for this reason.
        billable : int, optional
            Seconds that are paid for; with spot instances three tenths of the time, otherwise all of it.
        seconds : int, default 180
            Time of training.
        hosts : int, default 1
            Machines that write logs.
        interruptions : int, default 0
            How often the instances are taken away in the middle of training, and the job starts again.
        artifact : bytes or path-like, optional
            The model archive; a small one that says it is scripted where it is left out.
        """
        data = artifact if artifact is None or isinstance(artifact, bytes) else Path(artifact).read_bytes()
        self._here.scripts.training = TrainingScript(
            states=_interrupted(TrainingScript().states if states is None else tuple(states), interruptions),
            log=None if log is None else tuple(log),
            failure=failure,
            billable=billable,
            seconds=seconds,
            hosts=hosts,
            artifact=data,
        )

    def script_endpoint(
        self, *, states: Sequence[str] | None = None, failure: str | None = None, deleting: int = 0
    ) -> None:
        """Tell how endpoints come up that are created from now on.

        Parameters
        ----------
        states : sequence of str, optional
            One a describe call; the last is kept. Twice ``Creating`` and then ``InService`` where left out.
        failure : str, optional
            They end as ``Failed`` for this reason.
        deleting : int, default 0
            Describe calls that find ``Deleting`` after a deletion.
        """
        chosen = EndpointScript().states if states is None else tuple(states)
        self._here.scripts.endpoint = EndpointScript(states=chosen, failure=failure, deleting=deleting)

    def script_predictions(
        self, rows: Iterable[Sequence[float]] | Callable[[bytes], Iterable[Sequence[float]]]
    ) -> None:
        """Tell what scripted models find.

        Parameters
        ----------
        rows : iterable of sequence of float, or callable
            Class, score, xmin, ymin, xmax, ymax, relative; or what makes them of an image's bytes. What it raises
            becomes the model's error.
        """
        if callable(rows):
            self._here.scripts.predictions = rows
        else:
            fixed = [list(row) for row in rows]
            self._here.scripts.predictions = lambda _: fixed

    def script_logs(
        self, *, page_size: int = 10_000, empty_pages: int = 0, late_lines: int = 0, late_streams: int = 0
    ) -> None:
        """Tell how hard logs are to read.

        Parameters
        ----------
        page_size : int, default 10000
            Events a page at most.
        empty_pages : int, default 0
            Empty pages, with a new token each, before every page that holds something.
        late_lines : int, default 0
            Last lines of each stream begun from now on that are only there after a reader met its end once.
        late_streams : int, default 0
            Looks at the streams of a job that do not find those of its second and further hosts yet.
        """
        self._here.scripts.logs = LogScript(
            page_size=page_size, empty_pages=empty_pages, late_lines=late_lines, late_streams=late_streams
        )

    def script_tuning(
        self,
        objectives: Sequence[float] | Callable[[Mapping[str, str]], float] | None = None,
        *,
        failures: Sequence[int] = (),
    ) -> None:
        """Tell what the trials of tuning jobs reach.

        Parameters
        ----------
        objectives : sequence of float or callable, optional
            Final value of the objective by trial, or what makes it of the trial's hyperparameters.
        failures : sequence of int
            Trials that fail, counted from 0.
        """
        self._here.scripts.tuning = TuningScript(objectives=objectives, failures=tuple(failures))

    def script_transform(self, *, states: Sequence[str] | None = None, failure: str | None = None) -> None:
        """Tell how batch transform jobs go that are created from now on.

        Parameters
        ----------
        states : sequence of str, optional
            One a describe call; ``InProgress`` and then ``Completed`` where left out.
        failure : str, optional
            They end as ``Failed`` for this reason, with no output.
        """
        chosen = TransformScript().states if states is None else tuple(states)
        self._here.scripts.transform = TransformScript(states=chosen, failure=failure)

    def script_quota(self, name: str, value: float) -> None:
        """Set a quota; more instances than that are refused.

        Parameters
        ----------
        name : str
            Such as ``ml.g4dn.xlarge for training job usage``.
        value : float
            Instances.
        """
        self._here.scripts.quotas[name] = value


def _interrupted(states: Sequence[str], times: int) -> tuple[str, ...]:
    if not times:
        return tuple(states)
    place = states.index("Training") + 1
    return (*states[:place], *("Interrupted", "Restarting", "Training") * times, *states[place:])


def _alive(region: Region) -> Iterable[AliveResource]:
    jobs = {"training-job": region.training, "tuning-job": region.tuning, "transform-job": region.transforms}
    for kind, things in jobs.items():
        yield from (AliveResource(kind, kept.name) for kept in things.values() if kept.run.progress.status in ALIVE)
    kinds = {"model": region.models, "endpoint-config": region.configs, "endpoint": region.endpoints}
    for kind, things in kinds.items():
        yield from (AliveResource(kind, name) for name in things)
