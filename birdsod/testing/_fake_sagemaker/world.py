"""What exists in the fake: one account, and in it one store a region."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from birdsod.testing._fake_sagemaker.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import boto3
    from botocore.config import Config
    from mypy_boto3_s3 import S3Client

    from birdsod.testing._fake_sagemaker.log_store import LogStore

__all__ = ["OWN_AGENT", "Call", "Json", "Kept", "Region", "World"]

Json = dict[str, Any]

OWN_AGENT = "birdsod-fake-itself"
"""By this in the user agent the fake knows its own requests."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the fake received, whatever became of it.

    Parameters
    ----------
    operation : str
        Such as ``CreateTrainingJob``.
    request : dict
        What was sent.
    """

    operation: str
    request: Json


@dataclass(slots=True)
class Kept:
    """One thing that was created.

    Parameters
    ----------
    name : str
        Its name.
    arn : str
        Its ARN.
    request : dict
        What it was created with.
    created, modified : datetime
        When.
    run : object
        What brings it on, where it has states.
    more : dict
        Whatever else its kind remembers.
    """

    name: str
    arn: str
    request: Json
    created: datetime
    modified: datetime
    run: Any = None
    more: Json = field(default_factory=dict)


class World:
    """The account, with all that requests share.

    Parameters
    ----------
    account : str
        Its number.
    folder : pathlib.Path
        For whatever must lie on disk meanwhile.
    session : callable
        Region to a boto3 session that is wired to this fake.
    """

    def __init__(self, account: str, folder: Path, session: Callable[[str], boto3.Session]) -> None:
        self.account = account
        self.folder = folder
        self.scripts = Scripts()
        self.calls: list[Call] = []
        self.lock = threading.RLock()
        self._regions: dict[str, Region] = {}
        self._session = session
        self._ahead = timedelta()
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._numbers = itertools.count(1)

    def region(self, name: str) -> Region:
        """Return the store of a region."""
        with self.lock:
            if name not in self._regions:
                self._regions[name] = Region(name, self, self._session(name))
            return self._regions[name]

    def regions(self) -> list[Region]:
        """Return all regions that were spoken to."""
        with self.lock:
            return list(self._regions.values())

    def now(self) -> datetime:
        """Return the time of the fake, which never stands still: no two things are created at once."""
        with self.lock:
            self._latest = max(datetime.now(UTC) + self._ahead, self._latest + timedelta(milliseconds=1))
            return self._latest

    def elapse(self, seconds: float) -> None:
        """Put the time of the fake forward."""
        with self.lock:
            self._ahead += timedelta(seconds=seconds)

    def number(self) -> int:
        """Return a number that was not given before."""
        return next(self._numbers)


class Region:
    """All that exists in one region.

    Parameters
    ----------
    name : str
        Name of the region.
    world : World
        The account.
    session : boto3.Session
        Wired to this fake.
    """

    def __init__(self, name: str, world: World, session: boto3.Session) -> None:
        from birdsod.testing._fake_sagemaker.log_store import LogStore

        self.name = name
        self.world = world
        self._session = session
        self._s3: S3Client | None = None
        self.training: dict[str, Kept] = {}
        self.tuning: dict[str, Kept] = {}
        self.transforms: dict[str, Kept] = {}
        self.models: dict[str, Kept] = {}
        self.configs: dict[str, Kept] = {}
        self.endpoints: dict[str, Kept] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.logs: LogStore = LogStore(world)

    @property
    def s3(self) -> S3Client:
        """A client of the account's own S3."""
        if self._s3 is None:
            self._s3 = self._session.client("s3", config=_own())
        return self._s3

    def role_exists(self, arn: str) -> bool:
        """Whether IAM has that role."""
        iam = self._session.client("iam", config=_own())
        try:
            found: str = iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]["Arn"]
        except iam.exceptions.NoSuchEntityException:
            return False
        return found == arn

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a thing of this region."""
        return f"arn:aws:sagemaker:{self.name}:{self.world.account}:{kind}/{name}"

    def keep(self, kind: str, name: str, request: Json) -> Kept:
        """Return what is remembered of a new thing, its tags taken note of."""
        now = self.world.now()
        kept = Kept(name, self.arn(kind, name), request, now, now)
        self.tags[kept.arn] = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        return kept

    def drop(self, kept: Kept, things: dict[str, Kept]) -> None:
        """Forget a thing."""
        things.pop(kept.name, None)
        self.tags.pop(kept.arn, None)

    def close(self) -> None:
        """End all that runs here."""
        for kept in [*self.training.values(), *self.tuning.values(), *self.transforms.values()]:
            kept.run.close()
        for kept in self.endpoints.values():
            kept.more["model"].close()


def _own() -> Config:
    from botocore.config import Config

    return Config(user_agent_extra=OWN_AGENT)
