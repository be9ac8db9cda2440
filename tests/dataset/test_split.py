"""Random splits: shares, classes on both sides, the same on every machine, mirrors never apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset
from birdsod.errors import DatasetError
from birdsod.testing import datasets

# Frozen: another draw would change the numbers that people report.
FIXED_0, FIXED_1 = [1, 6, 11], [1, 2, 12]
TABLE = ClassTable((3, 5, 8), ("a", "b", "c"))


def flock(held: list[list[int]], **columns: Any) -> DetectionDataset:
    """One image for each list of classes; ids from 1."""
    ids = list(range(1, len(held) + 1))
    owners = [image_id for image_id, classes in zip(ids, held, strict=True) for _ in classes]
    sides = {side: [float(side.endswith("max"))] * len(owners) for side in ("xmin", "ymin", "xmax", "ymax")}
    objects = {"image_id": owners, "class_id": [k for classes in held for k in classes], **sides}
    images: dict[str, Any] = {"image_id": ids, "path": [f"{k}.jpg" for k in ids], **columns}
    return DetectionDataset.from_tables(images, objects, root=".", class_table=TABLE)


def ids_of(birds: DetectionDataset) -> set[int]:
    return set(birds.image_ids.tolist())


one_class_each = st.lists(st.integers(0, 2).map(lambda k: [k]), min_size=2, max_size=40).filter(
    lambda held: max(np.bincount([classes[0] for classes in held])) > 1
)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(-(2**63), 2**63)


class TestAtRandom:
    @given(held=one_class_each, fraction=fractions, seed=seeds)
    def test_each_image_goes_to_one_side(self, held: list[list[int]], fraction: float, seed: int) -> None:
        birds = flock(held)
        train, validation = birds.split(fraction, seed=seed)
        assert ids_of(train) | ids_of(validation) == ids_of(birds)
        assert not ids_of(train) & ids_of(validation)
        assert set(train.splits) == {"train"}
        assert set(validation.splits) == {"validation"}
        assert set(birds.splits) == {""}

    @given(held=one_class_each, fraction=fractions, seed=seeds)
    def test_each_class_has_its_share(self, held: list[list[int]], fraction: float, seed: int) -> None:
        train, validation = flock(held).split(fraction, seed=seed)
        for class_id in range(3):
            total = held.count([class_id])
            trained = int((train.objects["class_id"] == class_id).sum())
            tested = int((validation.objects["class_id"] == class_id).sum())
            assert trained + tested == total
            if total >= 2:
                assert trained >= 1
                assert tested >= 1
                off = max(0.5, 1 - fraction * total, 1 - (1 - fraction) * total)
                assert abs(trained - fraction * total) <= off + 1e-9
            elif total == 1:
                assert trained == 1

    @given(held=one_class_each, seed=seeds, data=st.data())
    def test_the_order_of_images_does_not_matter(self, held: list[list[int]], seed: int, data: st.DataObject) -> None:
        birds = flock(held)
        order = data.draw(st.permutations(range(len(birds))))
        one, other = (some.split(0.7, seed=seed) for some in (birds, birds[order]))
        assert [ids_of(side) for side in one] == [ids_of(side) for side in other]

    @given(held=one_class_each, seed=seeds)
    def test_the_same_seed_draws_the_same(self, held: list[list[int]], seed: int) -> None:
        assert flock(held).split(0.5, seed=seed) == flock(held).split(0.5, seed=seed)

    def test_a_draw_is_fixed_for_ever(self) -> None:
        birds = flock([[k % 3] for k in range(12)])
        assert birds.split(0.75, seed=0)[1].image_ids.tolist() == FIXED_0
        assert birds.split(0.75, seed=1)[1].image_ids.tolist() == FIXED_1

    def test_seeds_differ(self) -> None:
        birds = flock([[0]] * 30)
        draws = {frozenset(ids_of(birds.split(0.5, seed=seed)[0])) for seed in range(20)}
        assert len(draws) == 20

    def test_a_growing_fraction_only_adds(self) -> None:
        birds = flock([[k % 2] for k in range(40)])
        assert ids_of(birds.split(0.5)[0]) < ids_of(birds.split(0.8)[0])

    def test_every_image_is_drawn_about_as_often(self) -> None:
        birds = flock([[0]] * 20)
        times = np.sum([_marks(birds, seed) for seed in range(400)], axis=0)
        assert np.all(np.abs(times - 200) < 60)

    def test_images_without_objects_are_a_class_of_their_own(self) -> None:
        train, validation = flock([[], [], [0], [0]]).split(0.5)
        assert train.num_objects == validation.num_objects == 1
        assert len(train) == len(validation) == 2


def _marks(birds: DetectionDataset, seed: int) -> Any:
    return np.isin(birds.image_ids, birds.split(0.5, seed=seed)[0].image_ids)


class TestSeveralClasses:
    def test_the_rarest_class_counts(self) -> None:
        train, validation = flock([[0, 1], [0, 1], [0], [0], [0], [0]]).split(0.5, seed=3)
        for side in (train, validation):
            assert {0, 1} == set(side.objects["class_id"])

    def test_a_class_that_one_side_lacks_is_mended(self) -> None:
        # Classes 1 and 2 stand on one image each, so both images are trained on; class 0 has no other image.
        train, validation = flock([[0, 1], [0, 2]]).split(0.5)
        assert len(train) == len(validation) == 1

    def test_a_class_only_in_training_is_mended_from_there(self) -> None:
        held = [[0, 1], [0, 1], [0, 2], [0, 2], [2], [1]]
        for seed in range(30):
            for side in flock(held).split(0.9, seed=seed):
                assert set(side.objects["class_id"]) == {0, 1, 2}

    def test_what_cannot_be_mended_is_left(self) -> None:
        # Three classes on three images, two each: two sides cannot both hold all of them.
        train, validation = flock([[0, 1], [1, 2], [0, 2]]).split(0.5)
        assert sorted((len(train), len(validation))) == [1, 2]

    @given(birds=datasets(min_images=2, max_images=9), fraction=fractions, seed=seeds)
    def test_no_single_move_would_bring_a_class_to_both_sides(
        self, birds: DetectionDataset, fraction: float, seed: int
    ) -> None:
        try:
            train, _ = birds.split(fraction, seed=seed)
        except DatasetError:
            assert all(count < 2 for count in _holders(birds).values())
            return
        trained = ids_of(train)
        holders = _holders(birds)
        lacking = _lacking(birds, trained)
        assert len(lacking) == 0 or not any(
            _lacking(birds, trained ^ {image_id}) < lacking for image_id in ids_of(birds)
        ), (lacking, holders)


def _sets(birds: DetectionDataset) -> dict[int, set[int]]:
    held: dict[int, set[int]] = {k: set() for k in (-1, *birds.objects["class_id"].tolist())}
    for record in birds:
        for class_id in record.class_ids.tolist() or [-1]:
            held[class_id].add(record.image_id)
    return held


def _holders(birds: DetectionDataset) -> dict[int, int]:
    return {class_id: len(images) for class_id, images in _sets(birds).items()}


def _lacking(birds: DetectionDataset, trained: set[int]) -> set[int]:
    return {
        class_id
        for class_id, images in _sets(birds).items()
        if class_id >= 0 and len(images) > 1 and (not images & trained or images <= trained)
    }


class TestGroups:
    @given(held=one_class_each, fraction=fractions, seed=seeds, data=st.data())
    def test_a_group_never_parts(self, held: list[list[int]], fraction: float, seed: int, data: st.DataObject) -> None:
        groups = data.draw(st.lists(st.integers(0, 5), min_size=len(held), max_size=len(held)))
        try:
            train, validation = flock(held, group=groups).split(fraction, seed=seed)
        except DatasetError:
            return
        sides = [{groups[image_id - 1] for image_id in ids_of(side)} for side in (train, validation)]
        assert not sides[0] & sides[1]

    @given(held=one_class_each, fraction=fractions, seed=seeds)
    def test_a_mirror_goes_with_its_original_which_goes_where_it_went(
        self, held: list[list[int]], fraction: float, seed: int
    ) -> None:
        count = len(held)
        mirrored = flock(held * 2, mirror_of=[-1] * count + list(range(1, count + 1)))
        train, validation = mirrored.split(fraction, seed=seed)
        alone, _ = flock(held).split(fraction, seed=seed)
        assert ids_of(train) == ids_of(alone) | {image_id + count for image_id in ids_of(alone)}
        assert len(train) + len(validation) == 2 * count


class TestOwn:
    def test_the_own_split_is_that_of_the_column(self) -> None:
        birds = flock([[0], [1], [2]], split=["train", "validation", "train"])
        train, validation = birds.split()
        assert train.image_ids.tolist() == [1, 3]
        assert validation.image_ids.tolist() == [2]

    @pytest.mark.parametrize(
        ("split", "message"),
        [
            (["", "", ""], "3 of 3 images are marked neither"),
            (["train", "validation", ""], "1 of 3 images are marked neither"),
            (["train"] * 3, "no image is marked validation"),
            (["validation"] * 3, "no image is marked train"),
        ],
    )
    def test_a_missing_own_split_is_told(self, split: list[str], message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            flock([[0], [1], [2]], split=split).split()

    def test_nothing_to_split_is_told(self) -> None:
        with pytest.raises(DatasetError, match="there is nothing to split"):
            flock([]).split()


class TestFaults:
    @pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, float("nan"), 80])
    def test_a_fraction_outside_is_told(self, fraction: float) -> None:
        with pytest.raises(DatasetError, match="the fraction must lie between 0 and 1"):
            flock([[0], [0]]).split(fraction)

    @pytest.mark.parametrize("held", [[], [[0]], [[0], [1], [2]]])
    def test_what_cannot_be_split_is_told(self, held: list[list[int]]) -> None:
        with pytest.raises(DatasetError, match="cannot be split"):
            flock(held).split(0.5)

    def test_one_group_cannot_be_split(self) -> None:
        with pytest.raises(DatasetError, match="2 images cannot be split"):
            flock([[0], [0]], group=[7, 7]).split(0.5)

    def test_a_seed_is_a_whole_number(self) -> None:
        with pytest.raises(TypeError):
            flock([[0], [0]]).split(0.5, seed=0.5)  # type: ignore[arg-type]
