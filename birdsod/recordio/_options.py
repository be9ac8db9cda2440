"""What is done to an image before it goes into a record."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Literal, SupportsIndex, TypeAlias

from birdsod.errors import RecordError

__all__ = ["OnError", "PackOptions", "check_jobs", "check_on_error", "whole_number"]

OnError: TypeAlias = Literal["raise", "skip", "collect"]
"""What to do with an image that cannot be packed."""

_ENCODINGS = (".jpg", ".jpeg", ".png")
_COLORS = (-1, 0, 1)
_BEST_QUALITY = 100
# JPEG has no room for more.
_LONGEST_EDGE = 65_500


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
        if self.resize is not None:
            object.__setattr__(self, "resize", _edge(self.resize))
        object.__setattr__(self, "quality", whole_number("quality", self.quality, valid="0 to 100"))
        object.__setattr__(self, "color", whole_number("color", self.color, valid="1, 0 or -1"))
        if not 0 <= self.quality <= _BEST_QUALITY:
            raise RecordError("quality out of range", value=self.quality, cure="choose 0 to 100")
        if self.encoding not in _ENCODINGS:
            raise RecordError("unknown encoding", value=self.encoding, cure='choose ".jpg" or ".png"')
        if self.color not in _COLORS:
            raise RecordError("unknown color", value=self.color, cure="choose 1 (colour), 0 (grey) or -1 (as stored)")
        if self.pass_through and (self.resize is not None or self.center_crop):
            message = "files that pass through untouched cannot be resized or cropped"
            raise RecordError(message, cure="leave out pass_through, or resize and center_crop")


def whole_number(name: str, value: SupportsIndex, *, valid: str) -> int:
    """Return a whole number as Python's own; refuse everything else, and what is true or false."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        # As a text, since an error shows no None.
        raise RecordError(f"{name} is not a whole number", value=repr(value), cure=f"choose {valid}")
    return number


def _edge(resize: SupportsIndex) -> int:
    edge = whole_number("resize", resize, valid="the shorter edge, 1 to 65500 pixels")
    if edge < 1:
        raise RecordError("resize is not positive", value=edge, cure="give the shorter edge in pixels")
    if edge > _LONGEST_EDGE:
        raise RecordError("resize is out of range", value=edge, cure="choose 1 to 65500 pixels")
    return edge


def check_on_error(on_error: str) -> None:
    """Refuse an unknown way to treat errors."""
    if on_error not in {"raise", "skip", "collect"}:
        raise RecordError("unknown way to treat errors", value=on_error, cure='choose "raise", "skip" or "collect"')


def check_jobs(jobs: int | None) -> None:
    """Refuse a number of jobs that is none."""
    if jobs is not None and whole_number("jobs", jobs, valid="1, or the number of cores") < 1:
        raise RecordError("jobs is not positive", value=jobs, cure="choose 1, or the number of cores")
