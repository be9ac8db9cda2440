"""A model that computes with whole numbers of eight bits, measured on images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from birdsod._progress import bar
from birdsod.errors import ArtifactError, DatasetError, InputError
from birdsod.predicted._images import files_of
from birdsod.ssd.conversion import save_again
from birdsod.ssd.mxnet_artifact import MXNetArtifact
from birdsod.ssd.network_input import network_input, whole_pixels
from birdsod.ssd.onnx.building import onnx_artifact
from birdsod.ssd.onnx.model_file import OnnxArtifact
from birdsod.ssd.onnx.quantizing import quantized
from birdsod.ssd.opening import SUFFIX, read_model

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.dataset import DetectionDataset
    from birdsod.image import ImageSource
    from birdsod.ssd.onnx.model_file import ModelFacts

__all__ = ["quantize"]

T = TypeVar("T")

_RECORDS = ".rec"


def quantize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    images: str | os.PathLike[str] | DetectionDataset | Sequence[ImageSource],
    *,
    count: int = 64,
    nms: bool = False,
    image_shape: int | None = None,
) -> Path:
    """Write a model as an ONNX file whose convolutions compute with whole numbers of eight bits.

    It is faster on a CPU and answers a little otherwise: compare :func:`birdsod.evaluate` of both.
    :func:`birdsod.load_model` opens it. The same model and images give the same bytes.

    Parameters
    ----------
    source : path-like
        What :func:`birdsod.load_model` opens.
    target : path-like
        A name that ends in ``.onnx``.
    images : path-like, DetectionDataset or sequence
        What the ranges of numbers in the network are measured on: a folder of images, a ``.rec`` file, a data set, or
        images as :meth:`Model.predict` takes them. Such as it was trained on; no objects are looked at.
    count : int, default 64
        How many images are taken at most, evenly from the first to the last.
    nms : bool, default False
        Suppress inside, so that the model answers with boxes.
    image_shape : int, optional
        Edge in pixels of the images that a network of MXNet sees, where its archive does not tell.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ArtifactError
        If the source is malformed or quantized already, or the target's name does not end in ``.onnx``.
    InputError
        If ``count`` is not positive, or there are no images.
    DatasetError
        If the folder or the record file of images is missing.
    ImageError
        If an image cannot be read.
    MissingDependencyError
        If ``onnx`` or ``onnxruntime`` is not installed.

    Examples
    --------
    >>> from birdsod.ssd import load_model, quantize
    >>> path = quantize("model.tar.gz", "model-int8.onnx", "images/train")  # doctest: +SKIP
    >>> load_model(path).precision  # doctest: +SKIP
    'int8'
    """
    if count < 1:
        raise InputError("at least one image is measured", value=count)
    if Path(target).suffix != SUFFIX:
        cure = f"choose a name that ends in {SUFFIX}"
        raise ArtifactError("a quantized model is an ONNX file", path=target, value=Path(target).name, cure=cure)
    chosen = _chosen(images, count)
    read = read_model(source)
    if image_shape is not None and not isinstance(read, MXNetArtifact):
        raise ArtifactError("this archive itself tells its image_shape", path=source, value=image_shape)
    whole = read if isinstance(read, OnnxArtifact) else onnx_artifact(read, source, image_shape=image_shape)
    try:
        made = quantized(whole, _batches(chosen, whole.facts))
    except ArtifactError as error:
        error.path = error.path or str(source)
        raise
    return save_again(made, target, nms=nms, origin=source)


def _batches(images: Sequence[ImageSource], facts: ModelFacts) -> Iterator[npt.NDArray[np.float32]]:
    for image in bar(images, description="Measuring"):
        pixels = network_input(whole_pixels(image), facts.image_shape, facts.input_mean)
        yield np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)


def _chosen(images: object, count: int) -> Sequence[ImageSource]:
    if isinstance(images, str | os.PathLike):
        path = Path(images)
        return _recorded(path, count) if path.suffix == _RECORDS else _spread(_inside(path), count, path)
    if not isinstance(images, Iterable) or isinstance(images, bytes | np.ndarray):
        cure = "give a folder, a .rec file, a data set or a list of images"
        raise InputError("these are no images to measure", value=type(images).__name__, cure=cure)
    sources = [getattr(each, "path", each) for each in images]
    return _spread(cast("list[ImageSource]", sources), count)


def _inside(folder: Path) -> list[ImageSource]:
    if not folder.is_dir():
        raise DatasetError("no such folder of images, nor a .rec file", path=folder)
    return [*files_of(folder)]


def _recorded(file: Path, count: int) -> list[ImageSource]:
    from birdsod.recordio import RecordReader

    with RecordReader(file) as records:
        return [bytes(records[place].image) for place in _spread(range(len(records)), count, file)]


def _spread(items: Sequence[T], count: int, path: Path | None = None) -> list[T]:
    if not len(items):
        raise InputError("there are no images to measure", path=path)
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]
