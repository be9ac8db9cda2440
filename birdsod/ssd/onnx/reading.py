"""An ``.onnx`` file of our own making, opened without trusting it."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, DatasetError
from birdsod.ssd._members import MOST_BYTES
from birdsod.ssd.detection import DetectionSettings
from birdsod.ssd.onnx.detecting import detects, without_detection
from birdsod.ssd.onnx.model_file import FORMAT, VERSION, ModelFacts, OnnxArtifact, anchors_of
from birdsod.ssd.onnx.outputs import ANCHORS, IMAGES, OFFSETS, PROBABILITIES
from birdsod.ssd.onnx.writer import require_onnx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnx import ModelProto

__all__ = ["OPERATORS", "read_onnx"]

OPERATORS = frozenset(
    [
        "Add",
        "ArgMax",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "DequantizeLinear",
        "Div",
        "Equal",
        "Exp",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "MaxPool",
        "Mul",
        "NonMaxSuppression",
        "Pad",
        "QuantizeLinear",
        "ReduceMax",
        "ReduceSumSquare",
        "Relu",
        "Reshape",
        "Resize",
        "ScatterND",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Sqrt",
        "Sub",
        "Tanh",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
"""What files of our making consist of; no other operator is run."""

_CURE = "open a model archive, or an .onnx file that birdsod wrote"
_LARGEST_IMAGE_SHAPE = 4096


def read_onnx(file: Path) -> OnnxArtifact:
    """Read an ``.onnx`` file that birdsod wrote, with or without suppression inside.

    Nothing beside the file is read, and only operators that birdsod writes are taken.

    Parameters
    ----------
    file : Path
        The file.

    Returns
    -------
    OnnxArtifact
        With the outputs that come before suppression, in either case.

    Raises
    ------
    ArtifactError
        If it is no ONNX file, is not of birdsod's making, or is malformed.
    MissingDependencyError
        If ``onnx`` is not installed.
    """
    require_onnx()
    if not file.is_file():
        raise ArtifactError("no such model", path=file)
    if file.stat().st_size > MOST_BYTES:
        raise ArtifactError(f"the file has more than {MOST_BYTES:,} bytes", path=file)
    try:
        return artifact_of_bytes(file.read_bytes())
    except ArtifactError as error:
        error.path = error.path or str(file)
        raise


def artifact_of_bytes(data: bytes) -> OnnxArtifact:
    """Return what the bytes of an ``.onnx`` file say."""
    model = _parsed(data)
    facts = _facts({each.key: each.value for each in model.metadata_props})
    _check_nodes(model)
    _check_whole(model)
    bare = without_detection(model) if detects(model) else model
    _check_ends(bare, facts)
    return OnnxArtifact(bare, facts)


def _parsed(data: bytes) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        cause = "a copy or download that broke off, or another kind of file"
        raise ArtifactError("the file is no ONNX model", value=str(error), cause=cause, cure="get it again") from error
    return model


def _facts(metadata: Mapping[str, str]) -> ModelFacts:
    if FORMAT not in metadata:
        cause = "another program wrote it, so that its anchors, classes and thresholds are not known"
        raise ArtifactError("this ONNX file is not of birdsod's making", cause=cause, cure=_CURE)
    if metadata[FORMAT] != VERSION:
        message = "the file has a format that this version does not know"
        raise ArtifactError(message, value=metadata[FORMAT], cure="install a newer birdsod")
    try:
        return ModelFacts(
            classes=ClassTable.from_json(_list(json.loads(metadata["classes"]))),
            settings=_settings(json.loads(metadata["settings"])),
            hyperparameters=_texts(json.loads(metadata["hyperparams"])),
            input_mean=_three(json.loads(metadata["input_mean"])),
            image_shape=_edge(metadata["image_shape"]),
        )
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError, DatasetError) as error:
        message = "the metadata of the file is malformed"
        raise ArtifactError(
            message, value=str(error), cause="another program changed it", cure="write it anew"
        ) from error


def _settings(values: Any) -> DetectionSettings:  # noqa: ANN401 - whatever JSON holds
    plain = DetectionSettings()
    kinds = {each.name: type(getattr(plain, each.name)) for each in fields(DetectionSettings)}
    if not isinstance(values, dict) or values.keys() != kinds.keys():
        raise ValueError("settings")
    read: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    read = {
        name: float(value) if kinds[name] is float and type(value) is int else value for name, value in read.items()
    }
    wrong = [name for name, value in read.items() if type(value) is not kinds[name]]
    numbers = [*read["variances"], read["threshold"], read["nms_threshold"]]
    if wrong or len(read["variances"]) != len(plain.variances) or not all(map(math.isfinite, numbers)):
        raise ValueError("settings")
    return DetectionSettings(**read)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("classes")
    return value


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError("hyperparams")
    return value


def _three(value: Any) -> tuple[float, float, float]:  # noqa: ANN401 - whatever JSON holds
    red, green, blue = map(float, value)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError("input_mean")
    return red, green, blue


def _edge(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _LARGEST_IMAGE_SHAPE:
        raise ValueError("image_shape")
    return int(text)


def _check_nodes(model: ModelProto) -> None:
    """Raise if the file names another file, or would run what birdsod does not write."""
    from onnx import AttributeProto, TensorProto

    strange = [node for node in model.graph.node if node.domain or node.op_type not in OPERATORS]
    if strange or model.functions:
        found = strange[0].op_type if strange else "a function"
        raise ArtifactError("the model has an operator that birdsod does not write", value=found, cure=_CURE)
    kinds = {each.type for node in model.graph.node for each in node.attribute}
    plain = {AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOAT, AttributeProto.STRING}
    if not kinds <= plain or model.graph.sparse_initializer:
        raise ArtifactError("the model has an attribute that birdsod does not write", cure=_CURE)
    if any(each.data_location == TensorProto.EXTERNAL or each.external_data for each in model.graph.initializer):
        raise ArtifactError("the model keeps its numbers in another file", cure="write it as one file")


def _check_whole(model: ModelProto) -> None:
    from onnx import checker

    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        cause = str(error).strip().splitlines()[0]
        raise ArtifactError("the file is no valid ONNX model", cause=cause, cure="write it anew") from error


def _check_ends(model: ModelProto, facts: ModelFacts) -> None:
    """Raise if inputs, outputs and anchors are not those of the detector that the metadata tells of."""
    edge, classes = facts.image_shape, len(facts.classes)
    try:
        anchors = anchors_of(model)
        count = len(anchors)
        given = {each.name: _dimensions(each) for each in model.graph.input}
        made = {each.name: _dimensions(each) for each in model.graph.output}
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ArtifactError("the model has no anchors", cure=_CURE) from error
    wanted = {PROBABILITIES: [0, classes + 1, count], OFFSETS: [0, 4 * count], ANCHORS: [count, 4]}
    if given != {IMAGES: [0, 3, edge, edge]} or made != wanted or not np.isfinite(anchors).all():
        message = "inputs and outputs of the model are not those that its metadata tells"
        raise ArtifactError(message, value={**given, **made}, cause="another program changed it", cure="write it anew")


def _dimensions(info: Any) -> list[int]:  # noqa: ANN401 - a message of protobuf
    return [each.dim_value for each in info.type.tensor_type.shape.dim]
