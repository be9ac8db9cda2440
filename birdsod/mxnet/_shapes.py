"""What parameters a detector's graph asks for, and of which shape."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    from birdsod.mxnet._graph import Graph, Node

__all__ = ["parameter_shapes"]

Shape = tuple[int, ...]

_GIVEN = frozenset({"data", "label"})
_COLOURS = 3
# Inputs of a batch normalization: data, gamma, beta, then what it only keeps count of.
_FIRST_STATISTIC = 3
_KEEPS_CHANNELS = frozenset(
    {
        "Activation",
        "L2Normalization",
        "Pooling",
        "_copy",
        "broadcast_mul",
        "elemwise_add",
        "identity",
        "relu",
    }
)


def parameter_shapes(graph: Graph) -> dict[str, Shape]:
    """Return names and shapes of a detector's parameters, as its file has them: ``arg:`` first, then ``aux:``.

    Parameters
    ----------
    graph : Graph
        As :func:`ssd_graph` makes them.

    Returns
    -------
    dict of str to tuple of int

    Raises
    ------
    ArtifactError
        If a parameter belongs to an operator that shapes cannot be told of; the parameter is named.

    Examples
    --------
    >>> from birdsod.mxnet import ssd_graph
    >>> shapes = parameter_shapes(ssd_graph("resnet-50", num_classes=2, image_shape=300))
    >>> shapes["arg:conv0_weight"], shapes["aux:bn0_moving_var"]
    ((64, 3, 7, 7), (64,))
    """
    shapes, statistics = _found(graph)
    missing = [name for name in graph.variables if name not in shapes and name not in _GIVEN]
    if missing:
        raise ArtifactError(f"the shape of {missing[0]} cannot be told", cause="an operator that no known detector has")
    arguments = {f"arg:{name}": shapes[name] for name in graph.variables if name in shapes and name not in statistics}
    return arguments | {f"aux:{name}": shapes[name] for name in graph.variables if name in statistics}


def _found(graph: Graph) -> tuple[dict[str, Shape], set[str]]:
    """Follow the channels through the graph: shapes of the parameters, and which of them are statistics."""
    shapes, statistics, channels = dict[str, Shape](), set[str](), dict[int, int]()
    for number, node in enumerate(graph.nodes):
        if node.is_variable:
            shapes.update(_told(node))
            if node.name == "data":
                channels[number] = _COLOURS
            continue
        given = [graph.nodes[source].name for source, _ in node.inputs]
        # The scale of a map stands before the map.
        width = next((channels[source] for source, _ in node.inputs if source in channels), None)
        if width is None:
            continue
        if node.op == "Convolution":
            channels[number] = node.integer("num_filter")
            shapes.update(zip(given[1:], _of_convolution(node, width), strict=False))
        elif node.op == "BatchNorm":
            channels[number] = width
            shapes.update(dict.fromkeys(given[1:], (width,)))
            statistics.update(given[_FIRST_STATISTIC:])
        elif node.op in _KEEPS_CHANNELS:
            channels[number] = width
    return shapes, statistics


def _of_convolution(node: Node, width: int) -> tuple[Shape, Shape]:
    filters = node.integer("num_filter")
    return (filters, width // node.integer("num_group", 1), *node.integers("kernel", ())), (filters,)


def _told(variable: Node) -> dict[str, Shape]:
    """Return the shape that a variable itself tells, as the scale of VGG-16's normalized map does."""
    text = variable.attributes.get("__shape__")
    return {variable.name: tuple(ast.literal_eval(text))} if text else {}
