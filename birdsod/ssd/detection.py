"""From the network's numbers to boxes: decoding and non-maximum suppression as MXNet's ``MultiBoxDetection`` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import InputError
from birdsod.ssd.matching import VARIANCES

if TYPE_CHECKING:
    import numpy.typing as npt

    Float32Array = npt.NDArray[np.float32]
    BoolArray = npt.NDArray[np.bool_]

__all__ = ["DetectionSettings", "decode", "multibox_detection", "suppress"]

_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSettings:
    """What :func:`multibox_detection` is told besides the network's numbers.

    Parameters
    ----------
    threshold, nms_threshold, nms_topk, force_suppress, clip, variances
        As :func:`multibox_detection` takes them.
    """

    threshold: float = 0.01
    nms_threshold: float = 0.5
    nms_topk: int = -1
    force_suppress: bool = False
    clip: bool = True
    variances: tuple[float, float, float, float] = VARIANCES


def multibox_detection(  # noqa: PLR0913 - the operator's own parameters
    cls_prob: npt.ArrayLike,
    loc_pred: npt.ArrayLike,
    anchors: npt.ArrayLike,
    *,
    threshold: float = 0.01,
    nms_threshold: float = 0.5,
    nms_topk: int = -1,
    force_suppress: bool = False,
    clip: bool = True,
    variances: tuple[float, float, float, float] = VARIANCES,
) -> Float32Array:
    """Return the detections of a batch, row for row as MXNet's ``MultiBoxDetection`` writes them.

    A row whose class is -1 is no detection, whatever its other columns hold: MXNet leaves the score and box of a
    suppressed row in place.

    Parameters
    ----------
    cls_prob : array_like
        Probabilities, background first, ``(B, classes + 1, N)``.
    loc_pred : array_like
        Offsets from the anchors, ``(B, 4 * N)``.
    anchors : array_like
        Relative corners, ``(N, 4)`` or ``(1, N, 4)``.
    threshold : float, default 0.01
        An anchor whose best class has a smaller probability is dropped.
    nms_threshold : float, default 0.5
        A box that overlaps a better one by this or more is suppressed; 0 or less, or more than 1: none is.
    nms_topk : int, default -1
        Only so many of the best boxes are looked at; -1: all.
    force_suppress : bool, default False
        Suppress boxes of other classes too.
    clip : bool, default True
        Cut the boxes at the image's edges.
    variances : tuple of float, default (0.1, 0.1, 0.2, 0.2)
        What the four offsets are multiplied by.

    Returns
    -------
    ndarray of float32
        Rows ``class, score, xmin, ymin, xmax, ymax``, ``(B, N, 6)``.

    Raises
    ------
    InputError
        If the shapes do not fit together.

    Source
    ------
    Apache MXNet 1.9.1, operator ``_contrib_MultiBoxDetection``.

    Examples
    --------
    >>> multibox_detection([[[0.25], [0.75]]], [[0.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.5, 1.0]])
    array([[[0.  , 0.75, 0.  , 0.  , 0.5 , 1.  ]]], dtype=float32)
    """
    probabilities, offsets, boxes = _checked(cls_prob, loc_pred, anchors)
    found = np.full((len(probabilities), len(boxes), 6), -1, dtype=np.float32)
    for image, rows in enumerate(found):
        classes, scores = _best_classes(probabilities[image])
        chosen = np.flatnonzero((classes >= 0) & (scores >= np.float32(threshold)))
        decoded = decode(boxes[chosen], offsets[image, chosen], variances=variances)
        kept = rows[: len(chosen)]
        kept[:, 0] = classes[chosen]
        kept[:, 1] = scores[chosen]
        kept[:, 2:] = np.clip(decoded, np.float32(0), np.float32(1)) if clip else decoded
        if len(kept) and 0 < nms_threshold <= 1:
            _suppress_rows(kept, nms_threshold, nms_topk, force_suppress=force_suppress)
    return found


def decode(
    anchors: Float32Array, offsets: Float32Array, *, variances: tuple[float, float, float, float] = VARIANCES
) -> Float32Array:
    """Return the boxes that offsets from anchors stand for.

    Parameters
    ----------
    anchors : ndarray of float32
        Corners, ``(N, 4)``.
    offsets : ndarray of float32
        Centre x, centre y, width and height as the network writes them, ``(N, 4)``.
    variances : tuple of float, default (0.1, 0.1, 0.2, 0.2)
        What the four offsets are multiplied by.

    Returns
    -------
    ndarray of float32
        Corners, ``(N, 4)``.

    Examples
    --------
    >>> decode(np.float32([[0, 0, 0.5, 1]]), np.float32([[2.5, 0, 0, 0]]))
    array([[0.125, 0.   , 0.625, 1.   ]], dtype=float32)
    """
    factors = np.asarray(variances, dtype=np.float32)
    half = np.float32(0.5)
    extent = anchors[:, 2:] - anchors[:, :2]
    centre = offsets[:, :2] * factors[:2] * extent + (anchors[:, :2] + anchors[:, 2:]) * half
    # An offset beyond float32's range gives an infinite box in MXNet as well; clipping mends it.
    with np.errstate(over="ignore"):
        reach = np.exp(offsets[:, 2:] * factors[2:]) * extent * half
    boxes: Float32Array = np.concatenate([centre - reach, centre + reach], axis=1, dtype=np.float32)
    return boxes


def suppress(
    boxes: Float32Array,
    classes: npt.NDArray[np.floating | np.integer],
    *,
    nms_threshold: float,
    force_suppress: bool = False,
) -> BoolArray:
    """Tell which boxes survive greedy non-maximum suppression.

    Parameters
    ----------
    boxes : ndarray of float32
        Corners, ``(N, 4)``, best first.
    classes : ndarray
        Class of each box.
    nms_threshold : float
        A box that overlaps a surviving better one by this or more goes.
    force_suppress : bool, default False
        Boxes of other classes count too.

    Returns
    -------
    ndarray of bool
        True for the survivors.

    Examples
    --------
    >>> boxes = np.float32([[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 0.1, 0.1]])
    >>> suppress(boxes, np.zeros(3), nms_threshold=0.5)
    array([ True, False,  True])
    """
    alive = np.ones(len(boxes), dtype=np.bool_)
    for start in range(0, len(boxes), _BLOCK):
        block = np.flatnonzero(alive[start : start + _BLOCK]) + start
        rest = np.flatnonzero(alive[start:]) + start
        hits = _overlap(boxes[block], boxes[rest]) >= np.float32(nms_threshold)
        if not force_suppress:
            hits &= classes[block, None] == classes[None, rest]
        alive[rest] = _survivors(hits)
    return alive


def _survivors(hits: BoolArray) -> BoolArray:
    """Walk down the rows, the first of which are the columns' own first boxes, best first."""
    alive = np.ones(hits.shape[1], dtype=np.bool_)
    spared = ~hits
    for row in range(len(spared)):
        if alive[row]:
            alive[row + 1 :] &= spared[row, row + 1 :]
    return alive


def _checked(
    cls_prob: npt.ArrayLike, loc_pred: npt.ArrayLike, anchors: npt.ArrayLike
) -> tuple[Float32Array, Float32Array, Float32Array]:
    probabilities = np.asarray(cls_prob, dtype=np.float32)
    offsets = np.asarray(loc_pred, dtype=np.float32)
    boxes = np.asarray(anchors, dtype=np.float32)
    boxes = boxes[0] if boxes.ndim == 3 and len(boxes) == 1 else boxes  # noqa: PLR2004 - a batch axis of one
    if boxes.ndim != 2 or boxes.shape[-1] != 4:  # noqa: PLR2004 - (N, 4)
        raise InputError("anchors have the shape (N, 4) or (1, N, 4)", value=boxes.shape)
    if probabilities.ndim != 3 or probabilities.shape[1] < 2 or probabilities.shape[2] != len(boxes):  # noqa: PLR2004 - (B, C + 1, N)
        raise InputError(f"probabilities have the shape (B, 2 or more, {len(boxes)})", value=probabilities.shape)
    if offsets.shape != (len(probabilities), 4 * len(boxes)):
        raise InputError(f"offsets have the shape ({len(probabilities)}, {4 * len(boxes)})", value=offsets.shape)
    return probabilities, offsets.reshape(len(offsets), len(boxes), 4), boxes


def _best_classes(probabilities: Float32Array) -> tuple[npt.NDArray[np.int64], Float32Array]:
    # MXNet's running maximum starts at -1 and passes over what is not a number.
    scores = np.where(np.isnan(probabilities[1:]), np.float32(-1), probabilities[1:])
    best = scores.argmax(axis=0)
    top = scores[best, np.arange(scores.shape[1])]
    return np.where(top > -1, best, -1), top


def _suppress_rows(rows: Float32Array, nms_threshold: float, nms_topk: int, *, force_suppress: bool) -> None:
    order = np.argsort(-rows[:, 1], kind="stable")
    top = min(nms_topk, len(rows)) if nms_topk > 0 else len(rows)
    rows[:top] = rows[order[:top]]
    alive = suppress(rows[:top, 2:], rows[:top, 0], nms_threshold=nms_threshold, force_suppress=force_suppress)
    rows[:top, 0][~alive] = -1
    rows[top:, 0] = -1


def _overlap(boxes: Float32Array, others: Float32Array) -> Float32Array:
    mine, theirs = boxes.T[:, :, None], others.T[:, None, :]
    zero = np.float32(0)
    with np.errstate(over="ignore", invalid="ignore"):  # boxes without clipping may be infinite
        width = np.maximum(np.minimum(mine[2], theirs[2]) - np.maximum(mine[0], theirs[0]), zero)
        height = np.maximum(np.minimum(mine[3], theirs[3]) - np.maximum(mine[1], theirs[1]), zero)
        shared = width * height
        union = _area(mine) + _area(theirs) - shared
        overlap: Float32Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def _area(sides: Float32Array) -> Float32Array:
    area: Float32Array = (sides[2] - sides[0]) * (sides[3] - sides[1])
    return area
