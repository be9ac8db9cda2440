"""What several tests of the detector share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from birdsod.ssd.objective import multibox_objective
from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from birdsod.ssd.objective import Objective
    from birdsod.ssd.team import Team


class Tiny(nn.Module):
    """As much of a network as a run needs: one frozen layer, one that is normalised, one that answers."""

    anchors: torch.Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.image_shape = 300
        self.base = nn.Conv2d(3, 4, 60, stride=60)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Conv2d(4, num_classes + 1 + 4, 1)
        edges = torch.arange(5) / 5
        corners = torch.cartesian_prod(edges, edges).flip(1)
        self.register_buffer("anchors", torch.cat([corners - 0.1, corners + 0.3], 1), persistent=False)

    def freeze(self, pattern: str) -> tuple[str, ...]:
        frozen = tuple(name for name, _ in self.named_parameters() if pattern and re.match(pattern, name))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name not in frozen)
        return frozen

    def base_parameters(self) -> list[nn.Parameter]:
        return [each for each in self.base.parameters() if each.requires_grad]

    def new_parameters(self) -> list[nn.Parameter]:
        return [*self.norm.parameters(), *self.head.parameters()]

    @torch.no_grad()
    def forward_frozen(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.base(images / 128 - 1),)

    def forward_from(self, features: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        answer = self.head(self.norm(features[0])).flatten(2).transpose(1, 2)
        return answer[..., :-4], answer[..., -4:].flatten(1)

    def objective(
        self, answer: tuple[torch.Tensor, torch.Tensor], labels: torch.Tensor, team: Team = ALONE
    ) -> Objective:
        return multibox_objective(self.anchors, answer, labels, team)


@pytest.fixture
def tiny_network() -> Callable[[int], Tiny]:
    """Make a network for so many classes that is quick, where what it learns does not matter."""
    return Tiny
