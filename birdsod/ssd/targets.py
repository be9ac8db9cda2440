"""The training loop's ``MultiBoxTarget``: a whole batch at once, on any device, equal to ``matching``'s."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

from birdsod.ssd.matching import VARIANCES

__all__ = ["BatchTargets", "batch_targets"]

_SMALLEST_OVERLAP = 1e-6


class BatchTargets(NamedTuple):
    """What the network should have answered, as :func:`birdsod.ssd.loss.multibox_loss` takes it.

    Parameters
    ----------
    cls_target : Tensor
        Class id plus 1 for matched anchors, 0 for background, -1 for anchors that learn nothing, ``(B, N)`` int64.
    loc_target : Tensor
        Offsets from anchors to objects, ``(B, 4 * N)`` float32.
    loc_mask : Tensor
        1 for the four offsets of each matched anchor, ``(B, 4 * N)`` float32.
    """

    cls_target: torch.Tensor
    loc_target: torch.Tensor
    loc_mask: torch.Tensor


@torch.no_grad()
def batch_targets(
    anchors: torch.Tensor,
    labels: torch.Tensor,
    cls_logits: torch.Tensor,
    *,
    overlap_threshold: float = 0.5,
    negative_mining_ratio: float = 3.0,
    negative_mining_thresh: float = 0.5,
    variances: tuple[float, float, float, float] = VARIANCES,
) -> BatchTargets:
    """Return the training targets of a batch.

    The rules are those of :func:`birdsod.ssd.matching.multibox_target` with ``strict=False``: where fewer anchors
    may become background than the ratio asks for, all of them do.

    Parameters
    ----------
    anchors : Tensor
        Relative corners, ``(N, 4)``.
    labels : Tensor
        Rows ``class, xmin, ymin, xmax, ymax, ...`` for each image, ``(B, M, 5 or more)``; the rows from the first
        class -1 on are padding.
    cls_logits : Tensor
        The network's scores, background first, ``(B, N, classes + 1)``; no gradient flows into them from here.
    overlap_threshold, negative_mining_ratio, negative_mining_thresh : float
        As for the reference.
    variances : tuple of float
        What the four offsets are divided by.

    Returns
    -------
    BatchTargets

    Examples
    --------
    >>> anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    >>> batch_targets(anchors, torch.tensor([[[7, 0.5, 0.5, 1.0, 1.0]]]), torch.zeros(1, 2, 9)).cls_target
    tensor([[0, 8]])
    """
    objects, present = _trimmed(labels.to(anchors.dtype))
    overlaps = _overlaps(anchors, objects[..., 1:5]).masked_fill(~present[:, None, :], -1.0)
    overlap, best = overlaps.max(dim=2)
    positive = (overlap > overlap_threshold) & (overlap_threshold > 0)
    _first_choices(overlaps, positive, best)
    negative = _mine(positive, overlap < negative_mining_thresh, cls_logits, negative_mining_ratio)
    negative &= present.any(dim=1, keepdim=True)
    chosen = objects.gather(1, best[:, :, None].expand(-1, -1, objects.shape[2]))
    cls_target = torch.where(positive, chosen[..., 0].long() + 1, torch.where(negative, 0, -1))
    loc_mask = positive[:, :, None].expand(-1, -1, 4)
    loc_target = _offsets(anchors, chosen[..., 1:5], variances).masked_fill(~loc_mask, 0.0)
    return BatchTargets(cls_target, loc_target.flatten(1), loc_mask.flatten(1).to(loc_target.dtype))


def _trimmed(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave out rows that are padding in every image; one row stays, so that there is something to gather."""
    rows = functional.pad(labels, (0, 0, 0, 1), value=-1.0)
    present = (rows[..., 0] == -1).cumsum(dim=1) == 0
    longest = max(1, int(present.sum(dim=1).max()))
    return rows[:, :longest], present[:, :longest]


def _overlaps(anchors: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    mine, theirs = anchors[None, :, None, :].unbind(-1), boxes[:, None, :, :].unbind(-1)
    width = (torch.minimum(mine[2], theirs[2]) - torch.maximum(mine[0], theirs[0])).clamp(min=0)
    height = (torch.minimum(mine[3], theirs[3]) - torch.maximum(mine[1], theirs[1])).clamp(min=0)
    shared = width * height
    union = _area(mine) + _area(theirs) - shared
    return torch.where(union > 0, shared / union, 0.0)


def _area(sides: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return (sides[2] - sides[0]) * (sides[3] - sides[1])


def _first_choices(overlaps: torch.Tensor, positive: torch.Tensor, best: torch.Tensor) -> None:
    """Pair objects with anchors, largest overlap first, and note the pairs in ``positive`` and ``best``."""
    left = overlaps.clone()
    width = left.shape[2]
    for _ in range(min(left.shape[1:])):
        value, place = left.flatten(1).max(dim=1)
        images = (value > _SMALLEST_OVERLAP).nonzero()[:, 0]
        if not len(images):
            break
        anchor, ground_truth = place[images] // width, place[images] % width
        positive[images, anchor] = True
        best[images, anchor] = ground_truth
        left[images, anchor, :] = -1.0
        left[images, :, ground_truth] = -1.0


def _mine(positive: torch.Tensor, free: torch.Tensor, cls_logits: torch.Tensor, ratio: float) -> torch.Tensor:
    candidates = free & ~positive
    if ratio <= 0:
        return ~positive
    matched = positive.sum(dim=1, keepdim=True)
    wanted = torch.minimum((matched.float() * ratio).long(), positive.shape[1] - matched)
    # Across the anchors, since a softmax over a handful of neighbouring numbers is several times slower.
    background = cls_logits.float().transpose(1, 2).contiguous().softmax(dim=1)[:, 0]
    order = background.masked_fill(~candidates, float("inf")).argsort(dim=1, stable=True)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return candidates & (rank < wanted)


def _offsets(anchors: torch.Tensor, boxes: torch.Tensor, variances: tuple[float, float, float, float]) -> torch.Tensor:
    extent, wanted = anchors[:, 2:] - anchors[:, :2], boxes[..., 2:] - boxes[..., :2]
    shift = (boxes[..., :2] + boxes[..., 2:]) * 0.5 - (anchors[:, :2] + anchors[:, 2:]) * 0.5
    parts = torch.cat([shift / extent, (wanted / extent).log()], dim=2)
    return parts / anchors.new_tensor(variances)
