"""Log groups, streams and events, and the ways in which reading them is made hard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from birdsod.testing._fake_sagemaker.world import World

__all__ = ["Event", "LogStore", "Stream"]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log.

    Parameters
    ----------
    timestamp : int
        Milliseconds.
    message : str
        The line.
    """

    timestamp: int
    message: str


@dataclass(slots=True)
class Stream:
    """One stream of a group.

    Parameters
    ----------
    name : str
        Its name.
    created : int
        Milliseconds.
    events : list of Event
        What was written.
    hidden_looks : int, default 0
        How often the group must be looked at before the stream is seen.
    late : int, default 0
        Events at its end that are not seen until it was read to what seemed its end.
    """

    name: str
    created: int
    events: list[Event] = field(default_factory=list)
    hidden_looks: int = 0
    late: int = 0


class LogStore:
    """The logs of one region.

    Parameters
    ----------
    world : World
        Whose time it is, and what is scripted.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.groups: dict[str, dict[str, Stream]] = {}

    def write(self, group: str, stream: str, lines: Iterable[str]) -> None:
        """Append lines; group and stream are made if need be.

        Parameters
        ----------
        group, stream : str
            Where.
        lines : iterable of str
            What.
        """
        with self._world.lock:
            streams = self.groups.setdefault(group, {})
            now = int(self._world.now().timestamp() * 1000)
            if stream not in streams:
                script = self._world.scripts.logs
                # The first host's stream is there at once, the others come late.
                late = script.late_streams if streams and any(name.startswith(_job(stream)) for name in streams) else 0
                streams[stream] = Stream(stream, now, hidden_looks=late, late=script.late_lines)
            start = max(now, streams[stream].events[-1].timestamp + 1 if streams[stream].events else now)
            events = [Event(start + number, line) for number, line in enumerate(lines)]
            streams[stream].events += events


def _job(stream: str) -> str:
    return f"{stream.partition('/')[0]}/"
