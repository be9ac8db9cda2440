"""Models written anew: as an archive, a folder or an ONNX file, and as their own format wants them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from birdsod._files import write_bytes
from birdsod.errors import ArtifactError, InputError
from birdsod.ssd.artifact import Artifact, artifact_members, write_archive
from birdsod.ssd.mxnet_artifact import MXNetArtifact
from birdsod.ssd.mxnet_writing import mxnet_members
from birdsod.ssd.onnx.building import onnx_artifact
from birdsod.ssd.onnx.detecting import with_detection
from birdsod.ssd.onnx.model_file import OnnxArtifact
from birdsod.ssd.opening import SUFFIX, read_model
from birdsod.ssd.twin_archive import as_safetensors

if TYPE_CHECKING:
    import os

    from birdsod.ssd.opening import AnyArtifact

__all__ = ["ModelFormat", "convert", "save_again"]

ModelFormat = Literal["mxnet", "onnx", "safetensors"]
_ARCHIVES = (".tar.gz", ".tgz")


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    model_format: ModelFormat | None = None,
    nms: bool = False,
) -> Path:
    """Write a model archive, or the folder into which one was unpacked, anew; or as one ONNX file.

    An archive of MXNet gets the shape that the built-in algorithm's container expects: the last epoch alone, and a
    graph of training, built anew after a graph of deployment where that is one of the known networks. No byte of the
    parameters changes.

    Parameters
    ----------
    source : path-like
        An archive, a folder or an ``.onnx`` file of birdsod's; on this machine, or ``s3://bucket/key``.
    target : path-like
        A name that ends in ``.tar.gz`` or ``.tgz`` for an archive, in ``.onnx`` for ONNX, another for a new folder.
    model_format : {"mxnet", "onnx", "safetensors"}, optional
        What it must be; by default ONNX for a name that ends so, else what it was. Any model becomes ONNX; of the
        others, a known network of the built-in algorithm may be either, EfficientNet-Lite0 is safetensors. What was
        read from safetensors and has a network of the algorithm's is written as mxnet by default.
    nms : bool, default False
        For ONNX: suppress inside, so that the model answers with boxes.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ArtifactError
        If the source is malformed, has another format, or its graph cannot be one of training; if the target is a
        folder that is there already.
    InputError
        If suppression is asked for in another format than ONNX.
    """
    return save_again(read_model(source), target, model_format, nms=nms, origin=source)


def save_again(
    model: AnyArtifact,
    path: str | os.PathLike[str],
    model_format: ModelFormat | None = None,
    *,
    nms: bool = False,
    origin: str | os.PathLike[str] | None = None,
    image_shape: int | None = None,
) -> Path:
    """Write what was read; ``origin`` names it in errors."""
    target, own = Path(path), _format_of(model)
    wanted = model_format or ("onnx" if target.suffix == SUFFIX else own)
    if isinstance(model, OnnxArtifact) and model_format != "onnx" and target.suffix != SUFFIX:
        raise _refused(own, path)
    if (target.suffix == SUFFIX) != (wanted == "onnx"):
        message = f"a name that ends in {SUFFIX} is that of an ONNX file, and of nothing else"
        raise ArtifactError(message, path=path, value=wanted, cure="choose the name, or the format, that fits")
    if wanted == "onnx":
        made = (
            model if isinstance(model, OnnxArtifact) else onnx_artifact(model, origin or path, image_shape=image_shape)
        )
        return _write_onnx(made, target, nms=nms)
    if nms:
        raise InputError("suppression is a part of ONNX files alone", value=wanted, cure="write it as onnx")
    if isinstance(model, OnnxArtifact) or (wanted, own) == ("mxnet", "safetensors"):
        raise _refused(own, path)
    return _write_members(model, target, wanted)


def _format_of(model: AnyArtifact) -> ModelFormat:
    if isinstance(model, OnnxArtifact):
        return "onnx"
    return "mxnet" if isinstance(model, MXNetArtifact) else "safetensors"


def _write_onnx(made: OnnxArtifact, target: Path, *, nms: bool) -> Path:
    model = with_detection(made) if nms else made.model
    write_bytes(target, model.SerializeToString(deterministic=True))
    return target


def _write_members(model: Artifact | MXNetArtifact, target: Path, wanted: ModelFormat) -> Path:
    try:
        members = _members(model, wanted)
    except ArtifactError as error:
        error.path = error.path or str(target)
        raise
    if target.name.endswith(_ARCHIVES):
        return write_archive(target, members)
    return _write_folder(target, members)


def _members(model: Artifact | MXNetArtifact, wanted: ModelFormat) -> dict[str, bytes]:
    if isinstance(model, Artifact):
        return artifact_members(model)
    return artifact_members(as_safetensors(model)) if wanted == "safetensors" else mxnet_members(model)


def _refused(own: ModelFormat, path: str | os.PathLike[str]) -> ArtifactError:
    if own == "onnx":
        cause = "batch normalisation is a part of its convolutions: what training learned is not in it any more"
        cure = "convert the archive that it was made from"
        return ArtifactError("an ONNX file becomes no archive", path=path, value=own, cause=cause, cure=cure)
    cause = "its network, EfficientNet-Lite0, is none that the built-in algorithm has"
    cure = "save it as safetensors, or train resnet-50 or vgg-16 with the built-in algorithm"
    return ArtifactError("this model cannot be written for MXNet", path=path, value=own, cause=cause, cure=cure)


def _write_folder(folder: Path, members: dict[str, bytes]) -> Path:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        # What lies there could be taken for a part of the model.
        raise ArtifactError("the folder is there already", path=folder, cure="choose another name") from error
    for name, data in members.items():
        write_bytes(folder / name, data)
    return folder
