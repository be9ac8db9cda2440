"""What is done to an image before it goes into a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from birdsod.errors import RecordError

__all__ = ["OnError", "PackOptions", "check_jobs", "check_on_error"]

OnError: TypeAlias = Literal["raise", "skip", "collect"]
"""What to do with an image that cannot be packed."""

_ENCODINGS = (".jpg", ".jpeg", ".png")
_COLORS = (-1, 0, 1)
_BEST_QUALITY = 100


@dataclass(frozen=True, slots=True)
class PackOptions:
    """How images are packed; the defaults are im2rec's.

    Parameters
    ----------
    resize : int, optional
        Pixels of the shorter edge; by default images keep their size.
    quality : int, default 95
        JPEG quality from 0 to 100, or PNG compression, of which everything above 9 is 9.
    encoding : {".jpg", ".png"}, default ".jpg"
        Format of the images in the records.
    center_crop : bool, default False
        Keep the square of the shorter edge, before resizing.
    pass_through : bool, default False
        Pack the files' bytes untouched.
    color : {1, 0, -1}, default 1
        Colour, grey, or as stored (then EXIF orientation is not applied).

    Raises
    ------
    RecordError
        If an option is out of range or contradicts another.
    """

    resize: int | None = None
    quality: int = 95
    encoding: str = ".jpg"
    center_crop: bool = False
    pass_through: bool = False
    color: int = 1

    def __post_init__(self) -> None:
        if self.resize is not None and self.resize < 1:
            raise RecordError("resize is not positive", value=self.resize, cure="give the shorter edge in pixels")
        if not 0 <= self.quality <= _BEST_QUALITY:
            raise RecordError("quality out of range", value=self.quality, cure="choose 0 to 100")
        if self.encoding not in _ENCODINGS:
            raise RecordError("unknown encoding", value=self.encoding, cure='choose ".jpg" or ".png"')
        if self.color not in _COLORS:
            raise RecordError("unknown color", value=self.color, cure="choose 1 (colour), 0 (grey) or -1 (as stored)")
        if self.pass_through and (self.resize is not None or self.center_crop):
            message = "files that pass through untouched cannot be resized or cropped"
            raise RecordError(message, cure="leave out pass_through, or resize and center_crop")


def check_on_error(on_error: str) -> None:
    """Refuse an unknown way to treat errors."""
    if on_error not in {"raise", "skip", "collect"}:
        raise RecordError("unknown way to treat errors", value=on_error, cure='choose "raise", "skip" or "collect"')


def check_jobs(jobs: int) -> None:
    """Refuse a number of jobs that is none."""
    if jobs < 1:
        raise RecordError("jobs is not positive", value=jobs, cure="choose 1, or the number of cores")
