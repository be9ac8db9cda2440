"""A whole training run: from packed channels to a model archive, with log lines, checkpoints and early stopping."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsod.errors import HyperparameterError
from birdsod.ssd.assembling import assembled, first_place, joined_at
from birdsod.ssd.augmentation import Augmentation
from birdsod.ssd.building import build_network, share_batch
from birdsod.ssd.learning import Learning
from birdsod.ssd.loader import RecordSource, Stream
from birdsod.ssd.loop import Loop, Outcome, Reports, checkpoint_in
from birdsod.ssd.meeting import StopError
from birdsod.ssd.options import LocalOptions
from birdsod.ssd.pretrained import go_on_from, start_from
from birdsod.ssd.recipe import resolve
from birdsod.ssd.run import Run
from birdsod.ssd.start import check_start
from birdsod.ssd.surroundings import device_of, keep_memory, surroundings
from birdsod.ssd.team import ALONE
from birdsod.ssd.validation import Validation

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed
    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.loader import Source
    from birdsod.ssd.place import Machines, Place
    from birdsod.ssd.recipe import Recipe
    from birdsod.ssd.team import Team

__all__ = ["Outcome", "Reports", "train"]


def train(
    packed: Packed,
    params: Hyperparameters,
    options: LocalOptions | None = None,
    *,
    directory: Path,
    reports: Reports | None = None,
    model: str | os.PathLike[str] | None = None,
    machines: Machines | None = None,
) -> Outcome:
    """Train a detector on the ``train`` channel and write ``model.tar.gz``; go on where a checkpoint lies.

    Several processes train together where ``torchrun`` started them, where ``options.processes`` or ``machines`` ask
    for it, or on a machine with several graphics processors. The first of all writes what there is to write.

    Parameters
    ----------
    packed : Packed
        Channels ``train`` and, if there is one, ``validation``.
    params : Hyperparameters
        What to train and how long.
    options : LocalOptions, optional
        What only the local engine knows.
    directory : pathlib.Path
        Takes ``checkpoint/`` and ``model.tar.gz``.
    reports : Reports, optional
        Who hears about it.
    model : path-like, optional
        The archive of an earlier model of the same network and classes, which training goes on from.
    machines : Machines, optional
        The machines that train together, where there are several.

    Returns
    -------
    Outcome

    Raises
    ------
    TrainingError
        If the loss is not finite, or another process fails or is gone.
    HyperparameterError, RecordError, ArtifactError
        If what was asked for does not fit the data, the machine, or the checkpoint.
    """
    options, reports = options or LocalOptions(), reports or Reports()
    task = _Task(packed, params, options, directory, model)
    recipe = task.settled()
    place, told = first_place(options, recipe.batch_size, machines)
    for line in (*told, *_store_lines(params)):
        reports.line(line)
    if place is None:
        return task.work(ALONE, device_of(options), reports)
    try:
        with assembled(place, _help, task, options, reports.stop) as (team, device):
            mine = reports if team.leads else Reports(stop=reports.stop)
            return task.work(team, device, mine, place.local_size)
    except StopError:
        return Outcome(completed=False, epochs=0, updates=0, seconds=0.0, reason="asked to stop")


def _help(place: Place, stop: Callable[[], bool], task: _Task) -> None:
    """Train in a process that another one started."""
    keep_memory()
    try:
        with joined_at(place, task.options, stop) as (team, device):
            task.work(team, device, Reports(stop=stop), place.local_size)
    except StopError:
        return


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be trained, as every process that takes part is told."""

    packed: Packed
    params: Hyperparameters
    options: LocalOptions
    directory: Path
    model: str | os.PathLike[str] | None

    def settled(self) -> Recipe:
        """Return what the run does, once all is known to fit."""
        _check(self.packed, self.params, self.options)
        recipe = resolve(self.params, self.options)
        if not checkpoint_in(self.directory).exists():
            check_start(self.params, self.options, self.packed.class_table, self.model)
        return recipe

    def work(self, team: Team, device: torch.device, reports: Reports, processes: int = 1) -> Outcome:
        """Train on a device, as one of a team."""
        recipe = resolve(self.params, self.options)
        with surroundings(self.options, processes), contextlib.ExitStack() as stack:
            readers = {name: stack.enter_context(channel.open()) for name, channel in self.packed.channels.items()}
            sources = {name: RecordSource(reader, self.params.num_classes) for name, reader in readers.items()}
            return self._loop(sources, recipe, team, device, reports).work()

    def _loop(
        self, sources: Mapping[str, Source], recipe: Recipe, team: Team, device: torch.device, reports: Reports
    ) -> Loop:
        params, options = self.params, self.options
        return Loop(
            packed=self.packed,
            params=params,
            options=options,
            recipe=recipe,
            reports=reports,
            directory=self.directory,
            run=Run(self._network(recipe, team, device, reports), recipe, params, _learning(recipe, options, team)),
            stream=Stream(
                sources["train"],
                params.image_shape,
                recipe.batch_size,
                options.seed,
                Augmentation.of(options),
                team.share(recipe.batch_size),
            ),
            validation=_validation(sources, params, options, recipe, team),
            team=team,
        )

    def _network(self, recipe: Recipe, team: Team, device: torch.device, reports: Reports) -> AnyNetwork:
        given = bool(self.model or self.options.pretrained)
        network = _network(self.params, recipe, given=given).to(device)
        if not team.any(team.leads and checkpoint_in(self.directory).exists()):
            _begin(network, self.options, self.model, reports)
        share_batch(network, team)
        return network


def _learning(recipe: Recipe, options: LocalOptions, team: Team) -> Learning:
    # No part may be empty, and all processes have equally many, since they meet in each.
    parts = min(options.accumulate, recipe.batch_size // team.size)
    return Learning(team=team, parts=parts, precision=options.precision)


def _store_lines(params: Hyperparameters) -> list[str]:
    if params.kv_store != "dist_async":
        return []
    return ["Setting: kv_store = 'dist_async' trains as 'dist_sync' does here: every update is that of the whole batch"]


def _check(packed: Packed, params: Hyperparameters, options: LocalOptions) -> None:
    for name, present in (
        ("num_classes", len(packed.class_table)),
        ("num_training_samples", packed.channels["train"].records if "train" in packed.channels else 0),
    ):
        if getattr(params, name) != present:
            message = f"{name} does not fit the data, which have {present}"
            cure = "make the hyperparameters with Hyperparameters.for_data"
            raise HyperparameterError(message, path=packed.directory, value=getattr(params, name), cure=cure)
    if params.label_width < packed.longest_label:
        message = f"label_width is below the longest label, {packed.longest_label} numbers"
        raise HyperparameterError(message, path=packed.directory, value=params.label_width, cure="leave it out")
    scored = "validation" in packed.channels and packed.channels["validation"].records and options.validate_every
    if not scored and (params.early_stopping or options.keep == "best"):
        message = "early_stopping and keep='best' need a validation mAP"
        raise HyperparameterError(message, path=packed.directory, cure="pack a validation channel, and validate")


def _network(params: Hyperparameters, recipe: Recipe, *, given: bool) -> AnyNetwork:
    network = build_network(
        params.base_network,
        num_classes=params.num_classes,
        image_shape=params.image_shape,
        pretrained=bool(params.use_pretrained_model) and not given,
    )
    frozen = network.freeze(recipe.freeze)
    names = [name for name, _ in network.named_parameters()]
    if len(frozen) == len(names) or (recipe.freeze and not frozen):
        what = "every layer, so that nothing is left to train" if frozen else "no layer"
        cure = f"name layers such as {', '.join(names[:: max(1, len(names) // 5)])}"
        raise HyperparameterError(f"freeze_layer_pattern matches {what}", value=recipe.freeze, cure=cure)
    return network


def _begin(network: AnyNetwork, options: LocalOptions, model: str | os.PathLike[str] | None, reports: Reports) -> None:
    """Give the network the weights that were named; a run that goes on has its own in the checkpoint."""
    lines = go_on_from(network, model) if model is not None else []
    lines += start_from(network, options.pretrained) if options.pretrained is not None else []
    for line in lines:
        reports.line(line)


def _validation(
    sources: Mapping[str, Source], params: Hyperparameters, options: LocalOptions, recipe: Recipe, team: Team
) -> Validation | None:
    if not options.validate_every or "validation" not in sources or not len(sources["validation"]):
        return None
    passing = recipe.batch_size if options.faithful else None
    return Validation(sources["validation"], params, threads=options.loader_threads, passing=passing, team=team)
