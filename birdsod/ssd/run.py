"""The state of a training run: everything that changes from update to update, and how it is kept and restored."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from birdsod.errors import ArtifactError, TrainingError
from birdsod.ssd.average import Average
from birdsod.ssd.checkpoint import pack_optimizer, read_checkpoint, unpack_optimizer, write_checkpoint
from birdsod.ssd.feeding import Fed, to_device
from birdsod.ssd.learning import Learning
from birdsod.ssd.optimizers import make_optimizer, set_rate
from birdsod.ssd.schedule import schedule_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.loader import Batch
    from birdsod.ssd.objective import Objective
    from birdsod.ssd.recipe import Recipe

__all__ = ["Progress", "Run"]


@dataclass
class Progress:
    """How far a run is, and what its log still needs to tell.

    Parameters
    ----------
    update : int
        Updates done.
    anchors : int
        Anchors that learned a class or background in this epoch so far.
    cross_entropy, smooth_l1 : float
        Sums over them.
    epochs : int
        Epochs done.
    best : float
        The best validation mAP.
    to_beat : float
        The validation mAP that the next must be better than, by the tolerance, to count as a rise.
    improved : int
        Epochs done when it last rose.
    seconds : float
        Time spent, over all processes that worked on this run.
    """

    update: int = 0
    anchors: int = 0
    cross_entropy: float = 0.0
    smooth_l1: float = 0.0
    epochs: int = 0
    best: float = -1.0
    to_beat: float = 0.0
    improved: int = 0
    seconds: float = 0.0

    def losses(self) -> dict[str, float]:
        """Return the means over the anchors of this epoch so far."""
        number = max(1, self.anchors)
        return {"cross_entropy": self.cross_entropy / number, "smooth_l1": self.smooth_l1 / number}

    def begin_epoch(self) -> None:
        """Forget the sums."""
        self.anchors, self.cross_entropy, self.smooth_l1 = 0, 0.0, 0.0


class Run:
    """A network under training.

    Parameters
    ----------
    network : AnyNetwork
        On its device, with its layers frozen already.
    recipe : Recipe
        What the run does.
    params : Hyperparameters
        What was asked for.
    learning : Learning, optional
        How gradients are computed.

    Attributes
    ----------
    progress : Progress
        How far it is.
    """

    def __init__(
        self, network: AnyNetwork, recipe: Recipe, params: Hyperparameters, learning: Learning | None = None
    ) -> None:
        self.network: AnyNetwork = network.train()
        self.progress: Progress = Progress()
        self._recipe = recipe
        self._learning = learning or Learning()
        self._optimizer = make_optimizer(network, recipe, params)
        self._schedule = schedule_of(recipe, params)
        self._average = Average(network, recipe.average) if recipe.average else None

    @property
    def trained(self) -> AnyNetwork:
        """The network that the run makes: the running mean, where there is one."""
        return self._average.network if self._average else self.network

    @property
    def epoch(self) -> int:
        """The epoch that the next update belongs to, from 0."""
        return self._recipe.epoch_of(self.progress.update)

    def step(self, batch: Batch | Fed) -> None:
        """Make one update.

        Parameters
        ----------
        batch : Batch or Fed
            Images and labels: this process's share of them.

        Raises
        ------
        TrainingError
            If the loss is not finite; the weights are then as before the update.
        """
        self._optimizer.zero_grad(set_to_none=True)
        ready = batch if isinstance(batch, Fed) else to_device(batch, self.network.anchors.device)
        self._count(self._learning.gradients(self.network, ready))
        if self._recipe.gradient_clip:
            weights = [weight for group in self._optimizer.param_groups for weight in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, self._recipe.gradient_clip)
        set_rate(self._optimizer, self._schedule.rate(self.progress.update))
        self._optimizer.step()
        self.progress.update += 1
        if self._average:
            self._average.follow(self.network, self.progress.update)

    def _count(self, objective: Objective) -> None:
        anchors, cross_entropy, smooth_l1 = objective.figures.tolist()
        if not math.isfinite(cross_entropy + smooth_l1):
            raise TrainingError(
                f"the loss is not finite in epoch {self.epoch}, update {self.progress.update}",
                value=smooth_l1 if math.isfinite(cross_entropy) else cross_entropy,
                cause=f"a learning rate of {self._schedule.rate(self.progress.update):g} is too high for these data",
                cure="give a lower learning_rate, or a gradient_clip",
            )
        self.progress.anchors += int(anchors)
        self.progress.cross_entropy += cross_entropy * anchors
        self.progress.smooth_l1 += smooth_l1

    def save(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Write a checkpoint.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        identity : mapping
            What must be the same when the run goes on.
        """
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in pack_optimizer(self._optimizer).items()}
        if self._average:
            tensors |= {f"average.{name}": value for name, value in self._average.network.state_dict().items()}
        write_checkpoint(path, tensors, {"progress": asdict(self.progress), "identity": identity})

    def restore(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        identity : mapping
            What must be the same as when it was written.

        Raises
        ------
        ArtifactError
            If the file cannot be read, or is of another run.
        """
        tensors, facts = read_checkpoint(path)
        if facts["identity"] != dict(identity):
            changed = [name for name in identity if facts["identity"].get(name) != identity[name]]
            cure = "train in another folder, or with what this run began with"
            raise ArtifactError("the checkpoint is of another run", path=path, value=changed, cure=cure)
        self.network.load_state_dict(_part(tensors, "network."))
        unpack_optimizer(self._optimizer, _part(tensors, "optimizer."))
        if self._average:
            self._average.network.load_state_dict(_part(tensors, "average."))
        self.progress = Progress(**facts["progress"])


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
