"""Model archives written anew: as an archive or a folder, and as their own format wants them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from birdsod._files import write_bytes
from birdsod.errors import ArtifactError
from birdsod.ssd._members import read_matching
from birdsod.ssd.artifact import WEIGHTS, Artifact, artifact_members, artifact_of, is_member, write_archive
from birdsod.ssd.mxnet_artifact import MXNetArtifact, holds_mxnet, mxnet_artifact
from birdsod.ssd.mxnet_writing import mxnet_members

if TYPE_CHECKING:
    import os

__all__ = ["ModelFormat", "convert", "save_again"]

ModelFormat = Literal["mxnet", "safetensors"]
_ARCHIVES = (".tar.gz", ".tgz")


def convert(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, model_format: ModelFormat | None = None
) -> Path:
    """Write a model archive, or the folder into which one was unpacked, anew.

    An archive of MXNet gets the shape that the built-in algorithm's container expects: the last epoch alone, and a
    graph of training, built anew after a graph of deployment where that is one of the known networks. No byte of the
    parameters changes.

    Parameters
    ----------
    source : path-like
        An archive or a folder.
    target : path-like
        A name that ends in ``.tar.gz`` or ``.tgz`` for an archive, another for a new folder.
    model_format : {"mxnet", "safetensors"}, optional
        What it must be; a model of the one does not become one of the other.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ArtifactError
        If the source is malformed, has another format, or its graph cannot be one of training; if the target is a
        folder that is there already.
    """
    file = Path(source)
    members, ignored = read_matching(file, is_member)
    if WEIGHTS not in members and holds_mxnet(members):
        return save_again(mxnet_artifact(members, ignored, file), target, model_format)
    return save_again(artifact_of(members, ignored, file), target, model_format)


def save_again(
    model: Artifact | MXNetArtifact, path: str | os.PathLike[str], model_format: ModelFormat | None = None
) -> Path:
    """Write what an archive held."""
    own: ModelFormat = "mxnet" if isinstance(model, MXNetArtifact) else "safetensors"
    if model_format not in {None, own}:
        raise _refused(own, path)
    try:
        members = mxnet_members(model) if isinstance(model, MXNetArtifact) else artifact_members(model)
    except ArtifactError as error:
        error.path = error.path or str(path)
        raise
    if Path(path).name.endswith(_ARCHIVES):
        return write_archive(path, members)
    return _write_folder(Path(path), members)


def _refused(own: ModelFormat, path: str | os.PathLike[str]) -> ArtifactError:
    if own == "mxnet":
        cure = "save it as mxnet"
        return ArtifactError("a graph of MXNet is not written as safetensors", path=path, value=own, cure=cure)
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
