"""Many images, each with a name and an id: of folders, record files, a data set or a list."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from birdsod.dataset import DetectionDataset
from birdsod.errors import DatasetError, RecordError
from birdsod.recordio import RecordReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from birdsod.errors import BirdsodError
    from birdsod.image import ImageSource

__all__ = ["GivenImage", "Images", "ImagesSource", "files_of", "given_images", "images_of"]

ImagesSource: TypeAlias = "ImageSource | DetectionDataset | RecordReader | Iterable[ImageSource]"
"""One image or many: what :func:`images_of` takes."""

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
_IMAGE_AXES = 3


class GivenImage(NamedTuple):
    """One image to look at.

    Parameters
    ----------
    name : str
        How it is called in the results: its path as it was given, its record, or its place if it has neither.
    source : str, path-like, bytes or numpy.ndarray
        The image.
    image_id : int
        Its id: that of the data set or record, or its place.
    fault : BirdsodError, optional
        Why there is no source: its record cannot be read.
    """

    name: str
    source: ImageSource
    image_id: int
    fault: BirdsodError | None = None


@dataclass(frozen=True, slots=True)
class Images:
    """Images that are opened one after the other.

    Parameters
    ----------
    count : int, optional
        How many, where that is known before the last has been taken.
    begin : callable
        Returns an iterator over them.
    """

    count: int | None
    begin: Callable[[], Iterator[GivenImage]]


def given_images(images: ImageSource | DetectionDataset | Iterable[ImageSource]) -> list[GivenImage]:
    """Return the images of a folder, a data set or a list, each with a name; none is opened.

    Parameters
    ----------
    images : path-like, DetectionDataset or iterable of image source
        A folder, whose images are taken with those of its subfolders, sorted by path; a data set; or images.

    Returns
    -------
    list of GivenImage

    Raises
    ------
    DatasetError
        If there is none.
    """
    if isinstance(images, DetectionDataset):
        given = list(_of_data_set(images))
    elif isinstance(images, str | os.PathLike) and Path(images).is_dir():
        given = list(_of_folder(Path(images)))
    else:
        given = [_single(image, place) for place, image in enumerate(_several(images))]
    if not given:
        raise _nothing()
    return given


def files_of(folder: Path) -> list[Path]:
    """Return the files of images in a folder and its subfolders, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())


@contextmanager
def images_of(source: ImagesSource) -> Iterator[Images]:
    """Give the images of folders, record files, a data set or a list; only what is looked at is in memory.

    Parameters
    ----------
    source : path-like, DetectionDataset, RecordReader or iterable
        A folder, whose images are taken with those of its subfolders, sorted by path; a ``.rec`` file; a data set; a
        reader; an image; or several of folders, record files and images.

    Yields
    ------
    Images
        Of one folder, record file or data set with its ids; of a list numbered through.

    Raises
    ------
    DatasetError
        If there is none.
    RecordError
        If a record file cannot be opened.
    """
    with ExitStack() as opened:
        if isinstance(source, DetectionDataset):
            images = Images(len(source), lambda: _of_data_set(source))
        elif isinstance(source, RecordReader):
            images = _of_reader(source)
        elif isinstance(source, str | os.PathLike):
            images = _opened(source, opened)
        else:
            images = _numbered(_several(source), opened)
        if images.count == 0:
            raise _nothing()
        yield images


def _numbered(items: Iterable[ImageSource], opened: ExitStack) -> Images:
    """Return the images of several places, numbered through; those of a list are counted, others taken as they come."""
    if isinstance(items, list | tuple):
        parts = [_opened(item, opened) for item in items]
        count = sum(part.count or 0 for part in parts)
        return Images(count, lambda: _through(part.begin() for part in parts))
    return Images(None, lambda: _through(_opened(item, opened).begin() for item in items))


def _through(parts: Iterable[Iterator[GivenImage]]) -> Iterator[GivenImage]:
    for place, image in enumerate(chain.from_iterable(parts)):
        name = image.name or f"image {place}"
        yield image._replace(name=name, image_id=place)


def _opened(item: ImageSource, opened: ExitStack) -> Images:
    if isinstance(item, str | os.PathLike):
        if Path(item).is_dir():
            files = list(_of_folder(Path(item)))
            return Images(len(files), lambda: iter(files))
        if os.fsdecode(item).lower().endswith(".rec"):
            return _of_reader(opened.enter_context(RecordReader(item)))
        return Images(1, lambda: iter([_single(item, 0)]))
    return Images(1, lambda: iter([GivenImage("", item, 0)]))


def _of_data_set(images: DetectionDataset) -> Iterator[GivenImage]:
    return (GivenImage(record.name, record.path, record.image_id) for record in images)


def _of_folder(folder: Path) -> Iterator[GivenImage]:
    return (GivenImage(str(path), path, place) for place, path in enumerate(files_of(folder)))


def _of_reader(reader: RecordReader) -> Images:
    return Images(len(reader), lambda: (_record(reader, position) for position in range(len(reader))))


def _record(reader: RecordReader, position: int) -> GivenImage:
    name = f"{reader.path}[{position}]"
    try:
        record = reader[position]
    except RecordError as error:
        return GivenImage(name, b"", position, error)
    return GivenImage(name, record.image, record.header.id)


def _single(image: ImageSource, place: int) -> GivenImage:
    name = os.fsdecode(image) if isinstance(image, str | os.PathLike) else f"image {place}"
    return GivenImage(name, image, place)


def _several(images: ImageSource | Iterable[ImageSource]) -> Iterable[ImageSource]:
    # An array of images has one axis more than an image.
    if isinstance(images, str | os.PathLike | bytes) or getattr(images, "ndim", 0) == _IMAGE_AXES:
        return [cast("ImageSource", images)]
    return images


def _nothing() -> DatasetError:
    cure = f"give images, or a folder with files such as {', '.join(sorted(_SUFFIXES))}"
    return DatasetError("there are no images to look at", cure=cure)
