"""A directive that writes a small record file and explains each of its bytes, so that the manual shows real ones."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from docutils import nodes
from docutils.parsers.rst import Directive

from birdsod.recordio import MAGIC, RecordReader, RecordWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

_WIDTH = 8
_LABEL = ("2: width of the header", "5: width of an object", "class", "xmin", "ymin", "xmax", "ymax")
_PARTS = ("a whole record", "the first part of a record", "a middle part", "the last part")
_FIRST = 1
_PRINTED = range(32, 127)


@dataclass(frozen=True)
class Field:
    """Some bytes of the file, and what they mean."""

    offset: int
    data: bytes
    meaning: str


def example() -> bytes:
    """Return a file of two records: one with a box, and one that holds the magic number."""
    label = (2.0, 5.0, 3.0, 0.25, 0.125, 0.75, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.rec"
        with RecordWriter(path) as writer:
            writer.write_record(17, label, b"\xff\xd8...\xff\xd9")
            writer.write_record(18, 1.0, b"this" + MAGIC.to_bytes(4, "little") + b"that")
        with RecordReader(path) as records:
            read = [(record.header.id, np.ravel(record.label).tolist()) for record in records]
        # What is explained is what a reader sees.
        if read != [(17, [*label]), (18, [1.0])]:
            raise ValueError(f"the example is read as {read}")
        return path.read_bytes()


def fields(data: bytes) -> Iterator[Field]:
    """Explain a whole file."""
    offset = 0
    while offset < len(data):
        yield Field(offset, data[offset : offset + 4], "the magic number")
        word = int.from_bytes(data[offset + 4 : offset + 8], "little")
        part, length = word >> 29, word & (1 << 29) - 1
        yield Field(offset + 4, data[offset + 4 : offset + 8], f"{_PARTS[part]}, {length} bytes")
        start, end = offset + 8, offset + 8 + length
        yield from _payload(data[start:end], start) if part <= _FIRST else _rest(data[start:end], start)
        offset = end + -length % 4
        if offset > end:
            yield Field(end, data[end:offset], "zeros up to a multiple of 4")


def _payload(payload: bytes, start: int) -> Iterator[Field]:
    flag, label, image_id, second = struct.unpack_from("<IfQQ", payload)
    meanings = (
        f"flag: {flag} label numbers follow" if flag else "flag: the label is one number, the next",
        "no label here" if flag else f"the label: {label:g}",
        f"id: {image_id}",
        f"second id: {second}",
    )
    place = 0
    for size, meaning in zip((4, 4, 8, 8), meanings, strict=True):
        yield Field(start + place, payload[place : place + size], meaning)
        place += size
    for name, (value,) in zip(_LABEL, struct.iter_unpack("<f", payload[place : place + 4 * flag]), strict=False):
        told = name if ":" in name else f"{name}: {value:g}"
        yield Field(start + place, payload[place : place + 4], told)
        place += 4
    yield from _rest(payload[place:], start + place)


def _rest(data: bytes, start: int) -> Iterator[Field]:
    for place in range(0, len(data), _WIDTH):
        row = data[place : place + _WIDTH]
        shown = "".join(chr(byte) if byte in _PRINTED else "\N{MIDDLE DOT}" for byte in row)
        yield Field(start + place, row, f"the image file: {shown}")


def dump(data: bytes) -> str:
    """Return the explained file as text, a field a line."""
    rows = (f"{field.offset:6d}  {field.data.hex(' '):<{3 * _WIDTH}} {field.meaning}" for field in fields(data))
    return "\n".join(rows)


class RecordDump(Directive):
    """``{record-dump}``: the example file, written while the manual is built."""

    def run(self) -> list[nodes.Node]:
        """Return the dump as a literal block."""
        text = dump(example())
        block = nodes.literal_block(text, text)
        block["language"] = "text"
        return [block]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("record-dump", RecordDump)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
