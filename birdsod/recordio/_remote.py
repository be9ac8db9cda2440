"""Record files far away, read by byte ranges through fsspec."""

from __future__ import annotations

import contextlib
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from birdsod.errors import MissingDependencyError, RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from birdsod.recordio._sources import Far

__all__ = ["Remote"]

# What the file systems of fsspec call whatever changes with the bytes.
_STAMPS = ("ETag", "etag", "LastModified", "Last-Modified", "last_modified", "mtime", "updated", "created")
_NO_RANGES = "the server ignores byte ranges"
_DOWNLOAD = "download the file, and open it by its path"


class Remote:
    """A file behind a URL.

    Parameters
    ----------
    url : str
        Anything that fsspec opens, such as ``s3://bucket/birds.rec``.
    options : mapping, optional
        Handed to the file system.
    """

    view: memoryview | None = None

    def __init__(self, url: str, options: Mapping[str, Any] | None) -> None:
        self.name: Path | str = url
        self._url = url
        self._options = dict(options or {})
        with self._journey(url):
            system, path = self._system(url)
            facts = system.info(path)
        if not isinstance(facts.get("size"), int) or facts.get("type") == "directory":
            message = "the server does not tell the size of the file"
            raise RecordError(message, path=url, cause="it is a folder, or made on the fly", cure=_DOWNLOAD)
        if facts.get("partial") is False:
            raise RecordError(_NO_RANGES, path=url, cure=_DOWNLOAD)
        self.size = int(facts["size"])
        self.stamp: tuple[object, ...] = (self.size, *(str(facts[key]) for key in _STAMPS if key in facts))

    @property
    def far(self) -> Far:
        """Return itself."""
        return self

    def read(self, offset: int, length: int) -> memoryview:
        """Return one range."""
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return several ranges, fetched side by side where the file system can."""
        with self._journey(self._url):
            system, path = self._system(self._url)
            starts = [offset for offset, _ in ranges]
            ends = [offset + length for offset, length in ranges]
            found = system.cat_ranges([path] * len(ranges), starts, ends, on_error="raise")
        for data, (_, length) in zip(found, ranges, strict=True):
            if len(data) != length:
                cause = _NO_RANGES if len(data) > length else "the file changed, or the connection broke off"
                message = f"{len(data)} bytes came where {length} were asked for"
                raise RecordError(message, path=self._url, cause=cause, cure=_DOWNLOAD)
        return [memoryview(data) for data in found]

    def origin(self) -> Path | str:
        """Return the URL."""
        return self._url

    def index(self, wanted: str | os.PathLike[str] | None) -> tuple[Path | str, bytes] | None:
        """Return the index that is wanted, or the one beside the file; a signed URL has none that can be guessed."""
        if wanted is None:
            stem, dot, suffix = self._url.rpartition(".")
            url = f"{stem}.idx" if dot and suffix == "rec" else None
        else:
            url = os.fspath(wanted)
        if url is None:
            return None
        try:
            with self._journey(url):
                system, path = self._system(url)
                return url, bytes(system.cat_file(path))
        except RecordError as error:
            if wanted is None and isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def close(self) -> None:
        """Leave connections to fsspec, which shares them."""

    def _system(self, url: str) -> tuple[Any, str]:
        # Asked for each time, since a file system must not outlive a fork; fsspec remembers it.
        core = import_module("fsspec.core")
        found: tuple[Any, str] = core.url_to_fs(url, **(self._options if "://" in url else {}))
        return found

    @contextlib.contextmanager
    def _journey(self, url: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise RecordError("the file is missing", path=url, cure="check the URL") from error
        except ImportError as error:
            raise MissingDependencyError(
                "a package for this kind of URL is not installed", path=url, cause=str(error), cure=_extra(url)
            ) from error
        except Exception as error:  # each file system has errors of its own
            cause = f"{type(error).__name__}: {error}"
            cure = "check the URL, the rights and the network"
            raise RecordError("the file cannot be read", path=url, cause=cause, cure=cure) from error


def _extra(url: str) -> str:
    package = {"s3": " s3fs", "gs": " gcsfs", "gcs": " gcsfs", "http": " aiohttp", "https": " aiohttp"}
    return f"pip install 'birdsod[remote]'{package.get(url.partition('://')[0], '')}"
