"""The fake cloud, as tests use it."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from birdsod.errors import BirdsodError
from birdsod.testing._fake_sagemaker.runs import ALIVE
from birdsod.testing._fake_sagemaker.scripting import Scripting
from birdsod.testing._fake_sagemaker.wiring import SERVICES, wired

if TYPE_CHECKING:
    from collections.abc import Iterable
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


class FakeSageMaker(Scripting):
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
        # For whoever never leaves the block.
        atexit.register(self.close)
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
        atexit.unregister(self.close)
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


def _alive(region: Region) -> Iterable[AliveResource]:
    jobs = {"training-job": region.training, "tuning-job": region.tuning, "transform-job": region.transforms}
    for kind, things in jobs.items():
        yield from (AliveResource(kind, kept.name) for kept in things.values() if kept.run.progress.status in ALIVE)
    kinds = {"model": region.models, "endpoint-config": region.configs, "endpoint": region.endpoints}
    for kind, things in kinds.items():
        yield from (AliveResource(kind, name) for name in things)
