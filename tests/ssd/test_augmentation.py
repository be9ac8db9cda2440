from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.errors import HyperparameterError
from birdsod.ssd.augmentation import Augmentation, choose_changes, choose_windows, jitter
from birdsod.ssd.options import LocalOptions
from birdsod.ssd.windows import Sample, Window

if TYPE_CHECKING:
    import numpy.typing as npt

NOTHING: dict[str, Any] = {"mirror": 0.0, "crop": 0.0, "zoom_out": 0.0, "colour": 0.0}


def still(**changes: float) -> Augmentation:
    return Augmentation(**{**NOTHING, **changes})


def augment(
    sample: Sample, random: np.random.Generator, *, size: int, settings: Augmentation, **out: npt.NDArray[np.uint8]
) -> Sample:
    (change,) = choose_changes([sample], [random], settings)
    return change.draw(sample, size=size, **out)


def window_of(sample: Sample, random: np.random.Generator, settings: Augmentation) -> Window:
    (window,) = choose_windows([sample], [random], settings)
    return window


def same(one: Sample, other: Sample) -> bool:
    images = np.array_equal(one.image, other.image)
    return images and np.array_equal(one.boxes, other.boxes) and np.array_equal(one.class_ids, other.class_ids)


def noise(width: int = 90, height: int = 70, objects: int = 2) -> Sample:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    low = random.uniform(0, 0.6, (objects, 2))
    return Sample(image, np.concatenate([low, low + random.uniform(0.1, 0.4, (objects, 2))], 1), np.arange(objects))


def test_nothing_left_to_chance_is_only_resized() -> None:
    sample = noise(64, 64)
    seen = augment(sample, np.random.default_rng(1), size=64, settings=still())
    assert np.array_equal(seen.image, sample.image)
    assert np.allclose(seen.boxes, sample.boxes)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), objects=st.integers(0, 4), width=st.integers(8, 200), height=st.integers(8, 200))
def test_results_are_in_range_the_same_again_and_inputs_untouched(
    seed: int, objects: int, width: int, height: int
) -> None:
    sample = noise(width, height, objects)
    before = Sample(sample.image.copy(), sample.boxes.copy(), sample.class_ids.copy())
    first, second = (augment(sample, np.random.default_rng(seed), size=48, settings=Augmentation()) for _ in range(2))
    assert same(first, second)
    assert same(before, sample)
    assert first.image.shape == (48, 48, 3)
    assert first.image.dtype == np.uint8
    assert (first.boxes[:, :2] < first.boxes[:, 2:]).all()
    assert ((first.boxes >= 0) & (first.boxes <= 1)).all()
    assert len(first.boxes) == len(first.class_ids)
    assert set(first.class_ids) <= set(sample.class_ids)


def test_a_crop_always_leaves_an_object() -> None:
    sample = noise(objects=1)
    for seed in range(40):
        seen = augment(sample, np.random.default_rng(seed), size=32, settings=still(crop=1.0))
        assert len(seen.boxes) == 1


@pytest.mark.parametrize("least_seen", [0.0, 0.5, 0.9])
def test_a_crop_leaves_as_much_of_an_object_in_sight_as_it_must(least_seen: float) -> None:
    sample = noise(objects=1)
    box = (sample.boxes * (90, 70, 90, 70))[0]
    seen = []
    for seed in range(60):
        part = window_of(sample, np.random.default_rng(seed), still(crop=1.0, least_seen=least_seen))
        sides = np.minimum(box[2:], part[2:]) - np.maximum(box[:2], part[:2])
        seen.append(np.prod(sides) / np.prod(box[2:] - box[:2]))
    assert min(seen) >= least_seen - 1e-9
    assert (min(seen) < 0.9) == (least_seen < 0.9)


def test_a_crop_is_a_part_and_a_larger_field_is_not() -> None:
    sample = noise()
    for seed in range(40):
        part = window_of(sample, np.random.default_rng(seed), still(crop=1.0))
        assert 0 <= part.left < part.right <= 90
        assert 0 <= part.top < part.bottom <= 70
        field = window_of(sample, np.random.default_rng(seed), still(zoom_out=1.0))
        assert max(field.left, field.top) <= 0
        assert 90 <= field.width <= 4 * 90
        assert (field.right >= 90, field.bottom >= 70) == (True, True)


def test_a_field_that_may_not_grow_does_not() -> None:
    settings_ = still(zoom_out=1.0, largest_field=1.0)
    assert window_of(noise(), np.random.default_rng(0), settings_) == Window(0, 0, 90, 70)


def test_without_objects_any_part_will_do() -> None:
    parts = {window_of(noise(objects=0), np.random.default_rng(seed), still(crop=1.0)) for seed in range(10)}
    assert len(parts) == 10


def test_without_a_part_that_suits_the_whole_is_taken() -> None:
    speck = Sample(noise().image, np.array([[0.5, 0.5, 0.5001, 0.5001]]), np.array([0]))
    assert window_of(speck, np.random.default_rng(0), still(crop=1.0)) == Window(0, 0, 90, 70)


def test_a_strip_is_cropped_in_its_own_shape() -> None:
    strip = Sample(np.zeros((10, 400, 3), np.uint8), np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([0]))
    for seed in range(20):
        part = window_of(strip, np.random.default_rng(seed), still(crop=1.0))
        assert part.width >= 1
        assert part.height >= 1


def test_half_of_the_images_are_mirrored() -> None:
    sample = noise(32, 32)
    turned = 0
    for seed in range(200):
        seen = augment(sample, np.random.default_rng(seed), size=32, settings=still(mirror=0.5))
        turned += np.array_equal(seen.image, sample.image[:, ::-1])
    assert 70 <= turned <= 130


def test_colours_change_by_no_more_than_they_may() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    seen = [jitter(grey, np.random.default_rng(seed), 1.0) for seed in range(60)]
    values = np.array([image[0, 0, 0] for image in seen])
    assert len(set(values)) > 10
    # Lightness by up to 32, then contrast by up to a half.
    assert values.min() >= (100 - 33) * 0.5 - 1
    assert values.max() <= (100 + 33) * 1.5 + 1


def test_no_strength_no_change() -> None:
    image = noise().image
    assert np.array_equal(jitter(image, np.random.default_rng(0), 0.0), image)


def test_hue_is_clamped_not_turned_around() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    reds = [jitter(red, np.random.default_rng(seed), 1.0) for seed in range(60)]
    assert all((image[..., 0] >= image[..., 2]).all() for image in reds)


@pytest.mark.parametrize(("mirrored", "share"), [(True, 0.5), (False, 0.0)])
def test_options_decide(*, mirrored: bool, share: float) -> None:
    options = LocalOptions(mirror=mirrored, crop=0.1, zoom_out=0.2, largest_field=2.0, colour=0.3)
    assert Augmentation.of(options) == Augmentation(share, 0.1, 0.2, 2.0, 0.3, least_seen=0.9)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"mirror": 1.5}, "mirror"),
        ({"crop": -0.1}, "crop"),
        ({"zoom_out": float("nan")}, "zoom_out"),
        ({"colour": 2.0}, "colour"),
        ({"least_seen": 1.01}, "least_seen"),
        ({"largest_field": 0.5}, "largest_field"),
        ({"interpolation": "lanczos"}, "unknown interpolation"),
    ],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(HyperparameterError, match=what):
        Augmentation(**wrong)


@pytest.mark.parametrize("seed", range(12))
def test_mirrored_boxes_stay_with_their_pixels(seed: int) -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 10:30] = 255
    sample = Sample(image, np.array([[10 / 80, 20 / 60, 30 / 80, 40 / 60]]), np.array([0]))
    settings_ = Augmentation(mirror=1.0, crop=1.0, zoom_out=0.5, colour=0.0, interpolation="nearest")
    seen = augment(sample, np.random.default_rng(seed), size=96, settings=settings_)
    left, top, right, bottom = seen.boxes[0] * 96
    rows, columns = np.nonzero(seen.image[..., 0] == 255)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert np.abs(found - [left, top, right, bottom]).max() <= 96 / 60 * 4


def test_one_way_of_resizing_if_asked_for_else_several() -> None:
    sample = noise(64, 64, 0)

    def seen(way: Any) -> int:
        settings_ = Augmentation(**NOTHING, interpolation=way)
        made = [augment(sample, np.random.default_rng(seed), size=32, settings=settings_).image for seed in range(30)]
        return len({image.tobytes() for image in made})

    assert seen("linear") == 1
    assert seen("random") >= 3


def test_colours_change_in_place_in_a_part_of_an_array() -> None:
    image = noise(40, 30).image.copy()
    before = image.copy()
    out = np.full((40, 40, 3), 1, np.uint8)
    settings_ = still(colour=1.0, zoom_out=1.0)
    augment(
        Sample(image, np.zeros((0, 4)), np.zeros(0, np.int64)),
        np.random.default_rng(3),
        size=40,
        settings=settings_,
        out=out,
    )
    assert np.array_equal(image, before)
    assert not (out == 1).all(axis=2).any()


@pytest.mark.parametrize("seed", range(20))
def test_colours_change_as_tables_would_change_them(seed: int) -> None:
    image = noise(40, 30).image
    random = np.random.default_rng(seed)
    limits = np.array([18.0, 32.0, 32.0, 0.5])
    changes = random.uniform(-limits, limits) * (random.random(4) < 0.5)
    hls = cv2.cvtColor(image, cv2.COLOR_RGB2HLS).astype(int) + changes[:3].astype(int)
    expected = cv2.cvtColor(np.clip(hls, 0, (180, 255, 255)).astype(np.uint8), cv2.COLOR_HLS2RGB)
    if not changes[:3].astype(int).any():
        expected = image
    if changes[3]:
        expected = np.asarray(cv2.convertScaleAbs(expected, alpha=1 + float(changes[3])), dtype=np.uint8)
    assert np.array_equal(jitter(image, np.random.default_rng(seed), 1.0), expected)


@settings(deadline=None)
@given(
    objects=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    least_seen=st.sampled_from([0.0, 0.9]),
    seed=st.integers(0, 1000),
)
def test_what_is_chosen_for_an_image_does_not_depend_on_the_others(
    objects: list[int], least_seen: float, seed: int
) -> None:
    samples = [noise(40 + 30 * place, 70, number) for place, number in enumerate(objects)]
    settings_ = still(crop=0.8, zoom_out=0.5, least_seen=least_seen)
    together = choose_windows(samples, generators(seed, len(samples)), settings_)
    alone = [window_of(*each, settings_) for each in zip(samples, generators(seed, len(samples)), strict=True)]
    assert together == alone


def generators(seed: int, number: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, place]) for place in range(number)]


def test_a_crop_may_hold_one_object_of_very_many() -> None:
    far = np.tile([[0.0, 0.0, 0.01, 0.01]], (200, 1))
    boxes = np.vstack([far, [[0.2, 0.2, 0.8, 0.8]]])
    crowd = Sample(np.zeros((70, 90, 3), np.uint8), boxes, np.zeros(201, np.int64))
    for seed in range(20):
        part = window_of(crowd, np.random.default_rng(seed), still(crop=1.0, least_seen=0.9))
        across = min(part.right, 72) - max(part.left, 18)
        down = min(part.bottom, 56) - max(part.top, 14)
        assert across * down >= 0.9 * 54 * 42
