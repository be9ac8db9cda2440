"""The archive that a trained network becomes: MXNet's for the built-in algorithm's own networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.ssd.artifact import save_artifact
from birdsod.ssd.mxnet_artifact import INPUT_MEAN
from birdsod.ssd.mxnet_writing import save_mxnet_artifact
from birdsod.ssd.twin import TwinNetwork

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from birdsod.classes import ClassTable
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.building import AnyNetwork

__all__ = ["save_trained"]


def save_trained(
    path: str | os.PathLike[str],
    network: AnyNetwork,
    params: Hyperparameters,
    classes: ClassTable,
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Write the model archive of a network that was trained here; the same model gives the same bytes.

    Parameters
    ----------
    path : path-like
        Usually ``model.tar.gz``; it appears whole.
    network : SSD or TwinNetwork
        The trained network. One of the built-in algorithm's becomes an archive as that algorithm writes it, with
        ``classes.json`` beside its files and the mean that was subtracted from its images.
    params : Hyperparameters
        What it was trained with.
    classes : ClassTable
        What the class ids stand for.
    extra : mapping of str to str, optional
        More values for ``hyperparams.json``; begin their names with an underscore, as the algorithm does.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ArtifactError
        If the network and the classes do not agree, or the network learned numbers that are not finite.
    """
    if not isinstance(network, TwinNetwork):
        return save_artifact(path, network, params, classes, extra)
    values = {INPUT_MEAN: ",".join(f"{value:g}" for value in network.input_mean), **(extra or {})}
    return save_mxnet_artifact(path, network.arrays(), params, classes=classes, extra=values)
