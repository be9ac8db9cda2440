"""A data set as images beside annotation files, which the built-in algorithm reads without record files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from birdsod import _progress
from birdsod._files import flush_folder
from birdsod._ordered import cores, in_threads
from birdsod.dataset._clipping import boxes_inside
from birdsod.dataset._image_channels import (
    ANNOTATIONS,
    MANIFEST,
    ImageChannel,
    ImageChannels,
    ImageFile,
    write_listing,
)
from birdsod.dataset._image_files import ENDINGS, flat_stems, prepared
from birdsod.dataset._labels import categories, label_json
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tqdm.std import tqdm

    from birdsod.classes import ClassTable
    from birdsod.dataset._clipping import ClippedBox
    from birdsod.dataset._dataset import DetectionDataset
    from birdsod.dataset._record import ImageRecord

__all__ = ["write_images"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EMPTY = ("raise", "leave_out", "keep")
_OUTSIDE = ("clip", "raise")


def write_images(
    channels: Mapping[str, DetectionDataset],
    directory: str | os.PathLike[str],
    *,
    without_objects: Literal["raise", "leave_out", "keep"] = "raise",
    outside: Literal["clip", "raise"] = "clip",
    overwrite: bool = False,
    jobs: int | None = None,
) -> ImageChannels:
    """Write data sets as images with a JSON file each, the built-in algorithm's other way to read them.

    Each channel becomes two folders: ``train`` with the images and ``train_annotation`` with a file of the same
    stem for each. All names are plain and differ; where two images have the same name, all begin with their ids. An
    upright colour JPEG or PNG is copied byte for byte; grey, CMYK, transparent and turned pictures, and other
    formats, become JPEGs. The folder appears whole or not at all.

    Parameters
    ----------
    channels : mapping of str to DetectionDataset
        ``{"train": ..., "validation": ...}``, all with the same classes.
    directory : path-like
        The folder; made if it is not there.
    without_objects : {"raise", "leave_out", "keep"}, default "raise"
        What to do with images that have no object, at which the built-in algorithm stops: raise, leave them out and
        list them in the result, or write them all the same.
    outside : {"clip", "raise"}, default "clip"
        What to do with a box that reaches outside its image: cut it and list it in the result, or raise.
    overwrite : bool, default False
        Whether an earlier result in the folder may be replaced.
    jobs : int, optional
        Images worked on at the same time; by default the number of cores.

    Returns
    -------
    ImageChannels

    Raises
    ------
    DatasetError
        If there are no channels, a name or option is unknown, classes differ, images are missing or without
        objects, or the folder holds something else.
    BoxError
        If a box lies wholly outside its image, or reaches outside it under ``outside="raise"``.
    ImageError
        If an image cannot be read whole, or is not of the size that the data set has.

    Source
    ------
    Input interface of the object detection algorithm in Amazon SageMaker's developer guide.

    Examples
    --------
    >>> import tempfile
    >>> from birdsod.dataset import synthetic_birds
    >>> folder = tempfile.TemporaryDirectory()
    >>> train, validation = synthetic_birds(Path(folder.name, "birds"), seed=0, classes=2, per_class=3).split()
    >>> written = write_images({"train": train, "validation": validation}, Path(folder.name, "images"))
    >>> sorted(path.name for path in written.directory.iterdir())
    ['images.json', 'train', 'train_annotation', 'validation', 'validation_annotation']
    >>> folder.cleanup()
    """
    table = _checked(channels, without_objects, outside, jobs)
    folder = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow links and rename the files
    choice = _Choice(table, without_objects, outside, jobs or cores())
    with _appearing_folder(folder, overwrite=overwrite) as staging:
        made = [_write(name, dataset, staging, choice) for name, dataset in channels.items()]
        write_listing(staging, made, table)
    return ImageChannels.open(folder)


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the caller chose."""

    table: ClassTable
    without_objects: str
    outside: Literal["clip", "raise"]
    threads: int


@dataclass(frozen=True, slots=True)
class _Task:
    """An image to write under a stem."""

    record: ImageRecord
    stem: str


def _checked(channels: object, without_objects: str, outside: str, jobs: int | None) -> ClassTable:
    if not isinstance(channels, Mapping) or not channels:
        cure = 'give {"train": ..., "validation": ...}'
        raise DatasetError("there are no channels", value=type(channels).__name__, cure=cure)
    for what, value, known in (("without_objects", without_objects, _EMPTY), ("outside", outside, _OUTSIDE)):
        if value not in known:
            raise DatasetError(f"unknown choice of {what}", value=value, cure=f"choose one of {', '.join(known)}")
    if jobs is not None and jobs < 1:
        raise DatasetError("at least one job is needed", value=jobs, cure="leave jobs out to use all cores")
    for name in channels:
        if not (isinstance(name, str) and _NAME.fullmatch(name)) or name.endswith(ANNOTATIONS):
            raise DatasetError("a channel cannot have this name", value=name, cure="name it train or validation")
    tables: list[ClassTable] = [dataset.class_table for dataset in channels.values()]
    if any(table != tables[0] for table in tables):
        cure = "select the classes before the split"
        raise DatasetError("the channels have not the same classes", value=list(channels), cure=cure)
    return tables[0]


@contextlib.contextmanager
def _appearing_folder(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a folder beside the wanted one, which takes its place when the block ends well."""
    _check_free(folder, overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent) as temporary:
            staging = Path(temporary, "new")
            staging.mkdir()
            yield staging
            if folder.exists():
                folder.rename(Path(temporary, "old"))
            staging.rename(folder)
        flush_folder(folder.parent)
    except OSError as error:
        raise DatasetError("the images cannot be written", path=folder, cause=error.strerror or str(error)) from error


def _check_free(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise DatasetError("a file stands where images should go", path=folder, cure="choose another folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise DatasetError("the folder holds something else", path=folder, cure="choose an empty folder")
    if not overwrite:
        raise DatasetError(
            "the folder holds images already", path=folder, cure="ImageChannels.open(folder), or overwrite=True"
        )


def _write(name: str, dataset: DetectionDataset, staging: Path, choice: _Choice) -> ImageChannel:
    dataset.require_images()
    kept = [record for record in dataset if len(record) or choice.without_objects != "leave_out"]
    _check_objects(name, kept, choice)
    stems = flat_stems([record.name for record in kept], [record.image_id for record in kept])
    tasks = (_Task(record, stem) for record, stem in zip(kept, stems, strict=True))
    channel = ImageChannel(name, staging / name, (), ())
    channel.directory.mkdir()
    channel.annotations.mkdir()
    files: list[ImageFile] = []
    clipped: list[ClippedBox] = []
    shown: tqdm[int] = _progress.bar(total=len(kept), description=name)
    with shown:
        for file, cut in in_threads(lambda task: _written(task, channel, choice), tasks, threads=choice.threads):
            files.append(file)
            clipped.extend(cut)
            shown.update()
    flush_folder(channel.directory)
    flush_folder(channel.annotations)
    seen = sorted({int(class_id) for record in kept for class_id in record.class_ids})
    ids = {record.image_id for record in kept}
    left = tuple(image_id for image_id in dataset.image_ids.tolist() if image_id not in ids)
    return ImageChannel(name, channel.directory, tuple(files), tuple(seen), tuple(clipped), left)


def _check_objects(name: str, records: list[ImageRecord], choice: _Choice) -> None:
    empty = [record for record in records if not len(record)]
    if empty and choice.without_objects == "raise":
        message = f"{len(empty)} of {len(records)} images of {name} have no object"
        cause = "the built-in algorithm stops at such an image"
        cure = 'without_objects="leave_out", or "keep" for a container of your own'
        raise DatasetError(message, path=empty[0].path, cause=cause, cure=cure)


def _written(task: _Task, channel: ImageChannel, choice: _Choice) -> tuple[ImageFile, tuple[ClippedBox, ...]]:
    image = task.record
    boxes, clipped = boxes_inside(image, outside=choice.outside)
    data, kind = prepared(image)
    name = task.stem + ENDINGS[kind]
    label = label_json(image.width, image.height, image.class_ids, boxes)
    named = {"file": name, **label, "categories": categories(choice.table, image.class_ids)}
    annotation = json.dumps(named, ensure_ascii=False).encode()
    _flushed(channel.directory / name, data)
    _flushed(channel.annotations / f"{task.stem}.json", annotation)
    lengths, sums = (
        (len(data), len(annotation)),
        (hashlib.sha256(data).hexdigest(), hashlib.sha256(annotation).hexdigest()),
    )
    return ImageFile(image.image_id, name, kind, image.width, image.height, len(image), *lengths, *sums), clipped


def _flushed(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
