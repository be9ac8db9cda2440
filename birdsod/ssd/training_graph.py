"""From a graph of deployment back to the graph of training that the built-in algorithm's container expects."""

from __future__ import annotations

import ast
from itertools import product
from typing import TYPE_CHECKING, Literal

from birdsod.errors import ArtifactError
from birdsod.mxnet import GraphOptions, ssd_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.mxnet import Graph, Node

    Row = tuple[str, dict[str, object], tuple[tuple[int, int], ...], str]

__all__ = ["same_network", "training_graph"]

_TARGET = ("_contrib_MultiBoxTarget", "MultiBoxTarget")
_DETECTION = ("_contrib_MultiBoxDetection", "MultiBoxDetection")
_NETWORKS: tuple[Literal["resnet-50", "vgg-16"], ...] = ("resnet-50", "vgg-16")
# VGG-16 has other maps from 448 pixels on; the edge changes nothing else.
_EDGES = (300, 512)
# How the computation is carried out, not what it computes.
_HOW = frozenset({"cudnn_off", "cudnn_tune", "layout", "workspace", "num_args"})
_CONTRIB = {name: f"_contrib_{name}" for name in ("MultiBoxDetection", "MultiBoxPrior")}
# Anchors are put into rows of four as well, as the scores of three classes and the background are.
_CORNERS = 3
# What an operator does where its attribute is not told.
_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "Convolution": {"no_bias": False, "stride": (1, 1), "pad": (0, 0), "dilate": (1, 1), "num_group": 1},
    "Pooling": {"pooling_convention": "valid", "stride": (1, 1), "pad": (0, 0), "global_pool": False},
    "_contrib_MultiBoxDetection": {"clip": True, "threshold": 0.01, "background_id": 0, "force_suppress": False},
    "_contrib_MultiBoxPrior": {"clip": False, "steps": (-1, -1), "offsets": (0.5, 0.5)},
    "softmax": {"axis": -1},
}


def training_graph(graph: Graph) -> Graph:
    """Return a detector's graph of training: itself, or one built anew after a graph of deployment.

    Parameters
    ----------
    graph : Graph
        Of resnet-50 or vgg-16 as the built-in algorithm, or MXNet's example, has them.

    Returns
    -------
    Graph
        From which overlap on an anchor learns a box, a graph of deployment does not tell; it is 0.5, as always.

    Raises
    ------
    ArtifactError
        If it is a graph of deployment of another network, or one that detects in another way.

    Examples
    --------
    >>> shape = {"num_classes": 2, "image_shape": 300}
    >>> graph = training_graph(ssd_graph("vgg-16", **shape, training=False))
    >>> graph == ssd_graph("vgg-16", **shape)
    True
    """
    if any(graph.of_kind(op) for op in _TARGET):
        return graph
    told = _told(graph)
    for base_network, edge, three_digits in product(_NETWORKS, _EDGES, (False, True)):
        threshold, topk, classes = told
        options = GraphOptions(nms_threshold=threshold, nms_topk=topk, three_digits=three_digits)
        known = ssd_graph(base_network, num_classes=classes, image_shape=edge, training=False, options=options)
        if _rows(known) == _rows(graph):
            return ssd_graph(base_network, num_classes=classes, image_shape=edge, options=options)
    raise ArtifactError(
        "the graph of deployment is not that of a network that is known, so no graph of training can be built",
        cause="other layers, anchors or ways of detection than those of resnet-50 or vgg-16",
        cure="give the archive that the training job wrote",
    )


def same_network(first: Graph, second: Graph) -> bool:
    """Tell whether two graphs compute the same from the same parameters, whatever their other nodes are called."""
    return _rows(first) == _rows(second)


def _told(graph: Graph) -> tuple[float, int, int]:
    """Return threshold and limit of detection, and the number of classes."""
    detections = [node for op in _DETECTION for node in graph.of_kind(op)]
    shapes = [node.integers("shape", ()) for node in graph.of_kind("Reshape")]
    widths = [shape[2] - 1 for shape in shapes if len(shape) == 3 and shape[1] == -1 and shape[2] > 1]  # noqa: PLR2004 - (0, -1, classes + 1)
    widths = [width for width in widths if width != _CORNERS] or widths
    if len(detections) != 1 or not widths:
        raise ArtifactError("the graph is no detector", value=[node.name for node in detections])
    return detections[0].number("nms_threshold", 0.5), detections[0].integer("nms_topk", -1), widths[0]


def _rows(graph: Graph) -> list[Row]:
    """Return what a graph computes, without the names that its nodes happen to have; parameters keep theirs."""
    return [_row(node) for node in graph.nodes]


def _row(node: Node) -> Row:
    if node.is_variable:
        return node.op, {}, (), node.name
    op = _CONTRIB.get(node.op, node.op)
    attributes: dict[str, object] = dict(_DEFAULTS.get(op, {}))
    attributes |= {
        name: _value(text) for name, text in node.attributes.items() if name not in _HOW and not name.startswith("__")
    }
    if op == "SoftmaxActivation" and attributes == {"mode": "channel"}:
        # Older versions of MXNet had no softmax along an axis.
        return "softmax", {"axis": 1}, node.inputs, ""
    return op, attributes, node.inputs, ""


def _value(text: str) -> object:
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return tuple(value) if isinstance(value, list) else value
