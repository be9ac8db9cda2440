"""The images that strategies draw are images, and birdsod tells their sizes without decoding."""

from __future__ import annotations

import io

from hypothesis import given, settings
from PIL import Image

from birdsod import image
from birdsod.testing import Photo, photos


@given(photos())
@settings(max_examples=100)
def test_photos_are_read(photo: Photo) -> None:
    assert image.sniff(photo.data) == {".jpg": "image/jpeg", ".png": "image/png"}[photo.suffix]
    width, height = image.read_size(photo.data)
    assert image.decode(photo.data).shape == (height, width, 3)


@given(photos())
@settings(max_examples=50)
def test_photos_are_of_their_mode(photo: Photo) -> None:
    with Image.open(io.BytesIO(photo.data)) as opened:
        assert opened.mode == photo.mode.removesuffix(";16" if photo.mode.startswith("RGB") else "")


@given(photos(png=False))
@settings(max_examples=20)
def test_png_can_be_left_out(photo: Photo) -> None:
    assert photo.suffix == ".jpg"
