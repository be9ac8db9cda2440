"""Objects that appear one after the other, the one that vouches for them last."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from birdsod.errors import CloudError
from birdsod.recordio._manifest import MANIFEST
from birdsod.recordio._merge_folder import merged_names
from birdsod.recordio._store import MEANWHILE, is_conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._store import Found, Prefix
    from birdsod.recordio._store_parts import Growing

__all__ = ["appearing"]


@contextlib.contextmanager
def appearing(
    place: Prefix, before: Mapping[str, Found], uploads: list[Growing]
) -> Iterator[Callable[[Mapping[str, PackedChannel], str], None]]:
    """Give what lets all objects appear; if it is stopped, what was sent goes again.

    Parameters
    ----------
    place : Prefix
        Where they appear.
    before : mapping of str to Found
        What was there before: such names are not deleted, whatever has become of them.
    uploads : list of Growing
        The record files that have begun to grow.
    """
    begun: list[str] = []
    appeared: dict[str, str] = {}

    def write(name: str, send: Callable[[Found | None], str]) -> None:
        begun.append(name)
        try:
            appeared[name] = send(before.get(name))
        except CloudError as error:
            if is_conflict(error):
                # What stands there is another's, and not to be taken back.
                begun.remove(name)
            raise

    def appear(channels: Mapping[str, PackedChannel], manifest: str) -> None:
        if MANIFEST in before:
            finals = {MANIFEST, *merged_names(channels)} & before.keys()
            _check_unchanged(place, {name: before[name].etag for name in finals})
            # Until the new one comes, nothing vouches for what is half replaced.
            place.delete(MANIFEST)
        for channel in channels.values():
            for path in (channel.lst, channel.idx):
                write(path.name, _sending(place, path))
        for channel, upload in zip(channels.values(), list(uploads), strict=True):
            write(upload.name, _finishing(upload, channel.bytes))
            uploads.remove(upload)
        _check_unchanged(place, appeared)
        write(MANIFEST, lambda _: place.write(MANIFEST, manifest.encode(), instead_of=None))

    try:
        yield appear
    except BaseException as error:
        _take_back(place, [name for name in begun if name not in before], uploads, error)
        raise


def _sending(place: Prefix, path: Path) -> Callable[[Found | None], str]:
    return lambda found: place.write(path.name, path, instead_of=found)


def _finishing(upload: Growing, size: int) -> Callable[[Found | None], str]:
    return lambda found: upload.finish(size, instead_of=found)


def _check_unchanged(place: Prefix, tags: Mapping[str, str]) -> None:
    """Refuse to go on where another has written or deleted one of some objects."""
    now = place.listing()
    for name, tag in tags.items():
        if name not in now or now[name].etag.strip('"') != tag.strip('"'):
            cause = "another merge writes there at the same time"
            raise CloudError("the object was changed meanwhile", path=place.uri + name, cause=cause, cure=MEANWHILE)


def _take_back(place: Prefix, names: list[str], uploads: list[Growing], error: BaseException) -> None:
    left = []
    for upload in uploads:
        try:
            upload.abort()
        except CloudError:
            left.append(f"parts of {upload.name}")
    for name in reversed(names):
        try:
            place.delete(name)
        except CloudError:
            left.append(name)
    if left:
        error.add_note(f"could not be taken back from {place.uri}: {', '.join(left)}")
