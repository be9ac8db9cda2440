"""Strategies for lists: the images of one, and raw lines as other tools write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from birdsod.testing._boxes import boxes_inside, image_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

__all__ = ["ListedImages", "MadeImage", "image_names", "list_lines", "listed_images"]

_LARGEST_ID = 2**64 - 1


@dataclass(frozen=True, slots=True, eq=False)
class MadeImage:
    """An image as a list tells of it, without pixels.

    Parameters
    ----------
    image_id : int
        Its number.
    name : str
        Path relative to the image folder.
    width, height : int
        Size in pixels.
    class_ids : int64 array of shape (n,)
        Zero-based class of each object.
    boxes : float64 array of shape (n, 4)
        ``xmin ymin xmax ymax`` in pixels.
    """

    image_id: int
    name: str
    width: int
    height: int
    class_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ListedImages:
    """Just enough of a data set for :func:`birdsod.lstwriter.write`.

    Parameters
    ----------
    images : tuple of MadeImage
        In the order of the rows.
    """

    images: tuple[MadeImage, ...]

    def __iter__(self) -> Iterator[MadeImage]:
        """Go through the images."""
        return iter(self.images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def require_sizes(self) -> None:
        """Do nothing: the sizes are known."""


def image_names() -> SearchStrategy[str]:
    r"""Paths that may stand in a list: any text without tabs, line breaks and blanks at the ends.

    Returns
    -------
    strategy of str

    Examples
    --------
    >>> from hypothesis import find
    >>> "\t" in find(image_names(), bool)
    False
    """
    signs = st.characters(exclude_categories=("Cs", "Cc"))
    return st.text(signs, min_size=1, max_size=30).filter(lambda name: name == name.strip())


@st.composite
def listed_images(draw: st.DrawFn, *, most: int = 5, classes: int = 200) -> ListedImages:
    """Images with 0 to 6 sound boxes each and distinct ids.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    most : int, default 5
        How many images at most.
    classes : int, default 200
        Class ids lie below it.

    Returns
    -------
    strategy of ListedImages

    Examples
    --------
    >>> from hypothesis import find
    >>> len(find(listed_images(), bool))
    1
    """
    ids = draw(st.lists(st.integers(0, _LARGEST_ID), max_size=most, unique=True))
    images = []
    for image_id in ids:
        width, height = draw(image_sizes())
        boxes = draw(boxes_inside(width, height))
        class_ids = draw(st.lists(st.integers(0, classes - 1), min_size=len(boxes), max_size=len(boxes)))
        name = draw(image_names())
        images.append(MadeImage(image_id, name, width, height, np.array(class_ids, dtype=np.int64), boxes))
    return ListedImages(tuple(images))


def list_lines() -> SearchStrategy[str]:
    r"""Lines of lists as they come: sound ones, and those with blanks, bad numbers, too few or empty cells.

    Returns
    -------
    strategy of str
        Without the line break.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(list_lines(), lambda line: line.count("\t") == 2).count("\t")
    2
    """
    numbers = st.one_of(
        st.integers(-2, 70).map(str),
        st.floats().map(repr),
        st.sampled_from(["", " 2 ", "1_0", "1e40", "abc", "0x1", "+5", "nan", "4.0", str(2**64), "\u0663"]),
    )
    cells = st.lists(numbers, max_size=9)
    return st.tuples(cells, st.one_of(image_names(), st.just(""))).map(lambda row: "\t".join([*row[0], row[1]]))
