"""Model archives as ONNX, whoever trained them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError
from birdsod.ssd.artifact import detection_settings
from birdsod.ssd.graph_detector import GraphDetector
from birdsod.ssd.mxnet_artifact import MXNetArtifact, mean_seen
from birdsod.ssd.onnx.from_lite0 import graph_from_lite0
from birdsod.ssd.onnx.from_mxnet import graph_from_mxnet
from birdsod.ssd.onnx.model_file import ModelFacts, OnnxArtifact, model_of
from birdsod.ssd.onnx.outputs import PROBABILITIES
from birdsod.ssd.weight_shapes import check_shapes, weight_shapes

if TYPE_CHECKING:
    import os

    from onnx import GraphProto

    from birdsod.ssd.artifact import Artifact

__all__ = ["onnx_artifact"]

_OURS = "efficientnet-lite0"


def onnx_artifact(
    artifact: Artifact | MXNetArtifact, path: str | os.PathLike[str], *, image_shape: int | None = None
) -> OnnxArtifact:
    """Return the ONNX model of an archive that was read, with the outputs that come before suppression.

    Parameters
    ----------
    artifact : Artifact or MXNetArtifact
        Of the local engine, or of the built-in algorithm.
    path : path-like
        Where it was read, for errors.
    image_shape : int, optional
        Edge in pixels of the images that a network of MXNet sees, where its archive does not tell.

    Returns
    -------
    OnnxArtifact

    Raises
    ------
    ArtifactError
        If the weights do not fit the network, or the graph has something that is not known.
    MissingDependencyError
        If ``onnx`` is not installed.
    """
    try:
        if isinstance(artifact, MXNetArtifact):
            return _of_mxnet(artifact, artifact.image_shape if image_shape is None else image_shape)
        return _of_ours(artifact, path)
    except ArtifactError as error:
        error.path = error.path or str(path)
        raise


def _of_mxnet(artifact: MXNetArtifact, edge: int) -> OnnxArtifact:
    detector = GraphDetector.of(artifact.graph, artifact.arrays)
    graph = graph_from_mxnet(detector, edge)
    facts = ModelFacts(
        classes=artifact.classes_for(_classes_of(graph)),
        settings=detector.settings,
        hyperparameters=artifact.hyperparameters,
        input_mean=artifact.input_mean or mean_seen(artifact.arrays),
        image_shape=edge,
    )
    return model_of(graph, facts)


def _classes_of(graph: GraphProto) -> int:
    shapes = {each.name: each.type.tensor_type.shape for each in graph.output}
    return int(shapes[PROBABILITIES].dim[1].dim_value) - 1


def _of_ours(artifact: Artifact, path: str | os.PathLike[str]) -> OnnxArtifact:
    params, settings = detection_settings(artifact, path)
    if params.base_network != _OURS:
        message = "no archive of weights has this base network"
        raise ArtifactError(message, value=params.base_network, cause="an archive of another program")
    check_shapes(weight_shapes(params.num_classes), {name: each.shape for name, each in artifact.tensors.items()}, path)
    facts = ModelFacts(
        classes=artifact.classes,
        settings=settings,
        hyperparameters=artifact.hyperparameters,
        input_mean=(0.0, 0.0, 0.0),
        image_shape=params.image_shape,
    )
    return model_of(graph_from_lite0(artifact.tensors, params.image_shape), facts)
