"""Further processes on this machine that train together with this one."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from birdsod.errors import BirdsodError, TrainingError
from birdsod.ssd.team import GoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from birdsod.ssd.place import Place

__all__ = ["Helpers", "helped"]

_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class _Helper:
    rank: int
    process: SpawnProcess
    words: Connection

    def failure(self) -> tuple[bool, str] | None:
        """Return whether it only missed another one, and why it failed; None if it did not. Its words come once."""
        code = self.process.exitcode
        if not code:
            return None
        with contextlib.suppress(EOFError, OSError):
            if self.words.poll():
                missed, reason = self.words.recv()
                return bool(missed), str(reason)
        known = -code in set(signal.Signals)
        return False, f"it was ended by {signal.Signals(-code).name if known else f'exit code {code}'}"


class Helpers:
    """Processes that train together with this one.

    Parameters
    ----------
    helpers : list
        What was started.
    """

    def __init__(self, helpers: list[_Helper]) -> None:
        self._helpers = helpers
        self._failures: dict[int, tuple[bool, str]] = {}

    def check(self) -> None:
        """Do nothing as long as none has failed; one that only missed another is not to blame.

        Raises
        ------
        TrainingError
            If one has failed; with its reason.
        """
        for helper in self._helpers:
            failure = None if helper.rank in self._failures else helper.failure()
            if failure is not None:
                self._failures[helper.rank] = failure
        for rank, (missed, reason) in self._failures.items():
            if not missed:
                raise TrainingError(f"process {rank} of those that train together failed", cause=reason)

    def stop(self) -> None:
        """Ask all of them to stop."""
        for helper in self._helpers:
            helper.process.terminate()

    def end(self, seconds: float) -> None:
        """Wait for all of them, and end those that are not done in time.

        Parameters
        ----------
        seconds : float
            How long is waited.
        """
        deadline = time.monotonic() + seconds
        for helper in self._helpers:
            helper.process.join(max(0.0, deadline - time.monotonic()))
            if helper.process.is_alive():
                helper.process.kill()
                helper.process.join()

    def find_fault(self) -> None:
        """Wait a moment for the one whose end made this process miss it.

        Raises
        ------
        TrainingError
            If there is one; with its reason.
        """
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline and any(helper.process.is_alive() for helper in self._helpers):
            self.check()
            time.sleep(_LOOK_SECONDS)
        self.check()


@contextlib.contextmanager
def helped(
    work: Callable[..., object], first: Place, arguments: tuple[object, ...], grace: float = _GRACE_SECONDS
) -> Iterator[Helpers]:
    """Start the other processes of this machine; they end with the block.

    Parameters
    ----------
    work : callable
        What they do: a function of a module, which takes a place, whether to stop, and the arguments.
    first : Place
        Where this process stands; theirs follow.
    arguments : tuple
        What else they are told; it is copied.
    grace : float, default 10
        Seconds that they may take to end after the block.

    Yields
    ------
    Helpers

    Raises
    ------
    TrainingError
        If the block missed one of them; with what ended it.
    """
    places = [
        replace(first, rank=first.rank + local, local_rank=local, starts=False) for local in range(1, first.local_size)
    ]
    helpers = Helpers([_started(work, place, arguments) for place in places])
    try:
        yield helpers
    except GoneError:
        helpers.find_fault()
        raise
    except BaseException:
        helpers.stop()
        raise
    finally:
        helpers.end(grace)


def _started(work: Callable[..., object], place: Place, arguments: tuple[object, ...]) -> _Helper:
    # Not forked: a copy of a process whose libraries have threads may stand still for ever.
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe(duplex=False)
    name = f"birdsod-{place.rank}"
    # No daemon, which could not begin the processes of its loader.
    process = spawning.Process(target=_help, args=(theirs, work, place, arguments), name=name, daemon=False)
    process.start()
    theirs.close()
    return _Helper(place.rank, process, ours)


def _help(words: Connection, work: Callable[..., object], place: Place, arguments: tuple[Any, ...]) -> None:
    """Do the work in a process of its own, and tell why if it fails."""
    asked: list[int] = []
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: asked.append(number))
    try:
        work(place, lambda: bool(asked), *arguments)
    except Exception as error:
        if not isinstance(error, BirdsodError):
            traceback.print_exception(error)
        reason = str(error) if isinstance(error, BirdsodError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            words.send((isinstance(error, GoneError), reason))
        raise SystemExit(1) from error
