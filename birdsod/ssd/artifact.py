"""The model archive: ``model.tar.gz`` with the weights, the hyperparameters and the classes, written and read."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod._files import appearing
from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, DatasetError, HyperparameterError, MissingDependencyError
from birdsod.ssd._members import check_members, read_members
from birdsod.ssd.detection import DetectionSettings

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.network import SSD

    Tensors = Mapping[str, npt.NDArray[Any]]

__all__ = ["Artifact", "read_artifact", "save_artifact"]

WEIGHTS = "model.safetensors"
HYPERPARAMETERS = "hyperparams.json"
CLASSES = "classes.json"
MEMBERS = (WEIGHTS, HYPERPARAMETERS, CLASSES)
NMS_TOPK = 400
"""How many of the best boxes are looked at; the algorithm writes it beside the hyperparameters."""

_FORMAT = "1"


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """What a model archive holds.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Parameters and statistics of the network by name.
    hyperparameters : mapping of str to str
        All values as text, as SageMaker keeps them.
    classes : ClassTable
        What the class ids stand for.
    ignored : tuple of str
        Files beside these three, which were not opened.
    """

    tensors: Tensors
    hyperparameters: Mapping[str, str]
    classes: ClassTable
    ignored: tuple[str, ...] = ()

    @property
    def parameters(self) -> Hyperparameters:
        """The hyperparameters, typed and checked."""
        from birdsod.hyperparameters import Hyperparameters

        return Hyperparameters.from_request(self.hyperparameters)


def save_artifact(
    path: str | os.PathLike[str],
    network: SSD,
    params: Hyperparameters,
    classes: ClassTable,
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Write a model archive that appears whole; the same model gives the same bytes.

    Parameters
    ----------
    path : path-like
        Usually ``model.tar.gz``.
    network : SSD
        The trained network.
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
        If the network and the classes do not agree.
    """
    if len(classes) != network.num_classes:
        raise ArtifactError(f"the network knows {network.num_classes} classes, but {len(classes)} are named", path=path)
    values = {**params.to_request(), "nms_topk": str(NMS_TOPK), **(extra or {})}
    state = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in network.state_dict().items()}
    return write_archive(path, artifact_members(Artifact(state, values, classes)))


def artifact_members(artifact: Artifact) -> dict[str, bytes]:
    """Return the files that an archive of this format consists of."""
    return {
        CLASSES: as_json(artifact.classes.to_json()),
        HYPERPARAMETERS: as_json(artifact.hyperparameters),
        WEIGHTS: _safetensors().numpy.save(artifact.tensors, metadata={"format": _FORMAT}),
    }


def write_archive(path: str | os.PathLike[str], members: Mapping[str, bytes]) -> Path:
    """Write files into an archive that appears whole; the same files give the same bytes."""
    with (
        appearing(path) as stream,
        # Weights hardly compress: the lowest level is nearly as small and several times faster.
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, data in members.items():
            archive.addfile(_entry(name, len(data)), io.BytesIO(data))
    return Path(path)


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Read a model archive, or a folder into which one was unpacked.

    Nothing is unpacked to disk and nothing is unpickled; sizes are bounded, and links and names that lead out of
    the archive are refused.

    Parameters
    ----------
    path : path-like
        ``model.tar.gz``, or a folder.

    Returns
    -------
    Artifact

    Raises
    ------
    ArtifactError
        If there is no such file, or it is no model archive, is cut off, or holds something malformed.
    MissingDependencyError
        If ``safetensors`` is not installed.
    """
    file = Path(path)
    return artifact_of(*read_members(file, wanted=MEMBERS), file)


def detection_settings(artifact: Artifact, path: str | os.PathLike[str]) -> tuple[Hyperparameters, DetectionSettings]:
    """Return the hyperparameters, and what they say about detection."""
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


def is_member(name: str) -> bool:
    """Tell whether a file of an archive is looked at: of this format, or of MXNet's."""
    return name in MEMBERS or name.endswith((".params", "-symbol.json"))


def artifact_of(members: Mapping[str, bytes], ignored: Sequence[str], file: Path) -> Artifact:
    """Return what the files of an archive say."""
    check_members(file, MEMBERS, members, ignored)
    hyperparameters = read_hyperparameters(members[HYPERPARAMETERS], file)
    classes = read_classes(members[CLASSES], file)
    if hyperparameters.get("num_classes", str(len(classes))) != str(len(classes)):
        message = f"{HYPERPARAMETERS} and {CLASSES} disagree about the number of classes"
        raise ArtifactError(message, path=file, value=(hyperparameters["num_classes"], len(classes)))
    return Artifact(_tensors(members[WEIGHTS], file), hyperparameters, classes, tuple(ignored))


def read_hyperparameters(data: bytes, file: Path) -> dict[str, str]:
    """Return the values of ``hyperparams.json`` as text."""
    values = _parsed(data, HYPERPARAMETERS, file)
    if not isinstance(values, dict):
        raise ArtifactError(f"{HYPERPARAMETERS} must hold names with values", path=file, value=type(values).__name__)
    return {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def read_classes(data: bytes, file: Path) -> ClassTable:
    """Return the table of ``classes.json``."""
    rows = _parsed(data, CLASSES, file)
    if not isinstance(rows, list):
        raise ArtifactError(f"{CLASSES} must hold a list of classes", path=file, value=type(rows).__name__)
    try:
        return ClassTable.from_json(rows)
    except DatasetError as error:
        raise ArtifactError(f"{CLASSES} is malformed: {error.message}", path=file, value=error.value) from error


def _parsed(data: bytes, name: str, file: Path) -> object:
    try:
        parsed: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{name} is not JSON", path=file, value=str(error)) from error
    return parsed


def _tensors(data: bytes, file: Path) -> Tensors:
    safetensors = _safetensors()
    try:
        tensors: dict[str, npt.NDArray[Any]] = dict(sorted(safetensors.numpy.load(data).items()))
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        message = f"{WEIGHTS} is no file of weights"
        raise ArtifactError(message, path=file, value=str(error), cure="train or download the model again") from error
    written = _metadata(data).get("format", _FORMAT)
    if written != _FORMAT:
        cure = "install a newer birdsod"
        raise ArtifactError(
            "the archive has a format that this version does not know", path=file, value=written, cure=cure
        )
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise ArtifactError(f"the weights {name} are not finite", path=file, cause="training that diverged")
    return tensors


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return metadata


def _safetensors() -> Any:  # noqa: ANN401 - a module
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError("safetensors is not installed", cure="pip install 'birdsod[serve]'") from error
    return safetensors


def as_json(values: object) -> bytes:
    """Return JSON as it stands in an archive: the same values give the same bytes."""
    return (json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o644, 0
    return entry
