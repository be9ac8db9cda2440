"""Objects that appear one after the other, the one that vouches for them last."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from birdsod.errors import CloudError
from birdsod.recordio._manifest import MANIFEST
from birdsod.recordio._store import asking

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping
    from pathlib import Path

    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._store import Prefix
    from birdsod.recordio._store_parts import Growing

__all__ = ["appearing"]


@contextlib.contextmanager
def appearing(
    place: Prefix, before: Container[str], uploads: list[Growing]
) -> Iterator[Callable[[Mapping[str, PackedChannel], str], None]]:
    """Give what lets all objects appear; if it is stopped, what was sent goes again.

    Parameters
    ----------
    place : Prefix
        Where they appear.
    before : container of str
        What was there before: such names are not deleted, whatever has become of them.
    uploads : list of Growing
        The record files that have begun to grow.
    """
    begun: list[str] = []

    def appear(channels: Mapping[str, PackedChannel], manifest: str) -> None:
        if MANIFEST in before:
            # Until the new one comes, nothing vouches for what is half replaced.
            place.delete(MANIFEST)
        for channel in channels.values():
            for path in (channel.lst, channel.idx):
                begun.append(path.name)
                _send(place, path)
        for channel, upload in zip(channels.values(), list(uploads), strict=True):
            begun.append(upload.name)
            upload.finish(channel.bytes)
            uploads.remove(upload)
        begun.append(MANIFEST)
        place.write(MANIFEST, manifest.encode())

    try:
        yield appear
    except BaseException as error:
        _take_back(place, [name for name in begun if name not in before], uploads, error)
        raise


def _send(place: Prefix, path: Path) -> None:
    with asking("write", place.uri + path.name):
        # On an error or an interrupt boto3 takes its parts back by itself.
        place.client.upload_file(str(path), place.bucket, place.key(path.name))


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
