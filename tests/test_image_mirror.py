"""Mirrored files: the mirrored pixels, in the same format, as good as before, never over the source."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings

from birdsod import image
from birdsod.errors import ImageError
from birdsod.image._png import with_colours_of
from birdsod.testing import IMAGE_KINDS, ORIENTED_KINDS, ImageFile, image_bytes, image_files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


def scene(width: int = 200, height: int = 120) -> Pixels:
    """Something like a photograph: smooth, textured, coloured, and not its own mirror image."""
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    waves = [np.sin(x * 1.3 + y), np.cos(x * y / 2), np.sin(x * x / 3 - y)]
    noise = np.random.default_rng(3).normal(0, 6, (height, width, 3))
    return np.clip(120 + 70 * np.dstack(waves) + 12 * x[..., None] + noise, 0, 255).astype(np.uint8)


def saved(picture: Any, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def as_mode(pixels: Pixels, mode: str) -> Any:
    from PIL import Image

    return Image.fromarray(pixels).convert(mode)


def opened(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data))


def mirrored(data: bytes, folder: Path) -> bytes:
    source, target = folder / "source", folder / "target"
    source.write_bytes(data)
    image.mirror(source, target)
    assert source.read_bytes() == data
    return target.read_bytes()


def noise_ratio(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in decibels."""
    error = float(((one.astype(float) - other) ** 2).mean())
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_every_kind_and_orientation(kind: str, orientation: int, tmp_path: Path) -> None:
    noted = orientation if kind in ORIENTED_KINDS else 1
    data = image_bytes(scene(64, 48), kind, orientation=noted)
    found = mirrored(data, tmp_path)
    before, after = image.decode(data), image.decode(found)
    assert image.sniff(found) == image.sniff(data)
    assert image.read_size(found) == image.read_size(data)
    assert noise_ratio(before[:, ::-1], after) > (34 if kind == "JPEG" else 98)
    assert image.decode(found, color="unchanged").shape[:2] == after.shape[:2]


@given(image_files(kinds=("PNG", "WEBP", "BMP", "GIF"), most=20))
@settings(max_examples=60)
def test_lossless_kinds_keep_every_pixel(tmp_path_factory: pytest.TempPathFactory, file: ImageFile) -> None:
    found = mirrored(file.data, tmp_path_factory.mktemp("mirror"))
    np.testing.assert_array_equal(image.decode(found), image.decode(file.data)[:, ::-1])


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("L", "PNG", {}),
        ("LA", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {}),
        ("P", "PNG", {"transparency": 3}),
        ("1", "PNG", {}),
        ("RGBA", "WEBP", {"lossless": True, "exact": True}),
        ("RGB", "WEBP", {"quality": 60}),
        ("L", "BMP", {}),
        ("P", "BMP", {}),
        ("1", "BMP", {}),
        ("RGBA", "BMP", {}),
        ("P", "GIF", {}),
        ("P", "GIF", {"transparency": 3}),
        ("L", "GIF", {"interlace": 1}),
    ],
)
def test_every_colour_model_without_loss(mode: str, kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    data = saved(as_mode(scene(37, 23), mode), kind, **options)
    found = mirrored(data, tmp_path)
    np.testing.assert_array_equal(image.decode(found), image.decode(data)[:, ::-1])
    unchanged = image.decode(data, color="unchanged")
    np.testing.assert_array_equal(image.decode(found, color="unchanged"), unchanged[:, ::-1])
    if kind != "WEBP":
        assert opened(found).mode == opened(data).mode


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_stay_16_bits(channels: int, tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 65_536, (13, 17, channels), dtype=np.uint16)
    data = cv2.imencode(".png", deep)[1].tobytes()
    profile = b"\x00\x00\x00\x04gAMA\x00\x00\xb1\x8f\x0b\xfca\x05"
    data = data[:33] + profile + data[33:]
    found = mirrored(data, tmp_path)
    np.testing.assert_array_equal(image.decode(found, color="unchanged"), deep.squeeze()[:, ::-1])
    assert profile in found


def test_colour_parts_of_a_png_without_pixels() -> None:
    plain = image_bytes(scene(5, 4), "PNG")
    assert with_colours_of(plain[:33], plain) == plain


def test_a_broken_16_bit_png_is_told(tmp_path: Path) -> None:
    data = cv2.imencode(".png", np.zeros((99, 99, 3), np.uint16))[1].tobytes()
    with pytest.raises(ImageError, match="cannot be mirrored"):
        mirrored(data[:-30], tmp_path)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [50, 85, 97])
def test_a_jpeg_keeps_tables_sampling_and_size(quality: int, subsampling: int, tmp_path: Path) -> None:
    from PIL import JpegImagePlugin

    data = image_bytes(scene(), "JPEG", quality=quality, subsampling=subsampling)
    found = mirrored(data, tmp_path)
    assert opened(found).quantization == opened(data).quantization
    assert JpegImagePlugin.get_sampling(opened(found)) == subsampling
    assert len(found) < 1.06 * len(data)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_of_whole_blocks_hardly_changes(subsampling: int, tmp_path: Path) -> None:
    data = image_bytes(scene(208, 120), "JPEG", quality=80, subsampling=subsampling)
    twice = mirrored(mirrored(data, tmp_path), tmp_path)
    assert noise_ratio(image.decode(data), image.decode(twice)) > 45


def test_a_jpeg_of_any_width_loses_less_than_saving_it_anew(tmp_path: Path) -> None:
    for width in (201, 203, 207):
        data = image_bytes(scene(width, 119), "JPEG", quality=92)
        pixels = image.decode(data)
        anew = image.decode(image_bytes(np.ascontiguousarray(pixels[:, ::-1]), "JPEG"))
        found = image.decode(mirrored(data, tmp_path))
        assert noise_ratio(pixels[:, ::-1], found) > noise_ratio(pixels[:, ::-1], anew) + 3


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("L", {}),
        ("CMYK", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"keep_rgb": True, "subsampling": 0}),
        ("RGB", {"optimize": True, "subsampling": 1}),
    ],
)
def test_a_jpeg_of_every_colour_model(mode: str, options: dict[str, Any], tmp_path: Path) -> None:
    data = saved(as_mode(scene(208, 120), mode), "JPEG", quality=90, **options)
    found = mirrored(data, tmp_path)
    assert noise_ratio(image.decode(data)[:, ::-1], image.decode(found)) > 42
    assert opened(found).mode == opened(data).mode
    assert opened(found).quantization == opened(data).quantization
    assert ("progressive" in opened(found).info) == ("progressive" in options)
    assert [layer[0] for layer in opened(found).layer] == [layer[0] for layer in opened(data).layer]


def without_adobe(data: bytes) -> bytes:
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


def with_transform(data: bytes, transform: int) -> bytes:
    start = data.index(b"Adobe")
    return data[: start + 11] + bytes([transform]) + data[start + 12 :]


def test_cmyk_without_the_adobe_mark(tmp_path: Path) -> None:
    data = without_adobe(saved(as_mode(scene(208, 120), "CMYK"), "JPEG", quality=90))
    found = mirrored(data, tmp_path)
    assert noise_ratio(image.decode(data)[:, ::-1], image.decode(found)) > 42


def test_ycck_is_written_as_cmyk(tmp_path: Path) -> None:
    data = with_transform(saved(as_mode(scene(208, 120), "CMYK"), "JPEG", quality=90), 2)
    found = mirrored(data, tmp_path)
    assert noise_ratio(image.decode(data)[:, ::-1], image.decode(found)) > 32


def test_rgb_by_the_names_of_its_components(tmp_path: Path) -> None:
    data = saved(as_mode(scene(208, 120), "RGB"), "JPEG", quality=90, keep_rgb=True)
    bare = without_adobe(data) if b"\xff\xee" in data else data
    assert b"JFIF" not in bare
    found = mirrored(bare, tmp_path)
    assert noise_ratio(image.decode(bare)[:, ::-1], image.decode(found)) > 42


def test_a_turned_jpeg_of_half_width_colours_keeps_them_all(tmp_path: Path) -> None:
    from PIL import JpegImagePlugin

    data = image_bytes(scene(208, 128), "JPEG", quality=90, subsampling=1, orientation=6)
    found = mirrored(data, tmp_path)
    assert JpegImagePlugin.get_sampling(opened(found)) == 0
    assert noise_ratio(image.decode(data)[:, ::-1], image.decode(found)) > 42


def test_a_jpeg_too_rich_for_two_passes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    data = image_bytes(noise, "JPEG", quality=100, subsampling=0)
    assert len(data) > 2 * 160 * 160
    found = mirrored(data, tmp_path)
    assert noise_ratio(image.decode(data)[:, ::-1], image.decode(found)) > 42
    assert not capfd.readouterr().err


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_colour_profile_is_kept_and_exif_is_not(kind: str, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = image_bytes(scene(64, 48), kind, orientation=3, icc_profile=profile)
    found = opened(mirrored(data, tmp_path))
    assert found.info["icc_profile"] == profile
    assert not found.getexif()


def test_a_first_picture_stands_for_an_animation(tmp_path: Path) -> None:
    first, second = as_mode(scene(40, 30), "P"), as_mode(255 - scene(40, 30), "P")
    data = saved(first, "GIF", save_all=True, append_images=[second])
    found = mirrored(data, tmp_path)
    assert getattr(opened(found), "n_frames", 1) == 1
    np.testing.assert_array_equal(image.decode(found), image.decode(data)[:, ::-1])


def test_never_over_its_source(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(image_bytes(scene(9, 9), "PNG"))
    before = source.read_bytes()
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    for target in (source, tmp_path / "link.png", tmp_path / "hard.png", tmp_path / "." / "a.png"):
        with pytest.raises(ImageError, match="never mirrored over itself"):
            image.mirror(source, target)
    assert source.read_bytes() == before


def test_the_folder_is_made_and_an_older_target_replaced(tmp_path: Path) -> None:
    source, target = tmp_path / "a.bmp", tmp_path / "deep" / "er" / "b.bmp"
    source.write_bytes(image_bytes(scene(9, 9), "BMP"))
    image.mirror(source, target)
    target.write_bytes(b"older")
    image.mirror(str(source), str(target))
    np.testing.assert_array_equal(image.decode(target), scene(9, 9)[:, ::-1])
    assert [file.name for file in target.parent.iterdir()] == ["b.bmp"]


def test_what_cannot_be_mirrored_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    with pytest.raises(ImageError, match="the image is missing"):
        image.mirror(source, target)
    whole = image_bytes(scene(), "JPEG")
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="cannot be mirrored") as caught:
        image.mirror(source, target)
    assert caught.value.path == str(source)
    assert [file.name for file in tmp_path.iterdir()] == ["a.jpg"]


def test_a_target_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(image_bytes(scene(9, 9), "PNG"))
    with pytest.raises(ImageError, match="cannot be written") as caught:
        image.mirror(source, source / "b.png")
    assert caught.value.path == str(source / "b.png")
