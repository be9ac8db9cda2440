"""The network that a base network's name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast, overload

from birdsod.errors import HyperparameterError
from birdsod.mxnet import ssd_graph
from birdsod.ssd.efficientnet import EfficientNetLite0
from birdsod.ssd.fusing import channels_last
from birdsod.ssd.network import SSD
from birdsod.ssd.shared_norm import share_norms
from birdsod.ssd.twin import TwinNetwork
from birdsod.ssd.weights import TWINS, load_efficientnet_lite0, no_imagenet_weights

if TYPE_CHECKING:
    from birdsod.mxnet._ssd_graphs import BaseNetwork
    from birdsod.ssd.team import Team

__all__ = ["AnyNetwork", "build_network", "share_batch"]

AnyNetwork = SSD | TwinNetwork
"""A network that a run trains and a model runs."""

_SMALLEST_IMAGE = 32


@overload
def build_network(
    base_network: Literal["efficientnet-lite0"], *, num_classes: int, image_shape: int, pretrained: bool = True
) -> SSD: ...
@overload
def build_network(
    base_network: BaseNetwork, *, num_classes: int, image_shape: int, pretrained: bool = True
) -> TwinNetwork: ...
@overload
def build_network(base_network: str, *, num_classes: int, image_shape: int, pretrained: bool = True) -> AnyNetwork: ...
def build_network(base_network: str, *, num_classes: int, image_shape: int, pretrained: bool = True) -> AnyNetwork:
    """Return the network for a base, ready to be trained or to be given weights.

    Parameters
    ----------
    base_network : str
        ``efficientnet-lite0``, or one of the built-in algorithm's own: ``resnet-50`` or ``vgg-16``.
    num_classes : int
        Classes, background not counted.
    image_shape : int
        Edge of the square images in pixels.
    pretrained : bool, default True
        Start the base from the ImageNet weights that are installed; there are none for the built-in algorithm's.

    Returns
    -------
    SSD or TwinNetwork
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
    if num_classes < 1:
        raise HyperparameterError("a detector needs at least one class", value=num_classes)
    if image_shape < _SMALLEST_IMAGE:
        raise HyperparameterError(f"images need at least {_SMALLEST_IMAGE} pixels a side", value=image_shape)
    if base_network in TWINS:
        if pretrained:
            raise no_imagenet_weights(base_network)
        graph = ssd_graph(cast("BaseNetwork", base_network), num_classes=num_classes, image_shape=image_shape)
        return channels_last(TwinNetwork(graph, image_shape=image_shape))
    if base_network != "efficientnet-lite0":
        message = "the local engine cannot build this base network"
        cure = "use base_network='efficientnet-lite0', 'resnet-50' or 'vgg-16'"
        raise HyperparameterError(message, value=base_network, cure=cure)
    base = EfficientNetLite0()
    if pretrained:
        load_efficientnet_lite0(base)
    return channels_last(SSD(base, num_classes=num_classes, image_shape=image_shape))


def share_batch(network: AnyNetwork, team: Team) -> None:
    """Make a network ready to be trained by several processes, each of which has a part of every batch.

    Parameters
    ----------
    network : SSD or TwinNetwork
        It is given the weights of the process that leads, and normalises by the statistics of whole batches.
    team : Team
        The processes; nothing happens where there is one.
    """
    if team.size == 1:
        return
    team.follow(network.state_dict().values())
    if isinstance(network, TwinNetwork):
        network.team = team
    else:
        share_norms(network, team)
