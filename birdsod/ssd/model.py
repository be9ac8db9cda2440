"""A loaded model: images in, detections out."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from birdsod.detections import Detections
from birdsod.errors import ArtifactError, InputError
from birdsod.ssd.detection import multibox_detection
from birdsod.ssd.network_input import network_input, whole_pixels

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.classes import ClassTable
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.image import ImageSource
    from birdsod.ssd.conversion import ModelFormat
    from birdsod.ssd.detection import DetectionSettings
    from birdsod.ssd.network_input import Pixels
    from birdsod.ssd.opening import AnyArtifact

    Float32Array = npt.NDArray[np.float32]

__all__ = ["Model", "Network"]

_BATCH = 16


class Network(Protocol):
    """What a model runs, in whichever runtime; threads may share it."""

    @property
    def image_shape(self) -> int:
        """Edge in pixels of the square images."""
        ...

    @property
    def anchors(self) -> Float32Array:
        """Relative corners, ``(N, 4)``."""
        ...

    def answer(self, images: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return class probabilities ``(B, classes + 1, N)`` and offsets ``(B, 4 * N)``."""
        ...


class Model:
    """A detector in this process; :func:`load_model` opens one. It may be used from several threads at once.

    Parameters
    ----------
    network : Network
        For inference.
    classes : ClassTable
        What the class ids stand for.
    settings : DetectionSettings
        Thresholds and limits of detection.
    hyperparameters : Hyperparameters, optional
        What it was trained with, where that is known.
    input_mean : tuple of float, default (0, 0, 0)
        What the network wants subtracted from red, green and blue.
    source : Artifact, MXNetArtifact or OnnxArtifact, optional
        What it came from, which :meth:`save` writes anew.
    """

    def __init__(
        self,
        network: Network,
        classes: ClassTable,
        settings: DetectionSettings,
        *,
        hyperparameters: Hyperparameters | None = None,
        input_mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        source: AnyArtifact | None = None,
    ) -> None:
        self._network = network
        self._classes = classes
        self._settings = settings
        self._hyperparameters = hyperparameters
        self._input_mean = input_mean
        self._source = source
        self._anchors = network.anchors

    @property
    def classes(self) -> ClassTable:
        """The classes that the model tells apart."""
        return self._classes

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What the model was trained with.

        Raises
        ------
        ArtifactError
            If its archive does not say so.
        """
        if self._hyperparameters is None:
            raise ArtifactError("the archive of this model does not tell its hyperparameters")
        return self._hyperparameters

    @property
    def settings(self) -> DetectionSettings:
        """Thresholds and limits of detection."""
        return self._settings

    @property
    def input_mean(self) -> tuple[float, float, float]:
        """What :meth:`predict` subtracts from red, green and blue, since the network was trained so."""
        return self._input_mean

    @property
    def precision(self) -> str:
        """What the convolutions compute with: ``"float32"``, or ``"int8"`` after :func:`birdsod.ssd.quantize`."""
        precision: str = getattr(self._source, "precision", "float32")
        return precision

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
        while group := [self._squeezed(whole_pixels(image)) for image in islice(left, batch_size)]:
            batch = np.stack([pixels for pixels, _ in group])
            found += [
                Detections.from_prediction(rows, width=width, height=height, classes=self._classes)
                for rows, (_, (height, width)) in zip(self.detect(batch.transpose(0, 3, 1, 2)), group, strict=True)
            ]
        return found

    def detect(self, batch: npt.ArrayLike) -> Float32Array:
        """Run the network on its own input.

        Parameters
        ----------
        batch : array_like
            RGB from 0 to 255, ``(B, 3, image_shape, image_shape)``; less :attr:`input_mean`.

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
        probabilities, offsets = self._network.answer(pixels)
        return multibox_detection(probabilities, offsets, self._anchors, **asdict(self._settings))

    # The argument is called format as those of pandas and Pillow are.
    def save(
        self,
        path: str | os.PathLike[str],
        format: ModelFormat | None = None,  # noqa: A002 - see above
        *,
        nms: bool = False,
    ) -> Path:
        """Write the model anew, with its own parameters and, if it is MXNet's, its own graph; or as ONNX.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.tar.gz`` or ``.tgz`` for an archive, in ``.onnx`` for ONNX, another for a new folder.
        format : {"mxnet", "onnx", "safetensors"}, optional
            What it must be; by default ONNX for a name that ends so, else what it was. Any model becomes ONNX.
        nms : bool, default False
            For ONNX: suppress inside, so that the model answers with boxes.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        ArtifactError
            If the model did not come from an archive, or cannot have that format.
        InputError
            If suppression is asked for in another format than ONNX.
        """
        from birdsod.ssd.conversion import save_again

        if self._source is None:
            raise ArtifactError("this model came from no archive", path=path, cure="open one with load_model")
        return save_again(self._source, path, format, nms=nms, image_shape=self.image_shape)

    def _squeezed(self, pixels: npt.NDArray[np.uint8]) -> tuple[Pixels, tuple[int, int]]:
        height, width = pixels.shape[:2]
        return network_input(pixels, self.image_shape, self._input_mean), (height, width)
