"""Drawn data sets: in memory, and as folders in the layout of Caltech-UCSD Birds on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from birdsod.dataset import DetectionDataset
from birdsod.testing._detections import class_tables

if TYPE_CHECKING:
    import os
    from random import Random

    from birdsod.classes import ClassTable

__all__ = ["DrawnCub", "DrawnImage", "cub_folders", "datasets"]

_SIDE = 4000
_SPLITS = ("train", "validation")


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """One image of a drawn folder.

    Parameters
    ----------
    image_id : int
        From 1.
    path : str
        Relative to the folder ``images``.
    class_id : int
        As the data set writes it.
    is_training : bool
        The mark of the official split.
    width, height : int
        Size in pixels.
    boxes : tuple of tuple of float
        ``x y width height``, at least one.
    """

    image_id: int
    path: str
    class_id: int
    is_training: bool
    width: int
    height: int
    boxes: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class DrawnCub:
    """What a folder in CUB layout says; ``write`` puts it on disk.

    Parameters
    ----------
    classes : dict of int to str
        Class names by id.
    images : tuple of DrawnImage
        The images, in the order in which they are listed.
    """

    classes: dict[int, str]
    images: tuple[DrawnImage, ...]

    def rows(self) -> dict[str, list[str]]:
        """Return the rows of the five text files, and of ``sizes.txt``, by file name.

        Returns
        -------
        dict of str to list of str
        """
        return {
            "classes.txt": [f"{key} {name}" for key, name in self.classes.items()],
            "images.txt": [f"{image.image_id} {image.path}" for image in self.images],
            "image_class_labels.txt": [f"{image.image_id} {image.class_id}" for image in self.images],
            "train_test_split.txt": [f"{image.image_id} {int(image.is_training)}" for image in self.images],
            "bounding_boxes.txt": [
                " ".join([str(image.image_id), *map(repr, box)]) for image in self.images for box in image.boxes
            ],
            "sizes.txt": [f"{image.image_id} {image.width} {image.height}" for image in self.images],
        }

    def write(
        self,
        directory: str | os.PathLike[str],
        *,
        shuffled: Random | None = None,
        newline: str = "\n",
        sizes: bool = True,
        pixels: bool = False,
    ) -> Path:
        """Write the folder.

        Parameters
        ----------
        directory : path-like
            The folder; made if need be.
        shuffled : random.Random, optional
            Shuffles the rows of each file on their own.
        newline : str, default: newline
            What ends a row.
        sizes : bool, default: True
            Write ``sizes.txt`` too.
        pixels : bool, default: False
            Write an image of random pixels for each row.

        Returns
        -------
        Path
            The folder.
        """
        folder = Path(directory)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for name, rows in self.rows().items():
            if name == "sizes.txt" and not sizes:
                continue
            if shuffled is not None:
                shuffled.shuffle(rows)
            (folder / name).write_bytes("".join(row + newline for row in rows).encode())
        if pixels:
            for image in self.images:
                _write_pixels(folder / "images" / image.path, image)
        return folder


def _write_pixels(path: Path, image: DrawnImage) -> None:
    from birdsod.image import encode

    pixels = np.random.default_rng(image.image_id).integers(0, 256, (image.height, image.width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(pixels, encoding=path.suffix))


@st.composite
def datasets(
    draw: st.DrawFn,
    *,
    min_images: int = 0,
    max_images: int = 12,
    max_objects: int = 4,
    classes: st.SearchStrategy[ClassTable] | None = None,
    splits: st.SearchStrategy[str] | None = None,
) -> DetectionDataset:
    """Draw data sets in memory: known sizes, no pixels, any number of objects an image, boxes inside or not.

    Parameters
    ----------
    draw : DrawFn
        Given by Hypothesis.
    min_images, max_images : int
        Bounds of the number of images.
    max_objects : int
        Most objects on an image.
    classes : strategy of ClassTable, optional
        By default any table of a few classes.
    splits : strategy of str, optional
        By default train and validation.

    Returns
    -------
    SearchStrategy of DetectionDataset
    """
    table = draw(classes or class_tables(min_size=1))
    ids = draw(st.lists(st.integers(0, 10**6), min_size=min_images, max_size=max_images, unique=True))
    count = len(ids)
    widths, heights = (draw(st.lists(st.integers(1, _SIDE), min_size=count, max_size=count)) for _ in range(2))
    owners = [image_id for image_id in ids for _ in range(draw(st.integers(0, max_objects)))]
    boxes = np.array([draw(_corners()) for _ in owners], dtype=np.float64).reshape(-1, 4)
    images: dict[str, Any] = {
        "image_id": np.array(ids, dtype=np.int64),
        "path": [f"{image_id % 3:03d}.Folder/bird {image_id}.jpg" for image_id in ids],
        "width": widths,
        "height": heights,
        "split": [draw(splits or st.sampled_from(_SPLITS)) for _ in ids],
    }
    class_ids = np.array([draw(st.integers(0, len(table) - 1)) for _ in owners], dtype=np.int64)
    sides = {name: boxes[:, place] for place, name in enumerate(("xmin", "ymin", "xmax", "ymax"))}
    objects = {"image_id": np.array(owners, dtype=np.int64), "class_id": class_ids, **sides}
    return DetectionDataset.from_tables(images, objects, root="made-up", class_table=table)


def _starts_and_lengths() -> st.SearchStrategy[tuple[float, float]]:
    tenths = st.integers(-300, 10 * _SIDE).map(lambda tenth: tenth / 10)
    lengths = st.one_of(st.integers(1, _SIDE).map(float), st.floats(0.01, _SIDE))
    return st.tuples(tenths, lengths)


@st.composite
def _corners(draw: st.DrawFn) -> tuple[float, float, float, float]:
    (x, width), (y, height) = draw(_starts_and_lengths()), draw(_starts_and_lengths())
    return x, y, x + width, y + height


@st.composite
def cub_folders(draw: st.DrawFn, *, max_images: int = 8, max_side: int = 40, suffix: str = ".png") -> DrawnCub:
    """Draw what a folder in CUB layout says: classes, images of one class each, one box or several on each.

    Parameters
    ----------
    draw : DrawFn
        Given by Hypothesis.
    max_images : int
        Most images.
    max_side : int
        Widest and highest image, in pixels.
    suffix : str
        Kind of the images.

    Returns
    -------
    SearchStrategy of DrawnCub
        ``.write(directory)`` puts one on disk.
    """
    class_ids = draw(st.lists(st.integers(1, 200), min_size=1, max_size=4, unique=True))
    classes = {class_id: f"{class_id:03d}.Made_up_Bird" for class_id in class_ids}
    image_ids = draw(st.lists(st.integers(1, 20_000), min_size=1, max_size=max_images, unique=True))
    images = []
    for image_id in image_ids:
        class_id = draw(st.sampled_from(class_ids))
        images.append(
            DrawnImage(
                image_id=image_id,
                path=f"{classes[class_id]}/Made_up_{image_id}{suffix}",
                class_id=class_id,
                is_training=draw(st.booleans()),
                width=draw(st.integers(1, max_side)),
                height=draw(st.integers(1, max_side)),
                boxes=tuple(draw(st.lists(_boxes_as_written(max_side), min_size=1, max_size=3, unique=True))),
            )
        )
    return DrawnCub(classes, tuple(images))


def _boxes_as_written(side: int) -> st.SearchStrategy[tuple[float, float, float, float]]:
    starts = st.integers(0, side).map(float)
    lengths = st.integers(1, 10 * side).map(lambda tenths: tenths / 10)
    return st.tuples(starts, starts, lengths, lengths)
