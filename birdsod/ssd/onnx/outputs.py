"""What a detector's graph takes and gives, and the names of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from onnx import GraphProto

    from birdsod.ssd.onnx.writer import GraphWriter, Value

__all__ = ["ANCHORS", "DETECTIONS", "IMAGES", "OFFSETS", "PROBABILITIES", "RESERVED", "detector_graph"]

IMAGES = "images"
"""RGB from 0 to 255, float32 ``(B, 3, edge, edge)``; less the model's mean."""

PROBABILITIES = "probabilities"
"""Class probabilities, background first, ``(B, classes + 1, N)``."""

OFFSETS = "offsets"
"""Offsets from the anchors, ``(B, 4 * N)``."""

ANCHORS = "anchors"
"""Relative corners, ``(N, 4)``."""

DETECTIONS = "detections"
"""Rows class, score, xmin, ymin, xmax, ymax, ``(B, K, 6)``; class -1 is no detection."""

RESERVED = frozenset({IMAGES, PROBABILITIES, OFFSETS, ANCHORS, DETECTIONS})
"""Names that nothing else in a graph may have."""


def detector_graph(
    writer: GraphWriter, probabilities: Value, offsets: Value, anchors: npt.NDArray[np.float32]
) -> GraphProto:
    """Return the written graph with the outputs of a detector."""
    table = writer.constant(anchors, "anchor_table")
    return writer.graph({PROBABILITIES: probabilities, OFFSETS: offsets, ANCHORS: table})
