"""Which anchor learns which object: MXNet's ``MultiBoxTarget`` in numpy, the training loop's reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from birdsod.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Float32Array = npt.NDArray[np.float32]
    IndexArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]

__all__ = ["VARIANCES", "Targets", "multibox_target"]

VARIANCES = (0.1, 0.1, 0.2, 0.2)
"""What offsets of centre x, centre y, width and height are divided by."""

# MXNet looks for overlaps above this, so that an object that touches no anchor stays unmatched.
_SMALLEST_OVERLAP = np.float32(1e-6)


class Targets(NamedTuple):
    """What the network should have answered.

    Parameters
    ----------
    loc_target : ndarray of float32
        Offsets from anchors to objects, ``(B, 4 * N)``; 0 where nothing is to be learned.
    loc_mask : ndarray of float32
        1 for the four offsets of each matched anchor, ``(B, 4 * N)``.
    cls_target : ndarray of float32
        Class id plus 1 for matched anchors, 0 for background, the ignore label elsewhere, ``(B, N)``.
    """

    loc_target: Float32Array
    loc_mask: Float32Array
    cls_target: Float32Array


class _Matches(NamedTuple):
    positive: BoolArray
    ground_truth: IndexArray
    overlap: Float32Array


def multibox_target(  # noqa: PLR0913 - the operator's own parameters
    anchors: npt.ArrayLike,
    labels: npt.ArrayLike,
    cls_preds: npt.ArrayLike,
    *,
    overlap_threshold: float = 0.5,
    ignore_label: float = -1.0,
    negative_mining_ratio: float = 3.0,
    negative_mining_thresh: float = 0.5,
    variances: tuple[float, float, float, float] = VARIANCES,
    strict: bool = True,
) -> Targets:
    """Return the training targets of a batch, as MXNet's ``MultiBoxTarget`` does.

    Every object first takes the free anchor that it overlaps most. Then every other anchor that overlaps an object
    by more than ``overlap_threshold`` takes that object. Of the rest, the anchors least sure to be background learn
    to be background, ``negative_mining_ratio`` for each matched one; all others learn nothing. An image without
    objects teaches nothing.

    Parameters
    ----------
    anchors : array_like
        Relative corners, ``(N, 4)`` or ``(1, N, 4)``.
    labels : array_like
        Rows ``class, xmin, ymin, xmax, ymax, ...`` for each image, ``(B, M, 5 or more)``; the rows from the first
        class -1 on are padding.
    cls_preds : array_like
        The network's scores before the softmax, background first, ``(B, classes + 1, N)``.
    overlap_threshold : float, default 0.5
        An anchor that overlaps an object by more than this learns it; 0 leaves this step out.
    ignore_label : float, default -1.0
        The target that means: learn nothing.
    negative_mining_ratio : float, default 3.0
        Background anchors for each matched anchor; 0 or less takes all that are not matched.
    negative_mining_thresh : float, default 0.5
        Only anchors that overlap every object by less than this may become background.
    variances : tuple of float, default (0.1, 0.1, 0.2, 0.2)
        What the four offsets are divided by.
    strict : bool, default True
        Raise, as MXNet does, when there are fewer candidates for background than the ratio asks for, instead of
        taking all of them.

    Returns
    -------
    Targets

    Raises
    ------
    InputError
        If the shapes do not fit together, padding is malformed, or ``strict`` and there are too few candidates.

    Source
    ------
    Apache MXNet 1.9.1, operator ``_contrib_MultiBoxTarget`` (its ``minimum_negative_samples`` has no effect there,
    and is left out here).

    Examples
    --------
    >>> targets = multibox_target([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]], [[[7, 0.5, 0.5, 1.0, 1.0]]], [[[0, 0]]])
    >>> targets.cls_target
    array([[0., 8.]], dtype=float32)
    """
    boxes, rows, scores = _checked(anchors, labels, cls_preds)
    shape = (len(rows), len(boxes))
    cls_target = np.full(shape, ignore_label, dtype=np.float32)
    loc_target = np.zeros((*shape, 4), dtype=np.float32)
    loc_mask = np.zeros((*shape, 4), dtype=np.float32)
    for image in range(len(rows)):
        objects = _objects(rows[image], image)
        if not len(objects):
            continue
        found = _match(boxes, objects[:, 1:5], overlap_threshold)
        free = found.overlap < np.float32(negative_mining_thresh)
        negative = _mine(found.positive, free, scores[image], negative_mining_ratio, image, strict=strict)
        chosen = objects[found.ground_truth[found.positive]]
        cls_target[image, negative] = 0
        cls_target[image, found.positive] = chosen[:, 0] + 1
        loc_mask[image, found.positive] = 1
        loc_target[image, found.positive] = _offsets(boxes[found.positive], chosen[:, 1:5], variances)
    return Targets(loc_target.reshape(len(rows), -1), loc_mask.reshape(len(rows), -1), cls_target)


def _checked(
    anchors: npt.ArrayLike, labels: npt.ArrayLike, cls_preds: npt.ArrayLike
) -> tuple[Float32Array, Float32Array, Float32Array]:
    boxes = np.asarray(anchors, dtype=np.float32)
    boxes = boxes[0] if boxes.ndim == 3 and len(boxes) == 1 else boxes  # noqa: PLR2004 - a batch axis of one
    rows = np.asarray(labels, dtype=np.float32)
    scores = np.asarray(cls_preds, dtype=np.float32)
    if boxes.ndim != 2 or boxes.shape[-1] != 4:  # noqa: PLR2004 - (N, 4)
        raise InputError("anchors have the shape (N, 4) or (1, N, 4)", value=boxes.shape)
    if rows.ndim != 3 or rows.shape[-1] < 5:  # noqa: PLR2004 - (B, M, 5 or more)
        raise InputError("labels have the shape (B, M, 5 or more)", value=rows.shape)
    if scores.ndim != 3 or (len(scores), scores.shape[2]) != (len(rows), len(boxes)):  # noqa: PLR2004 - (B, C + 1, N)
        raise InputError(f"scores have the shape ({len(rows)}, classes + 1, {len(boxes)})", value=scores.shape)
    return boxes, rows, scores


def _objects(rows: Float32Array, image: int) -> Float32Array:
    padding = np.flatnonzero(rows[:, 0] == -1)
    if not len(padding):
        return rows
    first = int(padding[0])
    if not (rows[first, 1:5] == -1).all():
        message = "a padding row must be -1 in its first five columns"
        raise InputError(message, record=image, value=rows[first, :5].tolist(), cure="number the classes from 0")
    return rows[:first]


def _overlaps(boxes: Float32Array, objects: Float32Array) -> Float32Array:
    low = np.maximum(boxes[:, None, :2], objects[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], objects[None, :, 2:])
    sides = np.maximum(high - low, np.float32(0))
    shared = sides[..., 0] * sides[..., 1]
    union = _areas(boxes)[:, None] + _areas(objects)[None, :] - shared
    overlaps: Float32Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


def _areas(boxes: Float32Array) -> Float32Array:
    left, top, right, bottom = boxes.T
    areas: Float32Array = np.multiply(right - left, bottom - top)
    return areas


def _match(boxes: Float32Array, objects: Float32Array, overlap_threshold: float) -> _Matches:
    overlaps = _overlaps(boxes, objects)
    best = overlaps.argmax(axis=1)
    overlap = overlaps[np.arange(len(boxes)), best]
    positive = (overlap > np.float32(overlap_threshold)) & (overlap_threshold > 0)
    for anchor, ground_truth in _first_choices(overlaps):
        positive[anchor] = True
        best[anchor] = ground_truth
    return _Matches(positive, best, overlap)


def _first_choices(overlaps: Float32Array) -> list[tuple[int, int]]:
    """Pair objects with anchors, largest overlap first; of equal ones the lowest anchor, then the lowest object."""
    left = overlaps.copy()
    pairs: list[tuple[int, int]] = []
    for _ in range(min(left.shape)):
        anchor, ground_truth = divmod(int(left.argmax()), left.shape[1])
        if not left[anchor, ground_truth] > _SMALLEST_OVERLAP:
            break
        pairs.append((anchor, ground_truth))
        left[anchor, :] = -1
        left[:, ground_truth] = -1
    return pairs


def _mine(
    positive: BoolArray, free: BoolArray, scores: Float32Array, ratio: float, image: int, *, strict: bool
) -> IndexArray:
    if ratio <= 0:
        return np.flatnonzero(~positive)
    matched = int(positive.sum())
    wanted = min(int(np.float32(matched) * np.float32(ratio)), len(positive) - matched)
    candidates = np.flatnonzero(free & ~positive)
    if strict and len(candidates) < wanted:
        message = f"{wanted} anchors should learn background, but only {len(candidates)} overlap the objects little"
        cure = "raise negative_mining_thresh, lower negative_mining_ratio, or pass strict=False"
        raise InputError(message, record=image, cure=cure)
    order = np.argsort(_background(scores)[candidates], kind="stable")
    return candidates[order[:wanted]]


def _background(scores: Float32Array) -> Float32Array:
    powers = np.exp(scores - scores.max(axis=0))
    background: Float32Array = powers[0] / powers.sum(axis=0)
    return background


def _offsets(boxes: Float32Array, objects: Float32Array, variances: tuple[float, float, float, float]) -> Float32Array:
    half = np.float32(0.5)
    extent, wanted = boxes[:, 2:] - boxes[:, :2], objects[:, 2:] - objects[:, :2]
    shift = (objects[:, :2] + objects[:, 2:]) * half - (boxes[:, :2] + boxes[:, 2:]) * half
    # An inverted or empty object has no logarithm; MXNet writes NaN or minus infinity too, without a word.
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.concatenate([shift / extent, np.log(wanted / extent)], axis=1)
    offsets: Float32Array = np.divide(parts, np.asarray(variances, dtype=np.float32))
    return offsets
