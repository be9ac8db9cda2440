"""The gradients of a batch: at once or in parts, in full or half precision, alone or with other processes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.feeding import Fed
    from birdsod.ssd.objective import Objective
    from birdsod.ssd.team import Team

    Answer = tuple[torch.Tensor, torch.Tensor]

__all__ = ["Learning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How the gradients of a batch are computed; which they are, up to rounding, depends on the precision alone.

    Parameters
    ----------
    team : Team, optional
        The processes that have a share of each batch; their gradients are added up.
    parts : int, default 1
        Parts in which this process's share goes through the network, so that less memory is needed. Where batch
        normalisation learns, each part is normalised by its own statistics.
    precision : {"float32", "bfloat16"}, default "float32"
        Of the network's arithmetic; weights, losses and boxes are float32 in either case.
    """

    team: Team = ALONE
    parts: int = 1
    precision: str = "float32"

    def gradients(self, network: AnyNetwork, batch: Fed) -> Objective:
        """Leave the gradients of a batch in the parameters.

        Parameters
        ----------
        network : AnyNetwork
            In training, without gradients.
        batch : Fed
            This process's share, on the device of the network.

        Returns
        -------
        Objective
        """
        objective = self._at_once(network, batch) if self.parts == 1 else self._in_parts(network, batch)
        self.team.add_gradients(network.parameters())
        return objective

    def _at_once(self, network: AnyNetwork, batch: Fed) -> Objective:
        answer = self._answer(network, self._seen(network, batch.images))
        objective = network.objective(answer, batch.labels, self.team)
        torch.autograd.backward(objective.loss)
        return objective

    def _in_parts(self, network: AnyNetwork, batch: Fed) -> Objective:
        """Answer in parts, compute the loss of all answers, and answer again with the gradients of the loss.

        What losses are divided by is known only when all has been answered. Answers are small; what is kept of each
        layer for the gradients is large, and is kept for one part at a time.
        """
        seen = [self._seen(network, images) for images in batch.images.tensor_split(self.parts)]
        with torch.no_grad(), _statistics_stay(network):
            answers = [self._answer(network, features) for features in seen]
        scores, offsets = (torch.cat(each).requires_grad_() for each in zip(*answers, strict=True))
        objective = network.objective((scores, offsets), batch.labels, self.team)
        torch.autograd.backward(objective.loss)
        wanted = [torch.zeros_like(each) if each.grad is None else each.grad for each in (scores, offsets)]
        for features, *gradients in zip(seen, *(each.tensor_split(self.parts) for each in wanted), strict=True):
            torch.autograd.backward(self._answer(network, features), gradients)
        return objective

    def _seen(self, network: AnyNetwork, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with self._arithmetic(images):
            return network.forward_frozen(images.float())

    def _answer(self, network: AnyNetwork, features: tuple[torch.Tensor, ...]) -> Answer:
        # A block of its own each time: what is converted without gradients must not be used with them.
        with self._arithmetic(features[0]):
            scores, offsets = network.forward_from(features)
        return scores.float(), offsets.float()

    def _arithmetic(self, tensor: torch.Tensor) -> torch.autocast:
        return torch.autocast(tensor.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


@contextlib.contextmanager
def _statistics_stay(network: AnyNetwork) -> Iterator[None]:
    """Put the moving statistics back to what they were."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        yield
    finally:
        for name, buffer in network.named_buffers():
            buffer.copy_(before[name])
