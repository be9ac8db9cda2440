"""One image on its way into a record: read, checked, cropped, resized, encoded."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from birdsod.errors import ImageError, RecordError
from birdsod.recordio._cropping import CroppedLabel, crop_label
from birdsod.recordio._framing import LONGEST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from birdsod.lstwriter import ClippedBox
    from birdsod.recordio._options import PackOptions
    from birdsod.recordio._values import DroppedBox

__all__ = ["COLORS", "Answer", "Made", "Task", "make"]

_END_OF_JPEG = b"\xff\xd9"
_PIECE = 1 << 20
# As bytes on Windows; and a pipe would be waited for without end.
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)

COLORS = {1: "bgr", 0: "gray", -1: "unchanged"}


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """An image to pack.

    Parameters
    ----------
    image_id : int
        Its id.
    label : float32 array of shape (n,)
        The numbers of its row.
    name : str
        Its path as listed.
    path : str
        Where the file lies.
    size : tuple of int, optional
        Width and height that the file must have.
    follow_crop : bool
        Whether boxes move with a centre crop.
    """

    image_id: int
    label: NDArray[np.float32]
    name: str
    path: str
    size: tuple[int, int] | None = None
    follow_crop: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """An image ready for its record."""

    task: Task
    image: bytes
    label: NDArray[np.float32]
    clipped: tuple[ClippedBox, ...] = ()
    dropped: tuple[DroppedBox, ...] = ()


Answer = Made | ImageError


def make(task: Task, options: PackOptions) -> Answer:
    """Return the image that a task asks for, or why there is none.

    The reason is returned, not raised, so that the others' work is not lost.
    """
    try:
        return _passed(task) if options.pass_through else _encoded(task, options)
    except ImageError as error:
        if error.path is None:
            error.path = task.path
        return error
    except Exception as error:
        message = f"image {task.image_id} cannot be packed"
        cause = f"{type(error).__name__}: {error}"
        cure = "leave the image out, and tell the authors of birdsod"
        raise RecordError(message, path=task.path, cause=cause, cure=cure) from error


def _passed(task: Task) -> Made:
    from birdsod import image

    data = _read(task.path)
    _check_whole(data)
    size = image.read_size(data)
    _check_size(task, size)
    if size.width * size.height > image.MAX_PIXELS:
        message = f"the image has more than {image.MAX_PIXELS:,} pixels, so training could not read it"
        raise ImageError(message, value=tuple(size), cure="make it smaller")
    return Made(task, data, task.label)


def _encoded(task: Task, options: PackOptions) -> Made:
    from birdsod import image

    data = _read(task.path)
    # The names of the colours are those of decode, but a mapping's values are any str to the checker.
    color = cast("Literal['bgr', 'gray']", COLORS[options.color])
    _check_whole(data)
    pixels = image.decode(data, color=color)
    height, width = pixels.shape[:2]
    _check_size(task, (width, height))
    label = CroppedLabel(task.label, (), ())
    if options.center_crop:
        pixels = image.center_crop(pixels)
        if task.follow_crop:
            label = crop_label(task.image_id, task.name, task.label, width=width, height=height)
    if options.resize is not None:
        pixels = image.resize_shorter(pixels, options.resize)
    coded = image.encode(pixels, encoding=options.encoding, quality=options.quality)
    return Made(task, coded, *label)


def _read(path: str) -> bytes:
    try:
        data = _at_most(path, LONGEST + 1)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("the image is missing", path=path, cure="check the path and the image folder") from error
    except OSError as error:
        cure = "check its rights, and the disk"
        raise ImageError("the image cannot be read", path=path, cause=error.strerror, cure=cure) from error
    except ValueError as error:
        cause = "its path holds a character that no path can hold"
        raise ImageError("the image cannot be read", path=path, cause=cause, cure="correct the list") from error
    if len(data) > LONGEST:
        raise ImageError("the image file does not fit into a record, 2^29 bytes", path=path, cure="make it smaller")
    return data


def _at_most(path: str, limit: int) -> bytes:
    """Read up to a limit; asked for it at once, Python would make a buffer of the limit first, ten times the work.

    By number and not as a file object, which takes half as long again.
    """
    number = os.open(path, _READING)
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("the image is no file", cause="a pipe, a device or a folder", cure="correct the path")
        size = status.st_size
        data = os.read(number, min(size + 1, limit))
        if len(data) == size:
            return data
        # Another length than it said: it grows, or comes in pieces.
        while len(data) < limit and (more := os.read(number, min(_PIECE, limit - len(data)))):
            data += more
        return data
    finally:
        os.close(number)


def _check_whole(data: bytes) -> None:
    from birdsod import image

    # Whatever ends like that is whole, or no JPEG; most do, and their headers need not be read for it.
    if not data.endswith(_END_OF_JPEG) and image.is_truncated(data):
        cause = "a copy or download that broke off"
        raise ImageError("the image breaks off, its lower part would be grey", cause=cause, cure="get it again")


def _check_size(task: Task, size: tuple[int, ...]) -> None:
    if task.size is not None and size != task.size:
        width, height = task.size
        message = f"the image is {size[0]} x {size[1]} pixels, but {width} x {height} by the data set"
        raise ImageError(message, cause="the file was replaced after its size was read", cure="load the data set again")
