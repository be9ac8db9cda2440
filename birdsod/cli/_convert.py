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
    int8: Annotated[bool, typer.Option("--int8", help="ONNX: compute with whole numbers of eight bits.")] = False,
    calibrate: Annotated[
        Path | None, typer.Option(metavar="IMAGES", help="Folder or .rec file that --int8 measures ranges on.")
    ] = None,
) -> None:
    """Write a model as an archive, as a folder or as an ONNX file.

    An archive of MXNet becomes one that the built-in algorithm's container opens: its last epoch, and a graph of
    training where it had one of deployment. Any model becomes ONNX, with its classes and thresholds in the file.
    """
    from birdsod.ssd import convert as write_anew
    from birdsod.ssd import quantize

    if model_format is not None and model_format not in _FORMATS:
        raise typer.BadParameter(f"{model_format!r} is none of {', '.join(_FORMATS)}", param_hint="--format")
    if int8 or calibrate is not None:
        say(str(quantize(archive_of(source), target, _measured(int8, calibrate, model_format), nms=nms)))
        return
    wanted = None if model_format is None else _FORMATS[model_format]
    say(str(write_anew(archive_of(source), target, model_format=wanted, nms=nms)))


def _measured(int8: bool, calibrate: Path | None, model_format: str | None) -> Path:  # noqa: FBT001 - as it was given
    if not int8 or calibrate is None:
        raise typer.BadParameter("--int8 and --calibrate IMAGES go together", param_hint="--int8")
    if model_format not in {None, "onnx"}:
        raise typer.BadParameter(f"--int8 writes onnx, not {model_format}", param_hint="--format")
    return calibrate
