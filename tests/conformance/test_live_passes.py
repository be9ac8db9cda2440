"""How MXNet's iterator passes over images again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import birdsod as bd
from birdsod.ssd.faithful import seen_in_pass

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.conftest import Oracle


@pytest.mark.parametrize(("images", "batch_size"), [(10, 4), (7, 3), (6, 2), (5, 4)])
def test_passes_are_mxnets(oracle: Oracle, tmp_path: Path, images: int, batch_size: int) -> None:
    birds = bd.synthetic_birds(tmp_path / "drawn", seed=0, classes=1, per_class=images)
    packed = bd.pack({"train": birds}, tmp_path / "packed", resize=64)
    told = {"rec": str(packed.channels["train"].rec), "shape": [3, 32, 32], "batch_size": batch_size, "passes": 4}
    _, blobs = oracle.get("passes", **told)
    pixels = [np.frombuffer(blob, "<f4").reshape(-1, 3 * 32 * 32) for blob in blobs]
    known = pixels[0][:images]
    for number, each in enumerate(pixels):
        found = [int(np.abs(known - image).sum(axis=1).argmin()) for image in each]
        assert found == seen_in_pass(number, images, batch_size).tolist()
