"""Channels that were packed into several record files, as values that outlive the session."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod.recordio._packed import LEAST_LABEL_WIDTH, PackedChannel, holdings, several

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from birdsod.classes import ClassTable
    from birdsod.lstwriter import ClippedBox
    from birdsod.recordio._options import PackOptions
    from birdsod.recordio._values import DroppedBox, RefusedImage

__all__ = ["Shard", "Sharded", "ShardedChannel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard(PackedChannel):
    """One of the record files of a channel, with the index and the list of its own.

    What a :class:`PackedChannel` tells of a whole channel, it tells of the shard.

    Parameters
    ----------
    index : int
        Which of the shards, counted from 0.
    of : int
        Number of shards.
    first_row : int
        How many images of the channel lie in the shards before it, refused ones included.
    """

    index: int
    of: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedChannel:
    """One channel in several record files.

    The shards one after the other are what packing without shards gives: the bytes of the record file, the lines
    of the list, the counts, and what was clipped, dropped and refused.

    Parameters
    ----------
    name : str
        ``train``, ``validation``, ...
    of : int
        Number of shards.
    lst_sha256 : str
        SHA-256 of the list of the whole channel: the same for the parts of one run, and for no others.
    shards : tuple of Shard
        In their order; of an array job the one that it packed.
    """

    name: str
    of: int
    lst_sha256: str
    shards: tuple[Shard, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all shards are here."""
        return len(self.shards) == self.of

    @property
    def options(self) -> PackOptions:
        """How the images were packed."""
        return self.shards[0].options

    @property
    def listed(self) -> int:
        """Images that were to be packed: ``records + len(refused)``, always."""
        return sum(shard.listed for shard in self.shards)

    @property
    def records(self) -> int:
        """Images in the record files."""
        return sum(shard.records for shard in self.shards)

    @property
    def objects(self) -> int:
        """Objects in them."""
        return sum(shard.objects for shard in self.shards)

    @property
    def most_objects(self) -> int:
        """Objects of the image that has the most."""
        return max(shard.most_objects for shard in self.shards)

    @property
    def longest_label(self) -> int:
        """Numbers of the longest label, header included."""
        return max(shard.longest_label for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Size of the record files together."""
        return sum(shard.bytes for shard in self.shards)

    @property
    def clipped(self) -> tuple[ClippedBox, ...]:
        """Boxes that were cut to their image, or to its centre crop."""
        return tuple(box for shard in self.shards for box in shard.clipped)

    @property
    def dropped(self) -> tuple[DroppedBox, ...]:
        """Boxes of which a centre crop left nothing."""
        return tuple(box for shard in self.shards for box in shard.dropped)

    @property
    def refused(self) -> tuple[RefusedImage, ...]:
        """Images that are not in the files, each with its reason."""
        return tuple(image for shard in self.shards for image in shard.refused)

    def __str__(self) -> str:
        here = several(self.of, "shard") if self.is_whole else f"{len(self.shards)} of {several(self.of, 'shard')}"
        return f"{self.name}: {here}, {holdings(self)}"


@dataclass(frozen=True, slots=True)
class Sharded:
    """Packed channels of one set of classes, each in several record files: what packing with shards returns.

    Parameters
    ----------
    directory : Path
        The folder of the files; absolute.
    channels : mapping of str to ShardedChannel
        By name.
    class_table : ClassTable
        What the class ids in the records stand for.
    """

    directory: Path
    channels: Mapping[str, ShardedChannel]
    class_table: ClassTable

    @classmethod
    def open(cls, directory: str | os.PathLike[str], *, verify: bool = False) -> Self:
        """Return what packing with shards returned, or all that the jobs of an array packed.

        Parameters
        ----------
        directory : path-like
            The folder that was packed into; it may have moved. It holds ``shards.json``, or the
            ``shards-00003-of-00016.json`` of every job.
        verify : bool, default False
            Compare the SHA-256 of every file, not only its presence and the size of the record files.

        Returns
        -------
        Sharded

        Raises
        ------
        RecordError
            If a manifest is missing or malformed, two are of different runs, or a file is missing or contradicts
            its manifest; all that are missing or do not fit are named.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from birdsod import ClassTable, DetectionDataset, image
        >>> from birdsod.recordio import pack
        >>> folder = tempfile.TemporaryDirectory()
        >>> names = ["a.png", "b.png", "c.png"]
        >>> for name in names:
        ...     photo = image.encode(np.zeros((6, 8, 3), np.uint8), encoding=".png")
        ...     _ = (Path(folder.name) / name).write_bytes(photo)
        >>> birds = DetectionDataset.from_tables(
        ...     {"image_id": [1, 2, 3], "path": names},
        ...     {"image_id": [1], "class_id": [0], "xmin": [1], "ymin": [1], "xmax": [5], "ymax": [4]},
        ...     root=folder.name,
        ...     class_table=ClassTable((17,), ("017.Cardinal",)),
        ... )
        >>> for index in range(2):
        ...     part = pack({"train": birds}, Path(folder.name) / "packed", shard=(index, 2))
        >>> packed = Sharded.open(Path(folder.name) / "packed")
        >>> [(shard.name, shard.records) for shard in packed.channels["train"].shards]
        [('train-00000-of-00002', 1), ('train-00001-of-00002', 2)]
        >>> folder.cleanup()
        """
        from birdsod.recordio._manifest import checked
        from birdsod.recordio._shard_manifest import read_shards

        folder = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow links and rename the files
        channels, class_table = read_shards(folder)
        for channel in channels.values():
            for shard in channel.shards:
                checked(shard, verify=verify)
        return cls(folder, channels, class_table)

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
        return tuple(box for channel in self.channels.values() for box in channel.clipped)

    @property
    def dropped(self) -> tuple[DroppedBox, ...]:
        """Boxes of which a centre crop left nothing, over all channels."""
        return tuple(box for channel in self.channels.values() for box in channel.dropped)

    @property
    def refused(self) -> tuple[RefusedImage, ...]:
        """Images that were listed but not packed, over all channels."""
        return tuple(image for channel in self.channels.values() for image in channel.refused)

    def __str__(self) -> str:
        classes, objects = several(len(self.class_table), "class", "classes"), several(self.most_objects, "object")
        lines = [f"{self.directory}: {classes}, at most {objects} an image"]
        return "\n  ".join([*lines, *map(str, self.channels.values())])
