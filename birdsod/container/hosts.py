"""The machines of a job, and which of them this is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from birdsod.errors import TrainingError
from birdsod.ssd.place import Machines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.container.tree import Tree

__all__ = ["Hosts"]

_ALONE = "algo-1"
_PORT = "MASTER_PORT"
_PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The machines of a job, in the order in which they are counted.

    Parameters
    ----------
    names : tuple of str
        All machines, sorted.
    current : str
        This one.
    interface : str or None, default None
        Network interface that leads to the others.

    Examples
    --------
    >>> Hosts(("algo-1", "algo-2"), "algo-2").rank
    1
    """

    names: tuple[str, ...]
    current: str
    interface: str | None = None

    @classmethod
    def of(cls, tree: Tree) -> Self:
        """Return the machines that a tree tells of; a single one where nobody says.

        Parameters
        ----------
        tree : Tree
            Where ``resourceconfig.json`` lies.

        Returns
        -------
        Hosts

        Raises
        ------
        TrainingError
            If the file is malformed, or this machine is not among them.
        """
        told = tree.read_resources()
        names, current = told.get("hosts", [_ALONE]), told.get("current_host", _ALONE)
        if not isinstance(names, list) or current not in names or not all(isinstance(name, str) for name in names):
            message = "this machine is not among the machines of the job"
            raise TrainingError(message, path=tree.resources, value={"hosts": names, "current_host": current})
        return cls(tuple(sorted(set(names))), current, told.get("network_interface_name"))

    @property
    def rank(self) -> int:
        """Which machine this is, from 0."""
        return self.names.index(self.current)

    def machines(self, environment: Mapping[str, str] = os.environ) -> Machines | None:
        """Return how the machines train together, None where there is one.

        Parameters
        ----------
        environment : mapping of str to str
            ``MASTER_ADDR`` and ``MASTER_PORT`` name another place to meet than the first machine's port 29500; those of
            this process, unless given.

        Returns
        -------
        Machines or None

        Raises
        ------
        TrainingError
            If the port is no number.

        Examples
        --------
        >>> Hosts(("algo-1", "algo-2"), "algo-2").machines({}).address
        'algo-1'
        """
        if len(self) == 1:
            return None
        port = environment.get(_PORT, "29500")
        if not port.isdecimal() or int(port) not in _PORTS:
            cure = f"give a number below {_PORTS.stop}, or unset it"
            raise TrainingError(f"{_PORT} is no port", value=port, cure=cure)
        return Machines(
            count=len(self),
            number=self.rank,
            address=environment.get("MASTER_ADDR", self.leader),
            port=int(port),
            interface=self.interface,
        )

    @property
    def leader(self) -> str:
        """The machine that the others turn to."""
        return self.names[0]

    def __len__(self) -> int:
        return len(self.names)
