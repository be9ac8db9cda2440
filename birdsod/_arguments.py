"""What was given in place of something else, told in words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from birdsod.errors import BirdsodError

__all__ = ["check_packed", "named", "refuse_shards"]


def named(given: object) -> str:
    """Return how an error shows what was given: a text or path as it is, anything else by its type.

    Examples
    --------
    >>> named("work/birds"), named([1, 2])
    ('work/birds', 'list')
    """
    return os.fsdecode(given) if isinstance(given, str | os.PathLike) else type(given).__name__


def check_packed(given: object, kind: type[BirdsodError], *, records: bool = False) -> None:
    """Refuse what is no packed data; ``records`` refuses images beside annotations, which have channels too."""
    # Asked for what it has: whatever has channels will do, and recordio need not be loaded.
    if not hasattr(given, "channels") or (records and not hasattr(given, "image_shape_hint")):
        folder = isinstance(given, str | os.PathLike)
        cure = f"give Packed.open({named(given)!r})" if folder else "give what pack returned, or Packed.open(folder)"
        raise kind("these are no packed data", value=named(given), cure=cure)


def refuse_shards(given: object, kind: type[BirdsodError]) -> None:
    """Refuse packed data in several record files a channel, where one is needed."""
    channels = getattr(given, "channels", None)
    if isinstance(channels, Mapping) and any(hasattr(channel, "shards") for channel in channels.values()):
        message = "these are shards, and training takes one record file a channel"
        raise kind(message, value=named(given), cure="merge them: birdsod.recordio.merge(data, folder)")
