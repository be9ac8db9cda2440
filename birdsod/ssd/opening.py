"""What a model's file or folder holds, read into memory, whoever wrote it and wherever it lies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from birdsod.ssd._members import read_matching
from birdsod.ssd.artifact import WEIGHTS, Artifact, artifact_of, is_member
from birdsod.ssd.fetching import fetched, is_far
from birdsod.ssd.mxnet_artifact import MXNetArtifact, holds_mxnet, mxnet_artifact
from birdsod.ssd.onnx.model_file import OnnxArtifact
from birdsod.ssd.onnx.reading import read_onnx
from birdsod.ssd.twin_archive import from_safetensors
from birdsod.ssd.weights import TWINS

__all__ = ["SUFFIX", "AnyArtifact", "read_model"]

AnyArtifact = Artifact | MXNetArtifact | OnnxArtifact
"""A model that was read."""

SUFFIX = ".onnx"


def read_model(path: str | os.PathLike[str]) -> AnyArtifact:
    """Read a model archive, the folder into which one was unpacked, or an ``.onnx`` file that birdsod wrote.

    Parameters
    ----------
    path : path-like
        On this machine, or ``s3://bucket/key``.

    Returns
    -------
    Artifact, MXNetArtifact or OnnxArtifact

    Raises
    ------
    ArtifactError
        If it is missing or malformed.
    CloudError
        If it cannot be fetched.
    MissingDependencyError
        If a package that it needs is not installed.
    """
    if is_far(path):
        with fetched(os.fspath(path)) as file:
            found = _read(file)
        return replace(found, file=os.fspath(path)) if isinstance(found, MXNetArtifact) else found
    return _read(Path(path))


def _read(file: Path) -> AnyArtifact:
    if file.suffix == SUFFIX and not file.is_dir():
        return read_onnx(file)
    members, ignored = read_matching(file, is_member)
    if WEIGHTS not in members and holds_mxnet(members):
        return mxnet_artifact(members, ignored, file)
    found = artifact_of(members, ignored, file)
    return from_safetensors(found, file) if found.hyperparameters.get("base_network") in TWINS else found
