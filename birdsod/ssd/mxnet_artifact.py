"""The archive of the built-in algorithm: a graph, its parameters and its hyperparameters."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, HyperparameterError
from birdsod.mxnet import SparseArray, read_params, read_symbol
from birdsod.ssd.artifact import CLASSES, HYPERPARAMETERS, read_classes, read_hyperparameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.mxnet import Graph

__all__ = ["IMAGENET_MEAN", "INPUT_MEAN", "MXNetArtifact", "holds_mxnet", "mean_seen", "mxnet_artifact"]

INPUT_MEAN = "_input_mean"
"""Where ``hyperparams.json`` tells what was subtracted from the images; the algorithm's own archives do not tell."""

IMAGENET_MEAN = (123.0, 117.0, 104.0)
"""What MXNet's SSD example subtracts from red, green and blue."""

_SEEN = "aux:bn_data_moving_mean"
# The mean of raw pixels is above 100 in each channel, that of pixels without their mean is near 0.
_RAW_FROM = 50.0
_SYMBOL = "-symbol.json"
_PARAMS = re.compile(r"(.*)-(\d{4,})\.params")
_DEFAULT_IMAGE_SHAPE = 300
_LARGEST_IMAGE_SHAPE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class MXNetArtifact:
    """What an archive of the built-in algorithm holds.

    Parameters
    ----------
    file : Path or str
        The archive; its address where it lies far away.
    graph : Graph
        The network.
    arrays : mapping of str to ndarray
        Its parameters.
    hyperparameters : mapping of str to str
        All values as text; empty where the archive has none.
    classes : ClassTable, optional
        What the class ids stand for, where somebody put it into the archive.
    ignored : tuple of str
        Files which were not used.
    """

    file: Path | str
    graph: Graph
    arrays: Mapping[str, npt.NDArray[np.generic] | SparseArray]
    hyperparameters: Mapping[str, str]
    classes: ClassTable | None = None
    ignored: tuple[str, ...] = ()

    @property
    def parameters(self) -> Hyperparameters | None:
        """The hyperparameters, typed and checked; none where the archive has none, or others than the algorithm's."""
        from birdsod.hyperparameters import Hyperparameters

        try:
            return Hyperparameters.from_request(self.hyperparameters)
        except HyperparameterError:
            return None

    @property
    def image_shape(self) -> int:
        """Edge in pixels of the images that the network sees; the algorithm's default, with a warning, if untold."""
        told = self.hyperparameters.get("image_shape")
        if told is None:
            taken = f"{_DEFAULT_IMAGE_SHAPE} is taken; pass image_shape="
            warnings.warn(f"{self.file}: the archive does not tell image_shape, {taken}", UserWarning, stacklevel=4)
            return _DEFAULT_IMAGE_SHAPE
        if not told.isdecimal() or not 0 < int(told) <= _LARGEST_IMAGE_SHAPE:
            raise ArtifactError(f"{HYPERPARAMETERS}: image_shape is no edge in pixels", path=self.file, value=told)
        return int(told)

    @property
    def input_mean(self) -> tuple[float, float, float] | None:
        """What was subtracted from red, green and blue in training; none where the archive does not tell."""
        told = self.hyperparameters.get(INPUT_MEAN)
        if told is None:
            return None
        try:
            red, green, blue = (float(part) for part in told.split(","))
        except ValueError as error:
            message = f"{HYPERPARAMETERS}: {INPUT_MEAN} is not three numbers"
            raise ArtifactError(message, path=self.file, value=told) from error
        return red, green, blue

    def classes_for(self, count: int) -> ClassTable:
        """Return the class table, numbers for names where the archive names none."""
        table = self.classes or ClassTable.numbered(count)
        if len(table) != count:
            message = f"the network tells {count} classes apart, {CLASSES} names {len(table)}"
            raise ArtifactError(message, path=self.file)
        return table


def holds_mxnet(members: Mapping[str, bytes]) -> bool:
    """Tell whether an archive is one of MXNet's."""
    return any(name.endswith((_SYMBOL, ".params")) for name in members)


def mxnet_artifact(members: Mapping[str, bytes], ignored: Sequence[str], file: Path) -> MXNetArtifact:
    """Return what the files of an archive of the built-in algorithm say."""
    symbol = _symbol(members, file)
    params = _params(members, symbol, file)
    unused = [name for name in members if name.endswith(".params") and name != params]
    try:
        graph, arrays = read_symbol(members[symbol]), read_params(members[params])
    except ArtifactError as error:
        error.path = str(file)
        raise
    values = read_hyperparameters(members[HYPERPARAMETERS], file) if HYPERPARAMETERS in members else {}
    classes = read_classes(members[CLASSES], file) if CLASSES in members else None
    return MXNetArtifact(file, graph, arrays, values, classes, (*ignored, *unused))


def mean_seen(arrays: Mapping[str, npt.NDArray[np.generic] | SparseArray]) -> tuple[float, float, float]:
    """Tell what was subtracted from the images in training, by the mean that the network saw, where it kept one."""
    found = arrays.get(_SEEN)
    if found is None or isinstance(found, SparseArray) or found.size != 3:  # noqa: PLR2004 - red, green, blue
        return (0.0, 0.0, 0.0)
    return (0.0, 0.0, 0.0) if float(abs(found.astype(float)).mean()) > _RAW_FROM else IMAGENET_MEAN


def _symbol(members: Mapping[str, bytes], file: Path) -> str:
    found = sorted(name for name in members if name.endswith(_SYMBOL))
    if len(found) != 1:
        message = "the archive holds several graphs" if found else f"the archive has parameters but no *{_SYMBOL}"
        raise ArtifactError(message, path=file, value=found or None, cure="keep one, with its parameters, in a folder")
    return found[0]


def _params(members: Mapping[str, bytes], symbol: str, file: Path) -> str:
    """Return the parameters of the graph's own name; of several epochs the last."""
    prefix = symbol.removesuffix(_SYMBOL)
    matches = [match for name in members if (match := _PARAMS.fullmatch(name)) and match[1] == prefix]
    found = [match[0] for match in sorted(matches, key=lambda match: int(match[2]))]
    if not found:
        others = sorted(name for name in members if name.endswith(".params"))
        wanted = f"{PurePosixPath(prefix).name}-0000.params"
        raise ArtifactError(
            f"the archive lacks {wanted}", path=file, value=others or None, cause="a part of an archive"
        )
    return found[-1]
