"""Decoding and non-maximum suppression as nodes of ONNX, so that a model answers with boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod.ssd.onnx.outputs import ANCHORS, DETECTIONS, OFFSETS, PROBABILITIES
from birdsod.ssd.onnx.writer import GraphWriter, Value

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from birdsod.ssd.detection import DetectionSettings
    from birdsod.ssd.onnx.model_file import OnnxArtifact

__all__ = ["detects", "with_detection", "without_detection"]

_PREFIX = "detection/"


def with_detection(artifact: OnnxArtifact) -> ModelProto:
    """Return the model with one output, ``detections``, as MXNet's ``MultiBoxDetection`` computes it.

    The rows are the first of what :func:`multibox_detection` returns: as many as ``nms_topk`` says, or all.

    Parameters
    ----------
    artifact : OnnxArtifact
        It is left as it is.

    Returns
    -------
    onnx.ModelProto
    """
    from onnx import ModelProto

    model = ModelProto()
    model.CopyFrom(artifact.model)
    graph, shapes = model.graph, _shapes(model.graph)
    made = _Detection(artifact.facts.settings, artifact.facts.image_shape, shapes).graph()
    graph.node.extend(made.node)
    graph.initializer.extend(made.initializer)
    graph.value_info.extend(graph.output)
    del graph.output[:]
    graph.output.extend(made.output)
    return model


def detects(model: ModelProto) -> bool:
    """Tell whether a model answers with boxes."""
    return [each.name for each in model.graph.output] == [DETECTIONS]


def without_detection(model: ModelProto) -> ModelProto:
    """Return a model that answered with boxes as one that answers with probabilities, offsets and anchors."""
    from onnx import ModelProto, TensorProto, helper

    bare = ModelProto()
    bare.CopyFrom(model)
    graph = bare.graph
    kept = [node for node in graph.node if not node.name.startswith(_PREFIX) and DETECTIONS not in node.output]
    numbers = [each for each in graph.initializer if not each.name.startswith(_PREFIX)]
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(kept)
    graph.initializer.extend(numbers)
    infos = {each.name: each for each in graph.value_info}
    for name in (PROBABILITIES, OFFSETS, ANCHORS):
        graph.output.append(infos.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    del graph.value_info[:]
    return bare


def _shapes(graph: GraphProto) -> dict[str, tuple[int, ...]]:
    dimensions = {each.name: each.type.tensor_type.shape.dim for each in graph.output}
    return {name: tuple(each.dim_value or 1 for each in dims) for name, dims in dimensions.items()}


class _Detection:
    """The nodes while they are written. Comparisons are made so that they hold for equal numbers, as MXNet's do."""

    def __init__(self, settings: DetectionSettings, image_shape: int, shapes: dict[str, tuple[int, ...]]) -> None:
        self._writer = GraphWriter(image_shape, _PREFIX)
        self._settings = settings
        self._inputs = {name: Value(name, shape) for name, shape in shapes.items()}
        self._count, topk = shapes[ANCHORS][0], settings.nms_topk
        self._suppresses = 0 < settings.nms_threshold <= 1
        self._kept = min(topk, self._count) if topk > 0 and self._suppresses else self._count
        self._classes = shapes[PROBABILITIES][1] - 1
        self._nothing = self._number(-1, "nothing")

    def graph(self) -> GraphProto:
        classes, scores, boxes = self._candidates()
        enough = self._node("GreaterOrEqual", [scores, self._number(self._settings.threshold, "threshold")], scores)
        scores = self._node("Where", [enough, scores, self._nothing], scores, "scores")
        spared = self._spared(classes, scores, boxes) if self._suppresses else enough
        classes = self._node("Where", [spared, classes, self._nothing], classes, "classes")
        column = Value("", (1, self._kept, 1))
        parts = [self._unsqueezed(each, 2, column) for each in (classes, scores)]
        whole = Value("", (1, self._kept, 4))
        some = self._unsqueezed(enough, 2, column)
        parts.append(self._node("Where", [some, boxes, self._nothing], whole, "boxes"))
        rows = self._node("Concat", parts, Value("", (1, self._kept, 6)), "rows", axis=2)
        return self._writer.graph({DETECTIONS: rows})

    def _candidates(self) -> tuple[Value, Value, Value]:
        """Return class, score and box of the anchors that are looked at, best first, ``(B, K)`` and ``(B, K, 4)``."""
        all_classes, all_scores = self._best()
        rows = Value("", (1, self._kept))
        count = self._whole([self._kept], "count")
        scores, places = self._writer.pair("TopK", [all_scores, count], rows.shape, axis=1, largest=1, sorted=1)
        classes = self._node("GatherElements", [all_classes, places], rows, "class_of_best", axis=1)
        index = self._unsqueezed(places, 2, Value("", (1, self._kept, 1)))
        boxes = self._node("GatherND", [self._decoded(), index], Value("", (1, self._kept, 4)), batch_dims=1)
        return classes, scores, boxes

    def _best(self) -> tuple[Value, Value]:
        """Return the best class and its score for each anchor, ``(B, N)``."""
        limits = [self._whole([end], name) for end, name in ((1, "behind_background"), (1 << 30, "last"), (1, "axis"))]
        shown = Value("", (1, self._classes, self._count))
        scores = self._node("Slice", [self._inputs[PROBABILITIES], *limits], shown, "foreground")
        row = Value("", (1, self._count))
        best = self._node("ArgMax", [scores], row, "best", axis=1, keepdims=0)
        top = self._node("ReduceMax", [scores], row, "top", axes=[1], keepdims=0)
        return self._node("Cast", [best], row, "best_as_number", to=1), top

    def _decoded(self) -> Value:
        """Return the boxes of all anchors, ``(B, N, 4)``, as :func:`birdsod.ssd.detection.decode` does."""
        anchors, variances = self._inputs[ANCHORS], self._settings.variances
        first, second = self._halves(anchors, 1, Value("", (self._count, 2)))
        extent = self._node("Sub", [second, first], first, "extent")
        middle = self._node("Mul", [self._node("Add", [first, second], first), self._number(0.5, "half")], first)
        shape = self._whole([0, -1, 4], "offsets_shape")
        table = Value("", (1, self._count, 4))
        offsets = self._node("Reshape", [self._inputs[OFFSETS], shape], table, "rows_of_offsets")
        factors = self._writer.constant(np.asarray(variances, np.float32), "variances")
        moves, growth = self._halves(self._node("Mul", [offsets, factors], table), 2, Value("", (1, self._count, 2)))
        centre = self._node("Add", [self._node("Mul", [moves, extent], moves), middle], moves, "centre")
        grown = self._node("Mul", [self._node("Exp", [growth], growth), extent], growth)
        reach = self._node("Mul", [grown, self._number(0.5, "half")], growth, "reach")
        corners = [self._node(op, [centre, reach], centre) for op in ("Sub", "Add")]
        boxes = self._node("Concat", corners, table, "corners", axis=2)
        edges = [self._number(0, "zero"), self._number(1, "one")]
        return self._node("Clip", [boxes, *edges], table, "clipped") if self._settings.clip else boxes

    def _spared(self, classes: Value, scores: Value, boxes: Value) -> Value:
        """Return whether the suppression spares each candidate, ``(B, K)``."""
        by_class = self._unsqueezed(scores, 1, Value("", (1, 1, self._kept)))
        if not self._settings.force_suppress:
            numbers = np.arange(self._classes, dtype=np.float32)[:, None]
            own = self._unsqueezed(classes, 1, by_class)
            wide = Value("", (1, self._classes, self._kept))
            mine = self._node("Equal", [own, self._writer.constant(numbers, "class_numbers")], wide)
            others = self._number(-np.inf, "others")
            by_class = self._node("Where", [mine, by_class, others], wide, "scores_by_class")
        limits = [_just_below(self._settings.nms_threshold), _just_below(self._settings.threshold)]
        most = self._whole([self._kept], "most")
        given = [boxes, by_class, most, *(self._writer.constant(each, "limit") for each in limits)]
        selected = self._node("NonMaxSuppression", given, Value("", (self._kept, 3)), "selected")
        columns = self._whole([0, 2], "image_and_place")
        places = self._node("Gather", [selected, columns], Value("", (self._kept, 2)), axis=1)
        # Nothing is less than itself, and everything is equal to itself: rows of no and of yes, as many as there are.
        no = self._node("Less", [scores, scores], scores, "no")
        yes = self._node("Equal", [self._first(places), self._first(places)], Value("", (self._kept,)), "yes")
        return self._node("ScatterND", [no, places, yes], scores, "spared")

    def _first(self, places: Value) -> Value:
        column = self._writer.constant(np.int64(0), "column")
        return self._node("Gather", [places, column], Value("", (self._kept,)), axis=1)

    def _halves(self, table: Value, axis: int, half: Value) -> list[Value]:
        axes = self._whole([axis], "along")
        return [
            self._node("Slice", [table, self._whole([begin], "begin"), self._whole([begin + 2], "end"), axes], half)
            for begin in (0, 2)
        ]

    def _unsqueezed(self, value: Value, axis: int, like: Value) -> Value:
        return self._node("Unsqueeze", [value, self._whole([axis], "new_axis")], like)

    def _number(self, value: float, name: str) -> Value:
        return self._writer.constant(np.float32(value), name)

    def _whole(self, values: list[int], name: str) -> Value:
        return self._writer.constant(np.array(values, np.int64), name)

    def _node(self, op: str, inputs: list[Value], like: Value, name: str = "", **attributes: object) -> Value:
        return self._writer.node(op, inputs, like.shape, name, **attributes)


def _just_below(limit: float) -> np.float32:
    """Return the number right below: what is more than that is as much as the limit, or more."""
    # Numbers nearer to zero than the smallest normal one may be taken for zero.
    smallest = np.finfo(np.float32).tiny
    return -smallest if limit == 0 else np.nextafter(np.float32(limit), np.float32(-np.inf))
