"""What our own network learns: boxes that overlap their objects well, and scores that say how well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from birdsod.ssd.matching import VARIANCES
from birdsod.ssd.objective import Objective
from birdsod.ssd.targets import batch_targets
from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from birdsod.ssd.targets import BatchTargets
    from birdsod.ssd.team import Team

    Answer = tuple[torch.Tensor, torch.Tensor]

__all__ = ["overlap_loss", "overlap_objective"]

_BOX_WEIGHT = 2.0
# Beyond this a box is e^4 times its anchor; infinite boxes would have no gradient.
_LARGEST = 4.0
_SMALLEST_AREA = 1e-9


def overlap_objective(anchors: torch.Tensor, answer: Answer, labels: torch.Tensor, team: Team = ALONE) -> Objective:
    """Return the loss that our own network makes smaller, see :func:`overlap_loss`; boxes count twice.

    Parameters
    ----------
    anchors : Tensor
        Relative corners, ``(N, 4)``.
    answer : tuple of Tensor
        The network's scores ``(B, N, classes + 1)`` and offsets ``(B, 4 * N)``, which are compared with the labels.
    labels : Tensor
        Rows ``class, xmin, ymin, xmax, ymax``, ``(B, n, 5)``; class -1: none.
    team : Team, optional
        The processes that have the other images of the batch.

    Returns
    -------
    Objective
        With the smooth L1 of the offsets as well, which is reported and not learned.
    """
    targets = batch_targets(anchors, labels, answer[0])
    cross_entropy, distance = overlap_loss(*answer, anchors, targets, team.total)
    figures = ((targets.cls_target >= 0).sum(), cross_entropy, _smooth_l1(answer[1], targets))
    return Objective(
        loss=cross_entropy + _BOX_WEIGHT * distance,
        figures=team.total(torch.stack([figure.detach().double() for figure in figures])),
    )


def overlap_loss(
    cls_logits: torch.Tensor,
    loc_pred: torch.Tensor,
    anchors: torch.Tensor,
    targets: BatchTargets,
    total: Callable[[torch.Tensor], torch.Tensor] = ALONE.total,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross entropy with scores that tell how tight a box is, and how far boxes are from their objects.

    A matched anchor's class should have the probability with which its box, as it is now, overlaps the object
    (intersection over union), and the background the rest; so the tightest of several boxes comes first. The mean
    is over the anchors that learn a class or background. The distance is one minus the generalised intersection
    over union, a mean over the matched anchors.

    Parameters
    ----------
    cls_logits : Tensor
        Scores before the softmax, background first, ``(B, N, classes + 1)``.
    loc_pred : Tensor
        Offsets that the network predicts, ``(B, 4 * N)``.
    anchors : Tensor
        Relative corners, ``(N, 4)``.
    targets : BatchTargets
        What the network should have answered.
    total : callable, optional
        As :func:`birdsod.ssd.loss.multibox_loss` takes it.

    Returns
    -------
    cross_entropy : Tensor
        Scalar.
    distance : Tensor
        Scalar. Both are 0, with zero gradients, for a batch without objects.

    Source
    ------
    Rezatofighi et al., "Generalized Intersection over Union" (2019); Li et al., "Generalized Focal Loss" (2020), whose
    joint score of class and quality this is, with a softmax.

    Examples
    --------
    >>> anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    >>> logits, offsets = torch.zeros(1, 2, 3), torch.zeros(1, 8)
    >>> targets = batch_targets(anchors, torch.tensor([[[1, 0.0, 0.0, 0.5, 0.5]]]), logits)
    >>> cross_entropy, distance = overlap_loss(logits, offsets, anchors, targets)
    >>> round(cross_entropy.item(), 4), distance.item()
    (1.0986, 0.0)
    """
    matched = targets.cls_target > 0
    theirs = anchors.expand(len(matched), -1, -1)[matched]
    found = _decoded(theirs, loc_pred.float().reshape(*matched.shape, 4)[matched])
    wanted = _decoded(theirs, targets.loc_target.reshape(*matched.shape, 4)[matched])
    overlap, generalised = _overlaps(found, wanted)
    distance = (1 - generalised).sum() / max(1, int(total(torch.tensor(len(found)))))
    gained, learning = _likelihood(cls_logits.float(), targets.cls_target, overlap.detach())
    return -gained / total(learning).clamp(min=1), distance


def _likelihood(logits: torch.Tensor, target: torch.Tensor, overlap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of the logarithms, and over how many anchors."""
    chances = logits.log_softmax(dim=2)
    matched, background = target > 0, target == 0
    theirs = chances[matched]
    of_class = theirs.gather(1, target[matched][:, None])[:, 0]
    gained = (overlap * of_class + (1 - overlap) * theirs[:, 0]).sum() + chances[background][:, 0].sum()
    return gained, (matched | background).sum()


def _decoded(anchors: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Return the boxes that offsets stand for, as ``detection.decode`` does, with gradients."""
    extent, shares = anchors[:, 2:] - anchors[:, :2], offsets * offsets.new_tensor(VARIANCES)
    centre = shares[:, :2] * extent + (anchors[:, :2] + anchors[:, 2:]) / 2
    reach = shares[:, 2:].clamp(max=_LARGEST).exp() * extent / 2
    return torch.cat([centre - reach, centre + reach], dim=1)


def _overlaps(boxes: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return intersection over union of each pair, and the generalised one, which falls with the gap between them."""
    shared = _area(torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:]))
    around = _area(torch.minimum(boxes[:, :2], others[:, :2]), torch.maximum(boxes[:, 2:], others[:, 2:]))
    union = _area(boxes[:, :2], boxes[:, 2:]) + _area(others[:, :2], others[:, 2:]) - shared
    overlap = shared / union.clamp(min=_SMALLEST_AREA)
    return overlap, overlap - (around - union) / around.clamp(min=_SMALLEST_AREA)


def _area(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    sides = (high - low).clamp(min=0)
    return sides[:, 0] * sides[:, 1]


@torch.no_grad()
def _smooth_l1(offsets: torch.Tensor, targets: BatchTargets) -> torch.Tensor:
    """Return the sum that the built-in algorithm's log reports, over the coordinates of matched anchors."""
    distance = torch.where(targets.loc_mask > 0, offsets.float() - targets.loc_target, 0.0)
    return functional.smooth_l1_loss(distance, torch.zeros_like(distance), reduction="sum")
