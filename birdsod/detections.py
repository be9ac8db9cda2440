"""Detections: the value that a prediction is."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod._detection_arrays import (
    boxes,
    check_class_ids,
    check_confidence,
    check_finite,
    check_shapes,
    check_size,
    class_ids,
    frozen,
    prediction_rows,
    row_selection,
)
from birdsod.bbox import relative_to_absolute, xyxy_to_xywh

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    import pandas as pd

    from birdsod.classes import ClassTable

__all__ = ["Detections"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Detections:
    """What a detector found in one image: a value that is never edited.

    Rows keep the order in which they were given; detectors answer with the most confident first.
    Indexing works as with an array, by a slice, a mask, row numbers or one row number, and always
    gives detections again.

    Parameters
    ----------
    class_id : array-like of int, shape (n,)
        Zero-based class ids, all within ``classes``.
    confidence : array-like of float, shape (n,)
        Scores from 0 to 1.
    xyxy_relative : array-like of float, shape (n, 4)
        Boxes ``xmin, ymin, xmax, ymax``, divided by the width and height of the image. They may
        leave the image or be empty: a detector may answer so.
    width, height : int
        Size of the image in pixels, after orientation.
    classes : ClassTable
        What the class ids stand for.

    Raises
    ------
    BoxError
        If the arrays do not fit together, or a score or a box is out of range or not finite.
    DatasetError
        If a class id is not in ``classes``.
    ImageError
        If the image has no size.

    Examples
    --------
    >>> from birdsod.classes import ClassTable
    >>> table = ClassTable((17, 36), ("Cardinal", "Flicker"))
    >>> found = Detections([0, 1], [0.9, 0.3], [[0.1, 0.2, 0.5, 0.8], [0.0, 0.0, 1.0, 1.0]], 500, 300, table)
    >>> found
    Detections(2 in 500 x 300: Cardinal 0.90, Flicker 0.30)
    >>> found[found.confidence > 0.5].xyxy
    array([[ 50.,  60., 250., 240.]])
    """

    class_id: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    xyxy_relative: npt.NDArray[np.float64]
    width: int
    height: int
    classes: ClassTable

    if TYPE_CHECKING:

        def __init__(
            self,
            class_id: npt.ArrayLike,
            confidence: npt.ArrayLike,
            xyxy_relative: npt.ArrayLike,
            width: int,
            height: int,
            classes: ClassTable,
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_id", class_ids(self.class_id))
        object.__setattr__(self, "confidence", frozen(self.confidence))
        object.__setattr__(self, "xyxy_relative", boxes(self.xyxy_relative))
        object.__setattr__(self, "width", operator.index(self.width))
        object.__setattr__(self, "height", operator.index(self.height))
        check_shapes(self.class_id, self.confidence, self.xyxy_relative)
        check_size(self.width, self.height)
        check_class_ids(self.class_id, len(self.classes))
        check_confidence(self.confidence)
        check_finite(self.xyxy_relative)

    @classmethod
    def from_prediction(cls, rows: npt.ArrayLike, *, width: int, height: int, classes: ClassTable) -> Detections:
        """Return the detections of a hosted model's answer.

        Parameters
        ----------
        rows : array-like, shape (n, 6)
            Rows ``class, score, xmin, ymin, xmax, ymax`` with relative boxes, as under the key
            ``prediction`` of an answer. Rows of class -1 were suppressed and are dropped.
        width, height : int
            Size of the image in pixels.
        classes : ClassTable
            Classes of the model.

        Returns
        -------
        Detections

        Raises
        ------
        BoxError
            If the rows do not have six columns, or hold what is no detection.

        Examples
        --------
        >>> from birdsod.classes import ClassTable
        >>> rows = [[0, 0.75, 0.5, 0.5, 1, 1], [-1, 0.7, 0, 0, 1, 1]]
        >>> Detections.from_prediction(rows, width=80, height=60, classes=ClassTable((17,), ("Cardinal",)))
        Detections(1 in 80 x 60: Cardinal 0.75)
        """
        table = prediction_rows(rows)
        kept = table[table[:, 0] != -1]
        return cls(kept[:, 0], kept[:, 1], kept[:, 2:], width, height, classes)

    @property
    def xyxy(self) -> npt.NDArray[np.float64]:
        """Boxes ``xmin, ymin, xmax, ymax`` in pixels, shape (n, 4); a new array each time."""
        return relative_to_absolute(self.xyxy_relative, width=self.width, height=self.height)

    @property
    def names(self) -> list[str]:
        """Class names, one for each row."""
        return [self.classes.names[k] for k in self.class_id]

    def __len__(self) -> int:
        return len(self.class_id)

    def __iter__(self) -> Iterator[Detections]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, rows: int | slice | Sequence[int] | npt.NDArray[Any]) -> Detections:
        chosen = row_selection(rows, len(self))
        return Detections(
            self.class_id[chosen],
            self.confidence[chosen],
            self.xyxy_relative[chosen],
            self.width,
            self.height,
            self.classes,
        )

    def above(self, threshold: float) -> Detections:
        """Return the detections with at least this confidence.

        Parameters
        ----------
        threshold : float
            Least confidence that is kept.

        Returns
        -------
        Detections

        Examples
        --------
        >>> from birdsod.classes import ClassTable
        >>> found = Detections([0, 0], [0.9, 0.3], [[0, 0, 1, 1]] * 2, 80, 60, ClassTable((17,), ("Cardinal",)))
        >>> len(found.above(0.3)), len(found.above(0.31))
        (2, 1)
        """
        return self[self.confidence >= threshold]

    def of_class(self, wanted: int | str) -> Detections:
        """Return the detections of one class.

        Parameters
        ----------
        wanted : int or str
            Id as the data set writes it, or class name.

        Returns
        -------
        Detections

        Raises
        ------
        DatasetError
            If there is no such class.

        Examples
        --------
        >>> from birdsod.classes import ClassTable
        >>> table = ClassTable((17, 36), ("Cardinal", "Flicker"))
        >>> found = Detections([0, 1], [0.9, 0.3], [[0, 0, 1, 1]] * 2, 80, 60, table)
        >>> found.of_class("Flicker") == found.of_class(36)
        True
        """
        return self[self.class_id == self.classes.find(wanted)]

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for each detection.

        Returns
        -------
        pandas.DataFrame
            Columns ``class_id, source_id, name, confidence, xmin, ymin, xmax, ymax``; boxes in pixels.

        Examples
        --------
        >>> from birdsod.classes import ClassTable
        >>> found = Detections([0], [0.9], [[0, 0, 1, 0.5]], 80, 60, ClassTable((17,), ("Cardinal",)))
        >>> found.to_frame()[["source_id", "name", "xmax", "ymax"]].to_dict("records")
        [{'source_id': 17, 'name': 'Cardinal', 'xmax': 80.0, 'ymax': 30.0}]
        """
        import pandas as pd

        source_ids = np.asarray(self.classes.source_ids, dtype=np.int64)[self.class_id]
        named = {"class_id": self.class_id, "source_id": source_ids, "name": self.names, "confidence": self.confidence}
        sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), self.xyxy.T, strict=True))
        return pd.DataFrame({**named, **sides})

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Return the detections as COCO results.

        Parameters
        ----------
        image_id : int
            The image's id in the data set.

        Returns
        -------
        list of dict
            ``image_id``, ``category_id`` (the id as the data set writes it), ``bbox`` (``xmin, ymin,
            width, height`` in pixels) and ``score``.

        Examples
        --------
        >>> from birdsod.classes import ClassTable
        >>> found = Detections([0], [0.5], [[0.25, 0, 1, 0.5]], 80, 60, ClassTable((17,), ("Cardinal",)))
        >>> found.to_coco(7)
        [{'image_id': 7, 'category_id': 17, 'bbox': [20.0, 0.0, 60.0, 30.0], 'score': 0.5}]
        """
        return [
            {"image_id": int(image_id), "category_id": self.classes.source_ids[k], "bbox": box, "score": score}
            for k, box, score in zip(
                self.class_id.tolist(), xyxy_to_xywh(self.xyxy).tolist(), self.confidence.tolist(), strict=True
            )
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        return (
            (self.width, self.height, self.classes) == (other.width, other.height, other.classes)
            and np.array_equal(self.class_id, other.class_id)
            and np.array_equal(self.confidence, other.confidence)
            and np.array_equal(self.xyxy_relative, other.xyxy_relative)
        )

    def __hash__(self) -> int:
        return hash((len(self), self.width, self.height, self.classes))

    def __reduce__(self) -> tuple[type[Detections], tuple[object, ...]]:
        # Through the constructor, so that a copy from another process is as read-only as the original.
        columns = (self.class_id, self.confidence, self.xyxy_relative)
        return Detections, (*columns, self.width, self.height, self.classes)

    def __repr__(self) -> str:
        shown = [f"{name} {score:.2f}" for name, score in zip(self.names[:3], self.confidence, strict=False)]
        more = ["..."] if len(self) > len(shown) else []
        listed = ", ".join(shown + more)
        return f"Detections({len(self)} in {self.width} x {self.height}{': ' if listed else ''}{listed})"
