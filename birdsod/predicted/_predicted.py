"""What was found in many images, as a value: a table, COCO results, a list, a data set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.bbox import relative_to_absolute
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import pandas as pd

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset
    from birdsod.detections import Detections
    from birdsod.lstwriter import Written
    from birdsod.predicted._images import GivenImage

__all__ = ["CocoFiles", "FailedImage", "Predicted", "SeenImage", "seen"]

_SIDES = ("xmin", "ymin", "xmax", "ymax")


class SeenImage(NamedTuple):
    """An image that was given, without its pixels.

    Parameters
    ----------
    name : str
        Its path as it was given, its record (``birds.rec[7]``), or its place (``image 7``) if it has neither.
    image_id : int
        Its id: that of the data set or record, or its place.
    path : str, optional
        Its file, absolute, if it has one of its own.
    """

    name: str
    image_id: int
    path: str | None


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


class CocoFiles(NamedTuple):
    """The two files that :meth:`Predicted.to_coco` writes.

    Parameters
    ----------
    results : pathlib.Path
        The detections, a list.
    images : pathlib.Path
        What their ids stand for: ``images`` and ``categories``, without annotations.
    """

    results: Path
    images: Path


def seen(image: GivenImage) -> SeenImage:
    """Return an image without its pixels."""
    source = image.source
    # Not resolved: that would follow links and rename the file.
    path = os.path.abspath(source) if isinstance(source, str | os.PathLike) else None  # noqa: PTH100 - see above
    return SeenImage(image.name, image.image_id, path)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Predicted:
    """What a predictor found in many images, one by one in the order in which they were given.

    Every image that was given has its place: with detections, maybe none, or with a failure that names its reason.

    Parameters
    ----------
    images : tuple of SeenImage
        The images.
    detections : tuple of Detections or None
        What was found in each; None where there is no answer.
    failures : tuple of FailedImage
        The images without an answer, with the reason.
    classes : ClassTable
        What the class ids stand for.

    Examples
    --------
    >>> from birdsod.classes import ClassTable
    >>> from birdsod.detections import Detections
    >>> table = ClassTable((17,), ("Cardinal",))
    >>> cardinal = Detections([0], [0.9], [[0.25, 0, 1, 0.5]], 80, 60, table)
    >>> images = (SeenImage("a.jpg", 0, "/photos/a.jpg"), SeenImage("b.jpg", 1, "/photos/b.jpg"))
    >>> found = Predicted(images, (cardinal, None), (FailedImage("b.jpg", 1, "the image is empty"),), table)
    >>> found
    Predicted(2 images, 1 detections, 1 failures)
    >>> found.to_frame()[["image_id", "image", "name", "confidence", "xmin", "xmin_relative"]].to_dict("records")
    [{'image_id': 0, 'image': 'a.jpg', 'name': 'Cardinal', 'confidence': 0.9, 'xmin': 20.0, 'xmin_relative': 0.25}]
    """

    images: tuple[SeenImage, ...]
    detections: tuple[Detections | None, ...]
    failures: tuple[FailedImage, ...]
    classes: ClassTable

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(image.name for image in self.images)

    def answered(self) -> Iterator[tuple[SeenImage, Detections]]:
        """Yield the images that have an answer, each with what was found in it.

        Yields
        ------
        tuple of SeenImage and Detections
        """
        for image, found in zip(self.images, self.detections, strict=True):
            if found is not None:
                yield image, found

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for each detection; an image without one has no row.

        Returns
        -------
        pandas.DataFrame
            Columns ``image_id, image, class_id, source_id, name, confidence``, ``xmin, ymin, xmax, ymax`` in pixels and
            ``xmin_relative, ymin_relative, xmax_relative, ymax_relative`` from 0 to 1.
        """
        import pandas as pd

        pairs = list(self.answered())
        images, rows = [image for image, _ in pairs], [found for _, found in pairs]
        counts = [len(found) for found in rows]
        class_id = np.concatenate([np.empty(0, np.int64), *(found.class_id for found in rows)])
        columns = {
            "image_id": np.repeat(np.array([image.image_id for image in images], dtype=_id_type(images)), counts),
            "image": pd.Series([image.name for image in images], dtype=str).repeat(counts).to_numpy(),
            "class_id": class_id,
            "source_id": np.asarray(self.classes.source_ids, dtype=np.int64)[class_id],
            "name": pd.Series(self.classes.names, dtype=str).iloc[class_id].to_numpy(),
            "confidence": np.concatenate([np.empty(0), *(found.confidence for found in rows)]),
            **_sides(rows),
        }
        return pd.DataFrame(columns).astype({"image": str, "name": str})

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
            If an image has no file of its own, or two have the same id.
        """
        from birdsod.predicted._writing import as_dataset

        return as_dataset(self, threshold)

    def to_coco(self, path: str | os.PathLike[str]) -> CocoFiles:
        """Write COCO results, and beside them what their ids stand for.

        ``COCO(files.images).loadRes(files.results)`` of pycocotools opens both together.

        Parameters
        ----------
        path : path-like
            The results, such as ``found.json``: a list of ``image_id, category_id, bbox, score``. The other file is
            ``found.images.json`` then: ``images`` with ``id, file_name, width, height``, those where nothing was
            found too, and ``categories`` with ``id, name``.

        Returns
        -------
        CocoFiles

        Raises
        ------
        DatasetError
            If two images have the same id.
        """
        from birdsod.predicted._writing import write_coco

        return write_coco(self, Path(path))

    def to_lst(
        self, path: str | os.PathLike[str], *, threshold: float = 0.5, root: str | os.PathLike[str] | None = None
    ) -> Written:
        """Write what was found as a list that ``birdsod.pack`` and im2rec take: labels for a next training.

        A row for each image with an answer, also where nothing was found. Boxes are clipped to their images, which
        the result tells; one that has no area within its image is no object and left out.

        Parameters
        ----------
        path : path-like
            The ``.lst`` file.
        threshold : float, default 0.5
            Least confidence of a box that becomes an object.
        root : path-like, optional
            Folder that the paths in the list start from, as ``pack_list`` wants it named; paths are absolute if it
            is left out.

        Returns
        -------
        Written

        Raises
        ------
        DatasetError
            If an image has no file of its own or lies outside ``root``, or two have the same id.
        ListError
            If an id or a path cannot stand in a list.
        """
        from birdsod.predicted._writing import write_lst

        return write_lst(self, Path(path), threshold=threshold, root=None if root is None else Path(root))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        found = sum(len(answer) for answer in self.detections if answer is not None)
        return f"{type(self).__name__}({len(self)} images, {found} detections, {len(self.failures)} failures)"


def check_ids(images: list[SeenImage]) -> None:
    """Raise if two images have the same id."""
    first: dict[int, SeenImage] = {}
    for image in images:
        other = first.setdefault(image.image_id, image)
        if other is not image:
            message = f"{other.name} and {image.name} have the same id"
            raise DatasetError(message, value=image.image_id, cure="give them as a list, which is numbered through")


def _id_type(images: list[SeenImage]) -> type[np.int64 | np.uint64]:
    return np.uint64 if any(image.image_id > np.iinfo(np.int64).max for image in images) else np.int64


def _sides(rows: list[Detections]) -> dict[str, npt.NDArray[np.generic]]:
    relative = np.concatenate([np.empty((0, 4)), *(found.xyxy_relative for found in rows)])
    counts = [len(found) for found in rows]
    width, height = (np.repeat([getattr(found, side) for found in rows], counts) for side in ("width", "height"))
    pixels = relative_to_absolute(relative, width=width, height=height) if len(relative) else relative
    return {
        **dict(zip(_SIDES, pixels.T, strict=True)),
        **dict(zip((f"{side}_relative" for side in _SIDES), relative.T, strict=True)),
    }
