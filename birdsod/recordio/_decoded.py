"""Records as pixels and boxes, for PyTorch's loader and for loops of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from birdsod.errors import ImageError, RecordError
from birdsod.recordio._reader import RecordReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from birdsod.recordio._record import Record
    from birdsod.recordio._sources import Location

__all__ = ["DecodedRecord", "DecodedRecords"]


class DecodedRecord(NamedTuple):
    """An image with its objects.

    Parameters
    ----------
    image : uint8 array of shape (height, width, 3)
        RGB, after EXIF orientation.
    class_ids : int64 array of shape (n,)
        Zero-based class of each object.
    boxes : float64 array of shape (n, 4)
        ``xmin ymin xmax ymax`` relative to the image.
    id : int
        Id of the image.
    """

    image: NDArray[np.uint8]
    class_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    id: int


class DecodedRecords:
    """A record file as a data set that PyTorch's ``DataLoader`` takes: decoded images and their objects.

    It needs no torch itself, and goes to forked and to spawned workers. Images differ in size as a rule, so give
    the loader a ``collate_fn``, or a ``transform`` that brings them to one size and pads the boxes.

    Parameters
    ----------
    records : RecordReader, path-like or binary file
        Where they come from.
    transform : callable, optional
        Called with each :class:`DecodedRecord`; what it returns is the item. Spawned workers need one that can be
        pickled, so a function of a module.

    Raises
    ------
    RecordError
        If the file is missing or malformed; when an item is read, if its record or label is.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from birdsod import image
    >>> from birdsod.recordio import RecordWriter
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "birds.rec"
    >>> with RecordWriter(file) as writer:
    ...     photo = image.encode(np.zeros((6, 8, 3), np.uint8))
    ...     writer.write_record(17, [2, 5, 3, 0.25, 0.25, 0.5, 0.75], photo)
    >>> birds = DecodedRecords(file)
    >>> birds[0].image.shape, birds[0].class_ids.tolist(), birds[0].boxes.tolist()
    ((6, 8, 3), [3], [[0.25, 0.25, 0.5, 0.75]])
    >>> folder.cleanup()
    """

    def __init__(
        self, records: RecordReader | Location, *, transform: Callable[[DecodedRecord], Any] | None = None
    ) -> None:
        self.reader: RecordReader = records if isinstance(records, RecordReader) else RecordReader(records)
        self.transform: Callable[[DecodedRecord], Any] | None = transform

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.reader)

    def __getitem__(self, position: int) -> Any:  # noqa: ANN401 - whatever the transform returns
        """Return the image at a position."""
        return self._item(self.reader[position], position)

    def __getitems__(self, positions: Iterable[int]) -> list[Any]:
        """Return the images at some positions; the loader asks for a batch so."""
        wanted = list(positions)
        return [self._item(record, at) for record, at in zip(self.reader.read(wanted), wanted, strict=True)]

    def __iter__(self) -> Iterator[Any]:
        """Yield the images in order."""
        return (self._item(record, position) for position, record in enumerate(self.reader))

    def __repr__(self) -> str:
        return f"DecodedRecords({self.reader!r})"

    def _item(self, record: Record, position: int) -> Any:  # noqa: ANN401 - whatever the transform returns
        from birdsod import image

        try:
            label = record.boxes
            pixels = image.decode(record.image)
        except (ImageError, RecordError) as error:
            error.path, error.record = str(self.reader.path), range(len(self))[position]
            raise
        item = DecodedRecord(pixels, label.class_ids, label.boxes, record.header.id)
        return item if self.transform is None else self.transform(item)
