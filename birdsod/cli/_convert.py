"""The command that writes a model archive anew."""

from pathlib import Path
from typing import Annotated

import typer

from birdsod.cli._values import archive_of, reported, say

__all__ = ["convert"]

_FORMATS = ("mxnet", "safetensors")


@reported
def convert(
    *,
    source: Annotated[Path, typer.Argument(metavar="A", help="Archive of a model, or its folder.")],
    target: Annotated[Path, typer.Argument(metavar="B", help="NAME.tar.gz for an archive, or a new folder.")],
    model_format: Annotated[str | None, typer.Option("--format", help="What it must be: mxnet or safetensors.")] = None,
) -> None:
    """Write a model as an archive or as a folder.

    An archive of MXNet becomes one that the built-in algorithm's container opens: its last epoch, and a graph of
    training where it had one of deployment.
    """
    from birdsod.ssd import convert as write_anew

    if model_format == "mxnet":
        say(str(write_anew(archive_of(source), target, model_format="mxnet")))
    elif model_format == "safetensors":
        say(str(write_anew(archive_of(source), target, model_format="safetensors")))
    elif model_format is None:
        say(str(write_anew(archive_of(source), target)))
    else:
        raise typer.BadParameter(f"{model_format!r} is none of {', '.join(_FORMATS)}", param_hint="--format")
