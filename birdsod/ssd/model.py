"""A loaded model: images in, detections out."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from birdsod.detections import Detections
from birdsod.errors import ArtifactError, HyperparameterError, ImageError, InputError, MissingDependencyError
from birdsod.image import as_rgb, is_truncated, resize
from birdsod.image._sources import naming
from birdsod.ssd.artifact import NMS_TOPK, read_artifact
from birdsod.ssd.detection import multibox_detection

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import numpy.typing as npt

    from birdsod.classes import ClassTable
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.image import ImageSource
    from birdsod.ssd.artifact import Artifact
    from birdsod.ssd.network import SSD

    Float32Array = npt.NDArray[np.float32]

__all__ = ["Model", "load_model"]

_BATCH = 16


class Model:
    """A detector in this process; :func:`load_model` opens one. It may be used from several threads at once.

    Parameters
    ----------
    network : SSD
        For inference.
    hyperparameters : Hyperparameters
        What it was trained with; ``nms_threshold`` is the one of detection.
    classes : ClassTable
        What the class ids stand for.
    nms_topk : int, default 400
        How many of the best boxes are looked at.
    """

    def __init__(
        self, network: SSD, hyperparameters: Hyperparameters, classes: ClassTable, *, nms_topk: int = NMS_TOPK
    ) -> None:
        self._network = network
        self._hyperparameters = hyperparameters
        self._classes = classes
        self._nms_topk = nms_topk
        self._anchors: Float32Array = network.anchors.cpu().numpy()

    @property
    def classes(self) -> ClassTable:
        """The classes that the model tells apart."""
        return self._classes

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What the model was trained with."""
        return self._hyperparameters

    @property
    def image_shape(self) -> int:
        """Edge in pixels of the square images that the network sees."""
        return self._network.image_shape

    def predict(self, image: ImageSource) -> Detections:
        """Find the objects in one image.

        Parameters
        ----------
        image : path-like, bytes or ndarray
            A file, a file's content, or RGB pixels ``(height, width, 3)`` uint8.

        Returns
        -------
        Detections
            Best first.

        Raises
        ------
        ImageError
            If the image cannot be read, or is a JPEG that breaks off.
        """
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Iterable[ImageSource], *, batch_size: int = _BATCH) -> list[Detections]:
        """Find the objects in many images, a bounded number at a time.

        Parameters
        ----------
        images : iterable
            As :meth:`predict` takes them; a generator will do.
        batch_size : int, default 16
            How many images go through the network, and stay in memory, together.

        Returns
        -------
        list of Detections
            In the order of the images.

        Raises
        ------
        InputError
            If the batch size is not positive.
        ImageError
            If an image cannot be read, or is a JPEG that breaks off.
        """
        if batch_size < 1:
            raise InputError("a batch holds at least one image", value=batch_size)
        left, found = iter(images), list[Detections]()
        while group := [self._squeezed(_whole(image)) for image in islice(left, batch_size)]:
            batch = np.stack([pixels for pixels, _ in group]).transpose(0, 3, 1, 2)
            found += [
                Detections.from_prediction(rows, width=width, height=height, classes=self._classes)
                for rows, (_, (height, width)) in zip(self.detect(batch), group, strict=True)
            ]
        return found

    def detect(self, batch: npt.ArrayLike) -> Float32Array:
        """Run the network on its own input.

        Parameters
        ----------
        batch : array_like
            RGB from 0 to 255, ``(B, 3, image_shape, image_shape)``.

        Returns
        -------
        ndarray of float32
            Rows ``class, score, xmin, ymin, xmax, ymax`` for each image, ``(B, N, 6)``; class -1 is no detection.

        Raises
        ------
        InputError
            If the shape is another.
        """
        pixels = np.ascontiguousarray(batch, dtype=np.float32)
        edge = self.image_shape
        if pixels.ndim != 4 or pixels.shape[1:] != (3, edge, edge):  # noqa: PLR2004 - (B, 3, H, W)
            raise InputError(f"a batch has the shape (B, 3, {edge}, {edge})", value=pixels.shape)
        probabilities, offsets = self._run(pixels)
        return multibox_detection(
            probabilities,
            offsets,
            self._anchors,
            nms_threshold=self._hyperparameters.nms_threshold,
            nms_topk=self._nms_topk,
        )

    def _run(self, pixels: Float32Array) -> tuple[Float32Array, Float32Array]:
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(pixels).to(self._network.anchors.device)
            logits, offsets = self._network(images)
            probabilities = logits.softmax(dim=2).transpose(1, 2)
            return probabilities.cpu().numpy(), offsets.cpu().numpy()

    def _squeezed(self, pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
        # As MXNet's image iterator with resize_mode="force": to a square, whatever the picture's own shape.
        height, width = pixels.shape[:2]
        return resize(pixels, width=self.image_shape, height=self.image_shape), (height, width)


def _whole(image: ImageSource) -> npt.NDArray[np.uint8]:
    """Return the pixels, but not those of a JPEG that breaks off: its lower part would be grey."""
    if not isinstance(image, np.ndarray) and is_truncated(image):
        cause = "a copy or download that broke off"
        raise ImageError("the JPEG breaks off within its pixels", path=naming(image), cause=cause, cure="get it again")
    return as_rgb(image)


def load_model(path: str | os.PathLike[str], *, device: str = "auto", threads: int | None = None) -> Model:
    """Open a model archive.

    Parameters
    ----------
    path : path-like
        ``model.tar.gz``, or the folder into which it was unpacked.
    device : str, default "auto"
        ``"cpu"``, ``"cuda"`` or another name that torch knows; ``"auto"`` takes a GPU where there is one.
    threads : int, optional
        How many CPU threads torch uses, in the whole process; by default as many as it likes.

    Returns
    -------
    Model

    Raises
    ------
    ArtifactError
        If the archive is missing or malformed, or its weights do not fit the network that it names.
    MissingDependencyError
        If torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch is not installed", cure="pip install 'birdsod[local]'") from error
    from birdsod.ssd.fusing import fuse

    artifact = read_artifact(path)
    params, topk = _settings(artifact, path)
    network = fuse(_network(artifact, params, path))
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return Model(network.to(chosen), params, artifact.classes, nms_topk=topk)


def _settings(artifact: Artifact, path: str | os.PathLike[str]) -> tuple[Hyperparameters, int]:
    try:
        return artifact.parameters, int(artifact.hyperparameters.get("nms_topk", NMS_TOPK))
    except HyperparameterError as error:
        raise ArtifactError(f"hyperparams.json is malformed: {error}", path=path) from error
    except ValueError as error:
        value = artifact.hyperparameters["nms_topk"]
        raise ArtifactError(
            "hyperparams.json is malformed: nms_topk is no whole number", path=path, value=value
        ) from error


def _network(artifact: Artifact, params: Hyperparameters, path: str | os.PathLike[str]) -> SSD:
    import torch

    from birdsod.ssd.network import build_network

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
