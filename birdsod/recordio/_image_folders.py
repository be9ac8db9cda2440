"""The images of a folder, in the order in which im2rec lists them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from birdsod.errors import DatasetError, ListError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.recordio._losses import Losses

__all__ = ["Search"]

_COMMON = frozenset({".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Search:
    """A search for images.

    Parameters
    ----------
    root : str
        The folder; absolute.
    extensions : tuple of str
        Endings of names in small letters, with the dot.
    losses : Losses
        What to do with an image that cannot be listed.
    passed : Counter
        By ending, how many files that look like images were left out for their ending.
    """

    root: str
    extensions: tuple[str, ...]
    losses: Losses
    passed: Counter[str] = field(default_factory=Counter)

    def folders(self, *, recursive: bool) -> Iterator[tuple[str, list[str]]]:
        """Yield each folder that holds images, relative to the root, with the paths of its images."""
        for path, names in self._everywhere() if recursive else self._here():
            folder = os.path.relpath(path, self.root)
            images = [name for name in names if self._is_image(path, name)]
            if images:
                yield (
                    folder,
                    [self._listable(name if folder == os.curdir else f"{folder}{os.sep}{name}") for name in images],
                )

    def _here(self) -> Iterator[tuple[str, list[str]]]:
        try:
            yield self.root, sorted(os.listdir(self.root))  # noqa: PTH208 - names are all that is needed
        except OSError as error:
            raise _unreadable(error) from error

    def _everywhere(self) -> Iterator[tuple[str, list[str]]]:
        def failed(error: OSError) -> None:
            self.losses.lose(_unreadable(error))

        for path, folders, names in os.walk(self.root, followlinks=True, onerror=failed):
            folders.sort()
            if not self.losses.lenient:
                # Leniently, the system ends the circle after some forty turns, as it does for im2rec.
                self._refuse_circles(path, folders)
            yield path, sorted(names)

    def _refuse_circles(self, path: str, folders: list[str]) -> None:
        links = [link for link in (os.path.join(path, name) for name in folders) if os.path.islink(link)]  # noqa: PTH118, PTH114 - called for each folder
        if not links:
            return
        above = {os.path.realpath(self.root)}
        while path != self.root:
            above.add(os.path.realpath(path))
            path = os.path.dirname(path)  # noqa: PTH120 - a text, as os.walk gives it
        for link in links:
            if os.path.realpath(link) in above:
                message = "the link leads back to a folder above it, so its images would be listed again and again"
                raise DatasetError(message, path=link, cure="remove the link")

    def _is_image(self, path: str, name: str) -> bool:
        extension = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a fifth of the time
        if extension not in self.extensions:
            self.passed.update([extension] if extension in _COMMON else [])
            return False
        full = os.path.join(path, name)  # noqa: PTH118 - a fifth of the time
        if os.path.isfile(full):  # noqa: PTH113 - a fifth of the time
            return True
        if not os.path.isdir(full):  # noqa: PTH112 - the same
            message, cause = "what is named like an image is no file", "a link to a file that is missing"
            self.losses.lose(DatasetError(message, path=full, cause=cause, cure="remove the link"))
        return False

    def _listable(self, name: str) -> str:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ListError("the path is not UTF-8", path=self.root, value=name, cure="rename the file") from error
        if name != name.strip() or set(name) & set("\t\n\r"):
            message = "a list cannot hold the path: tabs, line breaks and blanks at its beginning are lost"
            self.losses.lose(ListError(message, path=self.root, value=name, cure="rename the file"))
        return name


def _unreadable(error: OSError) -> DatasetError:
    cure = "check its rights"
    return DatasetError("the folder cannot be read", path=error.filename, cause=error.strerror, cure=cure)
