"""The command line: each command a thin call into the library.

Exit codes: 0 done, 1 the input is at fault (one line on standard error), 2 wrong usage, 130 interrupted. Ctrl-C
is how ``serve`` is meant to end, so that it is 0 there.
"""

import signal
import sys
from types import FrameType

__all__ = ["main"]


def main() -> None:
    """Run the command that the command line names.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    from birdsod.cli._quick import run

    signal.signal(signal.SIGTERM, _end)
    if run(sys.argv[1:]):
        sys.exit(0)
    from birdsod.cli._app import app

    app(prog_name="birdsod")


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
    # An exception, unlike the default, lets servers and jobs that were started be ended in good order.
    sys.exit(128 + number)
