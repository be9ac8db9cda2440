"""Anchors are those of MXNet's MultiBoxPrior, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import InputError
from birdsod.ssd.anchors import SSD_ANCHORS, AnchorLayer, anchors_for, multibox_prior

OPS = Path(__file__).parents[1] / "golden" / "ops"
CASES = {name: case for name, case in json.loads((OPS / "meta.json").read_text()).items() if name.startswith("prior")}


@pytest.mark.parametrize("name", sorted(CASES))
def test_anchors_are_those_of_mxnet(name: str) -> None:
    case: dict[str, Any] = dict(CASES[name])
    height, width = case.pop("hw")
    with np.load(OPS / f"{name}.npz") as golden:
        expected = golden["out"][0]
    found = multibox_prior(height, width, **case)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


def test_the_six_layers_have_the_numbers_of_the_built_in_algorithm() -> None:
    at_300 = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    assert [layer.boxes(*shape).shape[0] for layer, shape in zip(SSD_ANCHORS, at_300, strict=True)] == [
        1444,
        600,
        150,
        54,
        16,
        4,
    ]
    at_512 = [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    assert anchors_for(SSD_ANCHORS, at_512).shape == (6132, 4)


@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    sizes=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=3),
    ratios=st.lists(st.floats(0.2, 5.0), min_size=1, max_size=4),
    clip=st.booleans(),
    step=st.sampled_from([-1.0, 0.125]),
    offset=st.floats(0.0, 1.0),
)
def test_a_cell_by_cell_loop_gives_the_same(
    height: int, width: int, sizes: list[float], ratios: list[float], clip: bool, step: float, offset: float
) -> None:
    found = multibox_prior(
        height, width, sizes=sizes, ratios=ratios, clip=clip, steps=(step, step), offsets=(offset, 0.5)
    )
    pairs = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    expected = []
    for row in range(height):
        for column in range(width):
            middle_y = (row + offset) * (step if step > 0 else 1 / height)
            middle_x = (column + 0.5) * (step if step > 0 else 1 / width)
            for size, ratio in pairs:
                half_x = size * height / width * ratio**0.5 / 2
                half_y = size / ratio**0.5 / 2
                expected.append([middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y])
    wanted = np.clip(expected, 0, 1) if clip else np.asarray(expected)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_one_step_of_two_is_no_step() -> None:
    even = multibox_prior(2, 3, sizes=[0.3], ratios=[1.0])
    assert np.array_equal(multibox_prior(2, 3, sizes=[0.3], ratios=[1.0], steps=(0.5, -1.0)), even)


def test_a_layer_counts_its_anchors() -> None:
    layer = AnchorLayer((0.1, 0.2, 0.3), (1.0, 2.0), clip=True)
    assert layer.per_cell == 4
    assert layer.boxes(2, 3).shape == (24, 4)
    assert layer.boxes(2, 3).min() >= 0


@pytest.mark.parametrize(("height", "width"), [(0, 1), (1, 0)])
def test_a_map_without_cells_is_refused(height: int, width: int) -> None:
    with pytest.raises(InputError, match="at least one cell"):
        multibox_prior(height, width, sizes=[0.5], ratios=[1.0])


@pytest.mark.parametrize(
    ("sizes", "ratios", "named"), [([], [1.0], "sizes"), ([0.5], [], "ratios"), ([0.0], [1.0], "sizes")]
)
def test_sizes_and_ratios_must_be_positive(sizes: list[float], ratios: list[float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        multibox_prior(1, 1, sizes=sizes, ratios=ratios)
