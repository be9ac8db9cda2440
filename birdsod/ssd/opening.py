"""What a model's file or folder holds, read into memory, whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from birdsod.ssd._members import read_matching
from birdsod.ssd.artifact import WEIGHTS, Artifact, artifact_of, is_member
from birdsod.ssd.mxnet_artifact import MXNetArtifact, holds_mxnet, mxnet_artifact
from birdsod.ssd.onnx.model_file import OnnxArtifact

if TYPE_CHECKING:
    import os

__all__ = ["AnyArtifact", "read_model"]

AnyArtifact = Artifact | MXNetArtifact | OnnxArtifact
"""A model that was read."""


def read_model(path: str | os.PathLike[str]) -> AnyArtifact:
    """Read a model archive, or the folder into which one was unpacked.

    Raises
    ------
    ArtifactError
        If it is missing or malformed.
    """
    file = Path(path)
    members, ignored = read_matching(file, is_member)
    if WEIGHTS not in members and holds_mxnet(members):
        return mxnet_artifact(members, ignored, file)
    return artifact_of(members, ignored, file)
