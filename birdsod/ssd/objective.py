"""What a detector learns from a batch: its loss, and what the log tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from birdsod.ssd.loss import multibox_loss
from birdsod.ssd.targets import batch_targets
from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from birdsod.ssd.team import Team

    Answer = tuple[torch.Tensor, torch.Tensor]

__all__ = ["Graded", "Objective", "Trainable", "multibox_objective"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objective:
    """The loss of a batch, or of one process's part of it.

    Parameters
    ----------
    loss : Tensor
        What is made smaller: a scalar with gradients. Those of all parts add up to that of the whole batch.
    figures : Tensor
        What the log tells of the whole batch, float64: anchors that learned a class or background, the mean of the
        cross entropy over them, and the sum of smooth L1 over the coordinates of matched anchors.
    """

    loss: torch.Tensor
    figures: torch.Tensor


class Trainable(Protocol):
    """What a network must be able to do to be trained by a run; every one is a ``torch.nn.Module`` too."""

    num_classes: int
    image_shape: int
    anchors: torch.Tensor

    def forward_frozen(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run what learns nothing, on RGB images of 0 to 255, ``(B, 3, H, W)``."""
        ...

    def forward_from(self, features: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class scores before the softmax ``(B, N, classes + 1)`` and offsets ``(B, 4 * N)``."""
        ...

    def objective(self, answer: Answer, labels: torch.Tensor, team: Team) -> Objective:
        """Return the loss of an answer; labels are rows ``class, xmin, ymin, xmax, ymax``, -1 where there is none."""
        ...

    def freeze(self, pattern: str) -> tuple[str, ...]:
        """Leave parameters whose names match out of training, and return their names."""
        ...

    def base_parameters(self) -> Iterable[torch.nn.Parameter]:
        """Return the trainable parameters of the base network."""
        ...

    def new_parameters(self) -> Iterable[torch.nn.Parameter]:
        """Return all other trainable parameters."""
        ...


@runtime_checkable
class Graded(Protocol):
    """A network that tells how strongly each of its parameters is updated."""

    def update_factors(self) -> Mapping[torch.nn.Parameter, tuple[float, float]]:
        """Return what the learning rate and the weight decay of each parameter are multiplied by."""
        ...


def multibox_objective(anchors: torch.Tensor, answer: Answer, labels: torch.Tensor, team: Team = ALONE) -> Objective:
    """Return the loss that the built-in algorithm makes smaller: cross entropy and smooth L1, one to one.

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
    """
    targets = batch_targets(anchors, labels, answer[0])
    cross_entropy, smooth_l1 = multibox_loss(*answer, *targets, total=team.total)
    figures = ((targets.cls_target >= 0).sum(), cross_entropy, smooth_l1, targets.loc_mask.sum())
    learned, mean, share, matched = team.total(torch.stack([figure.detach().double() for figure in figures]))
    return Objective(loss=cross_entropy + smooth_l1, figures=torch.stack([learned, mean, share * matched]))
