"""What the parameters of a graph of MXNet begin with, as MXNet's own trainer begins."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import torch

from birdsod.errors import ArtifactError
from birdsod.mxnet._shapes import parameter_shapes

if TYPE_CHECKING:
    from birdsod.mxnet import Graph

__all__ = ["initial_tensors"]

_KIND = "__init__"
_MAGNITUDE = 3.0
_CONSTANTS = {"bias": 0.0, "beta": 0.0, "moving_mean": 0.0, "gamma": 1.0, "moving_var": 1.0}


def initial_tensors(graph: Graph) -> dict[str, torch.Tensor]:
    """Return parameters and statistics that training can begin with.

    A variable that tells how it begins is obeyed; of the others, weights are drawn evenly by Xavier's rule over the
    mean of inputs and outputs, biases and means begin at zero, gammas and variances at one.

    Parameters
    ----------
    graph : Graph
        As :func:`birdsod.mxnet.ssd_graph` makes them.

    Returns
    -------
    dict of str to Tensor
        By the names of a file of parameters, ``arg:`` first. Weights come from torch's global generator.

    Raises
    ------
    ArtifactError
        If a variable begins in a way that is not known here; it is named.

    Source
    ------
    Apache MXNet 1.9.1, ``mxnet.initializer`` with ``Xavier()``, which its SSD example trains with.

    Examples
    --------
    >>> from birdsod.mxnet import ssd_graph
    >>> tensors = initial_tensors(ssd_graph("resnet-50", num_classes=2, image_shape=300))
    >>> tensors["aux:bn0_moving_var"].unique()
    tensor([1.])
    """
    told = {node.name: node.attributes.get(_KIND) for node in graph.nodes if node.is_variable}
    return {name: _tensor(name, shape, told[name.partition(":")[2]]) for name, shape in parameter_shapes(graph).items()}


def _tensor(name: str, shape: tuple[int, ...], told: str | None) -> torch.Tensor:
    if told is not None:
        return torch.full(shape, _constant(name, told))
    if name.endswith("_weight"):
        return _xavier(shape)
    for ending, value in _CONSTANTS.items():
        if name.endswith(f"_{ending}"):
            return torch.full(shape, value)
    raise ArtifactError(f"the graph does not tell what {name} begins with")


def _constant(name: str, told: str) -> float:
    """Return the value of an initializer as MXNet writes it: ``["constant", {"value": 20}]``."""
    try:
        kind, options = json.loads(told)
        return {"zero": 0.0, "one": 1.0, "constant": float(options.get("value", 0))}[kind]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ArtifactError(f"{name} begins in a way that is not known here", value=told) from error


def _xavier(shape: tuple[int, ...]) -> torch.Tensor:
    outputs, inputs, *field = shape
    mean = (inputs + outputs) * math.prod(field) / 2
    bound = math.sqrt(_MAGNITUDE / mean)
    return torch.empty(shape).uniform_(-bound, bound)
