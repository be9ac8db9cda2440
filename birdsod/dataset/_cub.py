"""Caltech-UCSD Birds 200-2011: five text files beside a folder of images, joined by image id."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np

from birdsod.classes import ClassTable
from birdsod.dataset._dataset import DetectionDataset
from birdsod.dataset._tables import CONTROL
from birdsod.dataset._textfiles import read_rows
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection

    import numpy.typing as npt

    from birdsod.dataset._textfiles import Row

__all__ = ["load_cub"]

_FILES: Final = ("images.txt", "image_class_labels.txt", "bounding_boxes.txt", "train_test_split.txt", "classes.txt")
_LARGEST_SIDE = 2**31 - 1

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Keyed(Generic[Value]):
    """A file with one row for each id: values and lines by id."""

    path: Path
    values: dict[int, Value]
    lines: dict[int, int]


@dataclass(frozen=True, slots=True)
class _Boxes:
    """The file that may have several rows for an id."""

    path: Path
    ids: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    xywh: npt.NDArray[np.float64]


def load_cub(directory: str | os.PathLike[str], *, sizes: str | os.PathLike[str] | None = None) -> DetectionDataset:
    r"""Read a folder in the layout of Caltech-UCSD Birds 200-2011.

    The five text files are joined by image id, whatever the order of their rows; images come out sorted by id.
    Several rows for one image in ``bounding_boxes.txt`` are several objects of the image's class. Boxes stay as
    written: ``x y width height`` becomes ``x, y, x + width, y + height``, also where that leaves the image. The
    data set's root is the folder ``images``. No image is opened: sizes are read when they are first needed, and
    images that are not there are told when they are needed.

    Parameters
    ----------
    directory : path-like
        The folder that holds ``images.txt`` and the others, as ``CUB_200_2011``.
    sizes : path-like, optional
        A list of image sizes, rows of ``id width height``, so that nothing but annotations is needed; by default
        ``sizes.txt`` in the folder, if it is there. Ids that it lacks are read from the images.

    Returns
    -------
    DetectionDataset

    Raises
    ------
    DatasetError
        If a file is missing, empty or malformed, or its rows do not match those of the others: file, line, value.

    Source
    ------
    C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie: The Caltech-UCSD Birds-200-2011 Dataset, 2011.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, text in {
    ...     "images.txt": "2 b.jpg\n1 a.jpg",
    ...     "image_class_labels.txt": "1 17\n2 17",
    ...     "bounding_boxes.txt": "1 5.0 6.0 20.0 10.0\n2 0 0 30 20",
    ...     "train_test_split.txt": "1 1\n2 0",
    ...     "classes.txt": "17 017.Cardinal",
    ... }.items():
    ...     _ = (folder / name).write_text(text)
    >>> birds = load_cub(folder)
    >>> birds
    DetectionDataset(2 images, 2 objects, 1 class; 1 train, 1 validation)
    >>> birds.objects.loc[0, "xmin":"ymax"].tolist()
    [5.0, 6.0, 25.0, 16.0]
    """
    folder = Path(directory)
    _check_files(folder)
    classes = _keyed(folder / "classes.txt", "class_id name", lambda row: row.fields[1])
    paths = _keyed(folder / "images.txt", "image_id path", _image_path)
    _check_paths(paths)
    labels = _keyed(folder / "image_class_labels.txt", "image_id class_id", lambda row: row.whole(1, "class id"))
    marks = _keyed(folder / "train_test_split.txt", "image_id is_training_image", _split)
    boxes = _read_boxes(folder / "bounding_boxes.txt")
    for other in (labels, marks, boxes):
        _match(paths, other)
    _match_classes(labels, classes)
    ids = sorted(paths.values)
    images = {"image_id": ids, "path": [paths.values[key] for key in ids], "split": [marks.values[key] for key in ids]}
    return DetectionDataset.from_tables(
        images | _extents(_size_file(folder, sizes), paths, ids),
        _objects(boxes, labels, sorted(classes.values)),
        root=folder / "images",
        class_table=_class_table(classes),
    )


def _check_files(folder: Path) -> None:
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if not missing:
        return
    inner = next((path.parent for path in sorted(folder.glob("*/images.txt"))), None) if folder.is_dir() else None
    raise DatasetError(
        f"no {', '.join(missing)} here" if folder.is_dir() else "there is no such folder",
        path=folder,
        cause="this is the folder above the set" if inner else "the set was unpacked in part, or lies elsewhere",
        cure=f"load {inner}" if inner else "fetch it with download_cub, or give the folder that holds images.txt",
    )


def _keyed(path: Path, columns: str, value: Callable[[Row], Value]) -> _Keyed[Value]:
    found: _Keyed[Value] = _Keyed(path, {}, {})
    what = columns.partition(" ")[0].replace("_", " ")
    for row in read_rows(path, columns):
        key = row.whole(0, what)
        if key in found.lines:
            row.fail(f"the {what} stands in line {found.lines[key]} already", value=key, cure="leave one of the rows")
        found.values[key] = value(row)
        found.lines[key] = row.line
    return found


def _image_path(row: Row) -> str:
    path = PurePosixPath(row.fields[1])
    if set(row.fields[1]) & CONTROL:
        row.fail("a path holds a control character", value=row.fields[1], cure="write the file's name")
    if path.is_absolute() or ".." in path.parts:
        row.fail("a path leaves the folder of images", value=row.fields[1], cure="write it relative to images/")
    return row.fields[1]


def _check_paths(paths: _Keyed[str]) -> None:
    lines: dict[str, int] = {}
    for image_id, path in paths.values.items():
        line = paths.lines[image_id]
        if lines.setdefault(path, line) != line:
            raise DatasetError(
                f"the path stands in line {lines[path]} already",
                path=paths.path,
                line=line,
                value=path,
                cause="one image under two ids could stand on both sides of a split",
                cure="leave one of the rows",
            )


def _split(row: Row) -> str:
    splits = {"1": "train", "0": "validation"}
    if row.fields[1] not in splits:
        row.fail("the mark for training is neither 0 nor 1", value=row.fields[1], cure="write 1 to train on the image")
    return splits[row.fields[1]]


def _read_boxes(path: Path) -> _Boxes:
    ids, lines, sides = array("q"), array("q"), array("d")
    for row in read_rows(path, "image_id x y width height"):
        box = [row.number(place, side) for place, side in enumerate(("x", "y", "width", "height"), start=1)]
        if not (box[0] < box[0] + box[2] and box[1] < box[1] + box[3]):
            row.fail("a box has no area", value=box, cause="corners in place of sizes", cure="write x y width height")
        ids.append(row.whole(0, "image id"))
        lines.append(row.line)
        sides.extend(box)
    boxes = _Boxes(path, np.array(ids, np.int64), np.array(lines, np.int64), np.array(sides).reshape(-1, 4))
    _check_repeated(boxes)
    return boxes


def _check_repeated(boxes: _Boxes) -> None:
    keys = (boxes.lines, *boxes.xywh.T, boxes.ids)
    order = np.lexsort(keys)
    ids, xywh = boxes.ids[order], boxes.xywh[order]
    again = np.flatnonzero((ids[1:] == ids[:-1]) & (xywh[1:] == xywh[:-1]).all(axis=1)) + 1
    if again.size:
        later = order[again]
        first = int(np.argmin(boxes.lines[later]))
        raise DatasetError(
            f"the same box stands in line {boxes.lines[order[again[first] - 1]]} already",
            path=boxes.path,
            line=int(boxes.lines[later[first]]),
            value=int(boxes.ids[later[first]]),
            cause="a row was written twice",
            cure="leave one of the rows",
        )


def _match(images: _Keyed[str], other: _Keyed[Any] | _Boxes) -> None:
    """Say which ids stand in one file and not in the other."""
    lines = (
        dict(zip(other.ids.tolist(), other.lines.tolist(), strict=True)) if isinstance(other, _Boxes) else other.lines
    )
    for one, its_lines, two, those in (
        (images.path, images.lines, other.path, lines),
        (other.path, lines, images.path, images.lines),
    ):
        alone = sorted(its_lines.keys() - those.keys(), key=its_lines.__getitem__)
        if alone:
            raise DatasetError(
                f"{_ids(alone)} no row in {two.name}",
                path=one,
                line=its_lines[alone[0]],
                value=alone[0],
                cause=f"{two.name} was cut short, or belongs to another set",
                cure=f"add the rows to {two.name}, or leave these out of {one.name}",
            )


def _ids(alone: Collection[int]) -> str:
    return "this image id has" if len(alone) == 1 else f"{len(alone)} image ids have"


def _match_classes(labels: _Keyed[int], classes: _Keyed[str]) -> None:
    for image_id, class_id in labels.values.items():
        if class_id not in classes.values:
            raise DatasetError(
                "the class id has no row in classes.txt",
                path=labels.path,
                line=labels.lines[image_id],
                value=class_id,
                cause="classes.txt was cut short, or belongs to another set",
                cure="add the class to classes.txt",
            )


def _class_table(classes: _Keyed[str]) -> ClassTable:
    ids = sorted(classes.values)
    try:
        return ClassTable(tuple(ids), tuple(classes.values[key] for key in ids))
    except DatasetError as error:
        error.path = str(classes.path)
        raise


def _objects(boxes: _Boxes, labels: _Keyed[int], class_ids: list[int]) -> dict[str, npt.NDArray[Any]]:
    place = {source_id: position for position, source_id in enumerate(class_ids)}
    x, y, width, height = boxes.xywh.T
    return {
        "image_id": boxes.ids,
        "class_id": np.array([place[labels.values[key]] for key in boxes.ids.tolist()], dtype=np.int64),
        "xmin": x,
        "ymin": y,
        "xmax": x + width,
        "ymax": y + height,
    }


def _size_file(folder: Path, given: str | os.PathLike[str] | None) -> Path | None:
    if given is not None:
        return Path(given)
    beside = folder / "sizes.txt"
    return beside if beside.is_file() else None


def _extents(path: Path | None, images: _Keyed[str], ids: list[int]) -> dict[str, list[int]]:
    if path is None:
        return {}
    sizes = _keyed(path, "image_id width height", _extent)
    strangers = sorted(sizes.lines.keys() - images.lines.keys(), key=sizes.lines.__getitem__)
    if strangers:
        raise DatasetError(
            f"{_ids(strangers)} no row in images.txt",
            path=path,
            line=sizes.lines[strangers[0]],
            value=strangers[0],
            cause="the sizes belong to another set",
            cure="give this set's sizes, or none, so that headers are read",
        )
    pairs = [sizes.values.get(key, (0, 0)) for key in ids]
    return {"width": [pair[0] for pair in pairs], "height": [pair[1] for pair in pairs]}


def _extent(row: Row) -> tuple[int, int]:
    width, height = (row.whole(field, side, largest=_LARGEST_SIDE) for field, side in ((1, "width"), (2, "height")))
    if not width or not height:
        row.fail("an image of no size", value=(width, height), cure="leave the row out, so that the header is read")
    return width, height
