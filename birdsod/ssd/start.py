"""The weights that training starts from: found, read, and compared with what is to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod.errors import ArtifactError, HyperparameterError
from birdsod.mxnet import SparseArray, read_params
from birdsod.ssd._members import read_matching
from birdsod.ssd.artifact import CLASSES, HYPERPARAMETERS, Artifact, read_classes, read_hyperparameters
from birdsod.ssd.mxnet_artifact import IMAGENET_MEAN, MXNetArtifact, mean_seen
from birdsod.ssd.opening import read_model
from birdsod.ssd.weights import TWINS, no_imagenet_weights

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy.typing as npt

    from birdsod.classes import ClassTable
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.options import LocalOptions

    Arrays = Mapping[str, npt.NDArray[Any] | SparseArray]

__all__ = ["Start", "check_start", "read_start"]

_SEEN = "aux:bn_data_moving_mean"
_FIRST = "arg:conv1_1_weight"
_FIRST_BIAS = "arg:conv1_1_bias"


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Weights that training can start from.

    Parameters
    ----------
    file : Path
        Where they were.
    arrays : mapping of str to ndarray
        By the network's own names.
    input_mean : tuple of float
        What the network wants subtracted from red, green and blue.
    """

    file: Path
    arrays: Arrays
    input_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)


def read_start(path: str | os.PathLike[str]) -> Start:
    """Read weights to start from.

    Parameters
    ----------
    path : path-like
        A file of MXNet's parameters, ``*.params``; or a model archive of either engine, or the folder into which one
        was unpacked. A file of parameters is taken to hold what ImageNet or MXNet's own trainer taught; a network
        that learned from pixels less ImageNet's mean is changed to see them whole.

    Returns
    -------
    Start

    Raises
    ------
    ArtifactError
        If the file is missing, damaged or something else.
    """
    file = Path(path)
    if file.suffix == ".params":
        return Start(file, _plain(_on_whole_pixels(read_params(file))))
    found = read_model(file)
    if isinstance(found, MXNetArtifact):
        return Start(file, _plain(found.arrays), found.input_mean or mean_seen(found.arrays))
    if isinstance(found, Artifact):
        return Start(file, found.tensors)
    cause = "batch normalisation is a part of its convolutions"
    cure = "give the archive that it was made from"
    raise ArtifactError("training does not go on from an ONNX file", path=file, cause=cause, cure=cure)


def check_start(
    params: Hyperparameters, options: LocalOptions, classes: ClassTable, model: str | os.PathLike[str] | None = None
) -> None:
    """Raise if there is nothing to start from, too much, or something that does not fit; weights are not read yet.

    Parameters
    ----------
    params : Hyperparameters
        What is to be trained.
    options : LocalOptions
        Whose ``pretrained`` names weights for the base network.
    classes : ClassTable
        What is to be told apart.
    model : path-like, optional
        The archive of a model to go on from.

    Raises
    ------
    HyperparameterError
        If there is nothing to start from though ``use_pretrained_model`` is 1, or two things contradict each other.
    ArtifactError
        If a file is missing, or is a model of another network or of other classes.
    """
    if model is not None:
        if options.pretrained is not None:
            message = "training goes on from a model or starts from pretrained weights, not from both"
            raise HyperparameterError(message, value=options.pretrained, cure="leave out model or pretrained")
        _check_model(Path(model), params, classes)
    elif options.pretrained is not None:
        if not params.use_pretrained_model:
            message = "use_pretrained_model is 0, but pretrained weights are given"
            raise HyperparameterError(message, value=options.pretrained, cure="leave one of them out")
        if not Path(options.pretrained).exists():
            raise ArtifactError("no such file of pretrained weights", path=options.pretrained)
    elif params.use_pretrained_model and params.base_network in TWINS:
        raise no_imagenet_weights(params.base_network)


def _check_model(file: Path, params: Hyperparameters, classes: ClassTable) -> None:
    members, _ = read_matching(file, lambda name: name in {HYPERPARAMETERS, CLASSES})
    values = read_hyperparameters(members[HYPERPARAMETERS], file) if HYPERPARAMETERS in members else {}
    for name in ("base_network", "num_classes"):
        wanted = str(getattr(params, name))
        if values.get(name, wanted) != wanted:
            message = f"the model to go on from has another {name} than {wanted}"
            cure = (
                "train with the same base network on the same classes, or start from it by LocalOptions(pretrained=...)"
            )
            raise ArtifactError(message, path=file, value=values[name], cure=cure)
    known = read_classes(members[CLASSES], file) if CLASSES in members else classes
    differing = [pair for pair in zip(known.names, classes.names, strict=False) if pair[0] != pair[1]]
    if differing or len(known) != len(classes):
        raise ArtifactError(
            "the model to go on from knows other classes",
            path=file,
            value=differing[0] if differing else len(known),
            cause="another selection or order of classes",
            cure="train on the same classes, or give LocalOptions(pretrained=...) instead, which takes what fits",
        )


def _plain(arrays: Arrays) -> Arrays:
    """Return arrays by the names of a graph's variables."""
    return {name.partition(":")[2] or name: array for name, array in arrays.items()}


def _on_whole_pixels(arrays: Arrays) -> Arrays:
    """Let a network that learned from pixels less ImageNet's mean answer the same to whole pixels.

    ResNet's first normalisation knows which mean it saw. VGG's first convolution is a sum, out of which the mean can be
    taken once and for all; only the outermost pixels, beside which there are zeros, then look a little different.
    """
    seen, weight, bias = (arrays.get(name) for name in (_SEEN, _FIRST, _FIRST_BIAS))
    mean = np.array(IMAGENET_MEAN, dtype=np.float32)
    if isinstance(seen, np.ndarray) and seen.shape == mean.shape:
        return {**arrays, _SEEN: seen + np.array(mean_seen(arrays), dtype=seen.dtype)}
    if isinstance(weight, np.ndarray) and isinstance(bias, np.ndarray) and weight.shape[1:2] == mean.shape:
        return {**arrays, _FIRST_BIAS: bias - np.einsum("ocij,c->o", weight, mean)}
    return arrays
