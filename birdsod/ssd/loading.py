"""Opening a model archive, whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError, HyperparameterError, MissingDependencyError
from birdsod.ssd._members import read_matching
from birdsod.ssd.artifact import NMS_TOPK, WEIGHTS, artifact_of, is_member
from birdsod.ssd.detection import DetectionSettings
from birdsod.ssd.model import Model
from birdsod.ssd.mxnet_artifact import holds_mxnet, mxnet_artifact

if TYPE_CHECKING:
    import os

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.artifact import Artifact
    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.mxnet_artifact import MXNetArtifact

__all__ = ["load_model"]


def load_model(
    path: str | os.PathLike[str], *, device: str = "auto", threads: int | None = None, image_shape: int | None = None
) -> Model:
    """Open a model archive: of the local engine, or of the built-in algorithm (MXNet), without MXNet.

    A graph of MXNet is run as it says: anchors, thresholds and limits are read from it. Nothing is unpickled.

    Parameters
    ----------
    path : path-like
        ``model.tar.gz``, or the folder into which it was unpacked.
    device : str, default "auto"
        ``"cpu"``, ``"cuda"`` or another name that torch knows; ``"auto"`` takes a GPU where there is one.
    threads : int, optional
        How many CPU threads torch uses, in the whole process; by default as many as it likes.
    image_shape : int, optional
        Edge in pixels of the images that a network of MXNet sees, where its archive has no ``hyperparams.json``
        that tells it.

    Returns
    -------
    Model

    Raises
    ------
    ArtifactError
        If the archive is missing or malformed, or its weights do not fit the network that it names; if it holds several
        graphs, or one that is no detector or has an operator that no detector uses.
    MissingDependencyError
        If torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch is not installed", cure="pip install 'birdsod[local]'") from error
    from birdsod.ssd.fusing import fuse

    if threads is not None:
        torch.set_num_threads(threads)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    file = Path(path)
    members, ignored = read_matching(file, is_member)
    if WEIGHTS not in members and holds_mxnet(members):
        return _mxnet_model(mxnet_artifact(members, ignored, file), image_shape, chosen)
    if image_shape is not None:
        raise ArtifactError("this archive itself tells its image_shape", path=path, value=image_shape)
    artifact = artifact_of(members, ignored, file)
    params, settings = _settings(artifact, path)
    network = fuse(_network(artifact, params, path)).to(chosen)
    return Model(network, artifact.classes, settings, hyperparameters=params, source=artifact)


def _mxnet_model(artifact: MXNetArtifact, image_shape: int | None, device: str) -> Model:
    from birdsod.ssd.graph_network import GraphNetwork

    edge = artifact.image_shape if image_shape is None else image_shape
    try:
        network = GraphNetwork(artifact.graph, artifact.arrays, image_shape=edge, input_mean=artifact.input_mean)
        classes = artifact.classes_for(network.num_classes)
    except ArtifactError as error:
        error.path = error.path or str(artifact.file)
        raise
    return Model(
        network.to(device),
        classes,
        network.settings,
        hyperparameters=artifact.parameters,
        input_mean=network.input_mean,
        source=artifact,
    )


def _settings(artifact: Artifact, path: str | os.PathLike[str]) -> tuple[Hyperparameters, DetectionSettings]:
    try:
        params, topk = artifact.parameters, int(artifact.hyperparameters.get("nms_topk", NMS_TOPK))
        return params, DetectionSettings(nms_threshold=params.nms_threshold, nms_topk=topk)
    except HyperparameterError as error:
        raise ArtifactError(f"hyperparams.json is malformed: {error}", path=path) from error
    except ValueError as error:
        value = artifact.hyperparameters["nms_topk"]
        raise ArtifactError(
            "hyperparams.json is malformed: nms_topk is no whole number", path=path, value=value
        ) from error


def _network(artifact: Artifact, params: Hyperparameters, path: str | os.PathLike[str]) -> AnyNetwork:
    import torch

    from birdsod.ssd.building import build_network

    shape = {"num_classes": params.num_classes, "image_shape": params.image_shape}
    try:
        # The weights that it begins with are of no use here, and must not use up the caller's random numbers.
        with torch.random.fork_rng(devices=[]):
            network = build_network(params.base_network, pretrained=False, **shape)
    except HyperparameterError as error:
        raise ArtifactError(error.message, path=path, value=error.value) from error
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: values.shape for name, values in artifact.tensors.items()}
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if differing:
        name = differing[0]
        raise ArtifactError(
            f"{len(differing)} of the weights do not fit the network that hyperparams.json names, the first is {name}",
            path=path,
            value=found.get(name, "missing"),
            cause=f"the network has {wanted.get(name, 'no such weights')}",
        )
    network.load_state_dict({name: torch.from_numpy(values) for name, values in artifact.tensors.items()})
    return network
