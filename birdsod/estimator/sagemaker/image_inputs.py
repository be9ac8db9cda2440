"""Images beside annotations, or with an augmented manifest, as inputs of a job."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsod.dataset._image_channels import ANNOTATIONS, MANIFEST, ImageChannels
from birdsod.dataset._manifest import IMAGE, LABEL, channel_manifest
from birdsod.errors import TrainingError
from birdsod.estimator.sagemaker.requests import RECORDIO, ChannelPlan
from birdsod.estimator.sagemaker.uploads import FileUpload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.classes import ClassTable
    from birdsod.dataset import ImageChannel

__all__ = ["ImageInputs", "ManifestInputs"]

_FINGERPRINT = 16
_NEEDED = ("train", "validation")


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """Images with a JSON file each, over four channels, read in File mode.

    Each file is an object of its own, at an address that is made of the checksums of all.

    Parameters
    ----------
    images : ImageChannels
        What :func:`birdsod.dataset.write_images` returned, with channels ``train`` and ``validation``.
    classes_channel : bool, default False
        Whether the job gets one more channel, ``classes``, with ``images.json``. An image of one's own takes it.

    Raises
    ------
    TrainingError
        If these are no such images, or a channel is missing.
    """

    images: ImageChannels
    classes_channel: bool = False

    def __post_init__(self) -> None:
        _check(self.images)

    @property
    def class_table(self) -> ClassTable:
        """What the class ids stand for."""
        return self.images.class_table

    @property
    def fingerprint(self) -> str:
        """16 letters that differ where images, annotations or classes differ."""
        return _fingerprint(self.images)

    def channel_plans(self, bucket: str, prefix: str) -> tuple[ChannelPlan, ...]:
        """Return the channels of images, and those of annotations."""
        home = _home(bucket, prefix, self.fingerprint)
        plans = tuple(
            # The algorithm's annotation channels bear the content type of their images.
            ChannelPlan(name=name + kind, uri=f"{home}/{name}{kind}/", content_type=self._channel(name).content_type)
            for kind in ("", ANNOTATIONS)
            for name in _NEEDED
        )
        return (*plans, _classes_plan(home)) if self.classes_channel else plans

    def files(self, bucket: str, prefix: str) -> tuple[FileUpload, ...]:
        """Return images and annotations with their addresses."""
        home = _home(bucket, prefix, self.fingerprint)
        channels = [self._channel(name) for name in _NEEDED]
        found = tuple(file for each in channels for file in (*_images(each, home), *_annotations(each, home)))
        return (*found, _classes_file(self.images, home)) if self.classes_channel else found

    def _channel(self, name: str) -> ImageChannel:
        return self.images.channels[name]


@dataclass(frozen=True, slots=True)
class ManifestInputs:
    """Images that a job reads one by one as they come, by an augmented manifest as Ground Truth writes it.

    Parameters
    ----------
    images : ImageChannels
        What :func:`birdsod.dataset.write_images` returned, with channels ``train`` and ``validation``.
    label : str, default "bounding-box"
        Name of the attribute that holds the boxes.
    classes_channel : bool, default False
        Whether the job gets one more channel, ``classes``, with ``images.json``. An image of one's own takes it.

    Raises
    ------
    TrainingError
        If these are no such images, or a channel is missing.

    Notes
    -----
    A manifest holds the addresses of its images, so it is made when those are known, beside the images.
    """

    images: ImageChannels
    label: str = LABEL
    classes_channel: bool = False

    def __post_init__(self) -> None:
        _check(self.images)

    @property
    def class_table(self) -> ClassTable:
        """What the class ids stand for."""
        return self.images.class_table

    @property
    def fingerprint(self) -> str:
        """16 letters that differ where images, annotations or classes differ."""
        return _fingerprint(self.images)

    def channel_plans(self, bucket: str, prefix: str) -> tuple[ChannelPlan, ...]:
        """Return the two channels, which name the attributes in the order that the algorithm reads them."""
        home = _home(bucket, prefix, self.fingerprint)
        plans = tuple(
            ChannelPlan(
                name=name,
                uri=self._manifest_uri(home, name),
                content_type=RECORDIO,
                input_mode="Pipe",
                kind="AugmentedManifestFile",
                attribute_names=(IMAGE, self.label),
                record_wrapper="RecordIO",
            )
            for name in _NEEDED
        )
        return (*plans, _classes_plan(home)) if self.classes_channel else plans

    def files(self, bucket: str, prefix: str) -> tuple[FileUpload, ...]:
        """Return the images and the manifests with their addresses; the manifests are written first."""
        home = _home(bucket, prefix, self.fingerprint)
        images = [file for name in _NEEDED for file in _images(self.images.channels[name], home)]
        found = (*images, *(self._manifest(name, home) for name in _NEEDED))
        return (*found, _classes_file(self.images, home)) if self.classes_channel else found

    def _manifest_uri(self, home: str, name: str) -> str:
        return f"{home}/{name}.{self.label}.manifest"

    def _manifest(self, name: str, home: str) -> FileUpload:
        uri = self._manifest_uri(home, name)
        folder = self.images.directory / "manifests" / hashlib.sha256(uri.encode()).hexdigest()[:_FINGERPRINT]
        path = folder / f"{name}.manifest"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError("the manifest cannot be written", path=path, cause=error.strerror) from error
        channel_manifest(self.images, name, path, uri=f"{home}/{name}", label=self.label)
        return FileUpload.of(path, uri)


def _check(images: object) -> None:
    if not isinstance(images, ImageChannels):
        cure = (
            'give what write_images({"train": ..., "validation": ...}, folder) returned, or ImageChannels.open(folder)'
        )
        raise TrainingError("these are no images beside annotations", value=type(images).__name__, cure=cure)
    missing = [name for name in _NEEDED if name not in images.channels]
    if missing:
        cure = 'write_images({"train": ..., "validation": ...}, ...)'
        raise TrainingError(f"no channel {' and no channel '.join(missing)}", path=images.directory, cure=cure)


def _fingerprint(images: ImageChannels) -> str:
    digest = hashlib.sha256(json.dumps(images.class_table.to_json(), sort_keys=True).encode())
    for name in _NEEDED:
        for file in images.channels[name].files:
            digest.update(json.dumps([name, file.name, file.sha256, file.annotation_sha256]).encode())
    return digest.hexdigest()[:_FINGERPRINT]


def _home(bucket: str, prefix: str, fingerprint: str) -> str:
    return "/".join(["s3:/", bucket, *filter(None, [prefix]), "data", fingerprint])


def _classes_plan(home: str) -> ChannelPlan:
    return ChannelPlan(name="classes", uri=f"{home}/{MANIFEST}", content_type="application/json")


def _classes_file(images: ImageChannels, home: str) -> FileUpload:
    return FileUpload.of(images.directory / MANIFEST, f"{home}/{MANIFEST}")


def _images(channel: ImageChannel, home: str) -> Iterator[FileUpload]:
    for file in channel.files:
        yield FileUpload(channel.directory / file.name, f"{home}/{channel.name}/{file.name}", file.sha256, file.bytes)


def _annotations(channel: ImageChannel, home: str) -> Iterator[FileUpload]:
    for file in channel.files:
        uri = f"{home}/{channel.name}{ANNOTATIONS}/{file.annotation}"
        yield FileUpload(channel.annotations / file.annotation, uri, file.annotation_sha256, file.annotation_bytes)
