"""Telling a process from another that later got the same number."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ProcessMark"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process by its number and the moment it began, since numbers are used again.

    Parameters
    ----------
    pid : int
        Number of the process.
    born : str or None
        When it began, as the system writes it; None where the system does not say.

    Examples
    --------
    >>> ProcessMark.of(os.getpid()).alive
    True
    """

    pid: int
    born: str | None

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the mark of a running process.

        Parameters
        ----------
        pid : int
            Its number.

        Returns
        -------
        ProcessMark
        """
        return cls(pid, _born(pid))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return a mark that was written with :func:`dataclasses.asdict`.

        Parameters
        ----------
        values : mapping
            ``pid`` and ``born``.

        Returns
        -------
        ProcessMark
        """
        return cls(int(values["pid"]), values["born"])

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.born is not None and self.born == _born(self.pid)


def _born(pid: int) -> str | None:
    """When a process began, or None if there is none (a zombie counts as none)."""
    return _born_by_proc(pid) if (_PROC / "self" / "stat").exists() else _born_by_ps(pid)


def _born_by_proc(pid: int) -> str | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name of the program stands in parentheses and may hold spaces.
    state, *rest = text.rpartition(")")[2].split()
    # The machine's start counts too: ticks begin again with it.
    boot = (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    return None if state in "ZX" else f"{boot} {rest[18]}"


def _born_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C"}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    state, _, born = found.stdout.strip().partition(" ")
    return None if not born or state.startswith("Z") else born.strip()
