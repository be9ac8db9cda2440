"""Smaller pixels straight out of a JPEG: what training may take of large photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod import image
from birdsod.errors import ImageError
from birdsod.testing import ImageFile, image_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

Reduction = Literal[1, 2, 4, 8]


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@settings(max_examples=60)
@given(file=image_files(), reduction=st.sampled_from([1, 2, 4, 8]))
def test_sides_are_rounded_up_and_other_kinds_are_whole(file: ImageFile, reduction: Reduction) -> None:
    width, height = image.read_size(file.data)
    by = reduction if image.sniff(file.data) == "image/jpeg" else 1
    assert image.decode(file.data, reduction=reduction).shape == (-(-height // by), -(-width // by), 3)


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("orientation", [1, 6])
def test_pixels_are_those_of_the_whole_image_made_smaller(reduction: Reduction, orientation: int) -> None:
    from PIL import Image

    pixels = smooth(160, 240)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = image.encode(pixels[..., ::-1], quality=95)
    tagged = data[:2] + b"\xff\xe1" + (len(exif.tobytes()) + 2).to_bytes(2, "big") + exif.tobytes() + data[2:]
    whole, small = image.decode(tagged), image.decode(tagged, reduction=reduction)
    expected = cv2.resize(whole, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
def test_a_reduction_keeps_the_colours(color: Literal["rgb", "bgr", "gray"]) -> None:
    data = image.encode(np.full((32, 32, 3), (200, 100, 20), np.uint8))
    small, whole = image.decode(data, color=color, reduction=2), image.decode(data, color=color)
    assert np.array_equal(small, whole[::2, ::2])


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ImageError, match="unknown reduction"):
        image.decode(image.encode(smooth(8, 8)), reduction=cast("Any", 3))
