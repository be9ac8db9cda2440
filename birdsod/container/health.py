"""The program ``health``: whether whatever the container runs is well, for whoever runs it outside of SageMaker."""

from __future__ import annotations

import http.client
from pathlib import Path

from birdsod.container.serving import chosen_port
from birdsod.errors import BirdsodError

__all__ = ["health"]

_FIRST = Path("/proc/1/cmdline")
_SERVE = [b"birdsod.container", b"serve"]
_SECONDS = 4.0


def health(first: Path = _FIRST) -> int:
    """Ask the model whether it answers, where the container serves one; a training is well as long as it runs.

    Parameters
    ----------
    first : pathlib.Path, default ``/proc/1/cmdline``
        Where the command line of the container's first process stands.

    Returns
    -------
    int
        0 or 1.
    """
    words = first.read_bytes().split(b"\0") if first.exists() else []
    serves = any(words[place : place + 2] == _SERVE for place in range(len(words)))
    return 0 if not serves or _answers() else 1


def _answers() -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", chosen_port(), timeout=_SECONDS)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, BirdsodError):
        return False
