"""What an evaluation leaves: figures, per class too, and the detections that they were computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod.bbox import xyxy_to_xywh
from birdsod.metrics import BoxScores, GroundTruth, Predictions, evaluate_boxes

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from birdsod.classes import ClassTable

__all__ = ["Report"]

FIGURES = {"ap50": "area", "ap50_voc07": "voc07", "ap75": "coco_75", "coco_ap": "coco"}
"""Column of ``per_class`` -> field of :class:`birdsod.metrics.BoxScores`."""

WHOLE = {"map50": "map_area", "map50_voc07": "map_voc07", "map75": "map_coco_75", "coco_map": "map_coco"}
"""Figure of the report -> property of :class:`birdsod.metrics.BoxScores`."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Report:
    """How well a predictor does on a data set; made by :func:`birdsod.evaluate`.

    Everything is computed from the objects and the detections that it keeps, so that it can be made from
    saved detections as well. Matching and rules are those of :mod:`birdsod.metrics`.

    Parameters
    ----------
    truth : GroundTruth
        Objects, clipped to their images, in pixels; image ids are the data set's.
    detections : Predictions
        All detections, in pixels; image ids are the data set's.
    classes : ClassTable
        What the class ids stand for.
    image_ids : ndarray of int64
        All images that were looked at, also those without objects and detections.

    Examples
    --------
    >>> from birdsod.classes import ClassTable
    >>> from birdsod.metrics import GroundTruth, Predictions
    >>> truth, found = GroundTruth([7], [0], [[0, 0, 40, 30]]), Predictions([7], [0], [0.9], [[0, 0, 40, 30]])
    >>> report = Report(truth, found, ClassTable((17,), ("Cardinal",)), [7])
    >>> report
    Report(mAP@0.5 1.000, VOC 2007 1.000, mAP@0.75 1.000, COCO 1.000; 1 image, 1 object, 1 class)
    >>> report.to_coco()
    [{'image_id': 7, 'category_id': 17, 'bbox': [0.0, 0.0, 40.0, 30.0], 'score': 0.9}]
    """

    truth: GroundTruth
    detections: Predictions
    classes: ClassTable
    image_ids: npt.NDArray[np.int64]
    scores: BoxScores = field(init=False)

    if TYPE_CHECKING:

        def __init__(
            self, truth: GroundTruth, detections: Predictions, classes: ClassTable, image_ids: npt.ArrayLike
        ) -> None: ...

    def __post_init__(self) -> None:
        ids = np.array(self.image_ids, dtype=np.int64)
        ids.setflags(write=False)
        object.__setattr__(self, "image_ids", ids)
        scores = evaluate_boxes(self.truth, self.detections, num_classes=len(self.classes))
        object.__setattr__(self, "scores", scores)

    @property
    def images(self) -> int:
        """How many images were looked at."""
        return len(self.image_ids)

    @property
    def map50(self) -> float:
        """Mean average precision at overlap 0.5 by the area rule, over the classes that have objects."""
        return self.scores.map_area

    @property
    def map50_voc07(self) -> float:
        """Mean average precision at overlap 0.5 by VOC 2007's eleven points."""
        return self.scores.map_voc07

    @property
    def map75(self) -> float:
        """COCO's mAP@0.75."""
        return self.scores.map_coco_75

    @property
    def coco_map(self) -> float:
        """COCO's mAP@[.5:.95]."""
        return self.scores.map_coco

    @property
    def per_class(self) -> pd.DataFrame:
        """A row for each class: ``class_id, source_id, name, images, objects, ap50, ap50_voc07, ap75, coco_ap``.

        ``images`` counts those that hold the class. A class without objects has NaN.
        """
        import pandas as pd

        counts = {"images": self.scores.images, "objects": self.scores.objects}
        figures = {column: getattr(self.scores, rule) for column, rule in FIGURES.items()}
        return pd.concat([self.classes.to_frame(), pd.DataFrame({**counts, **figures})], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, for ``report.json``.

        Returns
        -------
        dict
            ``map50``, ``map50_voc07``, ``map75``, ``coco_map``, ``images``, and ``per_class``: class name ->
            its figures and counts. What has no figure is None.
        """
        rows = self.per_class.drop(columns=["class_id"]).to_dict("records")
        return {
            **{name: _plain(getattr(self.scores, rule)) for name, rule in WHOLE.items()},
            "images": self.images,
            "per_class": {row.pop("name"): {str(key): _plain(value) for key, value in row.items()} for row in rows},
        }

    def to_coco(self) -> list[dict[str, Any]]:
        """Return all detections as COCO results, by image in the order of evaluation.

        Returns
        -------
        list of dict
            ``image_id`` and ``category_id`` as the data set writes them, ``bbox`` (``xmin, ymin, width,
            height`` in pixels) and ``score``.
        """
        found = self.detections
        columns = (found.image_id, found.class_id, xyxy_to_xywh(found.boxes), found.score)
        return [
            {"image_id": image, "category_id": self.classes.source_ids[kind], "bbox": box, "score": score}
            for image, kind, box, score in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def __repr__(self) -> str:
        figures = f"mAP@0.5 {self.map50:.3f}, VOC 2007 {self.map50_voc07:.3f}"
        return f"Report({figures}, mAP@0.75 {self.map75:.3f}, COCO {self.coco_map:.3f}; {self._size()})"

    def _repr_html_(self) -> str:
        """Show the figures as a table in a notebook."""
        import pandas as pd

        columns = ["name", "images", "objects", *FIGURES]
        total = [
            {
                "name": "all classes",
                "images": self.images,
                "objects": len(self.truth),
                **{column: getattr(self.scores, WHOLE[name]) for column, name in zip(FIGURES, WHOLE, strict=True)},
            }
        ]
        table = pd.concat([self.per_class[columns], pd.DataFrame(total)], ignore_index=True)
        html: str = table.to_html(index=False, float_format="{:.3f}".format, na_rep="", border=0)
        return f"<p>{self._size()}</p>{html}"

    def _size(self) -> str:
        counts = {"image": self.images, "object": len(self.truth), "class": len(self.classes)}
        plural = {"image": "images", "object": "objects", "class": "classes"}
        return ", ".join(f"{count} {one if count == 1 else plural[one]}" for one, count in counts.items())


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    """Return a value that every JSON reader takes: NaN is none of JSON's words."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return int(value)
