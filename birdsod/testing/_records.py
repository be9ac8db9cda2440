"""Strategies for record files: payloads that hold the magic number anywhere, headers, labels and records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from birdsod.recordio import MAGIC, Record, RecordHeader
from birdsod.testing._boxes import boxes_inside

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

__all__ = ["detection_labels", "image_ids", "image_records", "labels", "payloads"]

_MAGIC_BYTES = MAGIC.to_bytes(4, "little")
_LARGEST_ID = 2**64 - 1


def payloads(*, most: int = 12) -> SearchStrategy[bytes]:
    """Bytes that hold the magic number at aligned and at other offsets, whole and in part, or not at all.

    Parameters
    ----------
    most : int, default 12
        How many pieces they are made of.

    Returns
    -------
    strategy of bytes

    Examples
    --------
    >>> from hypothesis import find
    >>> find(payloads(), lambda data: MAGIC.to_bytes(4, "little") in data).hex()
    '0a23d7ce'
    """
    part = st.integers(1, 3).map(lambda length: _MAGIC_BYTES[:length])
    piece = st.one_of(st.binary(max_size=9), st.just(_MAGIC_BYTES), part)
    return st.lists(piece, max_size=most).map(b"".join)


def image_ids() -> SearchStrategy[int]:
    """Ids that fit into a record, the magic number among them.

    Returns
    -------
    strategy of int

    Examples
    --------
    >>> from hypothesis import find
    >>> find(image_ids(), lambda image_id: image_id > 16)
    17
    """
    return st.one_of(st.integers(0, 20), st.just(MAGIC), st.integers(0, _LARGEST_ID))


@st.composite
def detection_labels(draw: st.DrawFn, *, most: int = 4, classes: int = 200) -> NDArray[np.float32]:
    """Draw detection labels: 0 or more objects, further header and object numbers in some.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    most : int, default 4
        How many objects at most.
    classes : int, default 200
        Class ids lie below it.

    Returns
    -------
    strategy of float32 array of shape (n,)

    Examples
    --------
    >>> from hypothesis import find
    >>> find(detection_labels(), lambda label: len(label) > 7)[:2].tolist()
    [2.0, 5.0]
    """
    header, width = draw(st.sampled_from([(2, 5), (2, 6), (4, 5), (3, 8)]))
    boxes = draw(boxes_inside(1.0, 1.0, most=most))
    class_ids = draw(st.lists(st.integers(0, classes - 1), min_size=len(boxes), max_size=len(boxes)))
    rest = st.floats(width=32, allow_nan=False)
    filled = [draw(rest) for _ in range(header - 2 + len(boxes) * (width - 5))]
    extra = np.array(filled[header - 2 :]).reshape(len(boxes), width - 5)
    objects = np.hstack([np.array(class_ids).reshape(-1, 1), boxes, extra])
    return np.concatenate([[header, width], filled[: header - 2], objects.ravel()]).astype(np.float32)


def labels() -> SearchStrategy[float | NDArray[np.float32]]:
    """Labels of any kind: one number, a detection label, or a row of any numbers.

    Returns
    -------
    strategy of float or float32 array of shape (n,)

    Examples
    --------
    >>> from hypothesis import find
    >>> find(labels(), lambda label: isinstance(label, float))
    0.0
    """
    number = st.one_of(st.floats(width=32), st.just(float(np.array(MAGIC, "<u4").view("<f4"))))
    row = st.lists(number, min_size=1, max_size=9).map(lambda numbers: np.array(numbers, dtype=np.float32))
    return st.one_of(number, detection_labels(), row)


@st.composite
def image_records(draw: st.DrawFn) -> Record:
    r"""Draw records with any label, ids and image bytes.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.

    Returns
    -------
    strategy of Record

    Examples
    --------
    >>> from hypothesis import find
    >>> len(find(image_records(), lambda record: len(record.image) > 1).image) > 1
    True
    """
    label, first, second = draw(labels()), draw(image_ids()), draw(image_ids())
    flag, single = (len(label), 0.0) if isinstance(label, np.ndarray) else (0, label)
    return Record(RecordHeader(flag, single, first, second), label, draw(payloads()))
