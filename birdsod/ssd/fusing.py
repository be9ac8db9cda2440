"""A copy of the network for inference, with every batch normalisation inside its convolution."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["channels_last", "fuse"]

Network = TypeVar("Network", bound=nn.Module)

_PAIRS = (
    ("conv", "norm"),
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)


def fuse(network: Network) -> Network:
    """Return a copy for inference in which every batch normalisation is part of its convolution.

    Parameters
    ----------
    network : SSD or TwinNetwork
        It is left as it is.

    Returns
    -------
    SSD or TwinNetwork
        In evaluation mode, without gradients; answers the same up to rounding, faster.
    """
    fused = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    for module in fused.modules():
        for conv_name, norm_name in _PAIRS:
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    return channels_last(fused.eval())


def channels_last(network: Network) -> Network:
    """Lay the weights out as convolutions on a CPU like them best; the numbers stay the same."""
    for parameter in network.parameters():
        if parameter.dim() == 4:  # noqa: PLR2004 - a convolution's weight
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
