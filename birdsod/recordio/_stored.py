"""Channels in the object store, as values that tell what training needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsod.recordio._packed import LEAST_LABEL_WIDTH, several

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.classes import ClassTable

__all__ = ["Stored", "StoredChannel"]

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChannel:
    """One record file in the object store.

    Parameters
    ----------
    name : str
        ``train``, ``validation``, ...
    uri : str
        Address of the record file; index and list lie beside it.
    listed, records, objects, most_objects, longest_label, bytes : int
        As of a :class:`PackedChannel <birdsod.recordio.PackedChannel>`.
    sha256 : str or None
        SHA-256 of the record file; None if it was merged without reading it.
    """

    name: str
    uri: str
    listed: int
    records: int
    objects: int
    most_objects: int
    longest_label: int
    bytes: int
    sha256: str | None

    def __str__(self) -> str:
        size = self.bytes / _MEGABYTE
        return f"{self.name}: {several(self.records, 'image')}, {several(self.objects, 'object')}, {size:.1f} MB"


@dataclass(frozen=True, slots=True)
class Stored:
    """Packed channels in the object store: what merging between addresses returns.

    The files are those that :meth:`Packed.open <birdsod.recordio.Packed.open>` opens once they are fetched.

    Parameters
    ----------
    uri : str
        The address that they lie below, with its last slash.
    channels : mapping of str to StoredChannel
        By name.
    class_table : ClassTable
        What the class ids in the records stand for.

    Examples
    --------
    >>> from birdsod import ClassTable
    >>> train = StoredChannel(
    ...     name="train", uri="s3://birds/whole/train.rec", listed=9, records=9, objects=9, most_objects=1,
    ...     longest_label=7, bytes=9000, sha256=None,
    ... )
    >>> stored = Stored("s3://birds/whole/", {"train": train}, ClassTable((17,), ("017.Cardinal",)))
    >>> stored.label_width, stored.channels["train"].uri
    (350, 's3://birds/whole/train.rec')
    """

    uri: str
    channels: Mapping[str, StoredChannel]
    class_table: ClassTable

    @property
    def label_width(self) -> int:
        """What to set as the hyperparameter: the longest label, but at least the algorithm's default of 350."""
        return max(LEAST_LABEL_WIDTH, *(channel.longest_label for channel in self.channels.values()))

    def __str__(self) -> str:
        classes = several(len(self.class_table), "class", "classes")
        return "\n  ".join([f"{self.uri}: {classes}", *map(str, self.channels.values())])
