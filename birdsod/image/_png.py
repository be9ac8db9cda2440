"""PNG parts: how many bits a sample has, and the parts that say how colours are meant."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["has_16_bits", "with_colours_of"]

_SIGNATURE = 8
_HEADER_END = _SIGNATURE + 12 + 13
_BIT_DEPTH = 24
_COLOURS = frozenset({b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP"})


def has_16_bits(data: bytes) -> bool:
    """Tell whether a PNG holds 16 bits a sample."""
    return data[_BIT_DEPTH : _BIT_DEPTH + 1] == b"\x10"


def with_colours_of(source: bytes, target: bytes) -> bytes:
    """Return the target with the colour parts of the source, which belong before the pixels."""
    before_pixels = itertools.takewhile(lambda part: part[4:8] != b"IDAT", _parts(source))
    colours = b"".join(part for part in before_pixels if part[4:8] in _COLOURS)
    return target[:_HEADER_END] + colours + target[_HEADER_END:]


def _parts(data: bytes) -> Iterator[bytes]:
    start = _SIGNATURE
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        yield data[start:end]
        start = end
