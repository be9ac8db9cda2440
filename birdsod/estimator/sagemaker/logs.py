"""The log of a job in the cloud, read to its end: each line once, from all its machines."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.endings import pause
from birdsod.estimator.sagemaker.faults import asking, code_of, is_missing, patient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["TRAINING_JOBS", "LogFollower", "LogLine", "read_logs"]

T = TypeVar("T")

TRAINING_JOBS = "/aws/sagemaker/TrainingJobs"
"""Log group of all training jobs of an account in a region."""

# What a job wrote before it ended may be seen a little later: so many looks in a row must bring nothing.
_GRACE_LOOKS = 3
_GRACE_SECONDS = 2.0
# Tokens live for a day; the service has one code for all that it does not like about them.
_BAD_TOKEN = "InvalidParameterException"  # noqa: S105 - the name of an error

_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log.

    Parameters
    ----------
    stream : str
        Whose it is: job, machine and a number, as in ``birds/algo-1-1763848000``.
    timestamp : int
        Milliseconds since 1970.
    text : str
        What it says, without the line's end.
    """

    stream: str
    timestamp: int
    text: str


class LogFollower:
    """Reads the streams of a log group whose names begin alike, each line exactly once.

    Empty pages are passed, streams may come late or not exist yet, a busy service is asked again, expired
    credentials are renewed, and where a token has expired reading goes on behind the last line. It holds one page
    of each stream at a time.

    Parameters
    ----------
    cloud : Cloud
        Account and region.
    group : str
        The log group.
    prefix : str
        What the names of the streams begin with.
    poll_seconds : float, default 10.0
        Time between two looks at a log that grows.
    denied : callable, optional
        Called with the error where the caller may not read the log, which then is as if it were empty. Without it,
        that is an error.
    """

    def __init__(
        self,
        cloud: Cloud,
        group: str,
        prefix: str,
        *,
        poll_seconds: float = 10.0,
        denied: Callable[[CloudError], object] | None = None,
    ) -> None:
        self._cloud = cloud
        self._group = group
        self._prefix = prefix
        self._poll_seconds = poll_seconds
        self._denied = denied
        self._streams: dict[str, _Stream] = {}

    def drain(self) -> Iterator[LogLine]:
        """Yield what is there and was not read yet, over all streams by time.

        Yields
        ------
        LogLine

        Raises
        ------
        CloudError
            If the service refuses.
        """
        self._find_streams()
        growing = list(self._streams.values())
        while growing:
            growing = [stream for stream in growing if stream.fill(self._page)]
            if growing:
                yield min(growing, key=lambda stream: stream.lines[0].timestamp).lines.popleft()

    def follow(self, is_over: Callable[[], bool]) -> Iterator[LogLine]:
        """Yield lines as they come, until the job is over and nothing more is found.

        Parameters
        ----------
        is_over : callable
            Whether the job is over.

        Yields
        ------
        LogLine

        Raises
        ------
        CloudError
            If the service refuses.
        """
        # Asked before reading: what was written before the end is read in any case.
        while not is_over():
            yield from self.drain()
            pause(self._poll_seconds)
        quiet = 0
        while quiet < _GRACE_LOOKS:
            quiet += 1
            for line in self.drain():
                quiet = 0
                yield line
            if quiet < _GRACE_LOOKS:
                pause(min(self._poll_seconds, _GRACE_SECONDS))

    def _find_streams(self) -> None:
        request: dict[str, Any] = {"logGroupName": self._group, "logStreamNamePrefix": self._prefix}
        while True:
            told: Any = self._ask(lambda: self._cloud.logs.describe_log_streams(**request)) or {"logStreams": []}
            for row in told["logStreams"]:
                self._streams.setdefault(row["logStreamName"], _Stream(row["logStreamName"]))
            if not told.get("nextToken"):
                return
            request["nextToken"] = told["nextToken"]

    def _page(self, **request: Any) -> Any:  # noqa: ANN401 - as the service takes and gives it
        return self._ask(lambda: self._cloud.logs.get_log_events(logGroupName=self._group, **request))

    def _ask(self, call: Callable[[], T]) -> T | None:
        """Return an answer; None where there is nothing (yet) to answer about."""
        try:
            with asking("read the log", resource=self._prefix.rstrip("/")):
                return patient(call, seconds=min(1.0, self._poll_seconds), renew=self._cloud.renewed)
        except CloudError as error:
            if is_missing(error):
                return None
            if self._denied is None or code_of(error) not in _DENIED:
                raise
            self._denied(error)
            return None


class _Stream:
    """How far one stream was read."""

    def __init__(self, name: str) -> None:
        self.lines: deque[LogLine] = deque()
        self._name = name
        self._token: str | None = None
        self._since: int | None = None
        self._latest = -1
        self._at_latest: Counter[str] = Counter()
        self._known: Counter[str] = Counter()

    def fill(self, ask: Callable[..., Any]) -> bool:
        """Read on until there is a line to give, or the end: the token that comes back is the one that was sent."""
        while not self.lines:
            told, sent = self._answer(ask), self._token
            if told is None:
                return False
            for event in told["events"]:
                self._take(event["timestamp"], event["message"])
            self._token = told["nextForwardToken"]
            if self._token == sent and not self.lines:
                return False
        return True

    def _answer(self, ask: Callable[..., Any]) -> Any:  # noqa: ANN401 - as the service gives it
        try:
            return ask(**self._request())
        except CloudError as error:
            if self._token is None or code_of(error) != _BAD_TOKEN:
                raise
        self._start_again()
        return ask(**self._request())

    def _request(self) -> dict[str, Any]:
        token = {} if self._token is None else {"nextToken": self._token}
        since = {} if self._since is None else {"startTime": self._since}
        return {"logStreamName": self._name, "startFromHead": True, **since, **token}

    def _start_again(self) -> None:
        """Read from the last moment on, where some lines are known already."""
        self._token = None
        self._since = self._latest if self._latest >= 0 else None
        self._known = self._at_latest.copy()

    def _take(self, timestamp: int, message: str) -> None:
        if timestamp == self._latest and self._known[message] > 0:
            self._known[message] -= 1
            return
        if timestamp > self._latest:
            self._latest = timestamp
            self._at_latest.clear()
        if timestamp == self._latest:
            self._at_latest[message] += 1
        self.lines.extend(LogLine(self._name, timestamp, text) for text in message.splitlines() or [""])


def read_logs(cloud: Cloud, job_name: str) -> list[LogLine]:
    """Return the log of a training job so far, over all machines by time.

    Parameters
    ----------
    cloud : Cloud
        Account and region.
    job_name : str
        Name of the job.

    Returns
    -------
    list of LogLine
        Empty where there is no log (yet).

    Raises
    ------
    CloudError
        If the service refuses.
    """
    return list(LogFollower(cloud, TRAINING_JOBS, f"{job_name}/", poll_seconds=1.0).drain())
