"""A detector of the built-in algorithm as a graph of ONNX, operator by operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import ArtifactError
from birdsod.ssd.graph_detector import check_outputs
from birdsod.ssd.onnx.folding import folded
from birdsod.ssd.onnx.operators import translate
from birdsod.ssd.onnx.outputs import detector_graph
from birdsod.ssd.onnx.writer import GraphWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import GraphProto

    from birdsod.mxnet import Node
    from birdsod.ssd.graph_detector import GraphDetector
    from birdsod.ssd.onnx.writer import Value

__all__ = ["graph_from_mxnet"]


def graph_from_mxnet(detector: GraphDetector, image_shape: int) -> GraphProto:
    """Return the graph of ONNX that computes what a graph of MXNet does.

    Parameters
    ----------
    detector : GraphDetector
        Anchors and operators are read from its graph; none is assumed.
    image_shape : int
        Edge of the square images in pixels.

    Returns
    -------
    onnx.GraphProto

    Raises
    ------
    ArtifactError
        If an operator is not known, or the parameters do not fit; the node is named.
    """
    writer, lean = GraphWriter(image_shape), folded(detector)

    def parameter(name: str) -> Value:
        return writer.constant(lean.arrays[name], name)

    def compute(node: Node, inputs: Sequence[Value]) -> Value:
        return translate(writer, node, inputs)

    probabilities, offsets, anchors = lean.program.run(dict.fromkeys(lean.data, writer.images), parameter, compute)
    check_outputs(probabilities.shape, offsets.shape, anchors.shape)
    if anchors.constant is None:
        raise ArtifactError("the anchors of the graph depend on the images", cause="no detector that is known")
    return detector_graph(writer, probabilities, offsets, anchors.constant.reshape(-1, 4).astype(np.float32))
