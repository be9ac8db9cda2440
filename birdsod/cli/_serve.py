"""The command that hosts a model."""

from pathlib import Path
from typing import Annotated

import typer

from birdsod.cli._model import MODEL
from birdsod.cli._values import archive_of, reported

__all__ = ["serve"]


@reported
def serve(
    *,
    model: Annotated[Path, MODEL],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
) -> None:
    """Host a model over HTTP until Ctrl-C.

    GET /ping tells that it is ready; POST /invocations takes a JPEG or PNG.
    """
    from birdsod.serving._run import run
    from birdsod.ssd import load_model

    run(load_model(archive_of(model)), host=host, port=port)
