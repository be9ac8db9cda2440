"""Curves of precision over recall, and how each rule reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from birdsod.metrics._matching import falling_score, match_boxes

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.metrics._boxes import GroundTruth, Predictions

__all__ = ["Curve", "Rule", "average_precision", "precision_recall"]

Rule: TypeAlias = Literal["area", "voc07", "coco"]

RECALLS = {
    # k / 10 is the very float that k of 10 objects give; np.arange(0, 1.1, 0.1) would miss recall 3 / 10.
    "voc07": np.arange(11) / 10,
    # The same expression as in COCO, whose floats decide which side of a step is read.
    "coco": np.linspace(0.0, 1.0, 101),
}


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision and recall of one class after each of its detections, by falling score.

    Parameters
    ----------
    score : ndarray of float64, shape (n,)
        Confidence of the detections.
    precision : ndarray of float64, shape (n,)
        Which part of the detections so far is right.
    recall : ndarray of float64, shape (n,)
        Which part of the objects is found so far; NaN where there are none.
    """

    score: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]


def precision_recall(
    truth: GroundTruth, predictions: Predictions, *, class_id: int, overlap_threshold: float = 0.5
) -> Curve:
    """Return the curve of one class.

    Parameters
    ----------
    truth : GroundTruth
        Objects.
    predictions : Predictions
        Detections.
    class_id : int
        Zero-based class.
    overlap_threshold : float, default 0.5
        Least overlap of a detection that is right.

    Returns
    -------
    Curve

    Examples
    --------
    >>> from birdsod.metrics import GroundTruth, Predictions
    >>> truth = GroundTruth([1, 2], [0, 0], [[0, 0, 9, 9]] * 2)
    >>> found = Predictions([1, 1, 2], [0, 0, 0], [0.9, 0.8, 0.7], [[0, 0, 9, 9]] * 3)
    >>> precision_recall(truth, found, class_id=0).recall
    array([0.5, 0.5, 1. ])
    """
    order = falling_score(predictions)
    order = order[predictions.class_id[order] == class_id]
    right = match_boxes(truth, predictions, [overlap_threshold])[:, order] >= 0
    precision, recall = curves(right, int(np.count_nonzero(truth.class_id == class_id)))
    return Curve(predictions.score[order], precision[0], recall[0])


def average_precision(precision: npt.ArrayLike, recall: npt.ArrayLike, *, rule: Rule = "area") -> float:
    """Return the average precision of one curve at one overlap threshold.

    Parameters
    ----------
    precision, recall : array-like of float, shape (n,)
        The curve, by falling score: recall never falls.
    rule : {"area", "voc07", "coco"}, default "area"
        How to read it: the area under the interpolated curve, or its mean at 11 or 101 recalls.

    Returns
    -------
    float
        From 0 to 1; NaN if recall is NaN, that is, if there are no objects. 0 if nothing was found.

    Source
    ------
    Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, 2010, section 4.2; the VOC 2012
    development kit, section 3.4.1; ``COCOeval.accumulate`` of pycocotools.

    Examples
    --------
    >>> average_precision([1, 0.5, 2 / 3], [0.5, 0.5, 1.0])
    0.8333333333333333
    >>> round(average_precision([1, 0.5, 2 / 3], [0.5, 0.5, 1.0], rule="voc07"), 4)
    0.8485
    """
    one = np.atleast_2d(np.asarray(precision, dtype=np.float64)), np.atleast_2d(np.asarray(recall, dtype=np.float64))
    return float(read_curves(*one, rule=rule)[0])


def curves(right: npt.NDArray[np.bool_], objects: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return precision and recall, shape (t, n), of detections by falling score that are right or not."""
    found = np.cumsum(right, axis=1, dtype=np.float64)
    recall = found / objects if objects else np.full_like(found, np.nan)
    return found / np.arange(1, right.shape[1] + 1), recall


def read_curves(
    precision: npt.NDArray[np.float64], recall: npt.NDArray[np.float64], *, rule: Rule
) -> npt.NDArray[np.float64]:
    """Return the average precision of curves of shape (t, n)."""
    if precision.shape[1] == 0:
        return np.zeros(len(precision))
    if np.isnan(recall).any():
        return np.full(len(precision), np.nan)
    # The interpolated precision at a recall is the best at that recall or a higher one.
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    if rule == "area":
        steps = np.diff(recall, axis=1, prepend=0.0) * best
        return np.asarray(steps.sum(axis=1))
    best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)
    return np.array([row[np.searchsorted(at, RECALLS[rule])].mean() for row, at in zip(best, recall, strict=True)])
