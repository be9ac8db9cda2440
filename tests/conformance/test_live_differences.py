"""Where birdsod means to differ from im2rec, or a newer OpenCV does: each way pinned, so that no other goes unseen."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from birdsod.errors import DatasetError
from birdsod.recordio import pack_list
from birdsod.testing import image_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.conftest import Oracle

PIXELS = np.random.default_rng(0).integers(0, 256, (19, 30, 3)).astype(np.uint8)
JPEG = image_bytes(PIXELS, "JPEG")
PNG = image_bytes(PIXELS, "PNG")


def moving(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    pictures = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    pictures[0].save(stream, kind, save_all=True, append_images=pictures[1:], **options)
    return stream.getvalue()


def by_both(oracle: Oracle, folder: Path, data: bytes, *, edge: str = "0.4", **options: Any) -> tuple[bytes, bytes]:
    """Return the record files of im2rec and of birdsod, empty where an image is not packed."""
    (folder / "image").write_bytes(data)
    lst = folder / "train.lst"
    lst.write_text(f"1\t2\t5\t0\t0.1\t0.2\t0.3\t{edge}\timage\n")
    switches = [
        f"--{name.replace('_', '-')}" if value is True else f"--{name}={value}" for name, value in options.items()
    ]
    oracle.get("im2rec", arguments=["--pack-label", "--num-thread=2", *switches, str(lst), str(folder)])
    theirs = lst.with_suffix(".rec").read_bytes()
    try:
        pack_list(lst, root=folder, out=folder / "ours.rec", on_error="collect", overwrite=True, **options)
    except DatasetError:
        return theirs, b""
    return theirs, (folder / "ours.rec").read_bytes()


ONLY_IM2REC: dict[str, tuple[bytes, dict[str, Any]]] = {
    "a JPEG without its end": (JPEG[:-2], {}),
    "a JPEG that breaks off": (JPEG[: len(JPEG) * 2 // 3], {}),
    "TIFF": (image_bytes(PIXELS, "TIFF"), {}),
    "PPM": (image_bytes(PIXELS, "PPM"), {}),
    "JPEG 2000": (image_bytes(PIXELS, "JPEG2000"), {}),
    "no image, untouched": (b"text", {"pass_through": True}),
    "an empty file, untouched": (b"", {"pass_through": True}),
}
ONLY_BIRDSOD = {"GIF": image_bytes(PIXELS, "GIF"), "moving WebP": moving("WEBP", lossless=True)}


@pytest.mark.parametrize("name", ONLY_IM2REC)
def test_only_im2rec_packs(oracle: Oracle, tmp_path: Path, name: str) -> None:
    data, options = ONLY_IM2REC[name]
    theirs, ours = by_both(oracle, tmp_path, data, **options)
    assert theirs
    assert not ours


@pytest.mark.parametrize("edge", ["nan", "-inf", "1e39"])
def test_only_im2rec_packs_labels_that_are_not_finite(oracle: Oracle, tmp_path: Path, edge: str) -> None:
    theirs, ours = by_both(oracle, tmp_path, JPEG, edge=edge)
    assert theirs
    assert not ours


@pytest.mark.parametrize("name", ONLY_BIRDSOD)
def test_only_birdsod_packs(oracle: Oracle, tmp_path: Path, name: str) -> None:
    theirs, ours = by_both(oracle, tmp_path, ONLY_BIRDSOD[name])
    assert not theirs
    assert ours


@pytest.mark.parametrize("orientation", range(2, 9))
def test_only_birdsod_turns_webp(oracle: Oracle, tmp_path: Path, orientation: int) -> None:
    plain = by_both(oracle, tmp_path, image_bytes(PIXELS, "WEBP"))
    theirs, ours = by_both(oracle, tmp_path, image_bytes(PIXELS, "WEBP", orientation=orientation))
    assert theirs == plain[0] == plain[1]
    assert ours != theirs


@pytest.mark.parametrize("color", [1, 0, -1])
def test_a_moving_png_is_grey_in_another_way(oracle: Oracle, tmp_path: Path, color: int) -> None:
    """OpenCV 4.8 knows no moving PNG, takes its first picture and lets libpng make it grey."""
    theirs, ours = by_both(oracle, tmp_path, moving("PNG"), color=color)
    assert theirs
    assert ours
    assert (ours == theirs) == (color != 0)


SAME: dict[str, bytes] = {
    "rubbish after a JPEG": JPEG + b"rubbish",
    "two JPEG in one file": JPEG + JPEG,
    "a JPEG that holds RGB": image_bytes(PIXELS, "JPEG", keep_rgb=True),
    "rubbish after a PNG": PNG + b"rubbish",
    "a PNG that breaks off": PNG[: len(PNG) // 2],
    "a PNG with a wrong sum": PNG[:-20] + bytes([PNG[-20] ^ 8]) + PNG[-19:],
    "BMP": image_bytes(PIXELS, "BMP"),
    "WebP": image_bytes(PIXELS, "WEBP"),
    "an empty file": b"",
    "no image": b"text",
}


@pytest.mark.parametrize("color", [1, 0, -1])
@pytest.mark.parametrize("name", SAME)
def test_both_make_the_same_of(oracle: Oracle, tmp_path: Path, name: str, color: int) -> None:
    theirs, ours = by_both(oracle, tmp_path, SAME[name], color=color)
    assert ours == theirs
