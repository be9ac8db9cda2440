from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from birdsod.errors import HyperparameterError
from birdsod.ssd.batch_form import BatchForm

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
MEAN, STD = (123.0, 117.0, 104.0), (58.0, 57.0, 2.0)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("dtype", "mean", "std"),
    [
        ("uint8", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ("float32", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ("float32", MEAN, (1.0, 1.0, 1.0)),
        ("float32", MEAN, STD),
        ("float32", (0.0, 0.0, 0.0), STD),
    ],
)
def test_pixels_are_put_into_the_form(layout: Any, dtype: Any, mean: Any, std: Any) -> None:
    form = BatchForm(dtype=dtype, layout=layout, mean=mean, std=std)
    batch = np.full(form.shape(2, 6), 77, dtype=form.dtype)
    form.write(PIXELS, batch[1])
    expected = (PIXELS.astype(np.float64) - mean) / std
    shown = batch[1].transpose(1, 2, 0) if layout == "NCHW" else batch[1]
    assert np.allclose(shown, expected, rtol=1e-5, atol=1e-4)
    assert (batch[0] == 77).all()


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"dtype": "float64"}, "unknown dtype"),
        ({"layout": "CHWN"}, "unknown layout"),
        ({"mean": (1.0, 2.0)}, "mean must be three"),
        ({"std": (1.0, 2.0, float("nan"))}, "std must be three"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be above 0"),
        ({"dtype": "uint8", "mean": MEAN}, "neither shifted nor scaled"),
        ({"dtype": "uint8", "std": STD}, "neither shifted nor scaled"),
    ],
)
def test_what_is_no_form_is_refused(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(HyperparameterError, match=what):
        BatchForm(**wrong)
