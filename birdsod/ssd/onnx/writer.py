"""A graph of ONNX as it is written, node after node, with the shape of everything that flows in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod.errors import MissingDependencyError
from birdsod.ssd.onnx.outputs import IMAGES, RESERVED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

    Array = npt.NDArray[np.generic]

__all__ = ["GraphWriter", "Value", "require_onnx"]

# A graph may ask for any padding; nothing of a detector comes near.
_MOST_NUMBERS = 1 << 28


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """Something that flows in a graph.

    Parameters
    ----------
    name : str
        As nodes name it.
    shape : tuple of int
        For one image: the first dimension of what depends on the images is any number in truth.
    constant : ndarray, optional
        What it is, where it does not depend on the images.
    """

    name: str
    shape: tuple[int, ...]
    constant: Array | None = None


class GraphWriter:
    """A graph of ONNX that is being written.

    Parameters
    ----------
    image_shape : int
        Edge of the square images in pixels.
    prefix : str, optional
        How the names of all that is written begin.

    Attributes
    ----------
    images : Value
        The graph's input.

    Raises
    ------
    MissingDependencyError
        If ``onnx`` is not installed.

    Examples
    --------
    >>> writer = GraphWriter(300)
    >>> half = writer.node("Mul", [writer.images, writer.constant(np.float32(0.5), "half")], (1, 3, 300, 300))
    >>> graph = writer.graph({"halved": half})
    >>> [each.name for each in graph.output], [each.op_type for each in graph.node]
    (['halved'], ['Mul', 'Identity'])
    """

    def __init__(self, image_shape: int, prefix: str = "") -> None:
        require_onnx()
        self._prefix = prefix
        self.images: Value = Value(IMAGES, (1, 3, image_shape, image_shape))
        self._names = set(RESERVED)
        self._nodes: list[NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}

    def constant(self, array: npt.ArrayLike, name: str) -> Value:
        """Return numbers that are stored in the graph as soon as a node takes them."""
        whole: Array = np.asarray(array)
        return Value(self._fresh(name), whole.shape, whole)

    def node(
        self, op: str, inputs: Sequence[Value | None], shape: Sequence[int], name: str = "", **attributes: object
    ) -> Value:
        """Write a node and return what it makes.

        Parameters
        ----------
        op : str
            ONNX's name of the operator.
        inputs : sequence of Value
            What it takes; nothing for one that is left out.
        shape : sequence of int
            The shape of what it makes.
        name : str, optional
            What to call it; a number is added where the name is taken.
        attributes : object
            The operator's own.

        Raises
        ------
        ValueError
            If the shape is none of a map, or beyond any memory.
        """
        return self._nodes_of(op, inputs, shape, [name or op.lower()], attributes)[0]

    def pair(self, op: str, inputs: Sequence[Value | None], shape: Sequence[int], **attributes: object) -> list[Value]:
        """Write a node that makes two values of one shape, and return both; the rest is as in :meth:`node`."""
        return self._nodes_of(op, inputs, shape, [op.lower(), f"{op.lower()}_second"], attributes)

    def _nodes_of(
        self,
        op: str,
        inputs: Sequence[Value | None],
        shape: Sequence[int],
        outputs: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> list[Value]:
        from onnx import helper

        if not 0 < math.prod(shape) <= _MOST_NUMBERS or min(shape, default=1) < 1:
            message = f"a map of the shape {tuple(shape)}"
            raise ValueError(message)
        made = [Value(self._fresh(each), tuple(shape)) for each in outputs]
        names = [self._stored(each) if each else "" for each in inputs]
        results = [each.name for each in made]
        self._nodes.append(helper.make_node(op, names, results, name=results[0], **attributes))
        return made

    def graph(self, outputs: dict[str, Value]) -> GraphProto:
        """Return the graph, with its outputs under the names that they are given."""
        from onnx import TensorProto, helper

        infos = [self._output(name, value) for name, value in outputs.items()]
        edge = self.images.shape[2]
        images = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["batch", 3, edge, edge])
        return helper.make_graph(self._nodes, "detector", [images], infos, list(self._initializers.values()))

    def _output(self, name: str, value: Value) -> ValueInfoProto:
        from onnx import TensorProto, helper

        source = self._stored(value)
        self._nodes.append(helper.make_node("Identity", [source], [name], name=name))
        first = value.shape[0] if value.constant is not None else "batch"
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [first, *value.shape[1:]])

    def _stored(self, value: Value) -> str:
        from onnx import numpy_helper

        if value.constant is not None and value.name not in self._initializers:
            whole = np.ascontiguousarray(value.constant).reshape(value.shape)
            self._initializers[value.name] = numpy_helper.from_array(whole, value.name)
        return value.name

    def _fresh(self, name: str) -> str:
        whole = self._prefix + name
        found, number = whole, 1
        while found in self._names:
            found, number = f"{whole}_{number}", number + 1
        self._names.add(found)
        return found


def require_onnx() -> None:
    """Raise if ``onnx`` is not installed."""
    try:
        import onnx  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise MissingDependencyError("onnx is not installed", cure="pip install 'birdsod[serve]'") from error
