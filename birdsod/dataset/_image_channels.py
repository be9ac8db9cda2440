"""Images beside annotation files, as values that outlive the session."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsod._files import write_text
from birdsod.classes import ClassTable
from birdsod.dataset._clipping import ClippedBox
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

__all__ = ["ANNOTATIONS", "MANIFEST", "ImageChannel", "ImageChannels", "ImageFile", "write_listing"]

MANIFEST = "images.json"
ANNOTATIONS = "_annotation"
_SCHEMA = 1
_LEAST_LABEL_WIDTH = 350
_HEADER, _OBJECT = 2, 5
_MIXED = "application/x-image"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image and its annotation file.

    Parameters
    ----------
    image_id : int
        The data set's own id.
    name : str
        Name of the image's file; the annotation's has the same stem.
    content_type : str
        ``image/jpeg`` or ``image/png``.
    width, height : int
        Pixels.
    objects : int
        How many it has.
    bytes, annotation_bytes : int
        Sizes of the two files.
    sha256, annotation_sha256 : str
        Their checksums.
    """

    image_id: int
    name: str
    content_type: str
    width: int
    height: int
    objects: int
    bytes: int
    annotation_bytes: int
    sha256: str
    annotation_sha256: str

    @property
    def annotation(self) -> str:
        """Name of the annotation file."""
        return f"{self.name.rpartition('.')[0]}.json"


@dataclass(frozen=True, slots=True)
class ImageChannel:
    """The images of one channel.

    Parameters
    ----------
    name : str
        ``train``, ``validation``, ...
    directory : pathlib.Path
        Folder of the images.
    files : tuple of ImageFile
        In the order of the data set.
    class_ids : tuple of int
        Classes that occur.
    clipped : tuple of ClippedBox
        Boxes that were cut to their image.
    left_out : tuple of int
        Ids of images that were left out, since they have no object.
    """

    name: str
    directory: Path
    files: tuple[ImageFile, ...]
    class_ids: tuple[int, ...]
    clipped: tuple[ClippedBox, ...] = ()
    left_out: tuple[int, ...] = ()

    @property
    def annotations(self) -> Path:
        """Folder of the annotation files."""
        return self.directory.with_name(self.name + ANNOTATIONS)

    @property
    def records(self) -> int:
        """Number of images."""
        return len(self.files)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(each.bytes + each.annotation_bytes for each in self.files)

    @property
    def most_objects(self) -> int:
        """Objects of the image that has the most."""
        return max((each.objects for each in self.files), default=0)

    @property
    def content_type(self) -> str:
        """What the images are; ``application/x-image`` where there are several kinds."""
        kinds = {each.content_type for each in self.files}
        return kinds.pop() if len(kinds) == 1 else _MIXED


@dataclass(frozen=True, slots=True)
class ImageChannels:
    """Channels of images with an annotation file each: what :func:`birdsod.dataset.write_images` returns.

    Parameters
    ----------
    directory : pathlib.Path
        The folder of all; absolute.
    channels : mapping of str to ImageChannel
        By name.
    class_table : ClassTable
        What the class ids stand for.
    """

    directory: Path
    channels: Mapping[str, ImageChannel]
    class_table: ClassTable

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Self:
        """Return what :func:`birdsod.dataset.write_images` returned, in a later session.

        Parameters
        ----------
        directory : path-like
            The folder that was written; it may have moved.

        Returns
        -------
        ImageChannels

        Raises
        ------
        DatasetError
            If ``images.json`` is missing or malformed, or a file is missing or has another size.
        """
        folder = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow links and rename the files
        path = folder / MANIFEST
        try:
            listing = json.loads(path.read_text(encoding="utf-8"))
            table = ClassTable.from_json(listing["classes"])
            channels = {name: _channel(folder, name, row) for name, row in listing["channels"].items()}
        except FileNotFoundError as error:
            cure = "write_images(...), or give the folder that it wrote"
            raise DatasetError("no images.json here", path=folder, cure=cure) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            cause = f"{type(error).__name__}: {error}"
            raise DatasetError("the list of images is malformed", path=path, cause=cause, cure="write again") from error
        for channel in channels.values():
            _check_files(channel)
        return cls(folder, channels, table)

    @property
    def most_objects(self) -> int:
        """Objects of the image that has the most, over all channels."""
        return max((channel.most_objects for channel in self.channels.values()), default=0)

    @property
    def longest_label(self) -> int:
        """Numbers of the longest label that the algorithm makes of the annotations, over all channels."""
        return _HEADER + _OBJECT * self.most_objects

    @property
    def label_width(self) -> int:
        """What to set as the hyperparameter: the longest label, but at least the algorithm's default of 350."""
        return max(_LEAST_LABEL_WIDTH, self.longest_label)

    @property
    def clipped(self) -> tuple[ClippedBox, ...]:
        """Boxes that were cut, over all channels."""
        return tuple(box for channel in self.channels.values() for box in channel.clipped)


def write_listing(folder: Path, channels: Iterable[ImageChannel], table: ClassTable) -> None:
    """Write what :meth:`ImageChannels.open` reads."""
    rows = {
        each.name: {
            "files": [asdict(file) for file in each.files],
            "class_ids": each.class_ids,
            "clipped": [asdict(box) for box in each.clipped],
            "left_out": each.left_out,
        }
        for each in channels
    }
    listing = {"schema": _SCHEMA, "made_by": "birdsod", "classes": table.to_json(), "channels": rows}
    write_text(folder / MANIFEST, json.dumps(listing, indent=1) + "\n")


def _channel(folder: Path, name: str, row: dict[str, Any]) -> ImageChannel:
    clipped = tuple(
        ClippedBox(**{**box, "before": tuple(box["before"]), "after": tuple(box["after"])}) for box in row["clipped"]
    )
    files = tuple(ImageFile(**file) for file in row["files"])
    return ImageChannel(name, folder / name, files, tuple(row["class_ids"]), clipped, tuple(row["left_out"]))


def _check_files(channel: ImageChannel) -> None:
    for each in channel.files:
        expected = (
            (channel.directory / each.name, each.bytes),
            (channel.annotations / each.annotation, each.annotation_bytes),
        )
        for path, size in expected:
            try:
                same = path.stat().st_size == size
            except OSError as error:
                raise DatasetError("a file is missing", path=path, cause=error.strerror, cure="write again") from error
            if not same:
                cause = "it was changed after it was written"
                raise DatasetError(
                    "a file has another size than it was written with", path=path, cause=cause, cure="write again"
                )
