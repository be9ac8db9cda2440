"""A data set to a ``.lst`` file."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from birdsod import bbox
from birdsod._files import appearing
from birdsod.dataset._clipping import ClippedBox
from birdsod.errors import BoxError, ListError
from birdsod.lstwriter._rows import HEADER_WIDTH, ID_LIMIT, OBJECT_WIDTH

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["ClippedBox", "Listable", "ListedImage", "Written", "check", "write"]

_AT_ONCE = 1024
_DECIMALS = 4
_NOISE = 1e-6
_MOST_DECIMALS = 17
_CURE = "correct the box, or take the image out of the set"


class ListedImage(Protocol):
    """What a list tells of an image; an :class:`~birdsod.dataset.ImageRecord` has it."""

    @property
    def image_id(self) -> int:
        """Number of the image, 0 to 2**64 - 1."""
        ...

    @property
    def name(self) -> str:
        """Path relative to the image folder, with slashes."""
        ...

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        ...

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        ...

    @property
    def class_ids(self) -> NDArray[np.int64]:
        """Zero-based class of each object."""
        ...

    @property
    def boxes(self) -> NDArray[np.float64]:
        """``xmin ymin xmax ymax`` in pixels, a row for each object."""
        ...


class Listable(Protocol):
    """Images that know their sizes; a :class:`~birdsod.dataset.DetectionDataset` is one."""

    def __iter__(self) -> Iterator[ListedImage]: ...

    def require_sizes(self) -> object:
        """Make sure that every image has a size, or raise."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """What :func:`write` did.

    Parameters
    ----------
    path : Path
        The list.
    rows : int
        Images in it.
    clipped : tuple of ClippedBox
        Every box that was cut.
    """

    path: Path
    rows: int
    clipped: tuple[ClippedBox, ...]


def write(
    dataset: Listable,
    path: str | os.PathLike[str],
    *,
    outside: Literal["clip", "raise"] = "clip",
    decimals: int = _DECIMALS,
) -> Written:
    r"""Write the list that im2rec, ``birdsod.pack`` and MXNet's tools take.

    One row an image: ``id 2 5 (class xmin ymin xmax ymax)... path``, separated by tabs, boxes relative to the
    image. The file appears whole or not at all.

    Parameters
    ----------
    dataset : DetectionDataset
        Images, in the order of the rows; one without objects gives ``id 2 5 path``.
    path : path-like
        The ``.lst`` file.
    outside : {"clip", "raise"}, default "clip"
        What to do with a box that reaches outside its image: cut it and list it in the result, or raise.
    decimals : int, default 4
        Digits after the point; a box that rounding would close gets as many more as it needs.

    Returns
    -------
    Written

    Raises
    ------
    BoxError
        If a box is not finite, inverted, empty or wholly outside its image, reaches outside it under
        ``outside="raise"``, or is too thin for the 32-bit numbers of a record.
    ListError
        If an id or a path cannot stand in a list, an option is unknown, or the file cannot be written.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import tempfile
    >>> bird = SimpleNamespace(image_id=7, name="a.jpg", width=200, height=100)
    >>> bird.class_ids, bird.boxes = np.array([3]), np.array([[-4.0, 20, 100, 60]])
    >>> class Birds(list):
    ...     def require_sizes(self): ...
    >>> folder = tempfile.TemporaryDirectory()
    >>> written = write(Birds([bird]), Path(folder.name) / "train.lst")
    >>> written.path.read_text().split("\t")
    ['7', '2', '5', '3', '0.0000', '0.2000', '0.5000', '0.6000', 'a.jpg\n']
    >>> written.clipped[0].before
    (-4.0, 20.0, 100.0, 60.0)
    >>> folder.cleanup()
    """
    if outside not in {"clip", "raise"}:
        raise ListError("unknown way to treat boxes outside", value=outside, cure='choose "clip" or "raise"')
    if not 1 <= decimals <= _MOST_DECIMALS:
        raise ListError("decimals out of range", value=decimals, cure=f"choose 1 to {_MOST_DECIMALS}")
    dataset.require_sizes()
    clipped: list[ClippedBox] = []
    count = 0
    try:
        with appearing(path) as stream:
            for line in _lines(iter(dataset), outside, decimals, clipped):
                stream.write(line.encode())
                count += 1
    except OSError as error:
        raise ListError("the list cannot be written", path=path, cause=error.strerror) from error
    return Written(Path(path), count, tuple(clipped))


def check(image: ListedImage, *, outside: Literal["clip", "raise"] = "clip") -> None:
    """Raise what :func:`write` would raise for one image, for those who would rather leave it out.

    Parameters
    ----------
    image : ImageRecord
        The image.
    outside : {"clip", "raise"}, default "clip"
        Whether a box may reach outside the image, to be cut.

    Raises
    ------
    BoxError
        If a box cannot be listed.
    ListError
        If its id or path cannot be listed.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> bird = SimpleNamespace(image_id=7, name="a.jpg", width=200, height=100)
    >>> bird.class_ids, bird.boxes = np.array([3]), np.array([[-4.0, 20, 100, 60]])
    >>> check(bird)
    """
    for _ in _lines(iter([image]), outside, _DECIMALS, []):
        pass


def _lines(
    images: Iterator[ListedImage], outside: Literal["clip", "raise"], decimals: int, clipped: list[ClippedBox]
) -> Iterator[str]:
    while some := list(islice(images, _AT_ONCE)):
        for image, boxes in zip(some, _relative(some, outside, clipped), strict=True):
            yield _line(image, boxes, decimals)


def _relative(
    images: Sequence[ListedImage], outside: Literal["clip", "raise"], clipped: list[ClippedBox]
) -> list[NDArray[np.float64]]:
    """Return the relative boxes of each image, cut to it; what was cut is added to ``clipped``."""
    boxes = [np.asarray(image.boxes, dtype=np.float64).reshape(-1, 4) for image in images]
    counts = np.array([len(rows) for rows in boxes], dtype=np.int64)
    owners = np.repeat(np.arange(len(images)), counts)
    starts = np.cumsum(counts) - counts
    given = np.concatenate(boxes)
    size = np.array([(image.width, image.height) for image in images], dtype=np.float64)[owners]
    limits = {"width": size[:, 0], "height": size[:, 1]}
    inside, cut = bbox.clip(given, **limits)
    try:
        bbox.validate(given, **(limits if outside == "raise" else {}), tolerance=_NOISE)
        bbox.validate(inside)
    except BoxError as error:
        row = error.record or 0
        image, index = images[owners[row]], row - starts[owners[row]]
        message = f"object {index} of image {image.image_id}: {error.message}"
        raise BoxError(message, path=image.name, value=given[row].tolist(), cure=_CURE) from error
    for row in np.flatnonzero((cut > _NOISE).any(axis=-1)).tolist():
        image, index = images[owners[row]], int(row - starts[owners[row]])
        before, after = tuple(given[row].tolist()), tuple(inside[row].tolist())
        clipped.append(ClippedBox(int(image.image_id), image.name, index, before, after))
    # The zero takes the sign off a negative zero, which would be written as -0.0000.
    relative = bbox.absolute_to_relative(inside, **limits) + 0.0
    return np.split(relative, starts[1:].tolist())


def _line(image: ListedImage, boxes: NDArray[np.float64], decimals: int) -> str:
    _check_id(image)
    _check_path(image)
    if len(image.class_ids) != len(boxes):
        message = f"{len(image.class_ids)} class ids but {len(boxes)} boxes in image {image.image_id}"
        raise ListError(message, path=image.name, cure="give one class id for each box")
    cells = [str(int(image.image_id)), str(HEADER_WIDTH), str(OBJECT_WIDTH)]
    for class_id, box in zip(image.class_ids, boxes.tolist(), strict=True):
        cells += [str(int(class_id)), *_box_cells(box, decimals, image)]
    return "\t".join([*cells, image.name]) + "\n"


def _box_cells(box: Sequence[float], decimals: int, image: ListedImage) -> list[str]:
    """Return the four numbers as text, with as few decimals from ``decimals`` on as keep the box open."""
    for places in range(decimals, _MOST_DECIMALS + 1):
        cells = [f"{number:.{places}f}" for number in box]
        # Records hold float32, so the box must be open there too.
        xmin, ymin, xmax, ymax = np.array(cells, dtype=np.float32)
        if xmin < xmax and ymin < ymax:
            return cells
    message = f"a box of image {image.image_id} is too thin for the 32-bit numbers of a record"
    raise BoxError(message, path=image.name, value=list(box), cure=_CURE)


def _check_id(image: ListedImage) -> None:
    if not 0 <= int(image.image_id) < ID_LIMIT:
        cure = "choose 0 to 2**64 - 1"
        raise ListError("the id does not fit into a record", path=image.name, value=int(image.image_id), cure=cure)


def _check_path(image: ListedImage) -> None:
    name = image.name
    if not name or name != name.strip() or any(sign in name for sign in "\t\r\n"):
        message = f"the path of image {image.image_id} cannot stand in a list"
        cause = "a tab, a line break, a blank at an end, or nothing"
        raise ListError(message, value=name, cause=cause, cure="rename the file")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        message = f"the path of image {image.image_id} is not valid text"
        raise ListError(message, value=name, cure="rename the file") from error
