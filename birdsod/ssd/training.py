"""A whole training run: from packed channels to a model archive, with log lines, checkpoints and early stopping."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from birdsod.errors import HyperparameterError
from birdsod.ssd.augmentation import Augmentation
from birdsod.ssd.building import build_network
from birdsod.ssd.loader import RecordSource, Stream
from birdsod.ssd.loop import Loop, Outcome, Reports, checkpoint_in
from birdsod.ssd.options import LocalOptions
from birdsod.ssd.pretrained import go_on_from, start_from
from birdsod.ssd.recipe import resolve
from birdsod.ssd.run import Run
from birdsod.ssd.start import check_start
from birdsod.ssd.surroundings import device_of, surroundings
from birdsod.ssd.validation import Validation

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed
    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.loader import Source
    from birdsod.ssd.recipe import Recipe

__all__ = ["Outcome", "Reports", "train"]


def train(
    packed: Packed,
    params: Hyperparameters,
    options: LocalOptions | None = None,
    *,
    directory: Path,
    reports: Reports | None = None,
    model: str | os.PathLike[str] | None = None,
) -> Outcome:
    """Train a detector on the ``train`` channel and write ``model.tar.gz``; go on where a checkpoint lies.

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

    Returns
    -------
    Outcome

    Raises
    ------
    TrainingError
        If the loss is not finite.
    HyperparameterError, RecordError, ArtifactError
        If what was asked for does not fit the data, the machine, or the checkpoint.
    """
    options, reports = options or LocalOptions(), reports or Reports()
    _check(packed, params, options)
    recipe = resolve(params, options)
    first = not checkpoint_in(directory).exists()
    if first:
        check_start(params, options, packed.class_table, model)
    with surroundings(options), contextlib.ExitStack() as stack:
        readers = {name: stack.enter_context(channel.open()) for name, channel in packed.channels.items()}
        sources = {name: RecordSource(reader, params.num_classes) for name, reader in readers.items()}
        network = _network(params, recipe, options, given=bool(model or options.pretrained))
        if first:
            _begin(network, options, model, reports)
        loop = Loop(
            packed=packed,
            params=params,
            options=options,
            recipe=recipe,
            reports=reports,
            directory=directory,
            run=Run(network, recipe, params),
            stream=Stream(
                sources["train"], params.image_shape, recipe.batch_size, options.seed, Augmentation.of(options)
            ),
            validation=_validation(sources, params, options, recipe),
        )
        return loop.work()


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


def _network(params: Hyperparameters, recipe: Recipe, options: LocalOptions, *, given: bool) -> AnyNetwork:
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
    return network.to(device_of(options))


def _begin(network: AnyNetwork, options: LocalOptions, model: str | os.PathLike[str] | None, reports: Reports) -> None:
    """Give the network the weights that were named; a run that goes on has its own in the checkpoint."""
    lines = go_on_from(network, model) if model is not None else []
    lines += start_from(network, options.pretrained) if options.pretrained is not None else []
    for line in lines:
        reports.line(line)


def _validation(
    sources: Mapping[str, Source], params: Hyperparameters, options: LocalOptions, recipe: Recipe
) -> Validation | None:
    if not options.validate_every or "validation" not in sources or not len(sources["validation"]):
        return None
    passing = recipe.batch_size if options.faithful else None
    return Validation(sources["validation"], params, threads=options.loader_threads, passing=passing)
