"""The ways in which a record file can be malformed, each with its likely cause and cure."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from birdsod.errors import RecordError

if TYPE_CHECKING:
    import os

__all__ = ["Fault", "FaultError"]

_CUT_SHORT = "a copy, download or writer that was cut short"
_DAMAGED = "the file is damaged, or is no record file"
_AGAIN = "get the file again, or pack it again"


class _Text(NamedTuple):
    message: str
    cause: str
    cure: str


class Fault(enum.Enum):
    """One member for each way to be malformed."""

    MAGIC = _Text("no record begins there, the magic number is missing", _DAMAGED, _AGAIN)
    HEADER = _Text("the file ends within the header of a frame", _CUT_SHORT, _AGAIN)
    PAYLOAD = _Text("the file ends within a record", _CUT_SHORT, _AGAIN)
    CONTINUATION = _Text("the continuation flag is none of 0, 1, 2, 3", _DAMAGED, _AGAIN)
    BEGINNING = _Text(
        "a later part of a split record stands where a record should begin",
        "the first part was lost, or the index points into a record",
        "pack it again, or open it without its .idx",
    )
    UNFINISHED = _Text("a split record ends without its last part", _CUT_SHORT, _AGAIN)
    SHORT = _Text("the record is shorter than a record header", "it was not packed as an image", "read its payload")
    LABEL = _Text("the label is longer than the record", "it was not packed as an image", "read its payload")


class FaultError(Exception):
    """A fault at a byte of some buffer; :meth:`located` makes it the error that users see."""

    def __init__(self, fault: Fault, offset: int, value: object = None) -> None:
        super().__init__(fault.value.message)
        self.fault = fault
        self.offset = offset
        self.value = value

    def located(self, path: str | os.PathLike[str] | None, record: int | None) -> RecordError:
        """Return the error with its file and record."""
        text = self.fault.value
        message = f"at byte {self.offset}: {text.message}"
        return RecordError(message, path=path, record=record, value=self.value, cause=text.cause, cure=text.cure)
