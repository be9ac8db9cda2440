"""What a detector learns from a batch: its loss, and what the log tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from birdsod.ssd.loss import multibox_loss
from birdsod.ssd.targets import batch_targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

__all__ = ["Graded", "Objective", "Trainable", "multibox_objective"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objective:
    """The loss of one batch.

    Parameters
    ----------
    loss : Tensor
        What is made smaller: a scalar with gradients.
    anchors : int
        Anchors that learned a class or background.
    cross_entropy : float
        Mean over them.
    smooth_l1 : float
        Sum over the coordinates of matched anchors.
    """

    loss: torch.Tensor
    anchors: int
    cross_entropy: float
    smooth_l1: float


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

    def objective(self, images: torch.Tensor, labels: torch.Tensor) -> Objective:
        """Return the loss of a batch; labels are rows ``class, xmin, ymin, xmax, ymax``, -1 where there is none."""
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


def multibox_objective(network: Trainable, images: torch.Tensor, labels: torch.Tensor) -> Objective:
    """Return the loss that the built-in algorithm makes smaller: cross entropy and smooth L1, one to one.

    Parameters
    ----------
    network : Trainable
        Whose scores and offsets are compared with the labels.
    images : Tensor
        RGB, float32, 0 to 255, ``(B, 3, H, W)``.
    labels : Tensor
        Rows ``class, xmin, ymin, xmax, ymax``, ``(B, n, 5)``; class -1: none.

    Returns
    -------
    Objective
    """
    logits, offsets = network.forward_from(network.forward_frozen(images))
    targets = batch_targets(network.anchors, labels, logits)
    cross_entropy, smooth_l1 = multibox_loss(logits, offsets, *targets)
    return Objective(
        loss=cross_entropy + smooth_l1,
        anchors=int((targets.cls_target >= 0).sum()),
        cross_entropy=cross_entropy.item(),
        smooth_l1=smooth_l1.item() * float(targets.loc_mask.sum()),
    )
