"""An augmented manifest, as Ground Truth writes it, as a data set."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from birdsod.classes import ClassTable
from birdsod.dataset._dataset import DetectionDataset
from birdsod.dataset._labels import LabelError, read_boxes, read_extent
from birdsod.dataset._manifest import BOXES, IMAGE, IMAGE_ID, TYPE
from birdsod.dataset._tables import CONTROL
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_manifest"]

_SCHEME = "s3://"
_METADATA = "-metadata"
_SHOWN = 60


def load_manifest(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    uri: str | None = None,
    label: str | None = None,
    class_table: ClassTable | None = None,
    unlabelled: Literal["raise", "leave_out"] = "raise",
) -> DetectionDataset:
    r"""Read an augmented manifest of bounding boxes, as Ground Truth or :func:`write_manifest` wrote it.

    No image is opened. What lies in the object store is found below ``root`` under the part of its address that
    follows ``uri``; :func:`birdsod.estimator.sagemaker.fetch_manifest` brings it there. Images are numbered as the
    manifest numbers them (``image-id``), or by line from 1.

    Parameters
    ----------
    path : path-like
        The manifest.
    root : path-like, optional
        The folder of the images; by default the manifest's own.
    uri : str, optional
        The address that the folder stands for; by default the folder that all images have in common, which may
        differ between two manifests.
    label : str, optional
        Name of the attribute that holds the boxes; by default the only one that does.
    class_table : ClassTable, optional
        Classes to number the objects by, found by their names; by default those of the manifest, numbered anew from
        zero in the order of their ids.
    unlabelled : {"raise", "leave_out"}, default "raise"
        What to do with images that nobody, or nobody successfully, has labelled.

    Returns
    -------
    DetectionDataset
        Not split.

    Raises
    ------
    DatasetError
        If the manifest cannot be read, or a line is not about one image with boxes; line and value are named.

    Source
    ------
    Bounding box job output in Amazon SageMaker's developer guide.

    Examples
    --------
    >>> import tempfile
    >>> line = {
    ...     "source-ref": "s3://birds/photos/a.jpg",
    ...     "birds": {
    ...         "image_size": [{"width": 50, "height": 40, "depth": 3}],
    ...         "annotations": [{"class_id": 4, "left": 3, "top": 4, "width": 6, "height": 5}],
    ...     },
    ...     "birds-metadata": {"class-map": {"4": "Cardinal"}, "type": "groundtruth/object-detection"},
    ... }
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name, "output.manifest")
    >>> _ = file.write_text(json.dumps(line))
    >>> birds = load_manifest(file)
    >>> birds.names, birds.class_table.source_ids, birds.objects.loc[0, "xmin":].tolist()
    (['a.jpg'], (4,), [3.0, 4.0, 9.0, 9.0])
    >>> folder.cleanup()
    """
    if unlabelled not in {"raise", "leave_out"}:
        raise DatasetError("unknown choice of unlabelled", value=unlabelled, cure='choose "raise" or "leave_out"')
    file = Path(path)
    read = _Read(file, label, leave_out=unlabelled == "leave_out")
    for number, line in _lines(file):
        read.add(number, line)
    if not read.images:
        raise DatasetError("the manifest has no labelled image", path=file, cure="label some images first")
    return DetectionDataset.from_tables(
        {**read.images_table(), "path": read.paths(uri)},
        read.objects_table(class_table),
        root=file.parent if root is None else root,
        class_table=class_table or read.table(),
    )


@dataclass(frozen=True, slots=True)
class _Image:
    """One line: where the image lies, and its size."""

    line: int
    image_id: int | None
    source: str
    extent: tuple[int, int]


@dataclass(slots=True)
class _Read:
    """What the lines have said so far."""

    path: Path
    label: str | None
    leave_out: bool
    images: list[_Image] = field(default_factory=list)
    objects: list[tuple[int, int, tuple[float, ...]]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, line: str) -> None:
        """Take in a line."""
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self.fault("this is no JSON", number, line[:_SHOWN], cause=str(error)) from error
        if not isinstance(row, dict):
            raise self.fault("this is no JSON object", number, line[:_SHOWN])
        source = self.source_of(row, number)
        label = self.label_of(row, number)
        if label is None:
            return
        try:
            extent, boxes = read_extent(row[label]), list(read_boxes(row[label]))
        except LabelError as error:
            raise self.fault(error.args[0], number, error.args[1], cure="correct the line") from error
        self.take_names(row.get(label + _METADATA), number)
        unnamed = [class_id for class_id, _ in boxes if class_id not in self.names]
        if unnamed:
            raise self.fault(
                "a class id has no name in the class-map", number, unnamed[0], cure="add it to the class-map"
            )
        image_id = row.get(IMAGE_ID)
        self.objects.extend((len(self.images), *each) for each in boxes)
        self.images.append(_Image(number, image_id if type(image_id) is int else None, source, extent))

    def source_of(self, row: dict[str, Any], number: int) -> str:
        """Return where the image of a line lies."""
        source: Any = row.get(IMAGE)
        if source is None:
            others = [name for name in row if name.endswith("-ref")]
            if others:
                raise self.frames(others[0], number)
            raise self.fault(f"no {IMAGE} in the line", number, sorted(row)[:3], cause="a manifest of texts or tables")
        parts = PurePosixPath(source.removeprefix(_SCHEME)).parts if isinstance(source, str) else ()
        if not parts or ".." in parts or set(source) & CONTROL:
            raise self.fault(f"{IMAGE} is no address of an image", number, source)
        if source in self.sources:
            message = f"the image is in line {self.sources[source]} already"
            raise self.fault(message, number, source, cure="leave one of the lines out")
        self.sources[source] = number
        return str(source)

    def label_of(self, row: dict[str, Any], number: int) -> str | None:
        """Return the attribute that holds the boxes, None for an image to be left out."""
        if self.label is None:
            found = [name for name in row if _is_label(name, row)]
            if len(found) > 1:
                raise self.fault("several attributes hold boxes", number, found, cure=f"label={found[0]!r}")
            self.label = found[0] if found else None
        if self.label is not None and self.label in row:
            return self.label
        others = [name for name in row if name.endswith("-ref") and name != IMAGE]
        if others:
            raise self.frames(others[0], number)
        if self.leave_out:
            return None
        told = next((value for name, value in row.items() if name.endswith(_METADATA)), None)
        reason = told.get("failure-reason") if isinstance(told, dict) else None
        cause, cure = reason and f"the labelling failed: {reason}", 'unlabelled="leave_out", or name the label'
        raise self.fault("the image has no boxes", number, row[IMAGE], cause=cause, cure=cure)

    def take_names(self, metadata: object, number: int) -> None:
        """Learn the names of classes."""
        named = metadata.get("class-map", {}) if isinstance(metadata, dict) else {}
        for key, name in named.items() if isinstance(named, dict) else ():
            if not (key.isdecimal() and isinstance(name, str)):
                raise self.fault("the class-map does not name class ids", number, {key: name})
            if self.names.setdefault(int(key), name) != name:
                message = f"class {key} had the name {self.names[int(key)]!r} before"
                raise self.fault(
                    message, number, name, cause="manifests of two labelling jobs", cure="join them by name"
                )

    def images_table(self) -> dict[str, Any]:
        """Return ids and sizes."""
        own = [image.image_id for image in self.images]
        ids = own if None not in own else [image.line for image in self.images]
        width, height = zip(*(image.extent for image in self.images), strict=True)
        return {"image_id": ids, "width": width, "height": height}

    def objects_table(self, given: ClassTable | None) -> dict[str, Any]:
        """Return the objects, their classes numbered from zero."""
        ids = self.images_table()["image_id"]
        numbers = self.numbers(given)
        sides = [[box[side] for *_, box in self.objects] for side in range(4)]
        return {
            "image_id": [ids[row] for row, *_ in self.objects],
            "class_id": [numbers[class_id] for _, class_id, _ in self.objects],
            **dict(zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True)),
        }

    def numbers(self, given: ClassTable | None) -> dict[int, int]:
        """Return the zero-based class id of each class id of the manifest that occurs."""
        table = given or self.table()
        occurring = {class_id for _, class_id, _ in self.objects}
        try:
            return {class_id: table.find(self.names[class_id]) for class_id in occurring}
        except DatasetError as error:
            error.path = str(self.path)
            raise

    def table(self) -> ClassTable:
        """Return the classes of the manifest."""
        ids = sorted(self.names)
        try:
            return ClassTable(tuple(ids), tuple(self.names[class_id] for class_id in ids))
        except DatasetError as error:
            error.path = str(self.path)
            raise

    def paths(self, uri: str | None) -> list[str]:
        """Return where the images lie below the root."""
        plain = [image.source.removeprefix(_SCHEME) for image in self.images]
        start = _below(plain) if uri is None else _prefix(uri.removeprefix(_SCHEME))
        scheme = _SCHEME if uri is not None and uri.startswith(_SCHEME) else ""
        for image, name in zip(self.images, plain, strict=True):
            if not (image.source.startswith(scheme) and name.startswith(start)) or name == start:
                message = f"the image does not lie below {uri}"
                raise self.fault(message, image.line, image.source, cure="give another uri")
        return [name[len(start) :] for name in plain]

    def frames(self, name: str, number: int) -> DatasetError:
        """Return the error of a manifest about something else than boxes on images."""
        cause = "a labelling job of frames of a video, or of masks, whose labels lie in files of their own"
        cure = "make a manifest of images with boxes, or join the label files to one"
        return self.fault(f"{name} refers to a file, not to boxes", number, name, cause=cause, cure=cure)

    def fault(
        self, message: str, number: int, value: object, *, cause: str | None = None, cure: str | None = None
    ) -> DatasetError:
        """Return the error of a line."""
        return DatasetError(message, path=self.path, line=number, value=value, cause=cause, cure=cure)


def _below(names: list[str]) -> str:
    """Return the folder that all have in common, with its slash."""
    if len({name.startswith("/") for name in names}) > 1:
        return ""
    common = os.path.commonpath([str(PurePosixPath(name).parent) for name in names])
    return "" if common == "." else _prefix(common)


def _prefix(folder: str) -> str:
    return f"{folder.rstrip('/')}/" if folder else ""


def _is_label(name: str, row: dict[str, Any]) -> bool:
    metadata = row.get(name + _METADATA)
    told = metadata.get(TYPE) if isinstance(metadata, dict) else None
    return isinstance(row[name], dict) and "annotations" in row[name] and told in {None, BOXES}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line
    except FileNotFoundError as error:
        raise DatasetError("there is no such manifest", path=path, cure="check the path") from error
    except UnicodeDecodeError as error:
        cause = "another encoding, or no manifest at all"
        raise DatasetError("the manifest is not UTF-8", path=path, line=number + 1, cause=cause) from error
    except OSError as error:
        raise DatasetError("the manifest cannot be read", path=path, cause=error.strerror) from error
