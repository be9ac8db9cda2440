"""Batch normalisation by the statistics of the whole batch, where several processes have a part of it each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from birdsod.ssd.team import Team

__all__ = ["Normalised", "SharedNorm", "share_norms", "whole_batch_norm"]

_AXES = (0, 2, 3)


class Normalised(NamedTuple):
    """A normalised map, and the statistics that it was normalised by.

    Parameters
    ----------
    data : Tensor
        This process's part of the map, ``(B, C, H, W)``.
    mean, variance : Tensor
        Of the whole batch, ``(C,)`` float32; the variance is divided by the count itself.
    numbers : Tensor
        How many there are of a channel in the whole batch, a scalar.
    """

    data: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    numbers: torch.Tensor


def whole_batch_norm(
    data: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, eps: float, team: Team
) -> Normalised:
    """Normalise a map by mean and variance of the whole batch, with the gradients of the whole batch.

    PyTorch's own ``SyncBatchNorm`` does so on graphics processors alone.

    Parameters
    ----------
    data : Tensor
        This process's part, ``(B, C, H, W)``.
    weight, bias : Tensor
        Of the channels. Their gradients are those of this part; those of all parts add up to that of the whole.
    eps : float
        Added to the variance.
    team : Team
        The processes that have the other parts.

    Returns
    -------
    Normalised

    Source
    ------
    Ioffe and Szegedy, "Batch Normalization" (2015); for the variance of parts, Chan et al., "Updating Formulae and a
    Pairwise Algorithm for Computing Sample Variances" (1979).
    """
    mean, variance, count = _statistics(data.detach(), team)
    made: torch.Tensor = _WholeBatchNorm.apply(data, weight, bias, (mean, variance, count, eps, team))  # type: ignore[no-untyped-call] # PyTorch's
    return Normalised(made, mean, variance, count)


def _statistics(data: torch.Tensor, team: Team) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    own = data.numel() // data.shape[1]
    variance, mean = torch.var_mean(data.float(), _AXES, correction=0)
    sums = team.total(torch.cat([mean, mean.new_ones(1)]) * own)
    count, whole = sums[-1], sums[:-1] / sums[-1]
    return whole, team.total((variance + (mean - whole).square()) * own) / count, count


class _WholeBatchNorm(torch.autograd.Function):
    """What PyTorch cannot derive by itself: a map's gradient depends on the other processes' maps."""

    @staticmethod
    def forward(ctx: Any, data: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, how: Any) -> torch.Tensor:  # noqa: ANN401 - as PyTorch calls it
        mean, variance, ctx.count, ctx.eps, ctx.team = how
        ctx.save_for_backward(data, weight, mean, variance)
        return functional.batch_norm(data, mean, variance, weight, bias, training=False, eps=ctx.eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401 - as PyTorch calls it
        data, weight, mean, variance = ctx.saved_tensors
        gradient, centred = gradients[0].float(), data.float() - mean[:, None, None]
        inverse = torch.rsqrt(variance + ctx.eps)
        own = torch.stack([gradient.sum(_AXES), (gradient * centred).sum(_AXES)])
        shift, tilt = ctx.team.total(own) / ctx.count
        of_data = gradient - shift[:, None, None] - centred * (inverse.square() * tilt)[:, None, None]
        of_data *= (weight * inverse)[:, None, None]
        return of_data.to(data.dtype), own[1] * inverse, own[0], None


class SharedNorm(nn.BatchNorm2d):
    """A batch normalisation that uses the statistics of the whole batch in training; otherwise PyTorch's own.

    Parameters
    ----------
    norm : torch.nn.BatchNorm2d
        Whose parameters and statistics it takes over, with its momentum.
    team : Team
        The processes that have the other parts of each batch.
    """

    def __init__(self, norm: nn.BatchNorm2d, team: Team) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, device="meta")
        for name, parameter in norm.named_parameters():
            self.register_parameter(name, parameter)
        for name, value in norm.named_buffers():
            self.register_buffer(name, value)
        self.team = team
        self.train(norm.training)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - PyTorch's name of it
        """Return the normalised map; in training, let the running statistics follow."""
        if not self.training:
            return super().forward(input)
        made = whole_batch_norm(input, self.weight, self.bias, eps=self.eps, team=self.team)
        with torch.no_grad():
            self.get_buffer("num_batches_tracked").add_(1)
            share = self.momentum or 0.0
            self.get_buffer("running_mean").lerp_(made.mean, share)
            self.get_buffer("running_var").lerp_(made.variance * (made.numbers / (made.numbers - 1)), share)
        return made.data


def share_norms(network: nn.Module, team: Team) -> None:
    """Let every batch normalisation of a network use the statistics of the whole batch.

    Parameters
    ----------
    network : torch.nn.Module
        It is changed; names of its parameters and buffers stay.
    team : Team
        The processes that have the other parts of each batch.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                parent.register_module(name, SharedNorm(child, team))
