"""What a job learns from: packed data to be uploaded, or what lies in the object store already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

from birdsod._arguments import check_packed, refuse_shards
from birdsod.dataset._image_channels import ImageChannels
from birdsod.errors import TrainingError
from birdsod.estimator.sagemaker.image_inputs import ImageInputs, ManifestInputs
from birdsod.estimator.sagemaker.requests import RECORDIO, ChannelPlan
from birdsod.estimator.sagemaker.uploads import FileUpload

if TYPE_CHECKING:
    from birdsod.classes import ClassTable
    from birdsod.recordio import Packed

__all__ = ["Inputs", "PackedInputs", "UploadedInputs", "inputs_of"]

_MANIFEST = "packed.json"
_FINGERPRINT = 16
_NEEDED = ("train", "validation")


@runtime_checkable
class Inputs(Protocol):
    """Whatever a job can learn from.

    An own kind needs no more than this: what its classes are, which files go where, and which channels the job
    is given.
    """

    @property
    def class_table(self) -> ClassTable:
        """What the class ids stand for."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that differs where the data differ; a part of their address."""
        ...

    def channel_plans(self, bucket: str, prefix: str) -> tuple[ChannelPlan, ...]:
        """Return the channels of a job whose files are uploaded below a prefix of a bucket."""
        ...

    def files(self, bucket: str, prefix: str) -> tuple[FileUpload, ...]:
        """Return what must be uploaded for these channels; those that are there are skipped."""
        ...


@dataclass(frozen=True, slots=True)
class PackedInputs:
    """Packed data, to be uploaded to an address that is made of their checksums.

    Parameters
    ----------
    packed : Packed
        What :func:`birdsod.pack` returned.
    input_mode : {"File", "Pipe"}
        Whether a job copies the record files before it trains, or reads them as they come.
    classes_channel : bool
        Whether the job gets one more channel, ``classes``, with ``packed.json``. The built-in algorithm takes none.
    """

    packed: Packed
    input_mode: Literal["File", "Pipe"] = "File"
    classes_channel: bool = False

    @property
    def class_table(self) -> ClassTable:
        """What the class ids stand for."""
        return self.packed.class_table

    @property
    def fingerprint(self) -> str:
        """16 letters that differ where record files or classes differ."""
        content = {name: self.packed.channels[name].sha256 for name in _NEEDED}
        told = json.dumps([content, self.packed.class_table.to_json()], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:_FINGERPRINT]

    def channel_plans(self, bucket: str, prefix: str) -> tuple[ChannelPlan, ...]:
        """Return the channels ``train`` and ``validation``, and ``classes`` where it is wanted."""
        home = self._home(bucket, prefix)
        plans = tuple(
            ChannelPlan(name=name, uri=f"{home}/{name}/", content_type=RECORDIO, input_mode=self.input_mode)
            for name in _NEEDED
        )
        classes = ChannelPlan(name="classes", uri=f"{home}/{_MANIFEST}", content_type="application/json")
        return (*plans, classes) if self.classes_channel else plans

    def files(self, bucket: str, prefix: str) -> tuple[FileUpload, ...]:
        """Return the record files, and ``packed.json``, with their addresses."""
        home = self._home(bucket, prefix)
        channels = [(name, self.packed.channels[name]) for name in _NEEDED]
        records = [
            FileUpload(each.rec, f"{home}/{name}/{name}.rec", each.sha256, each.bytes) for name, each in channels
        ]
        manifest = self.packed.directory / _MANIFEST
        if not manifest.is_file():
            raise TrainingError("no packed.json beside the record files", path=self.packed.directory, cure="pack again")
        return (*records, FileUpload.of(manifest, f"{home}/{_MANIFEST}"))

    def _home(self, bucket: str, prefix: str) -> str:
        return "/".join(["s3:/", bucket, *filter(None, [prefix]), "data", self.fingerprint])


@dataclass(frozen=True, slots=True)
class UploadedInputs:
    """Data that lie in the object store already.

    Parameters
    ----------
    channels : tuple of ChannelPlan
        The job's channels.
    class_table : ClassTable
        What the class ids stand for.
    fingerprint : str
        Text that tells these data from others; the channels' addresses by default.

    Examples
    --------
    >>> from birdsod.classes import ClassTable
    >>> from dataclasses import replace
    >>> train = ChannelPlan(name="train", uri="s3://birds/train/", content_type=RECORDIO)
    >>> data = UploadedInputs((train, replace(train, name="validation")), ClassTable((17,), ("017.Cardinal",)))
    >>> [plan.name for plan in data.channel_plans("any", "prefix")]
    ['train', 'validation']
    """

    channels: tuple[ChannelPlan, ...]
    class_table: ClassTable
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not self.fingerprint:
            told = json.dumps([[each.name, each.uri] for each in self.channels])
            object.__setattr__(self, "fingerprint", hashlib.sha256(told.encode()).hexdigest()[:_FINGERPRINT])

    def channel_plans(self, bucket: str, prefix: str) -> tuple[ChannelPlan, ...]:  # noqa: ARG002 - the protocol's
        """Return the channels as they were given."""
        return self.channels

    def files(self, bucket: str, prefix: str) -> tuple[FileUpload, ...]:  # noqa: ARG002 - the protocol's
        """Return nothing: all is there."""
        return ()


def inputs_of(data: object, *, input_mode: Literal["File", "Pipe"], classes_channel: bool) -> Inputs:
    """Return what a job learns from, of whatever ``fit`` was given.

    Parameters
    ----------
    data : Packed or Inputs
        Packed data, or a value that knows its own channels.
    input_mode : {"File", "Pipe"}
        For packed data.
    classes_channel : bool
        Whether the job gets a channel with the names of the classes.

    Returns
    -------
    Inputs

    Raises
    ------
    TrainingError
        If it is neither, or a channel is missing.
    """
    if isinstance(data, ImageInputs | ManifestInputs):
        return replace(data, classes_channel=classes_channel)
    if isinstance(data, Inputs):
        return data
    if isinstance(data, ImageChannels):
        cure = "ImageInputs(images), or ManifestInputs(images)"
        raise TrainingError("images can be read in two ways", path=data.directory, cure=cure)
    refuse_shards(data, TrainingError)
    check_packed(data, TrainingError)
    packed = cast("Packed", data)
    missing = [name for name in _NEEDED if name not in packed.channels]
    if missing:
        cure = 'pack({"train": ..., "validation": ...}, ...)'
        raise TrainingError(f"no channel {' and no channel '.join(missing)}", path=packed.directory, cure=cure)
    return PackedInputs(packed, input_mode, classes_channel)
