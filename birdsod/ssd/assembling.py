"""How the processes of a run come together: started by torchrun, by the first of a machine, or not at all."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from birdsod.errors import HyperparameterError
from birdsod.ssd.helpers import helped
from birdsod.ssd.meeting import StopError, joined, meeting_point
from birdsod.ssd.place import Machines, Place
from birdsod.ssd.surroundings import device_of, processes_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from birdsod.ssd.options import LocalOptions
    from birdsod.ssd.team import Team

__all__ = ["assembled", "first_place", "joined_at"]

_ALONE = Machines(count=1, number=0, address="127.0.0.1", port=0)


def first_place(
    options: LocalOptions, batch_size: int, machines: Machines | None = None
) -> tuple[Place | None, list[str]]:
    """Return where this process stands among those that train together, and what the log tells of it.

    Parameters
    ----------
    options : LocalOptions
        How many processes a machine has.
    batch_size : int
        Images of an update.
    machines : Machines, optional
        The machines that train together, where there are several.

    Returns
    -------
    place : Place or None
        None where this process is alone.
    lines : list of str
        Lines for the log.

    Raises
    ------
    HyperparameterError
        If there are more processes than images of an update.
    TrainingError
        If the variables of ``torchrun`` are malformed.
    """
    place = Place.told()
    if place is None:
        place = Place.first_of(machines or _ALONE, processes_here(options, batch_size))
    if place.size == 1:
        return None, []
    if place.size > batch_size:
        message = f"{place.size} processes cannot share the {batch_size} images of an update"
        cure = "give a larger batch_size, or fewer processes or machines"
        raise HyperparameterError(message, value=place.size, cure=cure)
    least, most = batch_size // place.size, -(-batch_size // place.size)
    each = f"{least}" if least == most else f"{least} or {most}"
    told = f"{place.size} processes train together, {place.local_size} on this machine; each has {each} of the"
    return place, [f"Setting: {told} {batch_size} images of an update"]


@contextlib.contextmanager
def assembled(
    place: Place, work: Callable[..., object], task: object, options: LocalOptions, stop: Callable[[], bool]
) -> Iterator[tuple[Team, torch.device]]:
    """Bring all processes together, those included that this one has to start.

    Parameters
    ----------
    place : Place
        Where this process stands.
    work : callable
        What a started process does; takes its place, whether to stop, and the task.
    task : object
        What it is told.
    options : LocalOptions
        The device.
    stop : callable
        Whether this process was asked to stop.

    Yields
    ------
    team : Team
        All of them.
    device : torch.device
        This process's.

    Raises
    ------
    TrainingError
        If a process fails, or does not come.
    StopError
        If this process was asked to stop meanwhile.
    """
    if not place.starts:
        with joined_at(place, options, stop) as found:
            yield found
        return
    point = meeting_point(place) if place.rank == 0 else None
    place = place if point is None else replace(place, port=point.port)
    device = device_of(options, place)
    with helped(work, place, (task,)) as helpers:

        def still() -> None:
            helpers.check()
            _raise_if(stop)

        with joined(place, device, point=point, still=still) as team:
            yield team, device


@contextlib.contextmanager
def joined_at(place: Place, options: LocalOptions, stop: Callable[[], bool]) -> Iterator[tuple[Team, torch.device]]:
    """Be one of the processes that train together, without starting another.

    Parameters
    ----------
    place : Place
        Where this process stands.
    options : LocalOptions
        The device.
    stop : callable
        Whether this process was asked to stop.

    Yields
    ------
    team : Team
        All of them.
    device : torch.device
        This process's.

    Raises
    ------
    TrainingError
        If a process does not come.
    StopError
        If this process was asked to stop meanwhile.
    """
    device = device_of(options, place)
    with joined(place, device, still=lambda: _raise_if(stop)) as team:
        yield team, device


def _raise_if(stop: Callable[[], bool]) -> None:
    if stop():
        raise StopError
