"""Strategies for detections, and for objects beside what was found of them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from birdsod.classes import ClassTable
from birdsod.detections import Detections
from birdsod.metrics import GroundTruth, Predictions

__all__ = ["class_tables", "detections", "ground_truth_and_predictions"]

GRID = 16
"""Scored boxes have whole sides up to this, so that overlaps come out the same however they are computed."""

SCORE_STEPS = 8
"""Few different scores: ties are the rule."""


def class_tables(*, min_size: int = 1, max_size: int = 6) -> st.SearchStrategy[ClassTable]:
    """Draw class tables whose ids have gaps, as those of a selection have.

    Parameters
    ----------
    min_size, max_size : int
        How many classes.

    Returns
    -------
    SearchStrategy of ClassTable

    Examples
    --------
    >>> from hypothesis import find
    >>> find(class_tables(), lambda table: len(table) == 2).source_ids
    (0, 1)
    """
    ids = st.lists(st.integers(0, 10_000), min_size=min_size, max_size=max_size, unique=True)
    return ids.map(lambda given: ClassTable(tuple(sorted(given)), tuple(f"{k:03d}.Bird_{k}" for k in sorted(given))))


@st.composite
def detections(
    draw: st.DrawFn, *, classes: st.SearchStrategy[ClassTable] | None = None, max_size: int = 8
) -> Detections:
    """Draw what a detector may answer: no rows, ties, empty boxes and boxes that leave the image included.

    Parameters
    ----------
    draw : DrawFn
        Given by Hypothesis.
    classes : SearchStrategy of ClassTable, optional
        Where the class table comes from; :func:`class_tables` by default.
    max_size : int, default 8
        Most rows.

    Returns
    -------
    SearchStrategy of Detections

    Examples
    --------
    >>> from hypothesis import find
    >>> len(find(detections(), lambda found: len(found) > 1))
    2
    """
    table = draw(class_tables() if classes is None else classes)
    side = st.floats(-0.5, 1.5, width=32)
    row = st.tuples(st.integers(0, len(table) - 1), st.floats(0, 1, width=32), st.tuples(side, side, side, side))
    rows = draw(st.lists(row, max_size=max_size))
    return Detections(
        [class_id for class_id, _, _ in rows],
        [score for _, score, _ in rows],
        [[min(x, z), min(y, w), max(x, z), max(y, w)] for _, _, (x, y, z, w) in rows],
        draw(st.integers(1, 5000)),
        draw(st.integers(1, 5000)),
        table,
    )


@st.composite
def ground_truth_and_predictions(
    draw: st.DrawFn, *, num_classes: int = 3, num_images: int = 3, max_objects: int = 8, max_detections: int = 16
) -> tuple[GroundTruth, Predictions]:
    """Draw objects and detections in the same images, as average precision is computed from.

    Sides are whole numbers; scores are often equal; detections repeat each other, hit objects exactly,
    nearly and not at all; images and classes may have no objects or no detections.

    Parameters
    ----------
    draw : DrawFn
        Given by Hypothesis.
    num_classes, num_images : int, default 3
        Class ids are below, image ids from 1 up to these.
    max_objects, max_detections : int
        Most rows of each.

    Returns
    -------
    SearchStrategy of (GroundTruth, Predictions)

    Examples
    --------
    >>> from hypothesis import find
    >>> truth, found = find(ground_truth_and_predictions(max_objects=1), lambda drawn: len(drawn[0]) == 1)
    >>> truth.boxes.tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    place = st.tuples(st.integers(1, num_images), st.integers(0, num_classes - 1))
    objects = draw(st.lists(st.tuples(place, _boxes()), max_size=max_objects))
    anywhere = st.tuples(place, _boxes())
    near = st.sampled_from(objects).flatmap(_near) if objects else anywhere
    score = st.integers(0, SCORE_STEPS).map(lambda step: step / SCORE_STEPS)
    found = draw(st.lists(st.tuples(st.one_of(near, anywhere), score), max_size=max_detections))
    return (
        GroundTruth(*_columns([place for place, _ in objects]), _array([box for _, box in objects])),
        Predictions(
            *_columns([place for (place, _), _ in found]),
            [score for _, score in found],
            _array([box for (_, box), _ in found]),
        ),
    )


Place = tuple[int, int]
Box = tuple[int, int, int, int]


def _boxes() -> st.SearchStrategy[Box]:
    side = st.tuples(st.integers(0, GRID - 1), st.integers(1, GRID)).map(
        lambda pair: (min(pair), max(*pair, min(pair) + 1))
    )
    return st.tuples(side, side).map(lambda sides: (sides[0][0], sides[1][0], sides[0][1], sides[1][1]))


def _near(target: tuple[Place, Box]) -> st.SearchStrategy[tuple[Place, Box]]:
    """Draw the object's own box or one that is cut a little at the right or the bottom."""
    place, (xmin, ymin, xmax, ymax) = target
    shrunk = st.tuples(st.integers(0, (xmax - xmin) // 2), st.integers(0, (ymax - ymin) // 2))
    return shrunk.map(lambda cut: (place, (xmin, ymin, max(xmax - cut[0], xmin + 1), max(ymax - cut[1], ymin + 1))))


def _columns(places: list[Place]) -> tuple[list[int], list[int]]:
    return [image for image, _ in places], [kind for _, kind in places]


def _array(boxes: list[Box]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)
