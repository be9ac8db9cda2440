"""What im2rec packs although it is broken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from birdsod.errors import BirdsodError, ImageError
from birdsod.recordio._framing import LONGEST
from birdsod.recordio._image_work import COLORS, Made, Task, make

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from birdsod.recordio._image_work import Answer
    from birdsod.recordio._options import PackOptions

__all__ = ["make_as_im2rec"]

_MOST_PIXELS = 1 << 30


def make_as_im2rec(task: Task, options: PackOptions) -> Answer:
    """Return the image as im2rec packs it, or why im2rec packs none.

    Files that break off are decoded as far as they go, other kinds as OpenCV reads them, and files that pass
    through are not looked at.
    """
    try:
        answer = make(task, options)
    except BirdsodError as error:
        answer = ImageError(error.message, path=error.path, cause=error.cause, cure=error.cure)
    if isinstance(answer, Made):
        return answer
    try:
        return _made(task, options) or answer
    except Exception:  # noqa: BLE001 - im2rec goes on whatever happens to one image; the first reason is the one to tell
        return answer


def _made(task: Task, options: PackOptions) -> Made | None:
    from birdsod import image

    path = Path(task.path)
    # A pipe would be waited for without end.
    if not path.is_file() or path.stat().st_size > LONGEST:
        return None
    data = path.read_bytes()
    if options.pass_through:
        return Made(task, data, task.label)
    pixels = _decode(data, options.color)
    if pixels is None:
        return None
    if options.center_crop:
        pixels = image.center_crop(pixels)
    if options.resize is not None:
        pixels = image.resize_shorter(pixels, options.resize)
    coded = image.encode(pixels, encoding=options.encoding, quality=options.quality)
    return Made(task, coded, task.label)


def _decode(data: bytes, color: int) -> NDArray[Any] | None:
    import cv2
    import numpy as np

    from birdsod import image

    try:
        name = cast("Literal['bgr', 'gray']", COLORS[color])
        return image.decode(data, color=name, max_pixels=_MOST_PIXELS)
    except ImageError:
        return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), color)
