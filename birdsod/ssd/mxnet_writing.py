"""Archives that the built-in algorithm's container opens, written without MXNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError
from birdsod.mxnet import GraphOptions, SparseArray, params_bytes, ssd_graph, symbol_text
from birdsod.mxnet._shapes import parameter_shapes
from birdsod.ssd.artifact import CLASSES, HYPERPARAMETERS, NMS_TOPK, as_json, write_archive
from birdsod.ssd.training_graph import training_graph

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from birdsod.classes import ClassTable
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.mxnet import Graph
    from birdsod.ssd.mxnet_artifact import MXNetArtifact

    Arrays = Mapping[str, npt.NDArray[np.generic]]

__all__ = ["check_parameters", "known_graph", "mxnet_members", "save_mxnet_artifact"]

_PREFIX = "model_algo_1"
_SHOWN = 5


def save_mxnet_artifact(
    path: str | os.PathLike[str],
    arrays: Arrays,
    params: Hyperparameters,
    *,
    classes: ClassTable | None = None,
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Write a model archive as the built-in algorithm does; the same model gives the same bytes.

    Its container can host it, and a training job can go on from it in the channel ``model``.

    Parameters
    ----------
    path : path-like
        Usually ``model.tar.gz``; it appears whole.
    arrays : mapping of str to ndarray
        Parameters by MXNet's names: ``arg:conv0_weight``, ``aux:bn0_moving_mean`` and so on.
    params : Hyperparameters
        What it was trained with; ``base_network``, ``num_classes`` and ``image_shape`` name the graph.
    classes : ClassTable, optional
        Put beside the model as ``classes.json``. The built-in algorithm knows no names and writes no such file;
        its answers hold class numbers.
    extra : mapping of str to str, optional
        More values for ``hyperparams.json``.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ArtifactError
        If the base network is not the built-in algorithm's, or the parameters do not fit the graph; they are named.

    Source
    ------
    Archives that training jobs of the built-in object detection algorithm wrote.
    """
    values = {"nms_topk": str(NMS_TOPK), **params.to_request(), **(extra or {})}
    try:
        graph = known_graph(params, int(values["nms_topk"]))
        check_parameters(graph, arrays)
        _check_classes(classes, params.num_classes)
    except ArtifactError as error:
        error.path = str(path)
        raise
    ordered = {name: arrays[name] for name in parameter_shapes(graph)}
    return write_archive(path, _members(graph, ordered, values, classes))


def check_parameters(graph: Graph, arrays: Arrays) -> None:
    """Raise if names or shapes of parameters are not those that a graph asks for."""
    wanted = parameter_shapes(graph)
    found = {name: tuple(array.shape) for name, array in arrays.items()}
    differing = [name for name in (*wanted, *found) if wanted.get(name) != found.get(name)]
    if differing:
        first = differing[0]
        raise ArtifactError(
            f"the parameters do not fit the graph, the first is {first}",
            value=found.get(first, "missing"),
            cause=f"the graph has {wanted.get(first, 'no such parameter')}",
            cure=f"give {', '.join(dict.fromkeys(differing[:_SHOWN]))} as the graph has them",
        )


def mxnet_members(artifact: MXNetArtifact) -> dict[str, bytes]:
    """Return the files of an archive that was read, as the container wants them: one epoch, a graph of training."""
    arrays = {
        name: array.dense() if isinstance(array, SparseArray) else array for name, array in artifact.arrays.items()
    }
    return _members(training_graph(artifact.graph), arrays, artifact.hyperparameters, artifact.classes)


def _check_classes(classes: ClassTable | None, count: int) -> None:
    if classes is not None and len(classes) != count:
        message = f"the network tells {count} classes apart, but {len(classes)} are named"
        raise ArtifactError(message, value=len(classes))


def known_graph(params: Hyperparameters, topk: int) -> Graph:
    """Return the graph of training that hyperparameters of the built-in algorithm tell."""
    if params.base_network not in {"resnet-50", "vgg-16"}:
        cause = "the built-in algorithm knows resnet-50 and vgg-16 only"
        cure = "save it as safetensors, or train one of these networks"
        raise ArtifactError(f"no container of MXNet runs {params.base_network}", cause=cause, cure=cure)
    return ssd_graph(
        "vgg-16" if params.base_network == "vgg-16" else "resnet-50",
        num_classes=params.num_classes,
        image_shape=params.image_shape,
        # The hyperparameter overlap_threshold is that of evaluation: anchors learn a box from 0.5 on.
        options=GraphOptions(nms_threshold=params.nms_threshold, nms_topk=topk),
    )


def _members(graph: Graph, arrays: Arrays, values: Mapping[str, str], classes: ClassTable | None) -> dict[str, bytes]:
    members = {
        f"{_PREFIX}-0000.params": params_bytes(arrays),
        f"{_PREFIX}-symbol.json": symbol_text(graph).encode(),
    }
    if values:
        members[HYPERPARAMETERS] = as_json({name: str(value) for name, value in values.items()})
    if classes is not None:
        members[CLASSES] = as_json(classes.to_json())
    return members
