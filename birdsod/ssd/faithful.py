"""What MXNet's trainer gets wrong, done as it does it, so that a run can be compared with one of its own.

``LocalOptions(faithful=True)`` asks for all of it; the manual's page on training lists it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod import bbox

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.metrics import GroundTruth, Predictions

__all__ = ["mean_precision", "passes_end", "seen_in_pass"]

# With the rounding errors of this very expression.
_RECALLS = np.arange(0.0, 1.1, 0.1)


def passes_end(passes: int, images: int, batch_size: int) -> int:
    """Return how many batches MXNet's iterator makes in so many passes over the images.

    The last batch of a pass is filled up with the first images of the next, which then goes on behind them.

    Parameters
    ----------
    passes, images, batch_size : int
        Counts.

    Returns
    -------
    int

    Source
    ------
    Apache MXNet 1.9.1, ``ImageDetRecordIter`` with its default ``round_batch``.

    Examples
    --------
    >>> [passes_end(passes, images=10, batch_size=4) for passes in range(4)]
    [0, 3, 5, 8]
    """
    return -(-passes * images // batch_size)


def seen_in_pass(number: int, images: int, batch_size: int) -> npt.NDArray[np.int64]:
    """Return which images MXNet scores in a pass: some of them twice, or not at all.

    Parameters
    ----------
    number : int
        The pass, counted from 0.
    images, batch_size : int
        Counts.

    Returns
    -------
    ndarray of int64
        Positions of images.

    Source
    ------
    Apache MXNet 1.9.1, ``ImageDetRecordIter``; ``Module.score`` does not leave out what fills up a batch.

    Examples
    --------
    >>> seen_in_pass(0, images=5, batch_size=4), seen_in_pass(1, images=5, batch_size=4)
    (array([0, 1, 2, 3, 4, 0, 1, 2]), array([3, 4, 0, 1]))
    """
    first, last = (passes_end(passes, images, batch_size) * batch_size for passes in (number, number + 1))
    return np.arange(first, last, dtype=np.int64) % images


def mean_precision(truth: GroundTruth, found: Predictions, *, overlap_threshold: float) -> float:
    """Return the mean average precision as MXNet's example of SSD computes it.

    A detection is compared with the object that it overlaps most, taken or not, and must overlap it by more than the
    threshold. Detections in images without objects do not count. A class that is only detected, and in no image, counts
    as 0. The precision is read at eleven recalls, whose rounding errors decide where a recall is met exactly.

    Parameters
    ----------
    truth : GroundTruth
        The objects.
    found : Predictions
        The detections; those of an image by falling score.
    overlap_threshold : float
        What a detection must overlap its object by more than.

    Returns
    -------
    float
        0 if there are no objects.

    Source
    ------
    Apache MXNet 1.9.1, ``example/ssd/evaluate/eval_metric.py``, ``VOC07MApMetric``.

    Examples
    --------
    >>> from birdsod.metrics import GroundTruth, Predictions
    >>> truth = GroundTruth([0], [0], [[0.1, 0.1, 0.5, 0.5]])
    >>> found = Predictions([0, 0], [0, 1], [0.9, 0.8], [[0.1, 0.1, 0.5, 0.5]] * 2)
    >>> mean_precision(truth, found, overlap_threshold=0.5)
    0.5
    """
    counted = np.isin(found.image_id, truth.image_id)
    right = _right(truth, found, overlap_threshold)
    kinds = np.union1d(truth.class_id, found.class_id[counted])
    precisions = [
        _average(
            right[rows := counted & (found.class_id == kind)], found.score[rows], int((truth.class_id == kind).sum())
        )
        for kind in kinds
    ]
    return float(np.mean(precisions)) if precisions else 0.0


def _right(truth: GroundTruth, found: Predictions, threshold: float) -> npt.NDArray[np.bool_]:
    """Return which detections are the first to overlap their object best, and enough."""
    right = np.zeros(len(found), dtype=bool)
    for image, kind in {(int(image), int(kind)) for image, kind in zip(truth.image_id, truth.class_id, strict=True)}:
        rows = np.flatnonzero((found.image_id == image) & (found.class_id == kind))
        objects = truth.boxes[(truth.image_id == image) & (truth.class_id == kind)]
        if not len(rows):
            continue
        overlaps = bbox.iou(found.boxes[rows], objects)
        enough = overlaps.max(axis=1) > threshold
        _, first = np.unique(overlaps.argmax(axis=1)[enough], return_index=True)
        right[rows[enough][first]] = True
    return right


def _average(right: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64], objects: int) -> float:
    right = right[np.argsort(scores, kind="stable")[::-1]]
    hits = right.cumsum()
    recall, precision = hits / max(1, objects), hits / np.arange(1, len(right) + 1)
    return float(np.mean([precision[recall >= least].max(initial=0.0) for least in _RECALLS])) if objects else 0.0
