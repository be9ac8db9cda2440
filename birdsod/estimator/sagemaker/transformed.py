"""What a batch transform found, image by image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset
    from birdsod.detections import Detections
    from birdsod.image import ImageSource

__all__ = ["FailedImage", "GivenImage", "Transformed", "given_images"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
_IMAGE_AXES = 3


class GivenImage(NamedTuple):
    """One image to transform.

    Parameters
    ----------
    name : str
        How it is called in the results: its path as it was given, or its place if it has none.
    source : str, path-like, bytes or numpy.ndarray
        The image.
    image_id : int
        Its id: that of the data set, or its place.
    """

    name: str
    source: ImageSource
    image_id: int


class FailedImage(NamedTuple):
    """An image without an answer.

    Parameters
    ----------
    name : str
        Its name.
    position : int
        Its place among the images.
    reason : str
        Why.
    """

    name: str
    position: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Transformed:
    """What a batch transform found, image by image in the order in which they were given.

    Parameters
    ----------
    job : str
        Name of the transform job.
    images : tuple of GivenImage
        The images.
    detections : tuple of Detections or None
        What was found in each; None where there is no answer.
    failures : tuple of FailedImage
        The images without an answer, with the reason.
    output_uri : str
        Where the answers are.
    classes : ClassTable
        What the class ids stand for.
    """

    job: str
    images: tuple[GivenImage, ...]
    detections: tuple[Detections | None, ...]
    failures: tuple[FailedImage, ...]
    output_uri: str
    classes: ClassTable

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(image.name for image in self.images)

    @property
    def frame(self) -> pd.DataFrame:
        """A table with a row for each detection; an image without one has no row.

        Columns ``image, class_id, source_id, name, confidence, xmin, ymin, xmax, ymax``, boxes in pixels.
        """
        import pandas as pd

        from birdsod.detections import Detections

        empty = Detections.from_prediction([], width=1, height=1, classes=self.classes).to_frame()
        tables = [
            found.to_frame().assign(image=name)
            for name, found in zip(self.names, self.detections, strict=True)
            if found is not None and len(found)
        ]
        frame = pd.concat(tables, ignore_index=True) if tables else empty.assign(image=pd.Series(dtype=str))
        return frame[["image", *empty.columns]]

    def dataset(self, threshold: float = 0.5) -> DetectionDataset:
        """Return what was found as a data set, to look at it, to evaluate against it or to train on.

        Images without an answer are left out, those where nothing was found are in it.

        Parameters
        ----------
        threshold : float, default 0.5
            Least confidence of a box that becomes an object.

        Returns
        -------
        DetectionDataset

        Raises
        ------
        DatasetError
            If an image has no file.
        """
        import numpy as np

        from birdsod.dataset import DetectionDataset

        answered = [
            (image, found.above(threshold))
            for image, found in zip(self.images, self.detections, strict=True)
            if found is not None
        ]
        images = {
            "image_id": [image.image_id for image, _ in answered],
            "path": [_path(image) for image, _ in answered],
            "width": [found.width for _, found in answered],
            "height": [found.height for _, found in answered],
        }
        boxes = np.concatenate([np.empty((0, 4)), *(found.xyxy for _, found in answered)])
        ids = np.concatenate([np.empty(0, int), *(np.full(len(found), image.image_id) for image, found in answered)])
        class_ids = np.concatenate([np.empty(0, int), *(found.class_id for _, found in answered)])
        # A detector may answer with a box that is empty; an object is none.
        real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), boxes[real].T, strict=True))
        objects = {"image_id": ids[real], "class_id": class_ids[real], **sides}
        return DetectionDataset.from_tables(images, objects, root=Path.cwd(), class_table=self.classes)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        found = sum(len(answer) for answer in self.detections if answer is not None)
        return f"{type(self).__name__}({len(self)} images, {found} detections, {len(self.failures)} failures)"


def given_images(images: ImageSource | DetectionDataset | Iterable[ImageSource]) -> list[GivenImage]:
    """Return the images of a folder, a data set or a list, each with a name.

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
    from birdsod.dataset import DetectionDataset

    if isinstance(images, DetectionDataset):
        given = [GivenImage(record.name, record.path, record.image_id) for record in images]
    elif isinstance(images, str | os.PathLike) and Path(images).is_dir():
        files = sorted(path for path in Path(images).rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
        given = [GivenImage(str(path), path, place) for place, path in enumerate(files)]
    else:
        given = [GivenImage(_name(image, place), image, place) for place, image in enumerate(_several(images))]
    if not given:
        cure = f"give images, or a folder with files such as {', '.join(sorted(_SUFFIXES))}"
        raise DatasetError("there are no images to transform", cure=cure)
    return given


def _several(images: ImageSource | Iterable[ImageSource]) -> Iterable[ImageSource]:
    # An array of images has one axis more than an image.
    if isinstance(images, str | os.PathLike | bytes) or getattr(images, "ndim", 0) == _IMAGE_AXES:
        return [cast("ImageSource", images)]
    return images


def _name(image: object, place: int) -> str:
    return os.fsdecode(image) if isinstance(image, str | os.PathLike) else f"image {place}"


def _path(image: GivenImage) -> str:
    if isinstance(image.source, str | os.PathLike):
        return os.fsdecode(Path(image.source).absolute())
    message = f"{image.name} has no file, which a data set needs"
    raise DatasetError(message, cure="transform paths instead of bytes or arrays")
