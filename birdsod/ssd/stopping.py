"""Being told to stop."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Stop"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether this process was told to stop: when a job is stopped, or its spot machine is taken back.

    SageMaker sends SIGTERM, and ends what still runs after 120 seconds. A second signal ends the process at once.

    Examples
    --------
    >>> Stop()()
    False
    """

    def __init__(self) -> None:
        self._told = False

    def __call__(self) -> bool:
        """Return whether it was."""
        return self._told

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take note of signals until the block ends."""
        before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _: object) -> None:
        self._told = True
        signal.signal(number, signal.SIG_DFL)
