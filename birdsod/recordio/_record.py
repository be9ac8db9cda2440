"""What a record holds: a header, a label and an image file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from birdsod.errors import RecordError
from birdsod.recordio._faults import Fault, FaultError
from birdsod.recordio._framing import LONGEST, MAGIC
from birdsod.recordio._label import DetectionLabel, detection_label

if TYPE_CHECKING:
    import mmap

    from numpy.typing import ArrayLike

    from birdsod.recordio._framing import Payload

__all__ = ["Label", "Record", "RecordHeader", "parse_record", "record_head", "whole_record"]

_HEADER = struct.Struct("<IfQQ")
_FRAME_AND_HEADER = struct.Struct("<IIIfQQ")
_FRAME_SIZE = _FRAME_AND_HEADER.size - _HEADER.size
_FLOAT = np.dtype("<f4")
_ID_LIMIT = 1 << 64

Label: TypeAlias = float | NDArray[np.float32]
"""One number, or the numbers of a detection label."""


class RecordHeader(NamedTuple):
    """The 24 bytes before label and image.

    Parameters
    ----------
    flag : int
        How many label numbers follow; 0 where the label is the one number in the header.
    label : float
        That number; 0 where ``flag`` is not.
    id : int
        Id of the image.
    id2 : int
        A second id, 0 unless another tool set it.
    """

    flag: int
    label: float
    id: int
    id2: int


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """An image with its label, as one entry of a record file.

    Two records are equal if their bytes are.

    Parameters
    ----------
    header : RecordHeader
        Ids, and how many numbers the label has.
    label : float or float32 array of shape (n,)
        One number, or ``header.flag`` numbers; read-only.
    image : bytes
        An image file, as a rule a JPEG or PNG.

    Examples
    --------
    >>> record = parse_record(record_head(7, [2, 5, 3, 0.25, 0.25, 0.5, 0.75]) + b"an image")
    >>> record.header.id, record.boxes.class_ids.tolist(), record.boxes.boxes.tolist(), record.image
    (7, [3], [[0.25, 0.25, 0.5, 0.75]], b'an image')
    """

    header: RecordHeader
    label: Label
    image: bytes

    @property
    def boxes(self) -> DetectionLabel:
        """The label as classes and boxes.

        Raises
        ------
        RecordError
            If it is no detection label.
        """
        return detection_label(self.label, record_id=self.header.id)

    @property
    def payload(self) -> bytes:
        """The bytes of the record."""
        return record_head(self.header.id, self.label, id2=self.header.id2) + self.image

    def __eq__(self, other: object) -> bool:
        return self.payload == other.payload if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.payload)


def record_head(key: int, label: ArrayLike, *, id2: int = 0) -> bytes:
    """Return header and label of a record, a multiple of four bytes; the image follows them."""
    numbers = np.asarray(label, dtype=_FLOAT)
    if not (0 <= key < _ID_LIMIT and 0 <= id2 < _ID_LIMIT):
        wrong = id2 if 0 <= key < _ID_LIMIT else key
        raise RecordError("the id does not fit into a record", value=wrong, cure="choose 0 to 2**64 - 1")
    if numbers.ndim == 0:
        return _HEADER.pack(0, float(numbers), key, id2)
    return _HEADER.pack(numbers.size, 0.0, key, id2) + numbers.tobytes()


def parse_record(payload: Payload) -> Record:
    """Return the record that a payload holds."""
    if len(payload) < _HEADER.size:
        raise FaultError(Fault.SHORT, 0, f"{len(payload)} of {_HEADER.size} bytes")
    header = RecordHeader._make(_HEADER.unpack_from(payload))
    if not header.flag:
        return Record(header, header.label, bytes(payload[_HEADER.size :]))
    start = _HEADER.size + 4 * header.flag
    if start > len(payload):
        raise FaultError(Fault.LABEL, 0, f"{header.flag} numbers in {len(payload)} bytes")
    # Through bytes: an array on the mapped file would keep it open.
    label = np.frombuffer(bytes(payload[_HEADER.size : start]), _FLOAT)
    return Record(header, label, bytes(payload[start:]))


def whole_record(data: bytes | mmap.mmap, offset: int) -> Record | None:
    """Return the record at an offset in one step, or None: it is split, or something is wrong with it.

    What it returns is what reading the frame and parsing the payload would; it takes a third of their time.
    """
    try:
        magic, length, flag, number, key, second = _FRAME_AND_HEADER.unpack_from(data, offset)
    except struct.error:
        return None
    begin = offset + _FRAME_AND_HEADER.size
    start = begin + 4 * flag
    stop = offset + _FRAME_SIZE + length
    # A longer length is one with the flag of a split record.
    if magic != MAGIC or length > LONGEST or start > stop or stop + (-length & 3) > len(data):
        return None
    # Slices are copies: an array on the mapped file would keep it open.
    label = np.frombuffer(data[begin:start], _FLOAT) if flag else number
    return Record(RecordHeader(flag, number, key, second), label, data[start:stop])
