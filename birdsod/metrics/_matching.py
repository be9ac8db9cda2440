"""Which detection takes which object."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.metrics._boxes import GroundTruth, Predictions

__all__ = ["falling_score", "match_boxes", "rank_in_group"]

FULL_OVERLAP = 1 - 1e-10
"""COCO's ceiling for the threshold: a box and its copy match at 1 in spite of float noise."""

PAIRS_AT_ONCE = 1_000_000
"""Pairs whose overlap is computed together: about 100 MB of intermediate arrays."""


class Pairs(NamedTuple):
    """Detections and objects of one image and class that overlap, as row numbers."""

    detection: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.float64]

    def at(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Pairs:
        """Return some of the pairs, or all in another order."""
        return Pairs(self.detection[rows], self.target[rows], self.overlap[rows])


def match_boxes(truth: GroundTruth, predictions: Predictions, thresholds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return which object each detection takes, for each overlap threshold.

    Detections of an image and class go by falling score, equal scores in the order of their rows. Each
    takes the free object with the largest overlap that is at least the threshold, the later one of equals.

    Parameters
    ----------
    truth : GroundTruth
        Objects.
    predictions : Predictions
        Detections.
    thresholds : array-like of float, shape (t,)
        Least overlaps (intersection over union) for a match.

    Returns
    -------
    ndarray of int64, shape (t, n)
        Row of ``truth``, or -1 where the detection takes none.

    Source
    ------
    ``COCOeval.evaluateImg`` of pycocotools, without crowds and area ranges.

    Examples
    --------
    >>> from birdsod.metrics import GroundTruth, Predictions
    >>> truth = GroundTruth([1], [0], [[0, 0, 10, 10]])
    >>> found = Predictions([1, 1], [0, 0], [0.8, 0.9], [[0, 0, 10, 10], [0, 0, 10, 6]])
    >>> match_boxes(truth, found, [0.5, 0.75])
    array([[-1,  0],
           [ 0, -1]])
    """
    limits = np.minimum(np.asarray(thresholds, dtype=np.float64).reshape(-1), FULL_OVERLAP)
    matches = np.full((len(limits), len(predictions)), -1, dtype=np.int64)
    if len(limits) == 0:
        return matches
    taken = np.zeros((len(limits), len(truth)), dtype=bool)
    for pairs in _rounds(predictions, _overlapping(truth, predictions, least=float(limits.min()))):
        _take(limits, pairs, taken, matches)
    return matches


def falling_score(predictions: Predictions) -> npt.NDArray[np.int64]:
    """Return the rows by class, then falling score, then image id, then row."""
    return np.lexsort((predictions.image_id, -predictions.score, predictions.class_id))


def rank_in_group(*groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return 0, 1, 2, ... within each run of rows that are equal in all columns."""
    starts = run_starts(*groups)
    count = len(groups[0])
    return np.arange(count) - np.repeat(starts, np.diff(np.r_[starts, count]))


def run_starts(*groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows that differ from the row before in some column, the first row included."""
    new = np.zeros(len(groups[0]), dtype=bool)
    new[:1] = True
    for group in groups:
        new[1:] |= group[1:] != group[:-1]
    return np.flatnonzero(new)


def group_numbers(truth: GroundTruth, predictions: Predictions) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return for each object and each detection the number of its pair of image and class."""
    images = np.unique(np.r_[truth.image_id, predictions.image_id], return_inverse=True)[1]
    classes = np.unique(np.r_[truth.class_id, predictions.class_id], return_inverse=True)[1]
    numbers = images * (classes.max(initial=0) + 1) + classes
    return numbers[: len(truth)], numbers[len(truth) :]


def _overlapping(truth: GroundTruth, predictions: Predictions, *, least: float) -> Pairs:
    """Return detection, object and overlap of all pairs of one image and class that overlap enough."""
    of_truth, of_predictions = group_numbers(truth, predictions)
    by_group = np.argsort(of_truth, kind="stable")
    first = np.searchsorted(of_truth[by_group], of_predictions, side="left")
    count = np.searchsorted(of_truth[by_group], of_predictions, side="right") - first
    rows = np.flatnonzero(count)
    parts = [
        _pairs(truth, predictions, part, (by_group, first[part], count[part]), least)
        for part in np.split(rows, _cuts(count[rows]))
    ]
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _cuts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where to cut the rows so that a part has few more pairs than are computed together."""
    return np.flatnonzero(np.diff(np.cumsum(counts) // PAIRS_AT_ONCE)) + 1


def _pairs(
    truth: GroundTruth,
    predictions: Predictions,
    rows: npt.NDArray[np.int64],
    targets: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]],
    least: float,
) -> Pairs:
    """Return the pairs of some detections; ``targets`` holds for each the objects of its image and class."""
    by_group, first, count = targets
    detection = np.repeat(rows, count)
    target = by_group[np.repeat(first, count) + rank_in_group(detection)]
    pairs = Pairs(detection, target, _paired_iou(predictions.boxes[detection], truth.boxes[target]))
    return pairs.at(pairs.overlap >= least)


def _paired_iou(boxes: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the overlap of each box with the other box of its row; a degenerate union gives 0."""
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (others[:, 2:] - others[:, :2]).prod(axis=1) - common
    overlap: npt.NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap


def _rounds(predictions: Predictions, pairs: Pairs) -> list[Pairs]:
    """Return the pairs in rounds: in each, every image and class has its next detection by score.

    Detections of different images or classes never compete, so a round is decided at once.
    """
    by_score = np.lexsort((-predictions.score, predictions.class_id, predictions.image_id))
    place = np.empty_like(by_score)
    place[by_score] = np.arange(len(by_score))
    pairs = pairs.at(np.lexsort((-pairs.target, -pairs.overlap, place[pairs.detection])))
    starts = run_starts(pairs.detection)
    heads = pairs.detection[starts]
    rank = rank_in_group(predictions.image_id[heads], predictions.class_id[heads])
    turn = np.repeat(rank, np.diff(np.r_[starts, len(pairs.detection)]))
    order = np.argsort(turn, kind="stable")
    return [pairs.at(part) for part in np.split(order, np.flatnonzero(np.diff(turn[order])) + 1)]


def _take(
    limits: npt.NDArray[np.float64], pairs: Pairs, taken: npt.NDArray[np.bool_], matches: npt.NDArray[np.int64]
) -> None:
    """Let every detection of a round take its first possible object; the pairs go by falling overlap."""
    count = len(pairs.detection)
    if count == 0:
        return
    possible = (pairs.overlap >= limits[:, None]) & ~taken[:, pairs.target]
    position = np.where(possible, np.arange(count), count)
    first = np.minimum.reduceat(position, run_starts(pairs.detection), axis=1)
    threshold, block = np.nonzero(first < count)
    chosen = first[threshold, block]
    matches[threshold, pairs.detection[chosen]] = pairs.target[chosen]
    taken[threshold, pairs.target[chosen]] = True
