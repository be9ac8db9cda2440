"""All figures at once: one matching, every class, every rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import BoxError
from birdsod.metrics._curves import curves, read_curves
from birdsod.metrics._matching import falling_score, match_boxes, rank_in_group

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.metrics._boxes import GroundTruth, Predictions
    from birdsod.metrics._curves import Rule

__all__ = ["BoxScores", "evaluate_boxes"]

COCO_OVERLAPS = np.linspace(0.5, 0.95, 10)
AT_50, AT_75 = 0, 5


@dataclass(frozen=True, slots=True, eq=False)
class BoxScores:
    """Average precision of each class by every rule; a class without objects has NaN.

    Parameters
    ----------
    area : ndarray of float64, shape (c,)
        Area under the interpolated curve, at the overlap threshold.
    voc07 : ndarray of float64, shape (c,)
        Mean at 11 recalls, at the overlap threshold.
    coco : ndarray of float64, shape (c,)
        Mean at 101 recalls and the overlaps 0.5 to 0.95.
    coco_50, coco_75 : ndarray of float64, shape (c,)
        Mean at 101 recalls and overlap 0.5 or 0.75.
    objects, images : ndarray of int64, shape (c,)
        How many objects there are, and how many images hold one.
    """

    area: npt.NDArray[np.float64]
    voc07: npt.NDArray[np.float64]
    coco: npt.NDArray[np.float64]
    coco_50: npt.NDArray[np.float64]
    coco_75: npt.NDArray[np.float64]
    objects: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]

    @property
    def map_area(self) -> float:
        """Mean of ``area`` over the classes that have objects; NaN if none has."""
        return _mean(self.area)

    @property
    def map_voc07(self) -> float:
        """Mean of ``voc07`` over the classes that have objects; NaN if none has."""
        return _mean(self.voc07)

    @property
    def map_coco(self) -> float:
        """COCO's mAP@[.5:.95]; NaN if there are no objects."""
        return _mean(self.coco)

    @property
    def map_coco_50(self) -> float:
        """COCO's mAP@0.5; NaN if there are no objects."""
        return _mean(self.coco_50)

    @property
    def map_coco_75(self) -> float:
        """COCO's mAP@0.75; NaN if there are no objects."""
        return _mean(self.coco_75)


def evaluate_boxes(
    truth: GroundTruth,
    predictions: Predictions,
    *,
    num_classes: int,
    overlap_threshold: float = 0.5,
    max_detections: int = 100,
) -> BoxScores:
    """Return the average precision of each class by every rule.

    Parameters
    ----------
    truth : GroundTruth
        Objects, clipped to their images.
    predictions : Predictions
        Detections in the same images.
    num_classes : int
        How many classes there are.
    overlap_threshold : float, default 0.5
        Least overlap of a detection that is right, for ``area`` and ``voc07``.
    max_detections : int, default 100
        How many detections of a class in an image COCO's figures look at; the other rules look at all.

    Returns
    -------
    BoxScores

    Raises
    ------
    BoxError
        If a class id is not within ``num_classes``, or the threshold is not between 0 and 1.

    Source
    ------
    Equal to ``COCOeval`` of pycocotools for ``coco``, ``coco_50`` and ``coco_75``.

    Examples
    --------
    >>> from birdsod.metrics import GroundTruth, Predictions
    >>> truth = GroundTruth([1, 2], [0, 1], [[0, 0, 9, 9], [0, 0, 9, 9]])
    >>> found = Predictions([1, 2], [0, 0], [0.9, 0.8], [[0, 0, 9, 9], [0, 0, 9, 9]])
    >>> scores = evaluate_boxes(truth, found, num_classes=3)
    >>> scores.area
    array([ 1.,  0., nan])
    >>> scores.map_area
    0.5
    """
    _check(truth, predictions, num_classes, overlap_threshold)
    order = falling_score(predictions)
    kinds = predictions.class_id[order]
    right = match_boxes(truth, predictions, np.r_[overlap_threshold, COCO_OVERLAPS])[:, order] >= 0
    early = _rank(predictions)[order] < max_detections
    objects = np.bincount(truth.class_id, minlength=num_classes)
    area, voc07 = (table[:, 0] for table in _read(right[:1], kinds, objects, "area", "voc07"))
    (coco,) = _read(right[1:, early], kinds[early], objects, "coco")
    return BoxScores(
        area=area,
        voc07=voc07,
        coco=coco.mean(axis=1),
        coco_50=coco[:, AT_50],
        coco_75=coco[:, AT_75],
        objects=objects,
        images=_images(truth, num_classes),
    )


def _read(
    right: npt.NDArray[np.bool_], kinds: npt.NDArray[np.int64], objects: npt.NDArray[np.int64], *rules: Rule
) -> list[npt.NDArray[np.float64]]:
    """Return for each rule a table of classes by thresholds; the detections are sorted by class."""
    ends = np.searchsorted(kinds, np.arange(len(objects) + 1))
    found = [
        curves(right[:, start:end], int(count)) for start, end, count in zip(ends[:-1], ends[1:], objects, strict=True)
    ]
    tables = [np.full((len(objects), len(right)), np.nan) for _ in rules]
    for table, rule in zip(tables, rules, strict=True):
        for k in np.flatnonzero(objects):
            table[k] = read_curves(*found[k], rule=rule)
    return tables


def _rank(predictions: Predictions) -> npt.NDArray[np.int64]:
    """Return how many detections of the image and class come before each one."""
    order = np.lexsort((-predictions.score, predictions.class_id, predictions.image_id))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = rank_in_group(predictions.image_id[order], predictions.class_id[order])
    return rank


def _images(truth: GroundTruth, num_classes: int) -> npt.NDArray[np.int64]:
    pairs = np.unique(np.stack([truth.class_id, truth.image_id]), axis=1)
    return np.bincount(pairs[0], minlength=num_classes)


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _check(truth: GroundTruth, predictions: Predictions, num_classes: int, overlap_threshold: float) -> None:
    if not 0 < overlap_threshold <= 1:
        raise BoxError("the overlap threshold is not between 0 and 1", value=overlap_threshold)
    for what, ids in (("an object", truth.class_id), ("a detection", predictions.class_id)):
        wrong = np.flatnonzero((ids < 0) | (ids >= num_classes))
        if len(wrong):
            message = f"the class id of {what} is not one of {num_classes} classes"
            raise BoxError(message, record=int(wrong[0]), value=int(ids[wrong[0]]), cure="count classes from 0")
