"""Decode, resize, crop and encode against OpenCV, and every way in which an image cannot be read."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal, cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod import image
from birdsod.errors import ImageError
from birdsod.testing import IMAGE_KINDS, ImageFile, image_bytes, image_files, pixels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

PHOTO = np.add.outer(np.arange(30), 2 * np.arange(40))[..., None].repeat(3, axis=2).astype(np.uint8) + np.uint8(9)


def by_opencv(data: bytes, flags: int = cv2.IMREAD_COLOR) -> Any:
    return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)


# OpenCV turns WebP only since version 5, so test_image_exif.py turns it by hand.
@given(image_files(kinds=("JPEG", "PNG", "GIF", "BMP")))
def test_decode_gives_what_opencv_gives(file: ImageFile) -> None:
    expected = by_opencv(file.data)
    np.testing.assert_array_equal(image.decode(file.data, color="bgr"), expected)
    np.testing.assert_array_equal(image.decode(file.data), expected[..., ::-1])
    np.testing.assert_array_equal(image.decode(file.data, color="gray"), by_opencv(file.data, cv2.IMREAD_GRAYSCALE))
    unchanged = image.decode(file.data, color="unchanged")
    np.testing.assert_array_equal(unchanged, by_opencv(file.data, cv2.IMREAD_UNCHANGED))


@given(image_files())
def test_size_of_the_header_is_the_size_of_the_pixels(file: ImageFile) -> None:
    height, width = image.decode(file.data).shape[:2]
    assert image.read_size(file.data) == (width, height)
    assert image.read_size(file.data).width == width


@given(image_files(kinds=("PNG", "WEBP", "BMP")))
def test_lossless_kinds_give_the_stored_pixels(file: ImageFile) -> None:
    stored = image.decode(file.data, color="unchanged")[..., :3]
    np.testing.assert_array_equal(stored[..., ::-1], file.stored)


@pytest.mark.parametrize("kind", IMAGE_KINDS)
@pytest.mark.parametrize("name", ["a bird.bin", "\u0442\u0443\u043a\u0430\u043d \U0001f426.jpg"])
def test_paths_and_bytes_give_the_same(kind: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(image_bytes(PHOTO, kind))
    for source in (file, str(file), file.read_bytes()):
        assert image.read_size(source) == (40, 30)
        np.testing.assert_array_equal(image.decode(source), image.decode(file))
    assert image.sniff(file.read_bytes()) == f"image/{kind.lower()}"


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("RGBA", "WEBP"),
        ("L", "BMP"),
        ("1", "BMP"),
        ("P", "BMP"),
        ("L", "GIF"),
        ("I;16", "PNG"),
    ],
)
def test_every_colour_model_becomes_three_channels(mode: str, kind: str, tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.fromarray(PHOTO)
    picture = picture.convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)
    picture.save(tmp_path / "a", kind)
    found = image.decode(tmp_path / "a")
    assert found.shape == (30, 40, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, by_opencv((tmp_path / "a").read_bytes())[..., ::-1])
    assert image.read_size(tmp_path / "a") == (40, 30)


def test_16_bits_become_8_but_stay_when_unchanged() -> None:
    deep = (np.arange(600, dtype=np.uint16).reshape(10, 20, 3) * 109).astype(np.uint16)
    data = cv2.imencode(".png", deep)[1].tobytes()
    assert image.decode(data).dtype == np.uint8
    unchanged = image.decode(data, color="unchanged")
    assert unchanged.dtype == np.uint16
    np.testing.assert_array_equal(unchanged, deep)


def test_alpha_is_dropped_without_blending() -> None:
    rgba = np.dstack([PHOTO, np.zeros((30, 40), np.uint8)])
    np.testing.assert_array_equal(image.decode(image_bytes(rgba, "PNG")), PHOTO)


def test_an_animation_gives_its_first_picture(tmp_path: Path) -> None:
    from PIL import Image

    first, second = Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)
    for kind in ("WEBP", "GIF"):
        first.save(tmp_path / kind, kind, save_all=True, append_images=[second], lossless=True)
        assert image.read_size(tmp_path / kind) == (40, 30)
        found = image.decode(tmp_path / kind)
        assert np.abs(found.astype(int) - PHOTO).max() <= (0 if kind == "WEBP" else 8)


def broken_files() -> dict[str, tuple[bytes, str]]:
    jpeg, png, webp = (image_bytes(PHOTO, kind) for kind in ("JPEG", "PNG", "WEBP"))
    gif, bmp = image_bytes(PHOTO, "GIF"), image_bytes(PHOTO, "BMP")
    return {
        "empty": (b"", "the image is empty"),
        "text": (b"not an image\n", "not an image of a known kind"),
        "html": (b"<!DOCTYPE html><html>404</html>", "not an image of a known kind"),
        "tiff": (b"II*\x00" + bytes(40), "not an image of a known kind"),
        "jpeg start": (jpeg[:3], "broken header"),
        "jpeg header": (jpeg[:170], "broken header"),
        "jpeg without pixels": (b"\xff\xd8\xff\xd9" + bytes(20), "broken header.*holds no picture"),
        "jpeg rubbish": (b"\xff\xd8\xff" + bytes(5000), "broken header"),
        "jpeg without frame": (b"\xff\xd8\xff\xda\x00\x02" + bytes(50), "broken header.*0 x 0"),
        "png start": (png[:20], "broken header"),
        "png other part": (png[:12] + b"JUNK" + png[16:], "broken header.*first part"),
        "png without width": (png[:16] + bytes(4) + png[20:], "broken header.*0 x 30"),
        "webp start": (webp[:20], "broken header"),
        "webp other part": (webp[:12] + b"JUNK" + webp[16:], "broken header.*first part"),
        "gif start": (gif[:8], "broken header"),
        "bmp start": (bmp[:16], "broken header"),
        "bmp size": (bmp[:20], "broken header"),
        "bmp length": (bmp[:14] + b"\x0d\0\0\0" + bmp[18:], "broken header.*too short"),
        "bmp width": (bmp[:18] + b"\xff\xff\xff\xff" + bmp[22:], "broken header.*-1 x 30"),
    }


@pytest.mark.parametrize("name", broken_files())
def test_broken_headers_are_told(name: str, tmp_path: Path) -> None:
    data, message = broken_files()[name]
    file = tmp_path / "bad.jpg"
    file.write_bytes(data)
    for read in (image.read_size, image.decode, image.is_truncated, image.as_rgb):
        with pytest.raises(ImageError, match=message) as caught:
            read(file)
        assert caught.value.path == str(file)
        with pytest.raises(ImageError, match=message):
            read(data)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_broken_pixels_are_told(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "bad"
    file.write_bytes(image_bytes(PHOTO, kind)[:-15])
    assert image.read_size(file) == (40, 30)
    assert not image.is_truncated(file)
    with pytest.raises(ImageError, match="cannot be decoded") as caught:
        image.decode(file)
    assert caught.value.path == str(file)


@given(image_files(kinds=("JPEG", "PNG", "WEBP", "BMP"), most=12), st.data())
@settings(max_examples=60)
def test_a_file_cut_anywhere_is_an_error_or_an_image(file: ImageFile, data: st.DataObject) -> None:
    cut = file.data[: data.draw(st.integers(0, len(file.data) - 1))]
    try:
        size = image.read_size(cut)
    except ImageError:
        with pytest.raises(ImageError):
            image.decode(cut)
        return
    try:
        found = image.decode(cut)
    except ImageError:
        return
    assert found.shape[1::-1] == size


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_breaks_off_is_decoded_as_from_a_file(
    progressive: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    whole = image_bytes(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8), "JPEG", progressive=progressive)
    assert not image.is_truncated(whole)
    assert not image.is_truncated(whole + b"appended by a camera")
    start = whole.index(b"\xff\xda") + 30
    for length in (start, len(whole) // 2, len(whole) - 40, len(whole) - 2, len(whole) - 1):
        file = tmp_path / "cut.jpg"
        file.write_bytes(whole[:length])
        assert image.is_truncated(file)
        np.testing.assert_array_equal(image.decode(file, color="bgr"), cv2.imread(str(file)))
    capfd.readouterr()  # libjpeg warns on its own


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for read in (image.read_size, image.decode, image.is_truncated):
        with pytest.raises(ImageError, match="the image is missing") as caught:
            read(tmp_path / "nosuch.jpg")
        assert caught.value.path == str(tmp_path / "nosuch.jpg")


def test_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        image.read_size(tmp_path)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_a_closed_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "closed.jpg"
    file.touch(mode=0o000)
    with pytest.raises(ImageError, match="cannot be read"):
        image.read_size(file)


def huge_png() -> bytes:
    data = bytearray(image_bytes(PHOTO, "PNG"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    return bytes(data)


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path) -> None:
    data = huge_png()
    assert image.read_size(data) == (60_000, 60_000)
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(ImageError, match="more than 100,000,000 pixels") as caught:
        image.decode(tmp_path / "bomb.png")
    assert caught.value.value == (60_000, 60_000)
    with pytest.raises(ImageError, match="more than 1,199 pixels"):
        image.as_rgb(image_bytes(PHOTO, "PNG"), max_pixels=1199)
    assert image.decode(image_bytes(PHOTO, "PNG"), max_pixels=1200).shape == (30, 40, 3)


def test_what_opencv_refuses_is_told() -> None:
    with pytest.raises(ImageError, match="cannot be decoded"):
        image.decode(huge_png(), max_pixels=10**12)


def test_an_exception_of_opencv_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error

    # OpenCV 4 raises where OpenCV 5 gives nothing.
    monkeypatch.setattr(cv2, "imdecode", refuse)
    with pytest.raises(ImageError, match="cannot be decoded"):
        image.decode(image_bytes(PHOTO, "PNG"))


def test_as_rgb_takes_paths_bytes_and_arrays(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(image_bytes(PHOTO, "PNG"))
    for source in (file, str(file), file.read_bytes(), PHOTO):
        np.testing.assert_array_equal(image.as_rgb(source), PHOTO)


@pytest.mark.parametrize(
    "array", [PHOTO[..., 0], PHOTO.astype(np.float32), PHOTO[..., :2], PHOTO[:0], np.zeros((2, 2, 4), np.uint8)]
)
def test_as_rgb_refuses_other_arrays(array: Any) -> None:
    with pytest.raises(ImageError, match="must be uint8 of shape"):
        image.as_rgb(array)


def im2rec_resized(pixel: Pixels, edge: int) -> Any:
    height, width = pixel.shape[:2]
    size = (edge, height * edge // width) if height > width else (width * edge // height, edge)
    return cv2.resize(pixel, size)


@given(pixels(), st.integers(1, 60))
def test_resize_shorter_is_im2rec_s_rule(picture: Pixels, edge: int) -> None:
    found = image.resize_shorter(picture, edge)
    np.testing.assert_array_equal(found, im2rec_resized(picture, edge))
    assert min(found.shape[:2]) == edge


def test_resize_gives_the_wanted_size() -> None:
    assert image.resize(PHOTO, width=7, height=90).shape == (90, 7, 3)
    np.testing.assert_array_equal(image.resize(PHOTO, width=40, height=30), PHOTO)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (20_000, 20_000)])
def test_resize_refuses_absurd_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="can be resized to"):
        image.resize(PHOTO, width=size[0], height=size[1])
    with pytest.raises(ImageError, match="can be resized to"):
        image.resize_shorter(np.zeros((1, 50_000, 3), np.uint8), 3000)


@given(pixels())
def test_center_crop_is_im2rec_s_rule_and_its_box_fits(picture: Pixels) -> None:
    height, width = picture.shape[:2]
    if height > width:
        margin = (height - width) // 2
        expected = picture[margin : margin + width, :]
    else:
        margin = (width - height) // 2
        expected = picture[:, margin : margin + height]
    np.testing.assert_array_equal(image.center_crop(picture), expected)
    box = image.center_crop_box(width, height)
    assert box == ((margin, 0, height) if width >= height else (0, margin, width))


@given(pixels(), st.integers(0, 100))
def test_encode_gives_opencv_s_bytes(picture: Pixels, quality: int) -> None:
    expected = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    assert image.encode(picture, quality=quality) == expected
    assert image.encode(picture, encoding=".jpeg", quality=quality) == expected


@pytest.mark.parametrize(("quality", "compression"), [(0, 0), (3, 3), (9, 9), (10, 9), (95, 9), (100, 9)])
def test_encode_gives_opencv_s_png(quality: int, compression: int) -> None:
    expected = cv2.imencode(".png", PHOTO, [cv2.IMWRITE_PNG_COMPRESSION, compression])[1].tobytes()
    assert image.encode(PHOTO, encoding=".png", quality=quality) == expected


@pytest.mark.parametrize("encoding", [".gif", "jpg", ""])
def test_encode_refuses_other_encodings(encoding: str) -> None:
    with pytest.raises(ImageError, match="unknown encoding"):
        image.encode(PHOTO, encoding=encoding)


@pytest.mark.parametrize("quality", [-1, 101])
def test_encode_refuses_other_qualities(quality: int) -> None:
    with pytest.raises(ImageError, match="quality out of range"):
        image.encode(PHOTO, quality=quality)


def test_encode_tells_what_is_too_long_for_the_format() -> None:
    with pytest.raises(ImageError, match="cannot be encoded"):
        image.encode(np.zeros((1, 70_000, 3), np.uint8))


def test_decode_refuses_an_unknown_color() -> None:
    with pytest.raises(ImageError, match="unknown color"):
        image.decode(image.encode(PHOTO), color=cast("Literal['rgb']", "RGB"))


def test_encode_tells_what_opencv_refuses() -> None:
    with pytest.raises(ImageError, match="cannot be encoded"):
        image.encode(np.zeros((0, 5, 3), np.uint8))


def test_sniff_knows_nothing_else() -> None:
    assert image.sniff(b"") is None
    assert image.sniff(b"RIFF....WAVE") is None
    assert image.sniff(b"%PDF-1.7") is None
