"""What a graph of MXNet says about the detector that it is: where its numbers come from, and how it detects."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from birdsod.errors import ArtifactError
from birdsod.mxnet import SparseArray
from birdsod.ssd.detection import DetectionSettings
from birdsod.ssd.graph_program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from birdsod.mxnet import Graph, Node

    Arrays = Mapping[str, npt.NDArray[np.generic] | SparseArray]
    Float32Array = npt.NDArray[np.float32]

__all__ = ["GraphDetector", "array_of", "check_outputs"]

_DETECTION = ("_contrib_MultiBoxDetection", "MultiBoxDetection")
_INPUTS = 3
_LOSS_WITH_LABEL = "SoftmaxOutput"
_DATA = "data"
# Of one parameter: a sparse one may claim any size, and its file stays small.
_MOST_NUMBERS = 1 << 28


@dataclass(frozen=True, slots=True, eq=False)
class GraphDetector:
    """A detector as a graph of MXNet and its parameters tell it, ready to be computed or translated.

    Parameters
    ----------
    graph : Graph
        Without the labels that training takes beside the scores.
    outputs : tuple of int
        Numbers of the nodes that make probabilities, offsets and anchors.
    data : tuple of int
        Numbers of the nodes that stand for the images.
    arrays : mapping of str to ndarray of float32
        The parameters that it takes, by the names of its variables.
    settings : DetectionSettings
        Thresholds and limits of detection.
    """

    graph: Graph
    outputs: tuple[int, ...]
    data: tuple[int, ...]
    arrays: Mapping[str, Float32Array]
    settings: DetectionSettings

    @classmethod
    def of(cls, graph: Graph, arrays: Arrays) -> Self:
        """Return the detector of a graph, of training or of deployment.

        Parameters
        ----------
        graph : Graph
            What detection does not need is passed over.
        arrays : mapping of str to ndarray
            Its parameters, as :func:`birdsod.mxnet.read_params` returns them.

        Raises
        ------
        ArtifactError
            If it is no detector, or the parameters do not fit.
        """
        graph = _for_inference(graph)
        detection = _detection(graph)
        outputs = tuple(source for source, _ in detection.inputs)
        data, parameters = _parameters(graph, graph.needed_for(*outputs), arrays)
        return cls(graph, outputs, data, parameters, _settings(detection))

    @property
    def program(self) -> Program:
        """What has to be computed, in order."""
        return Program.of(self.graph, self.outputs)


def check_outputs(probabilities: Sequence[int], offsets: Sequence[int], anchors: Sequence[int]) -> None:
    """Raise if the shapes of probabilities, offsets and anchors, for one image, are not those of a detector."""
    count = math.prod(anchors) // 4
    fits = len(probabilities) == 3 and probabilities[1] > 1 and probabilities[2] == count  # noqa: PLR2004 - (B, C + 1, N)
    if not (fits and tuple(offsets) == (1, 4 * count)):
        shapes = [tuple(each) for each in (probabilities, offsets, anchors)]
        raise ArtifactError("probabilities, offsets and anchors of the graph do not fit together", value=shapes)


def array_of(name: str, array: npt.NDArray[np.generic] | SparseArray) -> Float32Array:
    """Return a parameter as a whole array of float32.

    Raises
    ------
    ArtifactError
        If it is larger than any of a detector, or not finite.
    """
    if math.prod(array.shape) > _MOST_NUMBERS:
        raise ArtifactError(f"the parameter {name} is larger than any of a detector", value=array.shape)
    whole = array.dense() if isinstance(array, SparseArray) else array
    found = whole.astype("<f4")
    if not np.isfinite(found).all():
        raise ArtifactError(f"the parameter {name} is not finite", cause="training that diverged")
    return found


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
) -> tuple[tuple[int, ...], dict[str, Float32Array]]:
    """Return the numbers of the nodes that stand for the images, and what all other variables are."""
    wanted = [graph.nodes[number].name for number in order if graph.nodes[number].is_variable]
    plain = {name.partition(":")[2]: array for name, array in arrays.items() if name.startswith(("arg:", "aux:"))}
    missing = [name for name in wanted if name != _DATA and name not in plain]
    if missing or _DATA not in wanted:
        cause = "the parameters belong to another graph" if missing else "the graph has no input named data"
        raise ArtifactError("the graph and its parameters do not fit", value=missing[:5], cause=cause)
    images = tuple(number for number in order if graph.nodes[number].name == _DATA and graph.nodes[number].is_variable)
    return images, {name: array_of(name, plain[name]) for name in wanted if name != _DATA}
