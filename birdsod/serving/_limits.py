"""How much a server takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AMONG_OTHERS", "Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a server takes, and how long it waits.

    Parameters
    ----------
    body_bytes : int, default 6291456
        Largest request body: what SageMaker's hosting takes.
    pixels : int, default 50000000
        Most pixels of an image, which bounds the memory that decoding it takes.
    connections : int, default 256
        Connections open at once; one more is refused.
    waiting : int, default 64
        Images that may wait for the model; one more is refused.
    batch : int, default 8
        Most images that the model gets at once: those that came while it worked on others.
    idle_seconds : float, default 60.0
        How long an open connection may send nothing between two requests.
    request_seconds : float, default 30.0
        How long one request may take to arrive, however slowly it trickles.
    farewell_seconds : float, default 0.0
        How long open connections may still send one last request when the server stops.

    Examples
    --------
    >>> Limits().body_bytes
    6291456
    """

    body_bytes: int = 6_291_456
    pixels: int = 50_000_000
    connections: int = 256
    waiting: int = 64
    batch: int = 8
    idle_seconds: float = 60.0
    request_seconds: float = 30.0
    farewell_seconds: float = 0.0


AMONG_OTHERS = Limits(farewell_seconds=1.0)
"""Those of one of several processes, whose place another takes while clients go on."""
