"""The running mean of a network's weights, which detects better than the last of them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from birdsod.ssd.building import AnyNetwork

__all__ = ["Average"]


class Average:
    """A running mean of a network's weights and statistics, itself a network.

    Parameters
    ----------
    network : AnyNetwork
        The network that is trained.
    decay : float
        Share of the mean that each update keeps; less at the start, where the mean would be of nothing.
    """

    def __init__(self, network: AnyNetwork, decay: float) -> None:
        self.network: AnyNetwork = copy.deepcopy(network)
        self.network.eval()
        self._decay = decay
        learning = {name for name, each in network.named_parameters() if each.requires_grad}
        frozen = {name for name, _ in network.named_parameters()} - learning
        self._names = [name for name in network.state_dict() if name not in frozen]

    @torch.no_grad()
    def follow(self, network: nn.Module, updates: int) -> None:
        """Take in the weights after an update.

        Parameters
        ----------
        network : torch.nn.Module
            The network that is trained.
        updates : int
            Updates done so far.
        """
        keep = min(self._decay, (1 + updates) / (10 + updates))
        latest, mean = network.state_dict(), self.network.state_dict()
        for name in self._names:
            if mean[name].is_floating_point():
                mean[name].lerp_(latest[name], 1 - keep)
            else:
                mean[name].copy_(latest[name])
