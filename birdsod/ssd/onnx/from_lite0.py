"""Our own detector, on EfficientNet-Lite0, as a graph of ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.ssd.anchors import TOP_DOWN_ANCHORS, anchors_by_cell
from birdsod.ssd.efficientnet_stages import EPSILON, TAPS, blocks, same_padding
from birdsod.ssd.onnx.folding import folded_numbers
from birdsod.ssd.onnx.outputs import detector_graph
from birdsod.ssd.onnx.writer import GraphWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy.typing as npt
    from onnx import GraphProto

    from birdsod.ssd.efficientnet_stages import Block
    from birdsod.ssd.onnx.writer import Value

    Tensors = Mapping[str, npt.NDArray[Any]]
    Float32Array = npt.NDArray[np.float32]

__all__ = ["graph_from_lite0"]

# PyTorch's default, which the layers behind the base network have.
_TOP_EPSILON = 1e-5
_SIX = np.float32(6)


def graph_from_lite0(tensors: Tensors, image_shape: int) -> GraphProto:
    """Return the graph of ONNX that computes what our own network does.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Weights and statistics by the network's own names, of the shapes that :func:`weight_shapes` tells.
    image_shape : int
        Edge of the square images in pixels.

    Returns
    -------
    onnx.GraphProto
    """
    return _Lite0(GraphWriter(image_shape), tensors).graph()


class _Lite0:
    """The network while it is written."""

    def __init__(self, writer: GraphWriter, tensors: Tensors) -> None:
        self._writer = writer
        self._tensors = tensors
        self._zero, self._six = writer.constant(np.float32(0), "zero"), writer.constant(_SIX, "six")

    def graph(self) -> GraphProto:
        maps = self._top_down(self._base())
        scores = self._joined([self._head("class_heads", number, each) for number, each in enumerate(maps)])
        boxes = self._joined([self._head("box_heads", number, each) for number, each in enumerate(maps)])
        shares = self._writer.node("Softmax", [scores], scores.shape, axis=2)
        batch, count, width = shares.shape
        probabilities = self._writer.node("Transpose", [shares], (batch, width, count), perm=[0, 2, 1])
        offsets = self._writer.node("Flatten", [boxes], (batch, 4 * count), axis=1)
        anchors = anchors_by_cell(TOP_DOWN_ANCHORS, [(each.shape[2], each.shape[3]) for each in maps])
        return detector_graph(self._writer, probabilities, offsets, anchors)

    def _base(self) -> list[Value]:
        """Return the maps that the detector reads."""
        current = self._relu6(self._normalised(self._centred(), "base._conv_stem", "base._bn0", stride=2))
        tapped = []
        for number, block in enumerate(blocks()):
            current = self._block(f"base._blocks.{number}", block, current)
            if number + 1 in TAPS:
                tapped.append(current)
        return tapped

    def _centred(self) -> Value:
        images = self._writer.images
        middle = self._writer.constant(np.float32(127), "middle")
        scale = self._writer.constant(np.float32(1 / 128), "scale")
        centred = self._writer.node("Sub", [images, middle], images.shape)
        return self._writer.node("Mul", [centred, scale], images.shape)

    def _block(self, name: str, block: Block, features: Value) -> Value:
        wide = features
        if block.stage.expansion > 1:
            wide = self._relu6(self._normalised(wide, f"{name}._expand_conv", f"{name}._bn0"))
        names = (f"{name}._depthwise_conv", f"{name}._bn1")
        wide = self._relu6(self._normalised(wide, *names, stride=block.stride, groups=block.wide))
        narrow = self._normalised(wide, f"{name}._project_conv", f"{name}._bn2")
        return self._writer.node("Add", [narrow, features], narrow.shape) if block.adds else narrow

    def _top_down(self, tapped: Sequence[Value]) -> list[Value]:
        maps = [self._conv_norm(f"top_down.laterals.{number}", each) for number, each in enumerate(tapped)]
        for finer in reversed(range(len(maps) - 1)):
            enlarged = self._enlarged(maps[finer + 1], maps[finer])
            maps[finer] = self._writer.node("Add", [maps[finer], enlarged], enlarged.shape)
        return [self._conv_norm(f"top_down.smoothers.{number}", each) for number, each in enumerate(maps)]

    def _conv_norm(self, name: str, features: Value) -> Value:
        made = self._normalised(features, f"{name}.conv", f"{name}.norm", epsilon=_TOP_EPSILON)
        return self._writer.node("Relu", [made], made.shape)

    def _enlarged(self, coarse: Value, fine: Value) -> Value:
        """Return the coarse map with the edge of the fine one.

        The size is written as a size, not as a scale, whose rounding could cost a row; the batch comes from the map.
        """
        writer = self._writer
        whole = writer.node("Shape", [coarse], (4,))
        first, last = (writer.constant(np.array([end], np.int64), name) for name, end in (("first", 0), ("last", 2)))
        batch = writer.node("Slice", [whole, first, last], (2,))
        plane = writer.constant(np.array(fine.shape[2:], np.int64), "plane")
        size = writer.node("Concat", [batch, plane], (4,), axis=0)
        attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return writer.node("Resize", [coarse, None, None, size], fine.shape, **attributes)

    def _head(self, kind: str, number: int, features: Value) -> Value:
        """Return a head's answers with one row for each anchor, cells row by row."""
        name = f"{kind}.{number}"
        made = self._convolved(features, name, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])
        batch, filters, height, width = made.shape
        cells = self._writer.node("Transpose", [made], (batch, height, width, filters), perm=[0, 2, 3, 1])
        per_cell = sum(layer.per_cell for layer in TOP_DOWN_ANCHORS[number])
        values = filters // per_cell
        shape = self._writer.constant(np.array([0, -1, values], np.int64), f"{name}.rows")
        return self._writer.node("Reshape", [cells, shape], (batch, height * width * per_cell, values))

    def _joined(self, rows: Sequence[Value]) -> Value:
        batch, _, width = rows[0].shape
        return self._writer.node("Concat", rows, (batch, sum(each.shape[1] for each in rows), width), axis=1)

    def _relu6(self, features: Value) -> Value:
        return self._writer.node("Clip", [features, self._zero, self._six], features.shape)

    def _normalised(
        self, features: Value, conv: str, norm: str, *, epsilon: float = EPSILON, stride: int = 1, groups: int = 1
    ) -> Value:
        parts = [self._tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
        gamma, beta, mean, variance = parts
        weight = self._tensors[f"{conv}.weight"]
        weight, bias = folded_numbers(weight, np.zeros_like(gamma), gamma, beta, mean, variance, epsilon)
        return self._convolved(features, conv, weight, bias, stride=stride, groups=groups)

    def _convolved(
        self, features: Value, name: str, weight: Float32Array, bias: Float32Array, *, stride: int = 1, groups: int = 1
    ) -> Value:
        batch, _, *plane = features.shape
        sides = [same_padding(size, weight.shape[2], stride) for size in plane]
        pads = [before for before, _ in sides] + [after for _, after in sides]
        shape = (batch, len(weight), *(-(-size // stride) for size in plane))
        numbers = [self._writer.constant(weight, f"{name}.weight"), self._writer.constant(bias, f"{name}.bias")]
        attributes = {"strides": [stride, stride], "pads": pads, "group": groups}
        return self._writer.node("Conv", [features, *numbers], shape, name, **attributes)
