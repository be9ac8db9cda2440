"""A channel as a list, before its images are packed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from birdsod import _files, lstwriter
from birdsod.recordio._admission import admit
from birdsod.recordio._image_work import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from birdsod.dataset import DetectionDataset
    from birdsod.lstwriter import ClippedBox
    from birdsod.recordio._options import OnError
    from birdsod.recordio._values import DroppedBox, RefusedImage

__all__ = ["Listing", "cut_lists", "in_row_order", "list_channel", "tasks"]

Told = TypeVar("Told", "ClippedBox", "DroppedBox", "RefusedImage")


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """What is to be packed, row by row.

    Parameters
    ----------
    name : str
        The channel.
    dataset : DetectionDataset
        All its images.
    admitted : DetectionDataset
        The images of the list, one a row.
    positions : int array
        Where they stand among all.
    lst : Path
        The list.
    sha256 : str
        Its SHA-256.
    clipped : tuple of ClippedBox
        Boxes that were cut when listed.
    refused : tuple of RefusedImage
        Images that could not be listed.
    """

    name: str
    dataset: DetectionDataset
    admitted: DetectionDataset
    positions: NDArray[np.int64]
    lst: Path
    sha256: str
    clipped: tuple[ClippedBox, ...]
    refused: tuple[RefusedImage, ...]

    @property
    def sizes_sha256(self) -> str:
        """SHA-256 of the sizes that the images have by the data set."""
        return hashlib.sha256(np.ascontiguousarray(self.admitted.sizes, dtype="<i8").tobytes()).hexdigest()


def list_channel(
    name: str, dataset: DetectionDataset, lst: Path, *, on_error: OnError, outside: Literal["clip", "raise"]
) -> Listing:
    """Write the list of a channel."""
    admitted, positions, refused = admit(dataset, on_error=on_error, outside=outside)
    clipped = lstwriter.write(admitted, lst, outside=outside).clipped
    return Listing(name, dataset, admitted, positions, lst, _files.sha256(lst), clipped, refused)


def tasks(listing: Listing, begin: int, end: int) -> Iterator[Task]:
    """Yield the images of some rows with the labels of these, so that the records say exactly what the list says."""
    rows = islice(lstwriter.rows(listing.lst), begin, end)
    for row, image in zip(rows, listing.admitted[begin:end], strict=True):
        size = (image.width, image.height)
        yield Task(row.image_id, row.label, row.path, str(image.path), size, follow_crop=True)


def cut_lists(lst: Path, parts: Iterable[tuple[Path, int, int]]) -> None:
    """Write some rows of a list, each from one row to before another, into lists of their own, in their order."""
    with lst.open("rb") as stream:
        at = 0
        for path, begin, end in parts:
            for _ in islice(stream, begin - at):
                pass
            with _files.appearing(path) as part:
                part.writelines(islice(stream, end - begin))
            at = end


def in_row_order(told: Sequence[Told], dataset: DetectionDataset) -> list[tuple[int, Told]]:
    """Return what is told of images with their positions in the data set, in this order."""
    if not told:
        return []
    ids = dataset.image_ids
    sorter = np.argsort(ids)
    wanted = np.array([row.image_id for row in told], dtype=ids.dtype)
    found = sorter[np.searchsorted(ids, wanted, sorter=sorter)].tolist()
    return sorted(zip(found, told, strict=True), key=lambda pair: pair[0])
