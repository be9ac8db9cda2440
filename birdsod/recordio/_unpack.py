"""A record file to image files and a list."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdsod import _progress
from birdsod.errors import ImageError, RecordError
from birdsod.recordio._reader import RecordReader
from birdsod.recordio._record import record_head
from birdsod.recordio._staging import Staging, writing

if TYPE_CHECKING:
    from birdsod.recordio._record import Record
    from birdsod.recordio._sources import Location

__all__ = ["Inexact", "Unpacked", "unpack"]

IMAGES = "images"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_OURS = re.compile(r"[0-9]+(_[0-9]+)?(\.[a-z]+)?")
_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
}
_WHOLE_BELOW = 1 << 24


@dataclass(frozen=True, slots=True)
class Inexact:
    """A record that packing the list again would not give back.

    Parameters
    ----------
    record : int
        Its position.
    reason : str
        What a list cannot say, or why the image cannot be packed.
    """

    record: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was unpacked.

    Parameters
    ----------
    folder : Path
        Root of the paths in the list.
    lst : Path
        The list.
    records : int
        How many images there are.
    inexact : tuple of Inexact
        Records that packing the list again would not give back; as a rule none.
    """

    folder: Path
    lst: Path
    records: int
    inexact: tuple[Inexact, ...] = ()


def unpack(rec: RecordReader | Location, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Unpacked:
    r"""Write the images of a record file as files, and a ``.lst`` that names them with their labels.

    Images are ``images/ID.jpg`` (or what they are by their first bytes), ``images/ID_2.jpg`` where an id comes
    again. ``pack_list(lst, root=folder, pass_through=True)`` then writes the same ``.rec`` and ``.idx`` again, as
    long as ``inexact`` is empty and the file was framed and indexed as birdsod and im2rec do it. Labels that are
    not finite are packed again by ``im2rec`` with ``lenient=True`` only.

    Parameters
    ----------
    rec : RecordReader, path-like or binary file
        The records.
    folder : path-like
        It appears whole or not at all.
    overwrite : bool, default False
        Whether a folder that was unpacked before may be replaced; one that holds anything else never is.

    Returns
    -------
    Unpacked

    Raises
    ------
    RecordError
        If the file is missing or malformed, the folder exists already, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from birdsod import image
    >>> from birdsod.recordio import RecordWriter
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "birds.rec"
    >>> with RecordWriter(file) as writer:
    ...     photo = image.encode(np.zeros((6, 8, 3), np.uint8))
    ...     writer.write_record(17, [2, 5, 3, 0.25, 0.25, 0.5, 0.75], photo)
    >>> unpack(file, Path(folder.name) / "birds").lst.read_text()
    '17\t2\t5\t3\t0.25\t0.25\t0.5\t0.75\timages/17.jpg\n'
    >>> folder.cleanup()
    """
    target = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links
    _refuse(target, overwrite=overwrite)
    with contextlib.ExitStack() as held:
        reader = rec if isinstance(rec, RecordReader) else held.enter_context(RecordReader(rec))
        name = f"{_stem(str(reader.path))}.lst"
        staging = held.enter_context(Staging(target.parent))
        held.enter_context(writing(target))
        made = staging.folder / target.name
        inexact = _fill(reader, made, name)
        staging.publish([target.name], overwrite=overwrite)
    return Unpacked(target, target / name, len(reader), inexact)


def _fill(reader: RecordReader, folder: Path, name: str) -> tuple[Inexact, ...]:
    (folder / IMAGES).mkdir(parents=True)
    inexact: list[Inexact] = []
    again: dict[int, int] = {}
    keys = dict(enumerate(reader.keys.tolist())) if reader.indexed else {}
    strange = _strange_places(reader)
    bar = _progress.bar(reader, total=len(reader), description=f"unpacking {name}")
    with (folder / name).open("w", encoding="utf-8", newline="\n") as lst:
        for position, record in enumerate(bar):
            cells = _cells(record)
            path = _write_image(folder / IMAGES, record, again)
            lst.write("\t".join([str(record.header.id), *cells, f"{IMAGES}/{path}"]) + "\n")
            reason = strange.get(position) or _difference(record, cells, keys.get(position, record.header.id))
            if reason is not None:
                inexact.append(Inexact(position, reason))
    if hasattr(os, "sync"):
        # Once for all of them: flushing one file after the other takes most of the time.
        os.sync()
    return tuple(inexact)


def _write_image(folder: Path, record: Record, again: dict[int, int]) -> str:
    """Write the image under a name that is free, and return the name."""
    from birdsod import image

    key = record.header.id
    extension = _EXTENSIONS.get(image.sniff(record.image) or "", "")
    number = again.get(key, 1)
    while True:
        name = f"{key}{extension}" if number == 1 else f"{key}_{number}{extension}"
        try:
            with open(folder / name, "xb") as stream:  # noqa: PTH123 - a third of the time of Path.open
                stream.write(record.image)
        except FileExistsError:
            number += 1
            again[key] = number
        else:
            return name


def _cells(record: Record) -> list[str]:
    """Return the label as the cells of a row."""
    return [_cell(number) for number in np.atleast_1d(np.asarray(record.label, dtype=np.float32))]


def _cell(number: np.float32) -> str:
    """Return the shortest text that gives the same number again."""
    value = float(number)
    if value.is_integer() and abs(value) < _WHOLE_BELOW and not (value == 0 and np.signbit(number)):
        return str(int(value))
    text = str(number)
    return text if np.float32(float(text)) == number else repr(value)


def _strange_places(reader: RecordReader) -> dict[int, str]:
    """Return the records that do not stand in the order of the index."""
    backwards = np.flatnonzero(np.diff(reader.offsets) < 0) + 1
    return dict.fromkeys(backwards.tolist(), "the index names it in another order than the file")


def _difference(record: Record, cells: list[str], key: int) -> str | None:
    """Return what keeps the row from giving the record again."""
    if key != record.header.id:
        return f"its key in the index is {key}, its id {record.header.id}"
    if record.header.id2:
        return f"a list has no second id, such as {record.header.id2}"
    stored = struct.pack("<IfQQ", *record.header)
    if isinstance(record.label, np.ndarray):
        stored += record.label.tobytes()
    elif np.isnan(record.label):
        return "its label is not a number"
    numbers = np.array([float(cell) for cell in cells]).astype(np.float32)
    head = record_head(key, numbers if numbers.size > 1 else numbers[0])
    if head != stored:
        return "a list cannot hold its label as it is stored"
    return _refusal(record.image)


def _refusal(data: bytes) -> str | None:
    """Return why the image would not be packed."""
    from birdsod import image

    try:
        size = image.read_size(data)
        if image.is_truncated(data):
            return "the image breaks off"
    except ImageError as error:
        return str(error)
    return "the image has too many pixels" if size.width * size.height > image.MAX_PIXELS else None


def _stem(name: str) -> str:
    """Return a name for the list that any system takes."""
    last = re.split(r"[/\\]", name.partition("?")[0])[-1].removesuffix(".rec")
    return _UNSAFE.sub("_", last).strip(".") or "records"


def _refuse(target: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise RecordError("the folder exists already", path=target, cure="pass overwrite=True, or choose another name")
    if target.is_symlink() or not target.is_dir() or not _is_ours(target):
        message = "it holds something that was not unpacked, so it is not replaced"
        raise RecordError(message, path=target, cure="choose another folder")


def _is_ours(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        found = list(entries)
    lists = [entry for entry in found if entry.name.endswith(".lst") and entry.is_file(follow_symlinks=False)]
    images = [entry for entry in found if entry.name == IMAGES and entry.is_dir(follow_symlinks=False)]
    if not found:
        return True
    if len(lists) != 1 or len(images) != 1 or len(found) != 2:  # noqa: PLR2004 - these two
        return False
    with os.scandir(images[0].path) as entries:
        return all(_OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False) for entry in entries)
