"""Lists of the images of a folder, as ``im2rec --list`` makes them."""

from __future__ import annotations

import math
import os
import random
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from birdsod import _files, _progress
from birdsod.errors import DatasetError
from birdsod.recordio._image_folders import Search
from birdsod.recordio._losses import Losses, warn
from birdsod.recordio._staging import Staging, refuse_existing, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tqdm.std import tqdm

__all__ = ["EXTENSIONS", "MadeLists", "make_lists"]

EXTENSIONS = (".jpeg", ".jpg", ".png")
_SEED = 100
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class MadeLists:
    """What :func:`make_lists` made.

    Parameters
    ----------
    lists : tuple of Path
        The ``.lst`` files.
    images : int
        Images that were found; each is in one of the lists, unless a lenient call lost it.
    folders : tuple of str
        The folders that hold images, relative to the root; each one's place is the label of its images. One
        entry, ``"."``, unless the search was recursive.
    """

    lists: tuple[Path, ...]
    images: int
    folders: tuple[str, ...]


def make_lists(  # noqa: PLR0913 - the options that im2rec's users know, all of them named
    prefix: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    exts: Sequence[str] = EXTENSIONS,
    chunks: int = 1,
    train_ratio: float = 1.0,
    test_ratio: float = 0.0,
    recursive: bool = False,
    shuffle: bool = True,
    lenient: bool = False,
    on_remark: Callable[[str], object] | None = None,
) -> MadeLists:
    """List the images of a folder with the bytes of ``im2rec --list``.

    All lists appear together, and replace those of a previous time. Where im2rec would leave out an image
    without a word, this raises before anything is written.

    Parameters
    ----------
    prefix : path-like
        Beginning of the lists' paths: ``data/birds`` makes ``data/birds.lst``, or ``data/birds_train.lst`` and
        ``data/birds_val.lst``, with ``_0``, ``_1``, ... before it where there are several chunks.
    root : path-like
        The image folder; the lists' paths are relative to it.
    exts : sequence of str, default (".jpeg", ".jpg", ".png")
        Endings of image files in small letters; files may have them in capital letters.
    chunks : int, default 1
        How many sets of lists to make.
    train_ratio, test_ratio : float, default 1 and 0
        Shares of the images that go into ``_train`` and ``_test``; the rest goes into ``_val``. With a
        ``train_ratio`` of 1 there is one list.
    recursive : bool, default False
        Search the folders in the folder too, links to folders included, and give the images of each folder a
        label of their own; else all have label 0.
    shuffle : bool, default True
        Put the images in an order that looks random and is always the same.
    lenient : bool, default False
        Do as im2rec does and only tell what is lost.
    on_remark : callable, optional
        Called with a line for each surprise, and for each loss that is passed over; by default they are warnings.

    Returns
    -------
    MadeLists

    Raises
    ------
    DatasetError
        If a folder or image cannot be read, none is found, or ratios or endings would leave images out.
    ListError
        If a list cannot hold a path.
    RecordError
        If a list cannot be written.

    Source
    ------
    ``tools/im2rec.py`` of MXNet 1.9.1.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> photos = Path(folder.name)
    >>> for name in ("jay.jpg", "owl.PNG", "wren.jpg"):
    ...     _ = (photos / name).write_bytes(b"")
    >>> made = make_lists(photos / "birds", photos, train_ratio=0.7)
    >>> [path.name for path in made.lists], made.images
    (['birds_train.lst', 'birds_val.lst'], 3)
    >>> made.lists[0].read_text().splitlines()[0].split()
    ['2', '0.000000', 'wren.jpg']
    >>> folder.cleanup()
    """
    losses = Losses(lenient, on_remark or warn)
    prefix, root = os.path.abspath(prefix), os.path.abspath(root)  # noqa: PTH100 - as im2rec; resolve() follows links
    _check(exts, chunks, train_ratio, test_ratio, losses)
    found = _find(Search(root, tuple(exts), losses), recursive=recursive)
    if os.path.isdir(prefix):  # noqa: PTH112 - a text until here
        losses.say(f"{prefix} is a folder: packing with this prefix takes the lists in it, not these beside it")
    order = array("Q", range(len(found.ends)))
    if shuffle:
        random.Random(_SEED).shuffle(order)  # noqa: S311 - im2rec's order, no secret
    parts = _parts(len(order), chunks, train_ratio, test_ratio, losses)
    paths = _write(parts, order, found, Path(prefix))
    for path, part in zip(paths, parts, strict=True):
        if not part.places:
            losses.say(f"{path} is empty")
    return MadeLists(paths, len(order), tuple(found.folders))


class _Part(NamedTuple):
    """A list: what its name ends with, and which places of the order it holds."""

    ending: str
    places: range


@dataclass(frozen=True, slots=True)
class _Found:
    """Paths and labels of images, packed tightly: a list of texts would take several times the memory."""

    names: bytearray
    ends: array[int]
    labels: array[int]
    folders: list[str]

    def row(self, index: int) -> bytes:
        start = self.ends[index - 1] if index else 0
        name = self.names[start : self.ends[index]]
        return b"%d\t%f\t%s\n" % (index, self.labels[index], name)


def _check(exts: Sequence[str], chunks: int, train: float, test: float, losses: Losses) -> None:
    if chunks < 1:
        raise DatasetError("chunks is not positive", value=chunks, cure="choose 1, or how many lists to make")
    if not math.isfinite(train + test):
        raise DatasetError("a ratio is not finite", value=(train, test), cure="choose 0 to 1")
    for extension in exts:
        if os.path.splitext(f"a{extension}")[1].lower() != extension:  # noqa: PTH122 - exactly what is done to names
            message = "no file is found by this ending, which is compared with its dot and in small letters"
            cure = f"write .{extension.lower().rpartition('.')[2]}"
            losses.lose(DatasetError(message, value=extension, cure=cure))
    if min(train, test) < 0 or train + test > 1 + _ROUNDING:
        message = "the ratios of training and test leave no sense: each is 0 to 1, and so is their sum"
        cure = "give both, such as a train ratio of 0.8 and a test ratio of 0.1"
        losses.lose(DatasetError(message, value=(train, test), cure=cure))


def _find(search: Search, *, recursive: bool) -> _Found:
    found = _Found(bytearray(), array("Q"), array("L"), [])
    progress: tqdm[str]
    with _progress.bar(description="listing") as progress:
        for folder, names in search.folders(recursive=recursive):
            for name in names:
                found.names.extend(name.encode())
                found.ends.append(len(found.names))
                found.labels.append(len(found.folders))
            found.folders.append(folder)
            progress.update(len(names))
    _tell(search, found)
    return found


def _tell(search: Search, found: _Found) -> None:
    told = ", ".join(f"{count} {ending}" for ending, count in sorted(search.passed.items()))
    if not found.ends:
        cause = f"other endings: {told}" if told else "an empty folder, or images in folders of it"
        cure = "name the endings (exts, --exts), or search recursively (recursive, --recursive)"
        message = "no image is found in the folder"
        search.losses.lose(DatasetError(message, path=search.root, value=search.extensions, cause=cause, cure=cure))
    elif told and search.extensions == EXTENSIONS:
        search.losses.say(f"{search.root}: images with other endings are left out: {told}")


def _parts(count: int, chunks: int, train: float, test: float, losses: Losses) -> list[_Part]:
    size = -(-count // chunks)
    parts = [
        _Part(f"_{number}{ending}" if chunks > 1 else ending, places)
        for number in range(chunks)
        for ending, places in _shares(range(count)[number * size : (number + 1) * size], size, train, test)
    ]
    lost = count - sum(len(part.places) for part in parts)
    if lost > 0:
        message = f"{lost} of {count} images would be in no list"
        cause = "the ratios add up to 1, and each share is rounded down"
        cure = "make them add up to less, so that a _val list takes the rest"
        losses.lose(DatasetError(message, value=(train, test), cause=cause, cure=cure))
    return parts


def _shares(chunk: range, size: int, train: float, test: float) -> list[_Part]:
    """Return the lists of a chunk; shares are of the size of a full chunk, also for the last one."""
    if train == 1.0:
        return [_Part(".lst", chunk)]
    trained, tested = int(size * train), int(size * test)
    shares = [_Part("_train.lst", chunk[tested : tested + trained])]
    if test:
        shares.append(_Part("_test.lst", chunk[:tested]))
    if train + test < 1.0:
        shares.append(_Part("_val.lst", chunk[tested + trained :]))
    return shares


def _write(parts: Sequence[_Part], order: Sequence[int], found: _Found, prefix: Path) -> tuple[Path, ...]:
    paths = tuple(prefix.with_name(f"{prefix.name}{part.ending}") for part in parts)
    refuse_existing(paths, overwrite=True)
    with Staging(prefix.parent) as staging, writing(prefix.parent):
        for path, part in zip(paths, parts, strict=True):
            with _files.appearing(staging.folder / path.name) as stream:
                stream.writelines(found.row(order[place]) for place in part.places)
        staging.publish([path.name for path in paths], overwrite=True)
    return paths
