"""The local engine's detector: anchors, matching, network, loss, detection, loading, training, archives.

Nothing here loads torch before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.ssd.artifact import Artifact, read_artifact, save_artifact
    from birdsod.ssd.augmentation import Augmentation
    from birdsod.ssd.batch_form import BatchForm
    from birdsod.ssd.conversion import convert
    from birdsod.ssd.detection_loader import DetectionBatch, DetectionLoader
    from birdsod.ssd.loading import load_model
    from birdsod.ssd.model import Model
    from birdsod.ssd.mxnet_writing import save_mxnet_artifact
    from birdsod.ssd.options import LocalOptions
    from birdsod.ssd.quantization import quantize

__all__ = [
    "Artifact",
    "Augmentation",
    "BatchForm",
    "DetectionBatch",
    "DetectionLoader",
    "LocalOptions",
    "Model",
    "convert",
    "load_model",
    "quantize",
    "read_artifact",
    "save_artifact",
    "save_mxnet_artifact",
]

# name -> module of this package that holds it
_HOME = {
    "Artifact": "artifact",
    "Augmentation": "augmentation",
    "BatchForm": "batch_form",
    "DetectionBatch": "detection_loader",
    "DetectionLoader": "detection_loader",
    "LocalOptions": "options",
    "Model": "model",
    "convert": "conversion",
    "load_model": "loading",
    "quantize": "quantization",
    "read_artifact": "artifact",
    "save_artifact": "artifact",
    "save_mxnet_artifact": "mxnet_writing",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
