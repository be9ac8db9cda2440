"""Where a process stands among those that train one network together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from birdsod.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Machines", "Place"]

_PORT = 29500
_TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Machines that train together, and which of them this is.

    Parameters
    ----------
    count : int
        How many there are.
    number : int
        Which one this is, from 0.
    address : str
        Name or address of the first.
    port : int, default 29500
        Where the processes of all meet, on the first machine.
    interface : str or None, default None
        Network interface that leads to the others.

    Examples
    --------
    >>> Machines(count=2, number=1, address="algo-1").port
    29500
    """

    count: int
    number: int
    address: str
    port: int = _PORT
    interface: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process stands.

    Parameters
    ----------
    rank : int
        Which process this is, from 0, on all machines together.
    size : int
        How many there are.
    local_rank : int
        Which one it is on its machine.
    local_size : int
        How many there are on its machine.
    address : str
        Name or address of the machine where all meet.
    port : int
        And its port; 0 takes a free one, where this process is the first of all.
    kept : bool, default False
        Whether somebody else, as ``torchrun`` does, answers there already.
    starts : bool, default False
        Whether this process starts the others of its machine.
    interface : str or None, default None
        Network interface that leads to the other machines.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str
    port: int
    kept: bool = False
    starts: bool = False
    interface: str | None = None

    @classmethod
    def told(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Return the place that ``torchrun`` tells by variables of the environment, None where it does not.

        Parameters
        ----------
        environment : mapping of str to str
            That of this process, unless given.

        Returns
        -------
        Place or None

        Raises
        ------
        TrainingError
            If a variable is missing or malformed.

        Examples
        --------
        >>> told = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "algo-1", "MASTER_PORT": "29500"}
        >>> Place.told(told).rank, Place.told({})
        (1, None)
        """
        if "RANK" not in environment or "WORLD_SIZE" not in environment:
            return None
        cure = "start with torchrun, which sets them, or unset RANK and WORLD_SIZE"
        missing = [name for name in _TOLD if name not in environment]
        if missing:
            raise TrainingError("a variable of the environment is missing", value=missing[0], cure=cure)
        try:
            place = cls(
                rank=int(environment["RANK"]),
                size=int(environment["WORLD_SIZE"]),
                local_rank=int(environment.get("LOCAL_RANK", "0")),
                local_size=int(environment.get("LOCAL_WORLD_SIZE", "1")),
                address=environment["MASTER_ADDR"],
                port=int(environment["MASTER_PORT"]),
                kept=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            )
        except ValueError as error:
            message = "a variable of the environment is no number"
            raise TrainingError(message, cause=str(error), cure=cure) from error
        return place if place.size > 1 else None

    @classmethod
    def first_of(cls, machines: Machines, processes: int) -> Self:
        """Return the place of the first process of a machine.

        Parameters
        ----------
        machines : Machines
            All machines, and which one this is.
        processes : int
            How many processes each of them has.

        Returns
        -------
        Place

        Examples
        --------
        >>> place = Place.first_of(Machines(count=2, number=1, address="algo-1"), 4)
        >>> place.rank, place.size
        (4, 8)
        """
        return cls(
            rank=machines.number * processes,
            size=machines.count * processes,
            local_rank=0,
            local_size=processes,
            address=machines.address,
            port=machines.port,
            starts=processes > 1,
            interface=machines.interface,
        )
