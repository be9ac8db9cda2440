"""The program ``serve``: the model that SageMaker unpacked, behind ``/ping`` and ``/invocations``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from birdsod.errors import BirdsodError, ServingError

if TYPE_CHECKING:
    from birdsod.container.tree import Tree

__all__ = ["chosen_port", "serve"]

PORT = "SAGEMAKER_BIND_TO_PORT"
"""Environment variable by which SageMaker asks for another port than 8080."""

_PORT = 8080


def serve(
    tree: Tree,
    *,
    host: str = "0.0.0.0",  # noqa: S104 - the contract's address
    port: int | None = None,
    owned: bool = False,
) -> int:
    """Serve the model of a tree until told to stop; requests under way are finished first.

    Parameters
    ----------
    tree : Tree
        The folder that SageMaker shares with the container.
    host : str, default "0.0.0.0"
        Address to listen at.
    port : int, optional
        Port to listen at, 0 for a free one; by default what ``SAGEMAKER_BIND_TO_PORT`` says, else 8080.
    owned : bool, default False
        Whether to end when standard input is closed.

    Returns
    -------
    int
        0, or 1 with one line on standard error where it cannot be served.
    """
    from birdsod.serving._run import run, stop_with_owner

    stop = stop_with_owner() if owned else None
    try:
        from birdsod.ssd import load_model

        chosen = chosen_port() if port is None else port
        run(load_model(tree.model), host=host, port=chosen, stop=stop)
    except BirdsodError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def chosen_port() -> int:
    """Return the port that SageMaker asks for.

    Returns
    -------
    int

    Raises
    ------
    ServingError
        If what it asks for is no number.
    """
    told = os.environ.get(PORT, "")
    try:
        return int(told or _PORT)
    except ValueError:
        raise ServingError(f"{PORT} is no port", value=told, cure="give a number, or leave it out for 8080") from None
