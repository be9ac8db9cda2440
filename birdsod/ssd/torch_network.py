"""A detector run by PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from birdsod.ssd.building import build_network
from birdsod.ssd.fusing import fuse
from birdsod.ssd.weight_shapes import check_shapes

if TYPE_CHECKING:
    import os

    import numpy as np
    import numpy.typing as npt

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.artifact import Artifact
    from birdsod.ssd.building import AnyNetwork

    Float32Array = npt.NDArray[np.float32]

__all__ = ["TorchNetwork", "network_of"]


class _Answering(Protocol):
    """What our own networks and those that MXNet saved have in common."""

    @property
    def image_shape(self) -> int: ...
    @property
    def anchors(self) -> torch.Tensor: ...
    def answer(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


class TorchNetwork:
    """A detector run by PyTorch, with arrays in and arrays out. It may be used from several threads at once.

    Parameters
    ----------
    network : SSD, TwinNetwork or GraphNetwork
        For inference, on the device where it is to run.
    """

    def __init__(self, network: _Answering) -> None:
        self._network = network
        self._anchors: Float32Array = network.anchors.cpu().numpy()

    @property
    def image_shape(self) -> int:
        """Edge in pixels of the square images."""
        return self._network.image_shape

    @property
    def anchors(self) -> Float32Array:
        """Relative corners, ``(N, 4)``."""
        return self._anchors

    def answer(self, images: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return class probabilities ``(B, classes + 1, N)`` and offsets ``(B, 4 * N)``.

        Parameters
        ----------
        images : ndarray of float32
            The network's own input, ``(B, 3, image_shape, image_shape)``.
        """
        with torch.inference_mode():
            probabilities, offsets = self._network.answer(torch.from_numpy(images).to(self._network.anchors.device))
            return probabilities.cpu().numpy(), offsets.cpu().numpy()


def network_of(artifact: Artifact, params: Hyperparameters, path: str | os.PathLike[str]) -> AnyNetwork:
    """Return the network of an archive of our own, for inference.

    Raises
    ------
    ArtifactError
        If the weights do not fit it.
    """
    shape = {"num_classes": params.num_classes, "image_shape": params.image_shape}
    # The weights that it begins with are of no use here, and must not use up the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        network = build_network(params.base_network, pretrained=False, **shape)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_shapes(wanted, {name: values.shape for name, values in artifact.tensors.items()}, path)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in artifact.tensors.items()})
    return fuse(network)
