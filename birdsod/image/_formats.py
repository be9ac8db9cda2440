"""What the header of a JPEG, PNG, WebP, GIF or BMP says: size, orientation and where the pixels begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Header", "HeaderError", "parse", "sniff"]

# Most JPEG headers end within these bytes.
_START = 4096
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
_UPRIGHT = 1
_EXIF = b"Exif\x00\x00"
# Start-of-frame markers; C4, C8 and CC lie among them but define tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FILL, _START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xFF, 0xDA, 0xD9, 0xE1
# Markers that stand alone, without a length: TEM, RST0 to RST7, SOI.
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_OLD_BMP_HEADER = 12
_LEAST_BMP_HEADER = 16


class HeaderError(Exception):
    """The header breaks off or contradicts itself."""


class Header(NamedTuple):
    """Size as stored, before the orientation is applied, and for JPEG where the coded pixels begin."""

    kind: str
    width: int
    height: int
    orientation: int = _UPRIGHT
    scan: int = 0

    @property
    def turned(self) -> bool:
        """Whether the orientation swaps width and height."""
        return self.orientation >= 5  # noqa: PLR2004 - orientations 5 to 8 are the transposed ones


def sniff(data: bytes) -> str | None:
    """Tell the content type of an image by its first bytes.

    Parameters
    ----------
    data : bytes
        The file, or at least its first 12 bytes.

    Returns
    -------
    str or None
        ``"image/jpeg"``, ``"image/png"``, ``"image/webp"``, ``"image/gif"`` or ``"image/bmp"``; None for
        anything else.

    Examples
    --------
    >>> sniff(b"GIF89a............")
    'image/gif'
    >>> sniff(b"<!DOCTYPE html>") is None
    True
    """
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:8] == _PNG:
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:6] in {b"GIF87a", b"GIF89a"}:
        return "image/gif"
    return "image/bmp" if data[:2] == b"BM" else None


def parse(stream: BinaryIO) -> Header | None:
    """Return the header of an image, or None where the bytes are no image of a known kind."""
    start = stream.read(_START)
    kind = sniff(start)
    if kind is None:
        return None
    header = _READERS[kind](start, stream)
    if header.width <= 0 or header.height <= 0:
        message = f"the header gives a size of {header.width} x {header.height}"
        raise HeaderError(message)
    return header


def _take(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise HeaderError("the file ends within its header")
    return data


def _jpeg(data: bytes, stream: BinaryIO) -> Header:
    while True:
        try:
            return _jpeg_header(data)
        except IndexError:
            # Profiles and thumbnails can make a header long.
            more = stream.read(8 * len(data))
            if not more:
                raise HeaderError("the file ends within its header") from None
            data += more


def _jpeg_header(data: bytes) -> Header:
    """Walk the segments up to the pixels; an IndexError says that more bytes are needed."""
    width = height = orientation = 0
    place = 2
    while True:
        marker = data[place + 1]
        if data[place] != _FILL or marker == _FILL:
            # Filling bytes and rubbish between segments are passed over, as libjpeg does it.
            place += 1
        elif marker in _ALONE:
            place += 2
        elif marker == _END_OF_IMAGE:
            raise HeaderError("the file holds no picture")
        else:
            end = place + 2 + (data[place + 2] << 8 | data[place + 3])
            if marker == _START_OF_SCAN:
                return Header("image/jpeg", width, height, orientation or _UPRIGHT, end)
            if marker in _FRAMES:
                height, width = data[place + 5] << 8 | data[place + 6], data[place + 7] << 8 | data[place + 8]
            elif marker == _APP1 and not orientation and data[place + 4 : place + 10] == _EXIF:
                data[end - 1]  # all of it must be there
                orientation = _orientation(data[place + 10 : end])
            place = max(end, place + 4)


def _orientation(exif: bytes) -> int:
    """Return the orientation that the first directory of an EXIF block gives, 1 where it gives none."""
    if exif[:6] == _EXIF:
        exif = exif[6:]
    if exif[:4] == b"II*\x00":
        number = _little
    elif exif[:4] == b"MM\x00*":
        number = _big
    else:
        return _UPRIGHT
    start = number(exif[4:8])
    entries = number(exif[start : start + 2])
    for place in range(start + 2, min(start + 2 + 12 * entries, len(exif) - 9), 12):
        if number(exif[place : place + 2]) == _ORIENTATION:
            value = number(exif[place + 8 : place + 10])
            return value if 1 <= value <= 8 else _UPRIGHT  # noqa: PLR2004 - the eight orientations
    return _UPRIGHT


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _png(_start: bytes, stream: BinaryIO) -> Header:
    stream.seek(8)
    first = _take(stream, 16)
    if first[4:8] != b"IHDR":
        raise HeaderError("the first part is not the header")
    width, height = _big(first[8:12]), _big(first[12:16])
    stream.seek(8 + 12 + _big(first[:4]))
    exif = _find_chunk(stream, b"eXIf", lambda part: (part[4:], _big(part[:4]), 4))
    return Header("image/png", width, height, _orientation(exif))


def _webp(_start: bytes, stream: BinaryIO) -> Header:
    stream.seek(12)
    first = _take(stream, 18)
    kind, body = first[:4], first[8:]
    if kind == b"VP8X":
        width, height = _little(body[4:7]) + 1, _little(body[7:10]) + 1
    elif kind == b"VP8L":
        bits = _little(body[1:5])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = _little(body[6:8]) & 0x3FFF, _little(body[8:10]) & 0x3FFF
    else:
        raise HeaderError("the first part is not the header")
    # Only the extended form may carry EXIF.
    stream.seek(12)
    exif = b""
    if kind == b"VP8X":
        exif = _find_chunk(stream, b"EXIF", lambda part: (part[:4], _little(part[4:]), _little(part[4:]) & 1))
    return Header("image/webp", width, height, _orientation(exif))


def _find_chunk(stream: BinaryIO, wanted: bytes, split: Callable[[bytes], tuple[bytes, int, int]]) -> bytes:
    """Return the body of the first part of a name; ``split`` reads name, length and trailing bytes of a part."""
    while len(part := stream.read(8)) == 8:  # noqa: PLR2004 - PNG and WebP parts begin with name and length
        name, length, trailing = split(part)
        if name == wanted:
            return stream.read(min(length, 1 << 16))
        stream.seek(length + trailing, 1)
    return b""


def _gif(_start: bytes, stream: BinaryIO) -> Header:
    stream.seek(6)
    size = _take(stream, 4)
    return Header("image/gif", _little(size[:2]), _little(size[2:]))


def _bmp(_start: bytes, stream: BinaryIO) -> Header:
    stream.seek(14)
    length = _little(_take(stream, 4))
    if length == _OLD_BMP_HEADER:
        size = _take(stream, 4)
        return Header("image/bmp", _little(size[:2]), _little(size[2:]))
    if length < _LEAST_BMP_HEADER:
        raise HeaderError("the header is too short")
    size = _take(stream, 8)
    # Rows from the top down are marked by a negative height.
    height = abs(int.from_bytes(size[4:], "little", signed=True))
    return Header("image/bmp", int.from_bytes(size[:4], "little", signed=True), height)


_READERS: dict[str, Callable[[bytes, BinaryIO], Header]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/webp": _webp,
    "image/gif": _gif,
    "image/bmp": _bmp,
}
