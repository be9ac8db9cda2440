"""The machines of a job, and which of them this is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from birdsod.errors import TrainingError

if TYPE_CHECKING:
    from birdsod.container.tree import Tree

__all__ = ["Hosts"]

_ALONE = "algo-1"


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

    @property
    def leader(self) -> str:
        """The machine that the others turn to."""
        return self.names[0]

    def __len__(self) -> int:
        return len(self.names)
