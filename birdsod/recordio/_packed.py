"""What was packed, as values that outlive the session."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from birdsod.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from birdsod.classes import ClassTable
    from birdsod.lstwriter import ClippedBox
    from birdsod.recordio._options import PackOptions
    from birdsod.recordio._reader import RecordReader
    from birdsod.recordio._sharded import ShardedChannel
    from birdsod.recordio._values import DroppedBox, RefusedImage

__all__ = ["LEAST_LABEL_WIDTH", "Packed", "PackedChannel", "holdings", "several"]

LEAST_LABEL_WIDTH = 350
_MEGABYTE = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedChannel:
    """One packed list.

    Parameters
    ----------
    name : str
        ``train``, ``validation``, ...
    lst, rec, idx : Path
        Its files; absolute.
    listed : int
        Images that were to be packed: ``records + len(refused)``, always.
    records : int
        Images in the record file.
    objects : int
        Objects in it.
    most_objects : int
        Objects of the image that has the most.
    longest_label : int
        Numbers of the longest label, header included.
    bytes : int
        Size of the record file.
    sha256, idx_sha256, lst_sha256 : str
        SHA-256 of the record file, its index and its list.
    options : PackOptions
        How the images were packed.
    clipped : tuple of ClippedBox
        Boxes that were cut to their image, or to its centre crop.
    dropped : tuple of DroppedBox
        Boxes of which a centre crop left nothing.
    refused : tuple of RefusedImage
        Images that are not in the file, each with its reason.
    stretches : tuple of (int, str)
        Sizes and SHA-256 of what the record file was merged of, where nobody has read the whole: then ``sha256`` is
        empty until :meth:`Packed.open` has.

    Raises
    ------
    RecordError
        If records and refused images do not add up to what was listed.
    """

    name: str
    lst: Path
    rec: Path
    idx: Path
    listed: int
    records: int
    objects: int
    most_objects: int
    longest_label: int
    bytes: int
    sha256: str
    idx_sha256: str
    lst_sha256: str
    options: PackOptions
    clipped: tuple[ClippedBox, ...] = ()
    dropped: tuple[DroppedBox, ...] = ()
    refused: tuple[RefusedImage, ...] = ()
    stretches: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        if self.records + len(self.refused) != self.listed:
            message = f"{self.records} records and {len(self.refused)} refused images are not {self.listed} listed"
            raise RecordError(message, path=self.rec, cure="pack it again")

    def open(self) -> RecordReader:
        """Open the record file.

        Returns
        -------
        RecordReader

        Raises
        ------
        RecordError
            If a file is missing or malformed, or does not hold as many records as were packed.
        """
        from birdsod.recordio._reader import RecordReader

        reader = RecordReader(self.rec, index=self.idx)
        if len(reader) != self.records:
            reader.close()
            message = f"the index has {len(reader)} records, {self.records} were packed"
            raise RecordError(message, path=self.idx, cause="it was replaced after packing", cure="pack it again")
        return reader

    def within(self, folder: Path) -> Self:
        """Return the same channel after its files have moved to another folder; a list from elsewhere stays.

        Parameters
        ----------
        folder : Path
            Where they lie now.

        Returns
        -------
        PackedChannel
        """
        lst = folder / self.lst.name if self.lst.parent == self.rec.parent else self.lst
        return replace(self, lst=lst, rec=folder / self.rec.name, idx=folder / self.idx.name)

    def __str__(self) -> str:
        return f"{self.name}: {holdings(self)}"


@dataclass(frozen=True, slots=True)
class Packed:
    """Packed channels of one set of classes: what :func:`birdsod.pack` returns and training takes.

    Parameters
    ----------
    directory : Path
        The folder of the files; absolute.
    channels : mapping of str to PackedChannel
        By name.
    class_table : ClassTable
        What the class ids in the records stand for.
    """

    directory: Path
    channels: Mapping[str, PackedChannel]
    class_table: ClassTable

    @classmethod
    def open(cls, directory: str | os.PathLike[str], *, verify: bool = False) -> Self:
        """Return what :func:`birdsod.pack` returned, in a later session.

        Parameters
        ----------
        directory : path-like
            The folder that was packed into; it may have moved.
        verify : bool, default False
            Compare the SHA-256 of every file, not only its presence and the size of the record files.

        Returns
        -------
        Packed

        Raises
        ------
        RecordError
            If ``packed.json`` is missing or malformed, or a file is missing or contradicts it.
        """
        from birdsod.recordio._manifest import checked, read_manifest

        folder = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow links and rename the files
        channels, class_table = read_manifest(folder)
        found = {name: checked(channel, verify=verify) for name, channel in channels.items()}
        return cls(folder, found, class_table)

    @property
    def most_objects(self) -> int:
        """Objects of the image that has the most, over all channels."""
        return max(channel.most_objects for channel in self.channels.values())

    @property
    def longest_label(self) -> int:
        """Numbers of the longest label, over all channels."""
        return max(channel.longest_label for channel in self.channels.values())

    @property
    def label_width(self) -> int:
        """What to set as the hyperparameter: the longest label, but at least the algorithm's default of 350."""
        return max(LEAST_LABEL_WIDTH, self.longest_label)

    @property
    def clipped(self) -> tuple[ClippedBox, ...]:
        """Boxes that were cut, over all channels."""
        return _chained(channel.clipped for channel in self.channels.values())

    @property
    def dropped(self) -> tuple[DroppedBox, ...]:
        """Boxes of which a centre crop left nothing, over all channels."""
        return _chained(channel.dropped for channel in self.channels.values())

    @property
    def refused(self) -> tuple[RefusedImage, ...]:
        """Images that were listed but not packed, over all channels."""
        return _chained(channel.refused for channel in self.channels.values())

    def image_shape_hint(self, image_shape: int) -> str | None:
        """Return a hint if the images were packed smaller than the network will see them.

        Parameters
        ----------
        image_shape : int
            Side of the network's input.

        Returns
        -------
        str or None

        Examples
        --------
        >>> from birdsod.recordio import PackOptions
        >>> from birdsod import ClassTable
        >>> channel = PackedChannel(
        ...     name="train", lst=Path("a.lst"), rec=Path("a.rec"), idx=Path("a.idx"), listed=1, records=1,
        ...     objects=1, most_objects=1, longest_label=7, bytes=60, sha256="", idx_sha256="", lst_sha256="",
        ...     options=PackOptions(resize=256),
        ... )
        >>> Packed(Path(), {"train": channel}, ClassTable((17,), ("017.Cardinal",))).image_shape_hint(512)
        'images packed at 256 pixels are blown up to the 512 of the network: pack with resize=512'
        """
        edges = [channel.options.resize for channel in self.channels.values() if channel.options.resize]
        if not edges or min(edges) >= image_shape:
            return None
        return (
            f"images packed at {min(edges)} pixels are blown up to the {image_shape} of the network: "
            f"pack with resize={image_shape}"
        )

    def __str__(self) -> str:
        classes, objects = several(len(self.class_table), "class", "classes"), several(self.most_objects, "object")
        lines = [f"{self.directory}: {classes}, at most {objects} an image"]
        return "\n  ".join([*lines, *map(str, self.channels.values())])


def _chained(groups: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(item for group in groups for item in group)


def holdings(channel: PackedChannel | ShardedChannel) -> str:
    """Return in words what a channel holds, and what became of boxes and images."""
    notes = {"clipped": channel.clipped, "dropped": channel.dropped, "refused": channel.refused}
    told = "".join(f", {len(rows)} {word}" for word, rows in notes.items() if rows)
    counts = f"{several(channel.records, 'image')}, {several(channel.objects, 'object')}"
    return f"{counts}, {channel.bytes / _MEGABYTE:.1f} MB{told}"


def several(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"
