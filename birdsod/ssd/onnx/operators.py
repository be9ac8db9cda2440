"""MXNet's operators, as far as a detector uses them, as nodes of ONNX."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from birdsod.ssd.graph_anchors import anchors_of_node
from birdsod.ssd.graph_dispatch import dispatch, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from birdsod.mxnet import Node
    from birdsod.ssd.onnx.writer import GraphWriter, Value

    Values = Sequence[Value]
    Operator = Callable[[GraphWriter, Node, Values], Value]

__all__ = ["OPERATORS", "translate"]

_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "softrelu": "Softplus", "tanh": "Tanh"}
_NORMS = {"instance": [1, 2, 3], "channel": [1], "spatial": [2, 3]}
_PLANE = 2


def translate(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    """Write what an operator makes of its inputs, and return it.

    Parameters
    ----------
    writer : GraphWriter
        The graph that is written.
    node : Node
        The operator.
    inputs : sequence of Value
        In the order of the node's own inputs.

    Returns
    -------
    Value

    Raises
    ------
    ArtifactError
        If the operator, or one of its options, is not known here, or the inputs do not fit; the node is named.
    """
    known = {name: functools.partial(operator, writer) for name, operator in OPERATORS.items()}
    return dispatch(known, node, inputs)


def _same(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    del writer, node
    return inputs[0]


def _batch_norm(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    if node.integer("axis", 1) != 1:
        raise refused(node, "axis")
    data, gamma, *others = inputs
    if node.flag("fix_gamma", default=True):
        gamma = writer.constant(np.ones(gamma.shape, np.float32), f"{gamma.name}_fixed")
    if any(each.shape != (data.shape[1],) for each in (gamma, *others)):
        raise ValueError("statistics of another number of channels")
    given = [data, gamma, *others]
    return writer.node("BatchNormalization", given, data.shape, node.name, epsilon=node.number("eps", 1e-3))


def _convolution(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    if len(node.integers("kernel", ())) != _PLANE:
        raise refused(node, "kernel")
    given = inputs[:2] if node.flag("no_bias", default=False) else [inputs[0], inputs[1], inputs[2]]
    data, weight = given[:2]
    groups, filters = node.integer("num_group", 1), weight.shape[0]
    if len(data.shape) != len(weight.shape) or weight.shape[1] * groups != data.shape[1] or filters % groups:
        raise ValueError("filters for another number of channels")
    if any(each.shape != (filters,) for each in given[2:]):
        raise ValueError("a bias for another number of filters")
    stride, pad, dilate = (node.integers(name, default) for name, default in _STEPS.items())
    reach = [step * (size - 1) + 1 for size, step in zip(weight.shape[2:], dilate, strict=True)]
    plane = _plane(data, reach, stride, (*pad, *pad))
    attributes = {"strides": stride, "pads": (*pad, *pad), "dilations": dilate, "group": groups}
    return writer.node("Conv", given, (data.shape[0], filters, *plane), node.name, **attributes)


_STEPS = {"stride": (1, 1), "pad": (0, 0), "dilate": (1, 1)}


def _plane(data: Value, reach: Sequence[int], stride: Sequence[int], pads: Sequence[int]) -> list[int]:
    """Return height and width of what windows make of a map."""
    if min(stride) < 1 or min(pads) < 0 or min(reach) < 1:
        raise ValueError("a stride, padding or window of nothing")
    sides = zip(data.shape[2:], reach, stride, pads[:_PLANE], pads[_PLANE:], strict=True)
    return [(size + before + after - width) // step + 1 for size, width, step, before, after in sides]


def _activation(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    kind = node.text("act_type", "relu" if node.op == "relu" else "")
    if kind not in _ACTIVATIONS:
        raise refused(node, "act_type")
    return writer.node(_ACTIVATIONS[kind], inputs[:1], inputs[0].shape, node.name)


def _pooling(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    data = inputs[0]
    kind, convention = node.text("pool_type", "max"), node.text("pooling_convention", "valid")
    if node.flag("global_pool", default=False):
        op = "GlobalMaxPool" if kind == "max" else "GlobalAveragePool"
        return writer.node(op, [data], (*data.shape[:2], 1, 1), node.name)
    kernel, stride, pad = (node.integers(name, default) for name, default in _WINDOW.items())
    if convention not in {"valid", "full"}:
        raise refused(node, "pooling_convention")
    if kind == "max":
        after = _after(data, kernel, stride, pad) if convention == "full" else pad
        return _max_pool(writer, node, data, (*pad, *after))
    if kind == "avg" and convention == "valid":
        shape = (*data.shape[:2], *_plane(data, kernel, stride, (*pad, *pad)))
        attributes = {"kernel_shape": kernel, "strides": stride, "pads": (*pad, *pad), "count_include_pad": 1}
        return writer.node("AveragePool", [data], shape, node.name, **attributes)
    raise refused(node, "pool_type")


_WINDOW = {"kernel": (1, 1), "stride": (1, 1), "pad": (0, 0)}


def _after(data: Value, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int]) -> list[int]:
    """Return how far the last windows of the convention "full" reach beyond the map: MXNet rounds up."""
    sides = zip(data.shape[2:], kernel, stride, pad, strict=True)
    return [before + (-(size + 2 * before - width) % step) for size, width, step, before in sides]


def _max_pool(writer: GraphWriter, node: Node, data: Value, pads: tuple[int, ...]) -> Value:
    kernel, stride = node.integers("kernel", (1, 1)), node.integers("stride", (1, 1))
    shape = (*data.shape[:2], *_plane(data, kernel, stride, pads))
    if any(pad >= width for pad, width in zip(pads, (*kernel, *kernel), strict=True)):
        # Runtimes refuse a padding that a whole window fits into.
        data, pads = _padded(writer, node, data, pads), (0, 0, 0, 0)
    attributes = {"kernel_shape": kernel, "strides": stride, "pads": pads}
    return writer.node("MaxPool", [data], shape, node.name, **attributes)


def _padded(writer: GraphWriter, node: Node, data: Value, pads: tuple[int, ...]) -> Value:
    top, left, bottom, right = pads
    height, width = data.shape[2:]
    sides = writer.constant(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64), f"{node.name}_sides")
    nothing = writer.constant(np.float32(-np.inf), f"{node.name}_nothing")
    shape = (*data.shape[:2], height + top + bottom, width + left + right)
    return writer.node("Pad", [data, sides, nothing], shape, f"{node.name}_padded")


def _add(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    return _chained(writer, "Add", node, inputs)


def _multiply(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    return _chained(writer, "Mul", node, inputs)


def _chained(writer: GraphWriter, op: str, node: Node, inputs: Values) -> Value:
    def one(first: Value, second: Value) -> Value:
        return writer.node(op, [first, second], np.broadcast_shapes(first.shape, second.shape), node.name)

    return functools.reduce(one, inputs)


def _transpose(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    data = inputs[0]
    axes = node.integers("axes", ()) or tuple(reversed(range(len(data.shape))))
    if data.constant is not None:
        return writer.constant(data.constant.transpose(axes), node.name)
    if sorted(axes) != list(range(len(data.shape))):
        raise ValueError("axes that the map has not")
    return writer.node("Transpose", [data], [data.shape[axis] for axis in axes], node.name, perm=axes)


def _flatten(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    data = inputs[0]
    if data.constant is not None:
        return writer.constant(data.constant.reshape(len(data.constant), -1), node.name)
    return writer.node("Flatten", [data], (data.shape[0], math.prod(data.shape[1:])), node.name)


def _concat(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    axis = node.integer("dim", 1)
    constants = [each.constant for each in inputs if each.constant is not None]
    if len(constants) == len(inputs):
        return writer.constant(np.concatenate(constants, axis), node.name)
    shape = list(inputs[0].shape)
    rest = {(*each.shape[:axis], *each.shape[axis:][1:]) for each in inputs}
    if not 0 < axis < len(shape) or len(rest) > 1:
        raise ValueError("maps that do not fit beside each other")
    shape[axis] = sum(each.shape[axis] for each in inputs)
    return writer.node("Concat", inputs, shape, node.name, axis=axis)


def _reshape(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    data, shape = inputs[0], node.integers("shape", ())
    if not shape or min(shape) < -1 or node.flag("reverse", default=False):
        raise refused(node, "shape")
    sides = [data.shape[place] if size == 0 else size for place, size in enumerate(shape)]
    if data.constant is not None:
        return writer.constant(data.constant.reshape(sides), node.name)
    known = math.prod(size for size in sides if size > 0)
    found = [math.prod(data.shape) // known if size == -1 else size for size in sides]
    if sides.count(-1) > 1 or math.prod(found) != math.prod(data.shape):
        raise ValueError("a shape of another number of values")
    wanted = writer.constant(np.array(shape, np.int64), f"{node.name}_shape")
    return writer.node("Reshape", [data, wanted], found, node.name)


def _softmax(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    if node.number("temperature", 1.0) != 1.0:
        raise refused(node, "temperature")
    return writer.node("Softmax", inputs[:1], inputs[0].shape, node.name, axis=node.integer("axis", -1))


def _softmax_output(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    data = inputs[0]
    if node.flag("multi_output", default=False) or node.text("mode", "instance") == "channel":
        return writer.node("Softmax", [data], data.shape, node.name, axis=1)
    flat = _flatten(writer, node, inputs)
    shares = writer.node("Softmax", [flat], flat.shape, node.name, axis=1)
    wanted = writer.constant(np.array([0, *data.shape[1:]], np.int64), f"{node.name}_shape")
    return writer.node("Reshape", [shares, wanted], data.shape, node.name)


def _l2_normalization(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    axes = _NORMS.get(node.text("mode", "instance"))
    if axes is None:
        raise refused(node, "mode")
    data = inputs[0]
    shape = [1 if axis in axes else size for axis, size in enumerate(data.shape)]
    squares = writer.node("ReduceSumSquare", [data], shape, f"{node.name}_squares", axes=axes, keepdims=1)
    least = writer.constant(np.float32(node.number("eps", 1e-10)), f"{node.name}_eps")
    length = writer.node("Sqrt", [writer.node("Add", [squares, least], shape)], shape, f"{node.name}_length")
    return writer.node("Div", [data, length], data.shape, node.name)


def _multibox_prior(writer: GraphWriter, node: Node, inputs: Values) -> Value:
    height, width = inputs[0].shape[2:]
    return writer.constant(anchors_of_node(node, height, width)[None], node.name)


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(("_copy", "identity", "BlockGrad", "Dropout"), _same),
    **dict.fromkeys(("elemwise_add", "broadcast_add", "_Plus", "_plus", "add_n", "ElementWiseSum"), _add),
    **dict.fromkeys(("elemwise_mul", "broadcast_mul", "_Mul", "_mul"), _multiply),
    **dict.fromkeys(("Activation", "relu"), _activation),
    **dict.fromkeys(("_contrib_MultiBoxPrior", "MultiBoxPrior"), _multibox_prior),
    **dict.fromkeys(("SoftmaxOutput", "SoftmaxActivation"), _softmax_output),
    **dict.fromkeys(("Reshape", "reshape"), _reshape),
    **dict.fromkeys(("Flatten", "flatten"), _flatten),
    **dict.fromkeys(("Concat", "concat"), _concat),
    "BatchNorm": _batch_norm,
    "Convolution": _convolution,
    "L2Normalization": _l2_normalization,
    "Pooling": _pooling,
    "softmax": _softmax,
    "transpose": _transpose,
}
"""What is known, by MXNet's name: the same as in :mod:`birdsod.ssd.graph_operators`."""
