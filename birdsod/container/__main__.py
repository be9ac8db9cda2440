"""``python -m birdsod.container train``, ``serve`` or ``health``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from birdsod.container.tree import ROOT, Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the programs.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line; the process's own where it is left out.

    Returns
    -------
    int
        0, or 1 where the program failed.
    """
    given = _parser().parse_args(arguments)
    if given.program == "health":
        from birdsod.container.health import health

        return health()
    tree = Tree.find(given.root)
    if given.program == "train":
        from birdsod.container.training import train

        return train(tree)
    from birdsod.container.serving import serve

    return serve(tree, host=given.host, port=given.port, owned=given.owned)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m birdsod.container", description="What runs inside a container of SageMaker."
    )
    programs = parser.add_subparsers(dest="program", required=True)
    train = programs.add_parser("train", help="train as the folder says")
    serve = programs.add_parser("serve", help="serve the model of the folder until told to stop")
    programs.add_parser("health", help="tell by the exit code whether what the container runs is well")
    for program in (train, serve):
        program.add_argument("--root", help=f"another folder than /opt/ml; so does the environment variable {ROOT}")
    serve.add_argument("--host", default="0.0.0.0", help="address to listen at (default: %(default)s)")  # noqa: S104 - the contract's address
    serve.add_argument("--port", type=int, help="port; 0 takes a free one (default: SAGEMAKER_BIND_TO_PORT, else 8080)")
    serve.add_argument("--owned", action="store_true", help="end when standard input is closed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
