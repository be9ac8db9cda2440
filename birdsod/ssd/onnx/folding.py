"""Batch normalisation made a part of the convolution before it, where that computes the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from birdsod.mxnet import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from birdsod.ssd.graph_detector import GraphDetector

    Float32Array = npt.NDArray[np.float32]

__all__ = ["folded", "folded_numbers"]

_NORM_INPUTS = 5
_PLANE_WEIGHT = 4


def folded(detector: GraphDetector) -> GraphDetector:
    """Return a detector whose convolutions do what the batch normalisations right behind them did.

    A normalisation in front of a convolution, or behind a sum, stays: padding and activations stand between.

    Parameters
    ----------
    detector : GraphDetector
        It is left as it is.

    Returns
    -------
    GraphDetector
        The node of each such normalisation is the convolution now; its beta has become the bias.
    """
    nodes, arrays = list(detector.graph.nodes), dict(detector.arrays)
    for number, source in _pairs(detector):
        norm, conv = nodes[number], nodes[source]
        weight, *bias = [nodes[place].name for place, _ in conv.inputs[1:]]
        gamma, beta, mean, variance = (nodes[place].name for place, _ in norm.inputs[1:])
        scale = np.ones_like(arrays[gamma]) if norm.flag("fix_gamma", default=True) else arrays[gamma]
        before = arrays[bias[0]] if bias and not conv.flag("no_bias", default=False) else np.zeros_like(scale)
        statistics = (scale, arrays[beta], arrays[mean], arrays[variance])
        arrays[weight], arrays[beta] = folded_numbers(arrays[weight], before, *statistics, norm.number("eps", 1e-3))
        attributes = {**conv.attributes, "no_bias": "False"}
        nodes[number] = Node(conv.op, norm.name, attributes, (*conv.inputs[:2], norm.inputs[2]))
    return replace(detector, graph=replace(detector.graph, nodes=tuple(nodes)), arrays=arrays)


def folded_numbers(
    weight: Float32Array,
    bias: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    mean: Float32Array,
    variance: Float32Array,
    epsilon: float,
    /,
) -> tuple[Float32Array, Float32Array]:
    """Return weight and bias of the convolution that also normalises.

    Examples
    --------
    >>> one = np.ones(1, np.float32)
    >>> weight, bias = folded_numbers(np.ones((1, 1, 1, 1), np.float32), 0 * one, 2 * one, one, 3 * one, 4 * one, 0.0)
    >>> float(weight[0, 0, 0, 0]), float(bias[0])
    (1.0, -2.0)
    """
    factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    moved = beta + (bias - mean.astype(np.float64)) * factor
    return (weight * factor[:, None, None, None]).astype(np.float32), moved.astype(np.float32)


def _pairs(detector: GraphDetector) -> Iterator[tuple[int, int]]:
    """Yield the numbers of normalisations and of the convolutions that nothing else takes from."""
    nodes, order = detector.graph.nodes, detector.program.order
    taken = Counter(source for number in order for source, _ in nodes[number].inputs)
    taken.update(detector.outputs)
    for number in order:
        norm = nodes[number]
        if norm.op != "BatchNorm" or len(norm.inputs) != _NORM_INPUTS or norm.integer("axis", 1) != 1:
            continue
        source = norm.inputs[0][0]
        parameters = (*nodes[source].inputs[1:], *norm.inputs[1:])
        # Numbers that two layers share cannot be changed for one of them.
        alone = taken[source] == 1 and all(taken[place] == 1 for place, _ in parameters)
        if nodes[source].op == "Convolution" and alone and _fits(detector, number, source):
            yield number, source


def _fits(detector: GraphDetector, number: int, source: int) -> bool:
    """Tell whether parameters are given, and of the shapes that belong together."""
    nodes = detector.graph.nodes
    weight, *bias = [detector.arrays.get(nodes[place].name) for place, _ in nodes[source].inputs[1:]] or [None]
    others = [*bias, *(detector.arrays.get(nodes[place].name) for place, _ in nodes[number].inputs[1:])]
    if weight is None or weight.ndim != _PLANE_WEIGHT:
        return False
    return all(each is not None and each.shape == weight.shape[:1] for each in others)
