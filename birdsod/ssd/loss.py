"""The two losses of the built-in algorithm, normalised so that their gradients are MXNet's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["multibox_loss"]

_IGNORED = -1


def _itself(count: torch.Tensor) -> torch.Tensor:
    return count


def multibox_loss(
    cls_logits: torch.Tensor,
    loc_pred: torch.Tensor,
    cls_target: torch.Tensor,
    loc_target: torch.Tensor,
    loc_mask: torch.Tensor,
    total: Callable[[torch.Tensor], torch.Tensor] = _itself,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cross entropy and smooth L1, each as one number whose gradient is MXNet's.

    Cross entropy is averaged over the anchors of the batch that learn a class or background. Smooth L1 is summed
    over the coordinates of matched anchors and divided by how many of them are not yet exact: that count, not the
    number of anchors, is what MXNet normalises by.

    Parameters
    ----------
    cls_logits : Tensor
        Scores before the softmax, background first, ``(B, N, classes + 1)``.
    loc_pred : Tensor
        Offsets that the network predicts, ``(B, 4 * N)``.
    cls_target : Tensor
        Class id plus 1, 0 for background, -1 for nothing, ``(B, N)`` of any numeric type.
    loc_target, loc_mask : Tensor
        Offsets that it should predict and which of them count, ``(B, 4 * N)``.
    total : callable, optional
        Makes the count of the whole batch of that of these images, where they are a part of one. The losses of the
        parts then add up to that of the whole.

    Returns
    -------
    cross_entropy : Tensor
        Scalar.
    smooth_l1 : Tensor
        Scalar. Both are 0, with zero gradients, for a batch without objects.

    Source
    ------
    Apache MXNet 1.9.1: ``SoftmaxOutput(multi_output, use_ignore, normalization='valid')`` and
    ``MakeLoss(smooth_l1(mask * (prediction - target)), normalization='valid')``.

    Examples
    --------
    >>> exact = torch.zeros(1, 4)
    >>> cross_entropy, smooth_l1 = multibox_loss(torch.zeros(1, 1, 2), exact, torch.tensor([[1]]), exact, exact + 1)
    >>> round(cross_entropy.item(), 4), smooth_l1.item()
    (0.6931, 0.0)
    """
    targets = cls_target.long().flatten()
    logits = cls_logits.float().flatten(0, 1)
    missed = functional.cross_entropy(logits, targets, ignore_index=_IGNORED, reduction="sum")
    learning = total((targets != _IGNORED).sum()).clamp(min=1)
    # Masked before the loss, not by multiplication: a target that is not finite must not reach masked anchors.
    distance = torch.where(loc_mask > 0, loc_pred.float() - loc_target, 0.0)
    losses = functional.smooth_l1_loss(distance, torch.zeros_like(distance), reduction="none")
    inexact = total((losses.detach() > 0).sum()).clamp(min=1)
    return missed / learning, losses.sum() / inexact
