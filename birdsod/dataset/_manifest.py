"""A data set as an augmented manifest, as Ground Truth writes it: one line of JSON an image."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from birdsod._files import appearing
from birdsod.dataset._clipping import boxes_inside
from birdsod.dataset._labels import label_json
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from birdsod.classes import ClassTable
    from birdsod.dataset._clipping import ClippedBox
    from birdsod.dataset._dataset import DetectionDataset
    from birdsod.dataset._image_channels import ImageChannels

__all__ = ["BOXES", "IMAGE", "IMAGE_ID", "LABEL", "TYPE", "WrittenManifest", "channel_manifest", "write_manifest"]

IMAGE, LABEL, IMAGE_ID = "source-ref", "bounding-box", "image-id"
BOXES, TYPE = "groundtruth/object-detection", "type"
_LABEL = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,126}")


@dataclass(frozen=True, slots=True)
class WrittenManifest:
    """What :func:`write_manifest` did.

    Parameters
    ----------
    path : pathlib.Path
        The manifest.
    rows : int
        Images in it.
    clipped : tuple of ClippedBox
        Every box that was cut.
    """

    path: Path
    rows: int
    clipped: tuple[ClippedBox, ...]


def write_manifest(
    dataset: DetectionDataset,
    path: str | os.PathLike[str],
    *,
    uri: str,
    label: str = LABEL,
    outside: Literal["clip", "raise"] = "clip",
) -> WrittenManifest:
    r"""Write an augmented manifest of images that lie, or will lie, in the object store as in the data set's folder.

    The images themselves are neither looked at nor changed, but for their sizes. A line names the classes of its own
    objects; the first one names all. The file appears whole or not at all.

    Parameters
    ----------
    dataset : DetectionDataset
        Images, in the order of the lines.
    path : path-like
        The manifest.
    uri : str
        The address, ``s3://bucket/prefix``, that the data set's root stands for.
    label : str, default "bounding-box"
        Name of the attribute that holds the boxes.
    outside : {"clip", "raise"}, default "clip"
        What to do with a box that reaches outside its image: cut it and list it in the result, or raise.

    Returns
    -------
    WrittenManifest

    Raises
    ------
    DatasetError
        If the address or the label's name is no such thing, an image lies outside the data set's root, a size
        cannot be known, or the file cannot be written.
    BoxError
        If a box lies wholly outside its image, or reaches outside it under ``outside="raise"``.

    Source
    ------
    Bounding box job output in Amazon SageMaker's developer guide.

    Examples
    --------
    >>> import tempfile
    >>> from birdsod import ClassTable, DetectionDataset
    >>> birds = DetectionDataset.from_tables(
    ...     {"image_id": [7], "path": ["a.jpg"], "width": [50], "height": [40]},
    ...     {"image_id": [7], "class_id": [0], "xmin": [3], "ymin": [4], "xmax": [9], "ymax": [9]},
    ...     root="photos",
    ...     class_table=ClassTable((17,), ("017.Cardinal",)),
    ... )
    >>> folder = tempfile.TemporaryDirectory()
    >>> written = write_manifest(birds, Path(folder.name, "birds.manifest"), uri="s3://birds/photos")
    >>> line = json.loads(written.path.read_text())
    >>> line["source-ref"], line["bounding-box"]["annotations"]
    ('s3://birds/photos/a.jpg', [{'class_id': 0, 'left': 3, 'top': 4, 'width': 6, 'height': 5}])
    >>> folder.cleanup()
    """
    if outside not in {"clip", "raise"}:
        raise DatasetError("unknown choice of outside", value=outside, cure='choose "clip" or "raise"')
    home = _checked(uri, label)
    clipped: list[ClippedBox] = []

    def rows() -> Iterator[tuple[str, int, dict[str, Any]]]:
        for image in dataset:
            _check_name(image.name)
            boxes, cut = boxes_inside(image, outside=outside)
            clipped.extend(cut)
            yield image.name, image.image_id, label_json(image.width, image.height, image.class_ids, boxes)

    count = _write(path, rows(), home, label, dataset.class_table)
    return WrittenManifest(Path(path), count, tuple(clipped))


def channel_manifest(
    images: ImageChannels, channel: str, path: str | os.PathLike[str], *, uri: str, label: str = LABEL
) -> WrittenManifest:
    """Write the augmented manifest of a channel whose images were written to a folder.

    Parameters
    ----------
    images : ImageChannels
        What :func:`birdsod.dataset.write_images` returned.
    channel : str
        Which of its channels.
    path : path-like
        The manifest.
    uri : str
        The address that the channel's folder of images stands for.
    label : str, default "bounding-box"
        Name of the attribute that holds the boxes.

    Returns
    -------
    WrittenManifest

    Raises
    ------
    DatasetError
        As :func:`write_manifest`, or if an annotation file cannot be read.
    """
    home, held = _checked(uri, label), images.channels[channel]

    def rows() -> Iterator[tuple[str, int, dict[str, Any]]]:
        for file in held.files:
            yield file.name, file.image_id, _annotation(held.annotations / file.annotation)

    return WrittenManifest(Path(path), _write(path, rows(), home, label, images.class_table), held.clipped)


def _annotation(path: Path) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: note[key] for key in ("image_size", "annotations")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise DatasetError("an annotation file cannot be read", path=path, cause=cause, cure="write again") from error


def _write(
    path: str | os.PathLike[str],
    rows: Iterable[tuple[str, int, dict[str, Any]]],
    home: str,
    label: str,
    table: ClassTable,
) -> int:
    count = 0
    try:
        with appearing(path) as stream:
            for name, image_id, boxes in rows:
                shown = range(len(table)) if not count else sorted({row["class_id"] for row in boxes["annotations"]})
                line = {
                    IMAGE: f"{home}/{name}",
                    IMAGE_ID: image_id,
                    label: boxes,
                    f"{label}-metadata": _metadata(len(boxes["annotations"]), shown, table),
                }
                stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                count += 1
    except OSError as error:
        raise DatasetError("the manifest cannot be written", path=path, cause=error.strerror) from error
    return count


def _metadata(objects: int, class_ids: Iterable[int], table: ClassTable) -> dict[str, Any]:
    return {
        "objects": [{"confidence": 1}] * objects,
        "class-map": {str(class_id): table.names[class_id] for class_id in class_ids},
        TYPE: BOXES,
        "human-annotated": "yes",
    }


def _checked(uri: str, label: str) -> str:
    if not re.fullmatch(r"s3://[^/]+(/.*)?", uri):
        raise DatasetError("this is no address in S3", value=uri, cure="give s3://bucket/prefix")
    if not _LABEL.fullmatch(label) or label.endswith(("-metadata", "-ref")) or label in {"source", IMAGE_ID}:
        cure = "letters, digits and hyphens, not ending in -ref or -metadata"
        raise DatasetError("a label cannot have this name", value=label, cure=cure)
    return uri.rstrip("/")


def _check_name(name: str) -> None:
    if PurePosixPath(name).is_absolute():
        message = "an image lies outside the data set's root, so it has no place below the address"
        raise DatasetError(message, path=name, cure="write_images first, which gathers them in one folder")
