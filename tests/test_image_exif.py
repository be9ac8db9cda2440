"""One rule of orientation: the header's size is the size of the pixels, and both are OpenCV's."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from birdsod import image
from birdsod.testing import IMAGE_KINDS, ORIENTED_KINDS, image_bytes

if TYPE_CHECKING:
    from pathlib import Path

# Every corner has a colour of its own, in blocks that survive JPEG, so that no two orientations look alike.
CORNERS = np.zeros((32, 48, 3), dtype=np.uint8)
CORNERS[:16, :16], CORNERS[:16, 32:], CORNERS[16:, :16], CORNERS[16:, 32:] = 250, (250, 0, 0), (0, 250, 0), (0, 0, 250)

# What each orientation does, written out by hand.
TURNS: dict[int, Any] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


def by_opencv(data: bytes, orientation: int) -> Any:
    """OpenCV's pixels as stored, turned by hand: its own rule differs from kind to kind and version to version."""
    pixels: Any = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return TURNS[orientation](pixels[..., ::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_every_orientation_of_every_kind(kind: str, orientation: int, tmp_path: Path) -> None:
    noted = orientation if kind in ORIENTED_KINDS else 1
    file = tmp_path / "a"
    file.write_bytes(image_bytes(CORNERS, kind, orientation=noted))
    found = image.decode(file)
    assert image.read_size(file) == found.shape[1::-1]
    np.testing.assert_array_equal(found, by_opencv(file.read_bytes(), noted))
    if kind in {"JPEG", "PNG"}:  # these OpenCV, and so im2rec, has always turned
        np.testing.assert_array_equal(found, cv2.imread(str(file))[..., ::-1])  # type: ignore[index] # it is an image
    # Colours bleed over the edges of JPEG's coarser chroma; a wrong turn is off by more than 60 on average.
    assert np.abs(found.astype(int) - TURNS[noted](CORNERS)).mean() < 8
    assert image.decode(file, color="unchanged").shape[:2] == (32, 48)
    assert image.decode(file, color="gray").shape == found.shape[:2]


def tiff_block(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """An EXIF block with one directory of (tag, type, count, four bytes of value)."""
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8)
    rows = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + rows + bytes(4)


def orientation_entry(value: int, order: str = "<", kind: int = 3) -> tuple[int, int, int, bytes]:
    return (0x0112, kind, 1, struct.pack(order + ("HH" if kind == 3 else "I"), *([value, 0] if kind == 3 else [value])))


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_with(*parts: bytes) -> bytes:
    plain = image_bytes(CORNERS, "JPEG")
    return plain[:2] + b"".join(parts) + plain[2:]


def exif(block: bytes) -> bytes:
    return segment(0xE1, b"Exif\x00\x00" + block)


MAKE = (0x010F, 2, 4, b"abc\0")
XMP = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00<x/>")
HEADERS = {
    "little endian": (jpeg_with(exif(tiff_block(orientation_entry(6)))), 6),
    "big endian": (jpeg_with(exif(tiff_block(orientation_entry(6, ">"), order=">"))), 6),
    "after another tag": (jpeg_with(exif(tiff_block(MAKE, orientation_entry(8)))), 8),
    "long value": (jpeg_with(exif(tiff_block(orientation_entry(6, kind=4)))), 6),
    "no such tag": (jpeg_with(exif(tiff_block(MAKE))), 1),
    "value 0": (jpeg_with(exif(tiff_block(orientation_entry(0)))), 1),
    "value 9": (jpeg_with(exif(tiff_block(orientation_entry(9)))), 1),
    "XMP before EXIF": (jpeg_with(XMP, exif(tiff_block(orientation_entry(5)))), 5),
    "two EXIF blocks": (
        jpeg_with(exif(tiff_block(orientation_entry(5))), exif(tiff_block(orientation_entry(1)))),
        5,
    ),
    "empty EXIF": (jpeg_with(exif(b"")), 1),
    "EXIF of another kind": (jpeg_with(exif(b"XX*\x00" + bytes(20))), 1),
    "directory outside": (jpeg_with(exif(b"II*\x00" + struct.pack("<I", 5000) + bytes(20))), 1),
    "more entries than there are": (jpeg_with(exif(b"II*\x00\x08\0\0\0\xff\xff")), 1),
    "empty segment": (jpeg_with(segment(0xFE, b""), exif(tiff_block(orientation_entry(7)))), 7),
    "filling bytes": (jpeg_with(b"\xff\xff\xff" + segment(0xFE, b"x")), 1),
    "rubbish between segments": (jpeg_with(segment(0xFE, b"x"), b"\x00\x01\x02"), 1),
    "restart marker": (jpeg_with(b"\xff\xd0", exif(tiff_block(orientation_entry(6)))), 6),
    "long comment first": (jpeg_with(segment(0xFE, bytes(60_000)), exif(tiff_block(orientation_entry(6)))), 6),
    "long profile": (jpeg_with(*[segment(0xE2, bytes(65_000))] * 4, exif(tiff_block(orientation_entry(6)))), 6),
    "thumbnail": (jpeg_with(exif(tiff_block(orientation_entry(6)) + image_bytes(CORNERS[:8, :8], "JPEG"))), 6),
}


@pytest.mark.parametrize("name", HEADERS)
def test_jpeg_headers_of_every_make(name: str, tmp_path: Path) -> None:
    data, orientation = HEADERS[name]
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    size = image.read_size(file)
    assert size == image.read_size(data) == ((32, 48) if orientation > 4 else (48, 32))
    np.testing.assert_array_equal(image.decode(file), by_opencv(data, orientation))


def png_parts(data: bytes) -> list[bytes]:
    parts, start = [], 8
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        parts.append(data[start:end])
        start = end
    return parts


def png_part(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize("place", ["before the pixels", "after the pixels"])
def test_exif_of_png_may_stand_anywhere(place: str) -> None:
    plain = image_bytes(CORNERS, "PNG")
    header, *pixels, end = png_parts(plain)
    note = png_part(b"eXIf", tiff_block(orientation_entry(6)))
    parts = [header, note, *pixels, end] if place.startswith("before") else [header, *pixels, note, end]
    data = plain[:8] + b"".join(parts)
    assert image.read_size(data) == (32, 48)
    np.testing.assert_array_equal(image.decode(data), by_opencv(data, 6))


def test_exif_of_webp_without_a_preamble() -> None:
    plain = image_bytes(CORNERS, "WEBP", orientation=6)
    assert b"Exif\x00\x00" not in plain
    assert image.read_size(plain) == (32, 48)
    lossy = image_bytes(CORNERS, "WEBP", lossless=False)
    assert image.read_size(lossy) == (48, 32)
    assert image.read_size(image_bytes(CORNERS, "WEBP", lossless=False, orientation=8)) == (32, 48)


def test_exif_with_a_preamble_inside_a_png() -> None:
    plain = image_bytes(CORNERS, "PNG")
    header, *rest = png_parts(plain)
    note = png_part(b"eXIf", b"Exif\x00\x00" + tiff_block(orientation_entry(6)))
    data = plain[:8] + b"".join([header, note, *rest])
    assert image.read_size(data) == image.decode(data).shape[1::-1]


def test_bitmaps_from_the_top_down_and_of_the_old_kind() -> None:
    bmp = image_bytes(CORNERS, "BMP")
    top_down = bmp[:22] + struct.pack("<i", -32) + bmp[26:]
    assert image.read_size(top_down) == (48, 32)
    np.testing.assert_array_equal(image.decode(top_down), CORNERS[::-1])
    old = (
        b"BM" + struct.pack("<IHHI", 26 + len(bmp) - 54, 0, 0, 26) + struct.pack("<IHHHH", 12, 48, 32, 1, 24) + bmp[54:]
    )
    assert image.read_size(old) == (48, 32)
    np.testing.assert_array_equal(image.decode(old), CORNERS)
