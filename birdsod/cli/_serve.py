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
    workers: Annotated[int, typer.Option(min=1, help="Processes; SIGHUP replaces them one by one.")] = 1,
) -> None:
    """Host a model over HTTP until Ctrl-C.

    GET /ping tells that it is ready; POST /invocations takes a JPEG or PNG; GET / is a page for people, and GET
    /metrics counts for Prometheus.
    """
    if workers > 1:
        from birdsod.serving._workers import run_workers

        run_workers(archive_of(model), workers=workers, host=host, port=port)
        return
    from birdsod.serving._run import run
    from birdsod.ssd import load_model

    run(load_model(archive_of(model)), host=host, port=port)
