"""``python -m birdsod.serving MODEL``: serve a model archive until told to stop."""

from __future__ import annotations

import argparse
import socket
import sys
from typing import TYPE_CHECKING

from birdsod.errors import BirdsodError
from birdsod.serving._limits import AMONG_OTHERS
from birdsod.serving._run import run, stop_with_owner

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a model archive until told to stop.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line; the process's own where it is left out.

    Returns
    -------
    int
        0, or 1 with one line on standard error where it cannot be served.
    """
    parser = argparse.ArgumentParser(
        prog="python -m birdsod.serving", description="Serve a model archive until told to stop."
    )
    parser.add_argument("model", help="model.tar.gz, or the folder that it was unpacked to")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--owned", action="store_true", help="end when standard input is closed")
    parser.add_argument("--descriptor", type=int, help="a socket that listens already; last requests are waited for")
    given = parser.parse_args(arguments)
    stop = stop_with_owner() if given.owned else None
    try:
        from birdsod.ssd import load_model

        model = load_model(given.model)
        if given.descriptor is None:
            run(model, host=given.host, port=given.port, stop=stop)
        else:
            run(model, stop=stop, limits=AMONG_OTHERS, listening=socket.socket(fileno=given.descriptor))
    except BirdsodError as error:
        print(error, file=sys.stderr)  # noqa: T201 - what a command line is for
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
