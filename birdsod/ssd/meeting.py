"""Where the processes that train one network together find each other."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined] # PyTorch does not mark it as its own

from birdsod.errors import TrainingError
from birdsod.ssd.team import Team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from birdsod.ssd.place import Place

__all__ = ["StopError", "joined", "meeting_point"]

# Machines copy their data before they meet, and need not be equally fast.
_MEETING = timedelta(minutes=30)
_KNOCKING = timedelta(seconds=2)
# A process that is gone shows at once; this is for one that hangs.
_SILENCE = timedelta(minutes=10)
_LOOK_SECONDS = 0.05
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


class StopError(Exception):
    """The process was asked to stop while it waited for the others."""


def meeting_point(place: Place) -> TCPStore:
    """Open the place where all processes meet; only the first of all does so.

    Parameters
    ----------
    place : Place
        Where it is; the port 0 takes a free one.

    Returns
    -------
    torch.distributed.TCPStore

    Raises
    ------
    TrainingError
        If the port is taken.
    """
    try:
        return _store(place, opens=True, timeout=_MEETING)
    except RuntimeError as error:
        cause, cure = str(error).splitlines()[0], "choose another by MASTER_PORT"
        message = "the processes that train together cannot meet at this port"
        raise TrainingError(message, value=place.port, cause=cause, cure=cure) from error


@contextlib.contextmanager
def joined(
    place: Place,
    device: torch.device,
    *,
    point: TCPStore | None = None,
    still: Callable[[], None],
    patience: timedelta = _MEETING,
) -> Iterator[Team]:
    """Wait for all processes, and be one of them until the block ends.

    Parameters
    ----------
    place : Place
        Where this process stands.
    device : torch.device
        What it trains on.
    point : torch.distributed.TCPStore, optional
        Where they meet, if this process opened it.
    still : callable
        Called again and again while waiting; may raise what ends it, for one :class:`StopError`.
    patience : timedelta, default 30 minutes
        How long it waits.

    Yields
    ------
    Team

    Raises
    ------
    TrainingError
        If not all come in time.
    """
    with _interface(place):
        deadline = time.monotonic() + patience.total_seconds()
        store = point if point is not None else _found(place, deadline, still)
        _wait_for_all(place, store, deadline, still)
        # Numbers go between graphics processors directly, words and counts between processors.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        where = device if device.type == "cuda" else None
        distributed.init_process_group(
            backend, store=store, rank=place.rank, world_size=place.size, timeout=_SILENCE, device_id=where
        )
        try:
            yield Team(place.rank, place.size)
        finally:
            distributed.destroy_process_group()


def _store(place: Place, *, opens: bool, timeout: timedelta) -> TCPStore:
    return TCPStore(place.address, place.port, is_master=opens, timeout=timeout, wait_for_workers=False)


def _found(place: Place, deadline: float, still: Callable[[], None]) -> TCPStore:
    if place.rank == 0 and not place.kept:
        return meeting_point(place)
    while True:
        still()
        try:
            store = _store(place, opens=False, timeout=_KNOCKING)
        except RuntimeError as error:
            if time.monotonic() > deadline:
                raise _absent(place, "the first process", str(error).splitlines()[0]) from error
            time.sleep(_LOOK_SECONDS)
        else:
            store.set_timeout(_MEETING)
            return store


def _wait_for_all(place: Place, store: TCPStore, deadline: float, still: Callable[[], None]) -> None:
    store.set(_key(place.rank), "here")
    others = set(range(place.size)) - {place.rank}
    while others:
        still()
        others = {rank for rank in others if not store.check([_key(rank)])}
        if others and time.monotonic() > deadline:
            raise _absent(place, f"process {min(others)} of {place.size}", None)
        time.sleep(_LOOK_SECONDS if others else 0)


def _key(rank: int) -> str:
    return f"birdsod/{rank}"


def _absent(place: Place, who: str, cause: str | None) -> TrainingError:
    where = f"{place.address}:{place.port}"
    cure = "let every machine reach the first at this port, and look at the log of each"
    return TrainingError(f"{who} did not come", value=where, cause=cause, cure=cure)


@contextlib.contextmanager
def _interface(place: Place) -> Iterator[None]:
    """Name the network interface that leads to the others, where nobody has."""
    own = _LOOPBACK.get(sys.platform) if place.size == place.local_size else None
    name = place.interface or own
    named = [variable for variable in _INTERFACES if name and variable not in os.environ]
    os.environ.update(dict.fromkeys(named, name or ""))
    try:
        yield
    finally:
        for variable in named:
            del os.environ[variable]
