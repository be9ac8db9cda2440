"""The ledger: what was made in the cloud, noted before the call that makes it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, get_args

from birdsod._files import flush_folder
from birdsod.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["KINDS", "Entry", "Kind", "Ledger", "Resource", "caller_tag"]

Kind = Literal["tuning-job", "training-job", "transform-job", "endpoint", "endpoint-config", "model"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LEDGER_TAG = "birdsod:ledger"
CALLER_TAG = "birdsod:caller"
CREATED_TAG = "birdsod:created"

_FORMAT = 1
_TAG_LIMIT = 256
_UNTAGGABLE = re.compile(r"[^\w .:/=+\-@]")
# botocore makes up such a session name anew for each process that assumes a role.
_PASSING_SESSION = re.compile(r"/botocore-session-\d+$")


@dataclass(frozen=True, slots=True)
class Resource:
    """Something in one account and region that costs money, or belongs to what does.

    Parameters
    ----------
    kind : str
        ``tuning-job``, ``training-job``, ``transform-job``, ``endpoint``, ``endpoint-config`` or ``model``.
    name : str
        Its name.
    region, account : str
        Where it is.

    Examples
    --------
    >>> print(Resource("endpoint", "birds", "us-east-1", "123456789012"))
    endpoint birds (us-east-1)
    """

    kind: Kind
    name: str
    region: str
    account: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.region})"


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource of the ledger that is not known to be gone.

    Parameters
    ----------
    resource : Resource
        The resource, which may or may not have come into being.
    planned : datetime.datetime
        When it was noted.
    """

    resource: Resource
    planned: datetime


class Ledger:
    """A file with a line for each resource, written to disk before the call that creates it.

    Whoever is killed between the two leaves a line too many, never a resource that nobody knows of. Several
    processes may use one ledger at a time.

    Parameters
    ----------
    path : path-like, optional
        The file. If left out: ``$BIRDSOD_LEDGER``, or ``birdsod/ledger.jsonl`` below ``$XDG_STATE_HOME``, which is
        ``~/.local/state`` unless set.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = Ledger(f"{folder}/ledger.jsonl")
    ...     birds = Resource("endpoint", "birds", "us-east-1", "123456789012")
    ...     ledger.plan(birds)
    ...     print(*[entry.resource for entry in ledger.open_resources()])
    ...     ledger.gone(birds)
    ...     print(len(ledger.open_resources()))
    endpoint birds (us-east-1)
    0
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path: Path = _default_path() if path is None else Path(path).expanduser()

    @property
    def id(self) -> str:
        """What tells this ledger from all others; made when it is first asked for."""
        with self._locked() as stream:
            return _ledger_id(stream, self.path)

    def plan(self, resource: Resource) -> None:
        """Note a resource that is about to be made; when this returns, the note is on the disk.

        Parameters
        ----------
        resource : Resource
            What the next call creates.

        Raises
        ------
        CloudError
            If the ledger cannot be written: then nothing should be made.
        """
        self._append("plan", resource)

    def gone(self, resource: Resource) -> None:
        """Note that a resource is gone, or that a job is over, or never came into being.

        Parameters
        ----------
        resource : Resource
            The resource.

        Raises
        ------
        CloudError
            If the ledger cannot be written.
        """
        self._append("gone", resource)

    def open_resources(self, region: str | None = None, account: str | None = None) -> tuple[Entry, ...]:
        """Return what was planned and is not known to be gone, oldest first.

        Parameters
        ----------
        region, account : str, optional
            Only those of this region, or account.

        Returns
        -------
        tuple of Entry

        Raises
        ------
        CloudError
            If the ledger cannot be read.
        """
        if not self.path.exists():
            return ()
        with self._locked() as stream:
            entries = _replay(stream, self.path)
        wanted = ((region, "region"), (account, "account"))
        return tuple(
            entry
            for entry in entries
            if all(value in {None, getattr(entry.resource, field)} for value, field in wanted)
        )

    def tags(self, cloud: Cloud) -> dict[str, str]:
        """Return the tags by which what is made now is found again, also from another machine.

        Parameters
        ----------
        cloud : Cloud
            Who makes it.

        Returns
        -------
        dict
            ``birdsod:ledger``, ``birdsod:caller`` and ``birdsod:created``.
        """
        return {
            LEDGER_TAG: self.id,
            CALLER_TAG: caller_tag(cloud.caller),
            CREATED_TAG: datetime.now(UTC).isoformat(),
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({os.fspath(self.path)!r})"

    def _append(self, event: str, resource: Resource) -> None:
        line = {"event": event, **asdict(resource), "at": datetime.now(UTC).isoformat()}
        with self._locked() as stream:
            _ledger_id(stream, self.path)
            _write_line(stream, line)

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        """Open the file, held against other processes and without what a killed one left half written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as stream:
                _lock(stream)
                _drop_torn_line(stream)
                yield stream
        except OSError as error:
            cure = "set BIRDSOD_LEDGER to a file that can be written, on a disk that stays"
            message = "the ledger cannot be kept, so nothing is made"
            raise CloudError(message, path=self.path, cause=error.strerror or str(error), cure=cure) from error


def caller_tag(caller: str) -> str:
    """Return the ARN of a caller as the value of a tag: the same for the same caller, others for others.

    A session name that botocore made up is left out, since it changes with each process. What no tag may hold is
    replaced, and then a digest of the whole tells callers apart.

    Parameters
    ----------
    caller : str
        ARN.

    Returns
    -------
    str

    Examples
    --------
    >>> caller_tag("arn:aws:iam::123456789012:user/wren")
    'arn:aws:iam::123456789012:user/wren'
    >>> caller_tag("arn:aws:sts::123456789012:assumed-role/birder/botocore-session-1763848000")
    'arn:aws:sts::123456789012:assumed-role/birder'
    """
    lasting = _PASSING_SESSION.sub("", caller)
    safe = _UNTAGGABLE.sub("_", lasting)
    if safe == lasting and len(safe) <= _TAG_LIMIT:
        return safe
    digest = hashlib.sha256(lasting.encode()).hexdigest()[:16]
    return f"{safe[: _TAG_LIMIT - len(digest) - 1]}={digest}"


def _default_path() -> Path:
    given = os.environ.get("BIRDSOD_LEDGER")
    if given:
        return Path(given).expanduser()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "birdsod" / "ledger.jsonl"


def _lock(stream: IO[bytes]) -> None:
    import fcntl

    fcntl.flock(stream, fcntl.LOCK_EX)


def _drop_torn_line(stream: IO[bytes]) -> None:
    # Its writer was killed before the line was safe on the disk, so it never went on to create anything.
    stream.seek(0)
    content = stream.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        stream.truncate(whole)


def _write_line(stream: IO[bytes], line: Mapping[str, object]) -> None:
    stream.write(json.dumps(line).encode() + b"\n")
    stream.flush()
    os.fsync(stream.fileno())


def _ledger_id(stream: IO[bytes], path: Path) -> str:
    stream.seek(0)
    first = stream.readline()
    if first:
        return str(_parsed(first, path, 1, "ledger"))
    made = uuid.uuid4().hex
    _write_line(stream, {"birdsod": _FORMAT, "ledger": made, "at": datetime.now(UTC).isoformat()})
    flush_folder(path.parent)
    return made


def _replay(stream: IO[bytes], path: Path) -> tuple[Entry, ...]:
    stream.seek(0)
    still: dict[Resource, Entry] = {}
    for number, line in enumerate(stream, start=1):
        if number == 1:
            _parsed(line, path, number, "ledger")
            continue
        event, entry = _read_event(line, path, number)
        if event == "plan":
            still[entry.resource] = entry
        else:
            still.pop(entry.resource, None)
    return tuple(still.values())


def _read_event(line: bytes, path: Path, number: int) -> tuple[str, Entry]:
    event, kind, name, region, account, moment = (
        str(_parsed(line, path, number, key)) for key in ("event", "kind", "name", "region", "account", "at")
    )
    try:
        planned = datetime.fromisoformat(moment)
    except ValueError as error:
        raise _broken(path, number, str(error)) from error
    if kind not in KINDS or event not in {"plan", "gone"}:
        raise _broken(path, number, f"{event} {kind} is not known to this version")
    return event, Entry(Resource(kind, name, region, account), planned)


def _parsed(line: bytes, path: Path, number: int, key: str) -> object:
    try:
        return json.loads(line)[key]
    except (ValueError, KeyError, TypeError) as error:
        raise _broken(path, number, f"{type(error).__name__}: {error}") from error


def _broken(path: Path, number: int, cause: str) -> CloudError:
    cure = "move the file away; what it listed is found by its tags, with `birdsod cleanup`"
    return CloudError("this is no line of a ledger", path=path, line=number, cause=cause, cure=cure)
