"""The command that writes a model archive anew."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsod.cli._values import archive_of, reported, say

if TYPE_CHECKING:
    from birdsod.ssd.conversion import ModelFormat

__all__ = ["convert"]

_FORMATS: dict[str, "ModelFormat"] = {"mxnet": "mxnet", "onnx": "onnx", "safetensors": "safetensors"}


@reported
def convert(
    *,
    source: Annotated[Path, typer.Argument(metavar="A", help="Archive of a model, or its folder.")],
    target: Annotated[
        Path, typer.Argument(metavar="B", help="NAME.tar.gz for an archive, NAME.onnx for ONNX, or a new folder.")
    ],
    model_format: Annotated[
        str | None, typer.Option("--format", help="What it must be: mxnet, onnx or safetensors.")
    ] = None,
    nms: Annotated[bool, typer.Option("--nms", help="ONNX: suppress inside; the model answers with boxes.")] = False,
) -> None:
    """Write a model as an archive, as a folder or as an ONNX file.

    An archive of MXNet becomes one that the built-in algorithm's container opens: its last epoch, and a graph of
    training where it had one of deployment. Any model becomes ONNX, with its classes and thresholds in the file.
    """
    from birdsod.ssd import convert as write_anew

    if model_format is not None and model_format not in _FORMATS:
        raise typer.BadParameter(f"{model_format!r} is none of {', '.join(_FORMATS)}", param_hint="--format")
    wanted = None if model_format is None else _FORMATS[model_format]
    say(str(write_anew(archive_of(source), target, model_format=wanted, nms=nms)))
