"""A detector that MXNet saved, run as its graph says: nothing about it is assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from birdsod.ssd.graph_detector import GraphDetector, array_of, check_outputs
from birdsod.ssd.graph_operators import compute
from birdsod.ssd.mxnet_artifact import mean_seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from birdsod.mxnet import Graph, SparseArray
    from birdsod.ssd.detection import DetectionSettings

    Arrays = Mapping[str, npt.NDArray[np.generic] | SparseArray]

__all__ = ["GraphNetwork", "tensor_of"]


class GraphNetwork(nn.Module):
    """A detector that MXNet saved, for inference.

    Parameters
    ----------
    graph : Graph
        Of training or of deployment: what detection does not need is passed over.
    arrays : mapping of str to ndarray
        Its parameters, as :func:`birdsod.mxnet.read_params` returns them.
    image_shape : int
        Edge of the square images in pixels.
    input_mean : tuple of float, optional
        What was subtracted from red, green and blue in training, where that is known.

    Attributes
    ----------
    settings : DetectionSettings
        Thresholds and limits of detection, read from the graph.
    input_mean : tuple of float
        What is subtracted from red, green and blue before the network: what was told; else nothing, or ImageNet's
        mean where the network's own statistics say that it was trained without it.
    num_classes : int
        Classes, background not counted.

    Raises
    ------
    ArtifactError
        If it is no detector, an operator is not known, or the parameters do not fit; the node is named.
    """

    anchors: torch.Tensor

    def __init__(
        self, graph: Graph, arrays: Arrays, *, image_shape: int, input_mean: tuple[float, float, float] | None = None
    ) -> None:
        super().__init__()
        detector = GraphDetector.of(graph, arrays)
        self.image_shape = image_shape
        self.settings: DetectionSettings = detector.settings
        self.input_mean: tuple[float, float, float] = input_mean or mean_seen(arrays)
        self._program, self._data = detector.program, detector.data
        for name, array in detector.arrays.items():
            self.register_buffer(_buffer(name), torch.from_numpy(array))
        # Run once: what does not fit together shows now, and the graph alone knows the shapes.
        probabilities, offsets, anchors = self._run(torch.zeros(1, 3, image_shape, image_shape))
        check_outputs(probabilities.shape, offsets.shape, anchors.shape)
        self.num_classes: int = probabilities.shape[1] - 1
        self.register_buffer("anchors", anchors.reshape(-1, 4))

    def answer(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class probabilities and box offsets of every anchor.

        Parameters
        ----------
        images : Tensor
            The network's own input, float32 ``(B, 3, image_shape, image_shape)``.

        Returns
        -------
        probabilities : Tensor
            Background first, ``(B, num_classes + 1, N)``.
        offsets : Tensor
            ``(B, 4 * N)``.
        """
        probabilities, offsets, _ = self._run(images)
        return probabilities, offsets

    @torch.inference_mode()
    def _run(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self._program.run(
            dict.fromkeys(self._data, images), lambda name: self.get_buffer(_buffer(name)), compute
        )


def tensor_of(name: str, array: npt.NDArray[np.generic] | SparseArray) -> torch.Tensor:
    """Return a parameter as a tensor of float32.

    Raises
    ------
    ArtifactError
        If it is larger than any of a detector, or not finite.
    """
    return torch.from_numpy(array_of(name, array))


def _buffer(name: str) -> str:
    return f"parameter {name}".replace(".", "·")
