"""The network that a base network's name stands for."""

from __future__ import annotations

from birdsod.errors import HyperparameterError
from birdsod.ssd.efficientnet import EfficientNetLite0
from birdsod.ssd.fusing import channels_last
from birdsod.ssd.network import SSD
from birdsod.ssd.weights import load_efficientnet_lite0

__all__ = ["build_network"]

_SMALLEST_IMAGE = 32


def build_network(base_network: str, *, num_classes: int, image_shape: int, pretrained: bool = True) -> SSD:
    """Return the network for a base, ready to be trained or to be given weights.

    Parameters
    ----------
    base_network : str
        ``efficientnet-lite0``.
    num_classes : int
        Classes, background not counted.
    image_shape : int
        Edge of the square images in pixels.
    pretrained : bool, default True
        Start the base from its ImageNet weights.

    Returns
    -------
    SSD
        In channels-last memory format. New parameters are drawn from torch's global generator: seed it first.

    Raises
    ------
    HyperparameterError
        If the base network is unknown here, or a number is out of range.
    MissingDependencyError, ArtifactError
        If the ImageNet weights are missing or not the published ones.

    Examples
    --------
    >>> network = build_network("efficientnet-lite0", num_classes=5, image_shape=300, pretrained=False)
    >>> network.image_shape
    300
    """
    if base_network != "efficientnet-lite0":
        message = "the local engine cannot build this base network"
        raise HyperparameterError(message, value=base_network, cure="use base_network='efficientnet-lite0'")
    if num_classes < 1:
        raise HyperparameterError("a detector needs at least one class", value=num_classes)
    if image_shape < _SMALLEST_IMAGE:
        raise HyperparameterError(f"images need at least {_SMALLEST_IMAGE} pixels a side", value=image_shape)
    base = EfficientNetLite0()
    if pretrained:
        load_efficientnet_lite0(base)
    network = SSD(base, num_classes=num_classes, image_shape=image_shape)
    return channels_last(network)
