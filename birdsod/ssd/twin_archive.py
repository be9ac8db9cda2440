"""The built-in algorithm's own networks as safetensors: the same numbers by MXNet's names, without the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError, HyperparameterError
from birdsod.hyperparameters import Hyperparameters
from birdsod.mxnet._shapes import parameter_shapes
from birdsod.ssd.artifact import NMS_TOPK, Artifact
from birdsod.ssd.graph_detector import array_of
from birdsod.ssd.mxnet_artifact import INPUT_MEAN, MXNetArtifact, mean_seen
from birdsod.ssd.mxnet_writing import check_parameters, known_graph
from birdsod.ssd.training_graph import same_network, training_graph

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from birdsod.mxnet import Graph

__all__ = ["as_safetensors", "from_safetensors"]


def as_safetensors(artifact: MXNetArtifact) -> Artifact:
    """Return an archive of MXNet as one without a graph, which is built again when it is read.

    Raises
    ------
    ArtifactError
        If its hyperparameters do not tell its network, or its graph is another than theirs.
    """
    graph = _graph_of(artifact.hyperparameters, artifact.file)
    if not same_network(training_graph(artifact.graph), graph):
        raise ArtifactError(
            "the graph is another than its hyperparameters tell, and safetensors hold no graph",
            cause="other layers, anchors or ways of detection than those of resnet-50 or vgg-16",
            cure="save it as mxnet",
        )
    arrays = {name: array_of(name, array) for name, array in artifact.arrays.items()}
    check_parameters(graph, arrays)
    mean = artifact.input_mean or mean_seen(artifact.arrays)
    values = {**artifact.hyperparameters, INPUT_MEAN: ",".join(f"{value:g}" for value in mean)}
    classes = artifact.classes_for(int(values["num_classes"]))
    return Artifact({name: arrays[name] for name in parameter_shapes(graph)}, values, classes)


def from_safetensors(artifact: Artifact, file: Path) -> MXNetArtifact:
    """Return what :func:`as_safetensors` was given, with the graph that its hyperparameters tell.

    Raises
    ------
    ArtifactError
        If the weights are not those of the graph.
    """
    graph = _graph_of(artifact.hyperparameters, file)
    try:
        check_parameters(graph, artifact.tensors)
    except ArtifactError as error:
        error.path = str(file)
        raise
    arrays = {name: artifact.tensors[name] for name in parameter_shapes(graph)}
    return MXNetArtifact(file, graph, arrays, artifact.hyperparameters, artifact.classes, artifact.ignored)


def _graph_of(values: Mapping[str, str], file: Path | str) -> Graph:
    try:
        params, topk = Hyperparameters.from_request(values), int(values.get("nms_topk", NMS_TOPK))
    except (HyperparameterError, ValueError) as error:
        message = "hyperparams.json does not tell the network"
        cure = "keep it as mxnet, whose archives hold the graph itself"
        raise ArtifactError(message, path=file, cause=str(error), cure=cure) from error
    return known_graph(params, topk)
