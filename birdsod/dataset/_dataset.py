"""The data set as a value: photographs, the boxes on them, their classes and splits."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from birdsod.dataset import _sizes, _split
from birdsod.dataset._columns import SPLITS, Objects
from birdsod.dataset._paths import frozen, smallest
from birdsod.dataset._tables import build_columns, objects_table, split_codes
from birdsod.dataset._view import View
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt
    import pandas as pd

    from birdsod.classes import ClassTable
    from birdsod.dataset._sizes import Unreadable

__all__ = ["DetectionDataset", "Readable"]


class Readable(NamedTuple):
    """The images of a data set that can be read, and the others with their reasons.

    Parameters
    ----------
    dataset : DetectionDataset
        The images whose size is known.
    refused : tuple of Unreadable
        The others: ``image_id``, ``name`` and ``error`` of each.
    """

    dataset: DetectionDataset
    refused: tuple[Unreadable, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DetectionDataset(View):
    """Photographs with boxes, as a value: every operation returns a new data set and edits nothing.

    Made by :func:`birdsod.load_cub`, :func:`birdsod.synthetic_birds` or :meth:`from_tables`. Annotations lie in
    compact read-only columns that slices and selections share; pixels are not touched, and image sizes are read
    from the files' headers when they are first needed.

    Examples
    --------
    >>> import numpy as np
    >>> from birdsod import ClassTable, DetectionDataset
    >>> birds = DetectionDataset.from_tables(
    ...     {"image_id": [1, 2], "path": ["a.jpg", "b.jpg"], "width": [50, 60], "height": [40, 30]},
    ...     {"image_id": [2, 1], "class_id": [1, 0], "xmin": [3, 1], "ymin": [4, 2], "xmax": [9, 8], "ymax": [9, 9]},
    ...     root="photos",
    ...     class_table=ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker")),
    ... )
    >>> birds
    DetectionDataset(2 images, 2 objects, 2 classes; not split)
    >>> birds.select(["036.Northern_Flicker"]).objects.to_dict("records")
    [{'image_id': 2, 'class_id': 0, 'xmin': 3.0, 'ymin': 4.0, 'xmax': 9.0, 'ymax': 9.0}]
    """

    @classmethod
    def from_tables(
        cls,
        images: Mapping[str, Any] | pd.DataFrame,
        objects: Mapping[str, Any] | pd.DataFrame,
        *,
        root: str | os.PathLike[str],
        class_table: ClassTable,
    ) -> DetectionDataset:
        """Return a data set made of an images table and an objects table, after checking every row.

        Parameters
        ----------
        images : mapping of str to array, or pandas.DataFrame
            Columns ``image_id`` (unique, >= 0) and ``path`` (relative to ``root``, or absolute); optional ``width``
            and ``height`` in pixels (0 or missing where not known), ``split``, ``group`` (images of one group never
            part in a split; by default each image is its own) and ``mirror_of`` (the original's id, or -1).
        objects : mapping of str to array, or pandas.DataFrame
            Columns ``image_id``, ``class_id`` (zero-based) and ``xmin``, ``ymin``, ``xmax``, ``ymax`` in pixels, in
            any order. An image may have any number of objects, none included; a box may leave its image.
        root : path-like
            The folder that relative paths start from.
        class_table : ClassTable
            What the class ids stand for.

        Returns
        -------
        DetectionDataset

        Raises
        ------
        DatasetError
            If a column is missing or of the wrong kind, or a row does not fit; the row is named.
        BoxError
            If a box is not finite, empty or inverted.
        """
        absolute = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links and rename the files
        columns = build_columns(images, objects, root=absolute, classes=len(class_table))
        length = len(columns.image_ids)
        rows = smallest(np.arange(length))
        own = columns.image_ids[columns.originals(rows) < 0]
        largest = int(own.max()) if own.size else 0
        return cls(columns, rows, frozen(split_codes(images, length)), class_table, None, largest)

    def __repr__(self) -> str:
        counts = [(name or "not split", int((self._splits == code).sum())) for code, name in enumerate(SPLITS)]
        shown = ", ".join(f"{count} {name}" for name, count in counts[1:] + counts[:1] if count)
        if counts[0][1] == len(self):
            shown = "not split"
        held = _counted(len(self), "image"), _counted(self.num_objects, "object"), _counted(len(self._classes), "class")
        return f"DetectionDataset({', '.join(held)}; {shown})"

    @property
    def images(self) -> pd.DataFrame:
        """The images table: ``image_id, path, width, height, split``.

        Sizes are read from the headers where they are not known yet, and ``<NA>`` where there is no file to read.
        """
        import pandas as pd

        unknown = {bad.image_id for bad in _sizes.known_sizes(self._columns, self._rows)}
        ids = self.image_ids
        sizes = self._columns.sizes[self._rows].astype(np.int64)
        hidden = np.isin(ids, list(unknown))
        columns: dict[str, Any] = {"image_id": ids, "path": self.names}
        for position, side in enumerate(("width", "height")):
            columns[side] = pd.array(np.where(hidden, 0, sizes[:, position]), dtype="Int64")
            columns[side][hidden] = pd.NA
        return pd.DataFrame({**columns, "split": self.splits.tolist()})

    @property
    def objects(self) -> pd.DataFrame:
        """The objects table: ``image_id, class_id, xmin, ymin, xmax, ymax``, in pixels as the data set writes them."""
        import pandas as pd

        return pd.DataFrame(objects_table(self._objects(), self.image_ids))

    @property
    def classes(self) -> pd.DataFrame:
        """The classes: ``class_id, source_id, name`` and, for each split that occurs, its number of images."""
        frame = self._classes.to_frame()
        image_rows, class_ids, _ = self._objects()
        pairs = np.unique(np.stack([image_rows, class_ids], axis=1), axis=0)
        for code in (1, 2, 0):
            if (self._splits == code).any():
                inside = pairs[self._splits[pairs[:, 0]] == code, 1]
                frame[SPLITS[code] or "unsplit"] = np.bincount(inside, minlength=len(self._classes))
        return frame

    def select(self, classes: int | str | Iterable[int | str]) -> DetectionDataset:
        """Return the images that hold some classes, with these classes numbered anew from zero.

        Images without an object of the chosen classes are left out, and so are objects of other classes. The order
        of classes is the data set's, whatever order is asked for.

        Parameters
        ----------
        classes : int, str, or iterable of these
            Source ids as the data set writes them, or class names.

        Returns
        -------
        DetectionDataset

        Raises
        ------
        DatasetError
            If there is no such class, or none is asked for.
        """
        wanted = [classes] if isinstance(classes, (int, np.integer, str)) else list(classes)
        if not wanted:
            raise DatasetError("no class is selected", cure="give source ids or names")
        table = self._classes.subset(wanted)
        renumber = np.full(len(self._classes), -1, dtype=np.int64)
        renumber[[self._classes.find(name) for name in table.names]] = np.arange(len(table))
        image_rows, class_ids, _ = self._objects()
        kept = np.zeros(len(self), dtype=bool)
        kept[image_rows[renumber[class_ids] >= 0]] = True
        before = np.arange(len(self._classes)) if self._class_of is None else self._class_of
        class_of = np.where(before >= 0, renumber[before], -1)
        return replace(self._take(kept), _classes=table, _class_of=frozen(class_of))

    def subset(self, split: str) -> DetectionDataset:
        """Return the images of one split.

        Parameters
        ----------
        split : str
            ``"train"``, ``"validation"``, or ``""`` for images of neither.

        Returns
        -------
        DetectionDataset

        Raises
        ------
        DatasetError
            If there is no such split.
        """
        if split not in SPLITS:
            raise DatasetError("no such split", value=split, cure="use 'train', 'validation' or '' for neither")
        return self._take(self._splits == SPLITS.index(split))

    def split(self, fraction: float | None = None, *, seed: int = 0) -> tuple[DetectionDataset, DetectionDataset]:
        """Return a training set and a validation set.

        Without a fraction, the data set's own split. With one, images are drawn at random, class by class, so that
        each class has its share, and stands on both sides where it has two images that may part. Where an image
        holds several classes, its rarest one counts; a class with one image is trained on. An image and its mirror
        never part. The same seed draws the same images on any machine and whatever the order of the rows.

        Parameters
        ----------
        fraction : float, optional
            Share of the images to train on, between 0 and 1; by default the data set's own split.
        seed : int, default: 0
            Another seed, another draw.

        Returns
        -------
        train, validation : DetectionDataset
            With their ``split`` column set.

        Raises
        ------
        DatasetError
            If the fraction is not between 0 and 1, there is nothing to split, or the set has no own split.
        """
        if fraction is None:
            _split.check_own(self._splits)
            return self.subset("train"), self.subset("validation")
        image_rows, class_ids, _ = self._objects()
        trained = _split.draw(self._groups(), image_rows, class_ids, fraction=fraction, seed=seed)
        marked = replace(self, _splits=frozen(np.where(trained, 1, 2).astype(np.int8)))
        return marked.subset("train"), marked.subset("validation")

    def with_flips(self, directory: str | os.PathLike[str], *, jobs: int | None = None) -> DetectionDataset:
        """Return this data set and, after it, a mirrored copy of each image that is marked train.

        The mirrored files are written to a tree of their own, under the names of their originals; no original is
        touched. A file that is already there, whole, and made of the same source is used again; the folder's
        ``mirrored.json`` says of what each was made, and no other file is ever written over. Mirrored images
        are numbered ``image_id + largest_image_id``, whatever was selected. An image that has its mirror in the set
        already, or is one, is not mirrored again: calling twice is the same as calling once.

        Parameters
        ----------
        directory : path-like
            Where the mirrored files go; made if it is not there. Not the root of the set.
        jobs : int, optional
            Images worked on at the same time; by default the number of cores.

        Returns
        -------
        DetectionDataset

        Raises
        ------
        DatasetError
            If the directory is the root, a file in it would overwrite one that was not made here, or images are
            missing.
        ImageError
            If an image cannot be read; its path is named.
        """
        from birdsod.dataset._flips import mirrored_images, write_mirrors

        mirrors = self.mirror_of
        wanted = (self._splits == SPLITS.index("train")) & (mirrors < 0) & ~np.isin(self.image_ids, mirrors)
        originals = self._take(wanted)
        originals.require_images()
        records = list(originals)
        folder = Path(os.path.abspath(directory))  # noqa: PTH100 - see from_tables
        paths = write_mirrors(records, folder, root=self.root, jobs=jobs)
        images = mirrored_images(records, paths, root=self.root, largest=self._largest)
        return self._followed_by(images | {"group": originals._groups()}, originals)  # noqa: SLF001 - a value of this class

    def _followed_by(self, mirrored: dict[str, npt.NDArray[Any]], originals: DetectionDataset) -> DetectionDataset:
        """Return this set and then mirrored images, objects in the order of the originals."""
        from birdsod import bbox

        image_rows, class_ids, boxes = originals._objects()
        flipped = bbox.flip_horizontal(boxes, width=mirrored["width"][image_rows])
        added = objects_table(Objects(image_rows, class_ids, flipped), mirrored["image_id"])
        images, objects = self._images_table(), objects_table(self._objects(), self.image_ids)
        joined = DetectionDataset.from_tables(
            {name: np.concatenate([images[name], mirrored[name]]) for name in images},
            {name: np.concatenate([objects[name], added[name]]) for name in objects},
            root=self.root,
            class_table=self._classes,
        )
        # What was read from headers need not be read again; that of the mirrored images is checked when needed.
        joined._columns.size_states[: len(self)] = self._columns.size_states[self._rows]  # noqa: SLF001 - a value of this class
        return replace(joined, _largest=self._largest)

    def readable(self) -> Readable:
        """Part the images whose size is known from those whose file is missing or cannot be read.

        Returns
        -------
        Readable
            ``.dataset`` and ``.refused``; together they are all images.
        """
        refused = _sizes.known_sizes(self._columns, self._rows)
        kept = ~np.isin(self.image_ids, [bad.image_id for bad in refused])
        return Readable(self._take(kept), tuple(refused))


def _counted(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
