"""Opening a model, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError
from birdsod.ssd.artifact import detection_settings
from birdsod.ssd.model import Model
from birdsod.ssd.mxnet_artifact import MXNetArtifact
from birdsod.ssd.onnx.building import onnx_artifact
from birdsod.ssd.onnx.model_file import OnnxArtifact
from birdsod.ssd.onnx.runtime import OnnxNetwork
from birdsod.ssd.opening import read_model
from birdsod.ssd.runtimes import chosen_runtime, torch_device

if TYPE_CHECKING:
    import os

    from birdsod.ssd.artifact import Artifact
    from birdsod.ssd.opening import AnyArtifact
    from birdsod.ssd.runtimes import Runtime

__all__ = ["load_model"]


def load_model(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int | None = None,
    image_shape: int | None = None,
    runtime: Runtime = "auto",
) -> Model:
    """Open a model: of the local engine, or of the built-in algorithm (MXNet), without MXNet; or as ONNX.

    A graph of MXNet is run as it says: anchors, thresholds and limits are read from it. Nothing is unpickled.

    Parameters
    ----------
    path : path-like
        ``model.tar.gz``, the folder into which it was unpacked, or an ``.onnx`` file that birdsod wrote; on this
        machine or at ``s3://bucket/key``.
    device : str, default "auto"
        ``"cpu"``, ``"cuda"`` or another name that torch knows; ``"auto"`` takes a GPU where there is one.
    threads : int, optional
        How many CPU threads compute; by default as many as the runtime likes. Those of torch are the whole process's.
    image_shape : int, optional
        Edge in pixels of the images that a network of MXNet sees, where its archive has no ``hyperparams.json``
        that tells it.
    runtime : {"auto", "onnxruntime", "torch"}, default "auto"
        What computes: ONNX Runtime, which needs no torch, or torch. ``"auto"`` takes ONNX Runtime on a CPU where it is
        installed, else torch.

    Returns
    -------
    Model

    Raises
    ------
    ArtifactError
        If the archive is missing or malformed, or its weights do not fit the network that it names; if it holds several
        graphs, or one that is no detector or has an operator that no detector uses; if an ``.onnx`` file is not one of
        birdsod's.
    InputError
        If ONNX Runtime is asked for another device than the CPU.
    CloudError
        If the model cannot be fetched from S3.
    MissingDependencyError
        If the runtime is not installed.
    """
    taken = chosen_runtime(runtime, device)
    source = read_model(path)
    if image_shape is not None and not isinstance(source, MXNetArtifact):
        raise ArtifactError("this archive itself tells its image_shape", path=path, value=image_shape)
    if taken == "onnxruntime":
        return _in_onnx_runtime(source, path, image_shape, threads)
    if isinstance(source, OnnxArtifact):
        cure = "leave runtime and device out, or open the archive that it was made from"
        raise ArtifactError("an ONNX file runs in ONNX Runtime alone, on the CPU", path=path, cure=cure)
    return _in_torch(source, path, image_shape, threads, device)


def _in_onnx_runtime(
    source: AnyArtifact, path: str | os.PathLike[str], image_shape: int | None, threads: int | None
) -> Model:
    made = source if isinstance(source, OnnxArtifact) else onnx_artifact(source, path, image_shape=image_shape)
    try:
        network = OnnxNetwork(made.model, threads=threads)
    except ArtifactError as error:
        error.path = error.path or str(path)
        raise
    facts = made.facts
    return Model(
        network,
        facts.classes,
        facts.settings,
        hyperparameters=facts.parameters,
        input_mean=facts.input_mean,
        source=source,
    )


def _in_torch(
    source: Artifact | MXNetArtifact,
    path: str | os.PathLike[str],
    image_shape: int | None,
    threads: int | None,
    device: str,
) -> Model:
    chosen = torch_device(device)
    import torch

    from birdsod.ssd.torch_network import TorchNetwork, network_of

    if threads is not None:
        torch.set_num_threads(threads)
    if isinstance(source, MXNetArtifact):
        return _mxnet_model(source, image_shape, chosen)
    params, settings = detection_settings(source, path)
    network = TorchNetwork(network_of(source, params, path).to(chosen))
    return Model(network, source.classes, settings, hyperparameters=params, source=source)


def _mxnet_model(artifact: MXNetArtifact, image_shape: int | None, device: str) -> Model:
    from birdsod.ssd.graph_network import GraphNetwork
    from birdsod.ssd.torch_network import TorchNetwork

    edge = artifact.image_shape if image_shape is None else image_shape
    try:
        network = GraphNetwork(artifact.graph, artifact.arrays, image_shape=edge, input_mean=artifact.input_mean)
        classes = artifact.classes_for(network.num_classes)
    except ArtifactError as error:
        error.path = error.path or str(artifact.file)
        raise
    return Model(
        TorchNetwork(network.to(device)),
        classes,
        network.settings,
        hyperparameters=artifact.parameters,
        input_mean=network.input_mean,
        source=artifact,
    )
