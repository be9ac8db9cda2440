"""A detector that MXNet saved, run as its graph says: nothing about it is assumed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from birdsod.errors import ArtifactError
from birdsod.mxnet import SparseArray
from birdsod.ssd.detection import DetectionSettings
from birdsod.ssd.graph_operators import compute
from birdsod.ssd.graph_program import Program
from birdsod.ssd.mxnet_artifact import mean_seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from birdsod.mxnet import Graph, Node

    Arrays = Mapping[str, npt.NDArray[np.generic] | SparseArray]

__all__ = ["GraphNetwork", "tensor_of"]

_DETECTION = ("_contrib_MultiBoxDetection", "MultiBoxDetection")
_INPUTS = 3
_LOSS_WITH_LABEL = "SoftmaxOutput"
_DATA = "data"
# Of one parameter: a sparse one may claim any size, and its file stays small.
_MOST_NUMBERS = 1 << 28


class GraphNetwork(nn.Module):
    """A detector that MXNet saved, for inference.

    Parameters
    ----------
    graph : Graph
        Of training or of deployment: what detection does not need is passed over.
    arrays : mapping of str to ndarray
        Its parameters, as :func:`birdsod.mxnet.read_params` returns them.
    image_shape : int
        Edge of the square images in pixels.
    input_mean : tuple of float, optional
        What was subtracted from red, green and blue in training, where that is known.

    Attributes
    ----------
    settings : DetectionSettings
        Thresholds and limits of detection, read from the graph.
    input_mean : tuple of float
        What is subtracted from red, green and blue before the network: what was told; else nothing, or ImageNet's
        mean where the network's own statistics say that it was trained without it.
    num_classes : int
        Classes, background not counted.

    Raises
    ------
    ArtifactError
        If it is no detector, an operator is not known, or the parameters do not fit; the node is named.
    """

    anchors: torch.Tensor

    def __init__(
        self, graph: Graph, arrays: Arrays, *, image_shape: int, input_mean: tuple[float, float, float] | None = None
    ) -> None:
        super().__init__()
        graph = _for_inference(graph)
        detection = _detection(graph)
        self.image_shape = image_shape
        self.settings: DetectionSettings = _settings(detection)
        self.input_mean: tuple[float, float, float] = input_mean or mean_seen(arrays)
        self._program = Program.of(graph, [source for source, _ in detection.inputs])
        self._data, parameters = _parameters(graph, self._program.order, arrays)
        for name, tensor in parameters.items():
            self.register_buffer(_buffer(name), tensor)
        # Run once: what does not fit together shows now, and the graph alone knows the shapes.
        probabilities, offsets, anchors = self._run(torch.zeros(1, 3, image_shape, image_shape))
        self._check(probabilities, offsets, anchors)
        self.num_classes: int = probabilities.shape[1] - 1
        self.register_buffer("anchors", anchors.reshape(-1, 4))

    def answer(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class probabilities and box offsets of every anchor.

        Parameters
        ----------
        images : Tensor
            The network's own input, float32 ``(B, 3, image_shape, image_shape)``.

        Returns
        -------
        probabilities : Tensor
            Background first, ``(B, num_classes + 1, N)``.
        offsets : Tensor
            ``(B, 4 * N)``.
        """
        probabilities, offsets, _ = self._run(images)
        return probabilities, offsets

    @torch.inference_mode()
    def _run(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self._program.run(
            dict.fromkeys(self._data, images), lambda name: self.get_buffer(_buffer(name)), compute
        )

    def _check(self, probabilities: torch.Tensor, offsets: torch.Tensor, anchors: torch.Tensor) -> None:
        count = anchors.numel() // 4
        fits = probabilities.ndim == 3 and probabilities.shape[1] > 1 and probabilities.shape[2] == count  # noqa: PLR2004 - (B, C + 1, N)
        if not (fits and tuple(offsets.shape) == (1, 4 * count)):
            shapes = [tuple(each.shape) for each in (probabilities, offsets, anchors)]
            raise ArtifactError("probabilities, offsets and anchors of the graph do not fit together", value=shapes)


def _for_inference(graph: Graph) -> Graph:
    """Return the graph without the labels that a loss layer of training takes beside the scores."""
    nodes = tuple(
        replace(node, inputs=node.inputs[:1]) if node.op == _LOSS_WITH_LABEL else node for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def _detection(graph: Graph) -> Node:
    found = [node for op in _DETECTION for node in graph.of_kind(op)]
    if len(found) != 1 or len(found[0].inputs) != _INPUTS:
        message = "the graph is no detector: it has not one MultiBoxDetection"
        cause = "a classifier or another network"
        raise ArtifactError(message, value=[node.name for node in found], cause=cause)
    return found[0]


def _settings(node: Node) -> DetectionSettings:
    if node.integer("background_id", 0):
        raise ArtifactError(f"node {node.name!r}: the background is another class than 0", value=node.attributes)
    variances = node.numbers("variances", (0.1, 0.1, 0.2, 0.2))
    if len(variances) != 4:  # noqa: PLR2004 - one for each number of a box
        raise ArtifactError(f"node {node.name!r}: variances are not four numbers", value=variances)
    first, second, third, fourth = variances
    return DetectionSettings(
        threshold=node.number("threshold", 0.01),
        nms_threshold=node.number("nms_threshold", 0.5),
        nms_topk=node.integer("nms_topk", -1),
        force_suppress=node.flag("force_suppress", default=False),
        clip=node.flag("clip", default=True),
        variances=(first, second, third, fourth),
    )


def _parameters(
    graph: Graph, order: tuple[int, ...], arrays: Arrays
) -> tuple[tuple[int, ...], dict[str, torch.Tensor]]:
    """Return the numbers of the nodes that stand for the images, and what all other variables are."""
    wanted = [graph.nodes[number].name for number in order if graph.nodes[number].is_variable]
    plain = {name.partition(":")[2]: array for name, array in arrays.items() if name.startswith(("arg:", "aux:"))}
    missing = [name for name in wanted if name != _DATA and name not in plain]
    if missing or _DATA not in wanted:
        cause = "the parameters belong to another graph" if missing else "the graph has no input named data"
        raise ArtifactError("the graph and its parameters do not fit", value=missing[:5], cause=cause)
    images = tuple(number for number in order if graph.nodes[number].name == _DATA and graph.nodes[number].is_variable)
    return images, {name: tensor_of(name, plain[name]) for name in wanted if name != _DATA}


def tensor_of(name: str, array: npt.NDArray[np.generic] | SparseArray) -> torch.Tensor:
    """Return a parameter as a tensor of float32.

    Raises
    ------
    ArtifactError
        If it is larger than any of a detector, or not finite.
    """
    if math.prod(array.shape) > _MOST_NUMBERS:
        raise ArtifactError(f"the parameter {name} is larger than any of a detector", value=array.shape)
    whole = array.dense() if isinstance(array, SparseArray) else array
    tensor = torch.from_numpy(whole.astype("<f4"))
    if not torch.isfinite(tensor).all():
        raise ArtifactError(f"the parameter {name} is not finite", cause="training that diverged")
    return tensor


def _buffer(name: str) -> str:
    return f"parameter {name}".replace(".", "·")
