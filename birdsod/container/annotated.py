"""Images with labels in JSON, as files or through a pipe, put into record files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from birdsod.classes import ClassTable
from birdsod.dataset._image_channels import ANNOTATIONS
from birdsod.dataset._labels import LabelError, read_boxes, read_extent
from birdsod.errors import DatasetError, RecordError
from birdsod.image import sniff
from birdsod.recordio import RecordReader, RecordWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["annotation_of", "holds_attributes", "named_classes", "write_attributes", "write_images"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_HEADER = (2.0, 5.0)
_SLACK = 1e-3  # pixels that rounding may put a box beyond the edge


def write_images(images: Path, notes: Path, target: Path) -> None:
    """Put the images of a folder into a record file, each with the boxes of its JSON file.

    Parameters
    ----------
    images, notes : pathlib.Path
        The folders.
    target : pathlib.Path
        The record file.

    Raises
    ------
    DatasetError
        If a JSON file is malformed, names no image, or an image has none.
    """
    pictures = {
        path.relative_to(images).as_posix(): path
        for path in sorted(images.rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    }
    with RecordWriter(target) as writer:
        for number, (note, row) in enumerate(_rows(notes)):
            picture = pictures.pop(str(row.get("file")), None)
            if picture is None:
                cause = f"it is not in {images}, or another file names it too"
                raise DatasetError("the annotated image is missing", path=note, value=row.get("file"), cause=cause)
            writer.write_record(number, _label(row, note), picture.read_bytes())
    if pictures:
        message, cure = f"{len(pictures)} images have no annotation", "annotate them, or leave them out"
        raise DatasetError(message, path=images, value=next(iter(pictures)), cure=cure)


def named_classes(notes: Path) -> ClassTable | None:
    """Return the classes that JSON files name, None where some or all have no name.

    Parameters
    ----------
    notes : pathlib.Path
        Folder of the files.

    Returns
    -------
    ClassTable or None
    """
    names: dict[int, str] = {}
    for _, row in _rows(notes):
        names |= {each["class_id"]: each["name"] for each in row.get("categories", [])}
    if not names or sorted(names) != list(range(len(names))):
        return None
    return ClassTable(tuple(sorted(names)), tuple(names[class_id] for class_id in sorted(names)))


def holds_attributes(stream: Path) -> bool:
    """Tell whether records are the attributes of an augmented manifest, and not those of a record file.

    Parameters
    ----------
    stream : pathlib.Path
        What came through a pipe.

    Returns
    -------
    bool
    """
    if not stream.stat().st_size:
        return False
    with RecordReader(stream, scan=True) as reader:
        return sniff(bytes(reader.payload(0)[:16])) is not None


def write_attributes(stream: Path, target: Path) -> None:
    """Put images and labels that came in turn into a record file.

    Parameters
    ----------
    stream : pathlib.Path
        Records that hold an image, its label in JSON, the next image, ...
    target : pathlib.Path
        The record file.

    Raises
    ------
    RecordError
        If an image is without its label, or a label is malformed.
    """
    with RecordReader(stream, scan=True) as reader, RecordWriter(target) as writer:
        if len(reader) % 2:
            cause = "AttributeNames are not the image's and the label's"
            raise RecordError("the last image has no label", path=stream, value=len(reader), cause=cause)
        for number in range(len(reader) // 2):
            image, label = bytes(reader.payload(2 * number)), bytes(reader.payload(2 * number + 1))
            try:
                numbers = _label(json.loads(label), stream)
            except (ValueError, DatasetError) as error:
                message = error.message if isinstance(error, DatasetError) else "the label is not JSON"
                value = getattr(error, "value", None) or label[:60]
                raise RecordError(message, path=stream, record=2 * number + 1, value=value) from error
            writer.write_record(number, numbers, image)


def _rows(notes: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for note in sorted(notes.rglob("*.json")):
        try:
            row = json.loads(note.read_bytes())
        except ValueError as error:
            raise DatasetError("the annotation is not JSON", path=note, cause=str(error)) from error
        if not isinstance(row, dict):
            raise DatasetError("the annotation holds no names with values", path=note, value=type(row).__name__)
        yield note, row


def _label(row: object, place: Path) -> list[float]:
    """Return the numbers that a record holds for boxes in pixels."""
    try:
        width, height = read_extent(row)
        objects = list(read_boxes(row))
    except LabelError as error:
        raise DatasetError(error.args[0], path=place, value=error.args[1], cure="correct the label") from error
    numbers = list(_HEADER)
    for class_id, (xmin, ymin, xmax, ymax) in objects:
        if min(xmin, ymin) < -_SLACK or xmax > width + _SLACK or ymax > height + _SLACK:
            value = [xmin, ymin, xmax, ymax]
            message = f"a box reaches outside its image of {width} by {height} pixels"
            raise DatasetError(message, path=place, value=value, cure="cut it to the image")
        numbers += [class_id, xmin / width, ymin / height, xmax / width, ymax / height]
    return numbers


def annotation_of(channel: str) -> str:
    """Return the name of the channel that holds the JSON files of another.

    Parameters
    ----------
    channel : str
        Name of the channel of images.

    Returns
    -------
    str

    Examples
    --------
    >>> annotation_of("train")
    'train_annotation'
    """
    return channel + ANNOTATIONS
