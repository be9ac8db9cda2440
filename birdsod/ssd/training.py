"""A whole training run: from packed channels to a model archive, with log lines, checkpoints and early stopping."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from birdsod.errors import HyperparameterError
from birdsod.ssd.augmentation import Augmentation
from birdsod.ssd.building import build_network
from birdsod.ssd.loader import RecordSource, Stream
from birdsod.ssd.loop import Loop, Outcome, Reports
from birdsod.ssd.options import LocalOptions
from birdsod.ssd.recipe import resolve
from birdsod.ssd.run import Run
from birdsod.ssd.surroundings import device_of, surroundings
from birdsod.ssd.validation import Validation

if TYPE_CHECKING:
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
    options = options or LocalOptions()
    _check(packed, params, options)
    recipe = resolve(params, options)
    with surroundings(options), contextlib.ExitStack() as stack:
        readers = {name: stack.enter_context(channel.open()) for name, channel in packed.channels.items()}
        sources = {name: RecordSource(reader, params.num_classes) for name, reader in readers.items()}
        loop = Loop(
            packed=packed,
            params=params,
            options=options,
            recipe=recipe,
            reports=reports or Reports(),
            directory=directory,
            run=Run(_network(params, recipe, options), recipe, params),
            stream=Stream(
                sources["train"], params.image_shape, recipe.batch_size, options.seed, Augmentation.of(options)
            ),
            validation=_validation(sources, params, options),
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
    scored = "validation" in packed.channels and packed.channels["validation"].records and options.validate_every
    if not scored and (params.early_stopping or options.keep == "best"):
        message = "early_stopping and keep='best' need a validation mAP"
        raise HyperparameterError(message, path=packed.directory, cure="pack a validation channel, and validate")


def _network(params: Hyperparameters, recipe: Recipe, options: LocalOptions) -> AnyNetwork:
    network = build_network(
        params.base_network,
        num_classes=params.num_classes,
        image_shape=params.image_shape,
        pretrained=bool(params.use_pretrained_model),
    )
    frozen = network.freeze(recipe.freeze)
    names = [name for name, _ in network.named_parameters()]
    if len(frozen) == len(names) or (recipe.freeze and not frozen):
        what = "every layer, so that nothing is left to train" if frozen else "no layer"
        cure = f"name layers such as {', '.join(names[:: max(1, len(names) // 5)])}"
        raise HyperparameterError(f"freeze_layer_pattern matches {what}", value=recipe.freeze, cure=cure)
    return network.to(device_of(options))


def _validation(sources: Mapping[str, Source], params: Hyperparameters, options: LocalOptions) -> Validation | None:
    if not options.validate_every or "validation" not in sources or not len(sources["validation"]):
        return None
    return Validation(sources["validation"], params, threads=options.loader_threads)
