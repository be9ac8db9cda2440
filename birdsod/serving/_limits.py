"""How much a server takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a server takes, and how long it waits.

    Parameters
    ----------
    body_bytes : int, default 6291456
        Largest request body: what SageMaker's hosting takes.
    pixels : int, default 50000000
        Most pixels of an image, which bounds the memory that decoding it takes.
    connections : int, default 64
        Connections open at once; more wait a moment and are then refused.
    queue_seconds : float, default 5.0
        How long a connection too many waits.
    idle_seconds : float, default 60.0
        How long an open connection may send nothing between two requests.
    request_seconds : float, default 30.0
        How long one request may take to arrive, however slowly it trickles.

    Examples
    --------
    >>> Limits().body_bytes
    6291456
    """

    body_bytes: int = 6_291_456
    pixels: int = 50_000_000
    connections: int = 64
    queue_seconds: float = 5.0
    idle_seconds: float = 60.0
    request_seconds: float = 30.0
