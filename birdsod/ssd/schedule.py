"""How the learning rate goes, update by update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.recipe import Recipe

__all__ = ["Constant", "Cosine", "Schedule", "Steps", "schedule_of"]


class Schedule(Protocol):
    """A learning rate that depends on the update alone, so that a run can go on from anywhere."""

    def rate(self, update: int) -> float:
        """Return the learning rate of one update, counted from 0."""
        ...


_STAYS = 0.6  # of the updates behind the warm-up


@dataclass(frozen=True, slots=True)
class Constant:
    """The same rate throughout."""

    peak: float

    def rate(self, update: int) -> float:  # noqa: ARG002 - the same at every update
        """Return the learning rate of one update, counted from 0."""
        return self.peak


@dataclass(frozen=True, slots=True)
class Steps:
    """A rate that is multiplied by ``factor`` after certain numbers of updates, as MXNet counts them.

    Parameters
    ----------
    peak : float
        Rate of the first update.
    after : tuple of int
        Numbers of updates after which the rate changes.
    factor : float
        What it is multiplied by.

    Source
    ------
    MXNet 1.9.1, ``MultiFactorScheduler`` and the SSD example that sets it up.
    """

    peak: float
    after: tuple[int, ...]
    factor: float

    @classmethod
    def of_epochs(
        cls, rate: float, epochs: Sequence[int], factor: float, *, samples: int, batch_size: int, begin_epoch: int = 0
    ) -> Steps:
        """Return the schedule that changes at certain epochs, for a run that begins at ``begin_epoch``.

        Parameters
        ----------
        rate : float
            Rate of epoch 0.
        epochs : sequence of int
            Where it changes.
        factor : float
            What it is multiplied by; 1 or more changes nothing.
        samples, batch_size : int
            An epoch is ``samples // batch_size`` updates.
        begin_epoch : int, default 0
            Steps up to here have been taken already; updates are counted from here.

        Returns
        -------
        Steps

        Examples
        --------
        >>> Steps.of_epochs(0.001, (10, 20), 0.1, samples=1000, batch_size=32)
        Steps(peak=0.001, after=(310, 620), factor=0.1)
        """
        if factor >= 1:
            return cls(rate, (), factor)
        size = max(1, samples // batch_size)
        taken = sum(epoch <= begin_epoch for epoch in epochs)
        return cls(rate * factor**taken, tuple(size * (epoch - begin_epoch) for epoch in epochs[taken:]), factor)

    def rate(self, update: int) -> float:
        """Return the learning rate of one update, counted from 0."""
        return self.peak * self.factor ** sum(step <= update for step in self.after)


@dataclass(frozen=True, slots=True)
class Cosine:
    """A rate that rises over ``warmup`` updates, stays, and at the end falls along half a cosine towards nothing.

    It stays for three fifths of the updates behind the warm-up: boxes get tighter with every update at the full rate.
    """

    peak: float
    updates: int
    warmup: int

    def rate(self, update: int) -> float:
        """Return the learning rate of one update, counted from 0."""
        if update < self.warmup:
            return self.peak * (update + 1) / (self.warmup + 1)
        share = (update - self.warmup) / max(1, self.updates - self.warmup)
        fallen = max(0.0, min(1.0, (share - _STAYS) / (1 - _STAYS)))
        return self.peak * (1 + math.cos(math.pi * fallen)) / 2


def schedule_of(recipe: Recipe, params: Hyperparameters) -> Schedule:
    """Return the schedule of a run.

    Parameters
    ----------
    recipe : Recipe
        What the run does.
    params : Hyperparameters
        Where the steps are.

    Returns
    -------
    Schedule
    """
    if recipe.schedule == "cosine":
        return Cosine(recipe.learning_rate, recipe.updates, min(recipe.warmup, recipe.updates // 2))
    if recipe.schedule == "steps":
        return Steps.of_epochs(
            recipe.learning_rate,
            params.scheduler_epochs,
            params.lr_scheduler_factor,
            samples=params.num_training_samples,
            batch_size=recipe.batch_size,
        )
    return Constant(recipe.learning_rate)
