"""One ``.onnx`` file as a whole model: the network, and in its metadata all that detection needs besides."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from birdsod.ssd.onnx.outputs import ANCHORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from onnx import GraphProto, ModelProto

    from birdsod.classes import ClassTable
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.detection import DetectionSettings

__all__ = ["FORMAT", "OPSET", "VERSION", "ModelFacts", "OnnxArtifact", "anchors_of", "model_of"]

OPSET = 13
"""Old enough for every runtime that is about, and the first with the softmax that a detector needs."""

FORMAT = "birdsod_format"
"""The metadata that tells that a file is of our making."""

VERSION = "1"
_IR_VERSION = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a model is besides its network.

    Parameters
    ----------
    classes : ClassTable
        What the class ids stand for.
    settings : DetectionSettings
        Thresholds and limits of detection.
    hyperparameters : mapping of str to str
        What it was trained with, as text; empty where that is not known.
    input_mean : tuple of float
        What is subtracted from red, green and blue before the network.
    image_shape : int
        Edge of the square images in pixels.
    """

    classes: ClassTable
    settings: DetectionSettings
    hyperparameters: Mapping[str, str]
    input_mean: tuple[float, float, float]
    image_shape: int

    @property
    def parameters(self) -> Hyperparameters | None:
        """The hyperparameters, typed and checked; none where there are none, or others than the algorithm's."""
        from birdsod.errors import HyperparameterError
        from birdsod.hyperparameters import Hyperparameters

        try:
            return Hyperparameters.from_request(self.hyperparameters)
        except HyperparameterError:
            return None

    def to_metadata(self) -> dict[str, str]:
        """Return the texts that stand in a file."""
        return {
            FORMAT: VERSION,
            "classes": _json(self.classes.to_json()),
            "hyperparams": _json(dict(self.hyperparameters)),
            "image_shape": str(self.image_shape),
            "input_mean": _json(self.input_mean),
            "settings": _json(asdict(self.settings)),
        }


@dataclass(frozen=True, slots=True, eq=False)
class OnnxArtifact:
    """A model as ONNX.

    Parameters
    ----------
    model : onnx.ModelProto
        With the outputs ``probabilities``, ``offsets`` and ``anchors``, and the facts in its metadata.
    facts : ModelFacts
        What it is besides its network.
    """

    model: ModelProto
    facts: ModelFacts

    @property
    def precision(self) -> Literal["float32", "int8"]:
        """What most convolutions compute with."""
        return "int8" if any(node.op_type == "QuantizeLinear" for node in self.model.graph.node) else "float32"


def model_of(graph: GraphProto, facts: ModelFacts) -> OnnxArtifact:
    """Return a graph as a whole model, checked by ``onnx.checker``."""
    from onnx import checker, helper

    from birdsod import __version__

    model = helper.make_model(
        graph,
        producer_name="birdsod",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(model, facts.to_metadata())
    checker.check_model(model)
    return OnnxArtifact(model, facts)


def anchors_of(model: ModelProto) -> npt.NDArray[np.float32]:
    """Return the anchors, relative corners ``(N, 4)``.

    Raises
    ------
    KeyError
        If the model has no such output, or it depends on the images.
    """
    from onnx import numpy_helper

    sources = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
    tables = {each.name: each for each in model.graph.initializer}
    return np.array(numpy_helper.to_array(tables[sources[ANCHORS]]), dtype=np.float32)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
