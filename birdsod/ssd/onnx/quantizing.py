"""A model of ONNX with whole numbers of eight bits in place of floating point, in standard operators."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsod.errors import ArtifactError, MissingDependencyError
from birdsod.ssd.onnx.model_file import OnnxArtifact
from birdsod.ssd.onnx.normalising import with_depthwise_norms
from birdsod.ssd.onnx.outputs import IMAGES, OFFSETS, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt
    from onnx import GraphProto, ModelProto, NodeProto

    Float32Array = npt.NDArray[np.float32]

__all__ = ["quantized"]

_TYPES = ["Add", "Clip", "Conv", "MaxPool", "Relu"]
_PREPARED = "onnx.quant.pre_process", "onnxruntime.quant"
_PRECISION = "precision"


def quantized(artifact: OnnxArtifact, batches: Iterable[Float32Array]) -> OnnxArtifact:
    """Return the model with convolutions that compute with whole numbers of eight bits.

    The range of each map is measured on the batches, its least and greatest number; weights have a scale for each
    channel. The first convolution and the heads, which write scores and offsets, stay as they are.

    Parameters
    ----------
    artifact : OnnxArtifact
        Of 32-bit floating point; it is left as it is.
    batches : iterable of ndarray of float32
        The network's own input, ``(B, 3, image_shape, image_shape)``; one batch is in memory at a time.

    Returns
    -------
    OnnxArtifact

    Raises
    ------
    ArtifactError
        If it computes with eight bits already.
    MissingDependencyError
        If ``onnxruntime`` is not installed.

    Source
    ------
    ``onnxruntime.quantization``, ``quantize_static``.
    """
    if artifact.precision != "float32":
        cure = "quantize the model that it was made from"
        raise ArtifactError("the model is quantized already", value=artifact.precision, cure=cure)
    from onnx import ModelProto, helper

    made = ModelProto()
    made.CopyFrom(artifact.model)
    made.graph.CopyFrom(_quantized_graph(with_depthwise_norms(artifact.model), batches))
    helper.set_model_props(made, {**artifact.facts.to_metadata(), _PRECISION: "int8"})
    return OnnxArtifact(made, artifact.facts)


def _quantized_graph(model: ModelProto, batches: Iterable[Float32Array]) -> GraphProto:
    from onnx import load

    tool = _tool()
    entry = model.metadata_props.add()
    entry.key, entry.value = _PREPARED
    with tempfile.TemporaryDirectory(prefix="birdsod-") as folder:
        target = Path(folder, "quantized.onnx")
        tool.quantize_static(
            model,
            target,
            _Reader(batches),
            quant_format=tool.QuantFormat.QDQ,
            op_types_to_quantize=_TYPES,
            nodes_to_exclude=_left_as_they_are(model.graph),
            per_channel=True,
            # Products of whole eight bits overflow the sixteen that processors without VNNI add them up in.
            reduce_range=True,
            activation_type=tool.QuantType.QUInt8,
            weight_type=tool.QuantType.QInt8,
        )
        graph: GraphProto = load(target).graph
    return graph


def _tool() -> Any:  # noqa: ANN401 - ONNX Runtime ships no types
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingDependencyError("onnxruntime is not installed", cure="pip install 'birdsod[serve]'") from error
    return quantization


class _Reader:
    """What ONNX Runtime asks for batches until there is none."""

    def __init__(self, batches: Iterable[Float32Array]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, Float32Array] | None:
        batch = next(self._left, None)
        return None if batch is None else {IMAGES: batch}


def _left_as_they_are(graph: GraphProto) -> list[str]:
    """Return the names of the first convolution, which sees pixels, and of the last before scores and offsets."""
    makers = {output: node for node in graph.node for output in node.output}
    heads: dict[str, None] = {}
    for output in (PROBABILITIES, OFFSETS):
        _collect_heads(makers, output, heads)
    return [next(node.name for node in graph.node if node.op_type == "Conv"), *heads]


def _collect_heads(makers: dict[str, NodeProto], value: str, heads: dict[str, None]) -> None:
    node = makers.get(value)
    if node is None:
        return
    if node.op_type == "Conv":
        heads[node.name] = None
        return
    for source in node.input:
        _collect_heads(makers, source, heads)
