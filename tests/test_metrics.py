"""Average precision: examples worked by hand, laws, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from birdsod.errors import BoxError
from birdsod.metrics import (
    GroundTruth,
    Predictions,
    average_precision,
    evaluate_boxes,
    match_boxes,
    precision_recall,
)
from birdsod.testing import ground_truth_and_predictions

Box = list[float]

BOX: Box = [0.0, 0.0, 10.0, 10.0]
FAR: Box = [50.0, 50.0, 60.0, 60.0]
RULES = ("area", "voc07", "coco", "coco_50", "coco_75")

Drawn = tuple[GroundTruth, Predictions]


def scores(truth: GroundTruth, found: Predictions, num_classes: int = 3) -> dict[str, Any]:
    figures = evaluate_boxes(truth, found, num_classes=num_classes)
    return {rule: getattr(figures, rule) for rule in RULES}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for rule in RULES:
        np.testing.assert_allclose(one[rule], other[rule], rtol=0, atol=1e-12, err_msg=rule)


def chosen(found: Predictions, rows: Any) -> Predictions:
    return Predictions(found.image_id[rows], found.class_id[rows], found.score[rows], found.boxes[rows])


class TestWorkedByHand:
    # Right, wrong, right: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    PRECISION, RECALL = (1.0, 1 / 2, 2 / 3), (1 / 2, 1 / 2, 1.0)

    def test_area(self) -> None:
        assert average_precision(self.PRECISION, self.RECALL) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)

    def test_eleven_points(self) -> None:
        expected = (6 * 1 + 5 * 2 / 3) / 11  # recall 0 to 0.5, then 0.6 to 1
        assert average_precision(self.PRECISION, self.RECALL, rule="voc07") == pytest.approx(expected)

    def test_a_hundred_and_one_points(self) -> None:
        expected = (51 * 1 + 50 * 2 / 3) / 101
        assert average_precision(self.PRECISION, self.RECALL, rule="coco") == pytest.approx(expected)

    @pytest.mark.parametrize("objects", range(1, 40))
    def test_eleven_points_see_a_recall_that_is_exactly_a_tenth(self, objects: int) -> None:
        # np.arange(0, 1.1, 0.1) holds 0.30000000000000004 and would miss three of ten objects.
        for found in range(1, objects + 1):
            recall = np.arange(1, found + 1) / objects
            expected = sum(10 * found >= k * objects for k in range(11)) / 11
            assert average_precision(np.ones(found), recall, rule="voc07") == pytest.approx(expected)

    @pytest.mark.parametrize("rule", ["area", "voc07", "coco"])
    def test_nothing_found_is_zero(self, rule: Any) -> None:
        assert average_precision([], [], rule=rule) == 0

    def test_no_objects_is_no_figure(self) -> None:
        assert math.isnan(average_precision([0.0], [math.nan]))

    def test_the_curve_of_one_class(self) -> None:
        truth = GroundTruth([1, 2], [0, 0], [BOX, BOX])
        found = Predictions([1, 1, 2, 2], [0, 0, 0, 1], [0.8, 0.9, 0.7, 1.0], [BOX, FAR, BOX, BOX])
        curve = precision_recall(truth, found, class_id=0)
        assert curve.score.tolist() == [0.9, 0.8, 0.7]
        assert curve.precision.tolist() == [0.0, 1 / 2, 2 / 3]
        assert curve.recall.tolist() == [0.0, 1 / 2, 1.0]

    def test_the_curve_of_a_class_without_objects(self) -> None:
        curve = precision_recall(GroundTruth([], [], []), Predictions([1], [0], [0.9], [BOX]), class_id=0)
        assert curve.precision.tolist() == [0.0]
        assert np.isnan(curve.recall).all()


class TestMatching:
    def test_overlap_of_exactly_the_threshold_is_enough(self) -> None:
        truth = GroundTruth([1], [0], [BOX])
        half = Predictions([1], [0], [0.9], [[0, 0, 10, 5]])
        assert match_boxes(truth, half, [0.5, 0.500001]).tolist() == [[0], [-1]]

    def test_a_copy_matches_at_one(self) -> None:
        box = [[0.1, 0.2, 0.7, 0.9]]
        assert match_boxes(GroundTruth([1], [0], box), Predictions([1], [0], [0.9], box), [1.0]).tolist() == [[0]]

    def test_the_second_detection_of_an_object_is_wrong(self) -> None:
        twice = Predictions([1, 1], [0, 0], [0.8, 0.9], [BOX, BOX])
        assert match_boxes(GroundTruth([1], [0], [BOX]), twice, 0.5).tolist() == [[-1, 0]]

    def test_the_best_free_object_is_taken(self) -> None:
        # The second detection overlaps the first object most, which is taken; the other one is enough too.
        truth = GroundTruth([1, 1], [0, 0], [BOX, [0.0, 0.0, 10.0, 8.0]])
        found = Predictions([1, 1], [0, 0], [0.9, 0.8], [BOX, [0.0, 0.0, 10.0, 9.5]])
        assert match_boxes(truth, found, [0.5]).tolist() == [[0, 1]]

    def test_of_two_equal_objects_the_later_is_taken(self) -> None:
        truth = GroundTruth([1, 1], [0, 0], [BOX, BOX])
        assert match_boxes(truth, Predictions([1], [0], [0.9], [BOX]), [0.5]).tolist() == [[1]]

    def test_of_equal_scores_the_earlier_row_is_first(self) -> None:
        found = Predictions([1, 1], [0, 0], [0.9, 0.9], [[0.0, 0.0, 10.0, 6.0], BOX])
        assert match_boxes(GroundTruth([1], [0], [BOX]), found, [0.5]).tolist() == [[0, -1]]

    @pytest.mark.parametrize(("image", "kind"), [(2, 0), (1, 1)])
    def test_another_image_or_class_never_matches(self, image: int, kind: int) -> None:
        found = Predictions([image], [kind], [0.9], [BOX])
        assert match_boxes(GroundTruth([1], [0], [BOX]), found, [0.5]).tolist() == [[-1]]

    def test_an_empty_box_matches_nothing(self) -> None:
        point = [[5.0, 5.0, 5.0, 5.0]]
        assert match_boxes(GroundTruth([1], [0], point), Predictions([1], [0], [0.9], point), [0.5]).tolist() == [[-1]]

    def test_no_thresholds(self) -> None:
        assert match_boxes(GroundTruth([1], [0], [BOX]), Predictions([1], [0], [0.9], [BOX]), []).shape == (0, 1)

    def test_many_pairs_are_computed_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = np.random.default_rng(0)
        corner = generator.uniform(0, 10, (60, 2))
        truth = GroundTruth(np.arange(60) % 3, np.zeros(60, int), np.c_[corner, corner + 5])
        found = Predictions(np.arange(60) % 3, np.zeros(60, int), generator.random(60), np.c_[corner, corner + 4])
        whole = match_boxes(truth, found, [0.3, 0.5])
        monkeypatch.setattr("birdsod.metrics._matching.PAIRS_AT_ONCE", 50)
        assert np.array_equal(match_boxes(truth, found, [0.3, 0.5]), whole)


class TestLaws:
    @given(ground_truth_and_predictions())
    def test_from_zero_to_one_and_nan_only_without_objects(self, drawn: Drawn) -> None:
        figures = evaluate_boxes(*drawn, num_classes=3)
        for rule in RULES:
            values = getattr(figures, rule)
            assert np.array_equal(np.isnan(values), figures.objects == 0)
            assert ((values >= 0) & (values <= 1 + 1e-12))[figures.objects > 0].all()

    @given(ground_truth_and_predictions())
    def test_perfect_detections_give_one(self, drawn: Drawn) -> None:
        truth, _ = drawn
        found = Predictions(truth.image_id, truth.class_id, np.linspace(0, 1, len(truth)), truth.boxes)
        figures = evaluate_boxes(truth, found, num_classes=3)
        for rule in RULES:
            values = getattr(figures, rule)[figures.objects > 0]
            np.testing.assert_allclose(values, 1.0, atol=1e-12)

    @given(ground_truth_and_predictions(), st.integers(0, 2))
    def test_a_last_false_detection_changes_nothing(self, drawn: Drawn, kind: int) -> None:
        # Interpolated precision looks only at what is at least as confident as the last right detection.
        truth, found = drawn
        more = Predictions(
            [*found.image_id, 99], [*found.class_id, kind], [*found.score, -1.0], [*found.boxes.tolist(), BOX]
        )
        assert_same(scores(truth, more), scores(truth, found))

    @given(ground_truth_and_predictions(), st.integers(0, 2), st.integers(0, 8))
    def test_a_false_detection_never_raises_a_figure(self, drawn: Drawn, kind: int, step: int) -> None:
        # In image 99 there are no objects: these count as false positives all the same.
        truth, found = drawn
        more = Predictions(
            [*found.image_id, 99], [*found.class_id, kind], [*found.score, step / 8], [*found.boxes.tolist(), BOX]
        )
        before, after = scores(truth, found), scores(truth, more)
        for rule in RULES:
            known = ~np.isnan(before[rule])
            assert (after[rule][known] <= before[rule][known] + 1e-12).all()

    def test_a_false_detection_in_an_image_without_objects_counts(self) -> None:
        truth = GroundTruth([1], [0], [BOX])
        found = Predictions([1, 2], [0, 0], [0.8, 0.9], [BOX, BOX])
        assert evaluate_boxes(truth, found, num_classes=1).map_area == 0.5

    @given(ground_truth_and_predictions(), st.randoms(use_true_random=False))
    def test_the_order_of_rows_and_images_does_not_matter(self, drawn: Drawn, random: Any) -> None:
        truth, found = drawn
        assume(len(set(found.score.tolist())) == len(found))  # the order decides between equal scores
        rows, numbers = list(range(len(found))), [1, 2, 3]
        random.shuffle(rows)
        random.shuffle(numbers)
        renumbered = np.array([0, *numbers])
        shuffled = chosen(found, np.array(rows, dtype=int))
        same_truth = GroundTruth(renumbered[truth.image_id], truth.class_id, truth.boxes)
        same_found = Predictions(renumbered[shuffled.image_id], shuffled.class_id, shuffled.score, shuffled.boxes)
        assert_same(scores(same_truth, same_found), scores(truth, found))

    @given(ground_truth_and_predictions(), st.sampled_from([0.25, 2.0, 1024.0]), st.sampled_from([0.5, 8.0]))
    def test_scaled_images_score_the_same(self, drawn: Drawn, across: float, down: float) -> None:
        truth, found = drawn
        factor = np.array([across, down, across, down])
        large_truth = GroundTruth(truth.image_id, truth.class_id, truth.boxes * factor)
        large_found = Predictions(found.image_id, found.class_id, found.score, found.boxes * factor)
        assert_same(scores(large_truth, large_found), scores(truth, found))

    @given(ground_truth_and_predictions())
    def test_only_the_order_of_scores_counts(self, drawn: Drawn) -> None:
        truth, found = drawn
        cubed = Predictions(found.image_id, found.class_id, found.score**3 - 5, found.boxes)
        assert_same(scores(truth, cubed), scores(truth, found))

    @given(ground_truth_and_predictions())
    def test_a_class_is_scored_as_if_it_were_alone(self, drawn: Drawn) -> None:
        truth, found = drawn
        together = scores(truth, found)
        for kind in range(3):
            mine = truth.class_id == kind
            alone = GroundTruth(truth.image_id[mine], truth.class_id[mine], truth.boxes[mine])
            for rule, values in scores(alone, chosen(found, found.class_id == kind)).items():
                np.testing.assert_array_equal(values[kind], together[rule][kind])

    @given(ground_truth_and_predictions(), st.floats(0.05, 1.0), st.floats(0.05, 1.0))
    def test_a_higher_threshold_of_one_detection_each_never_helps(self, drawn: Drawn, one: float, other: float) -> None:
        truth, found = drawn
        low, high = sorted((one, other))
        matches = match_boxes(truth, found, [low, high]) >= 0
        assert matches[1].sum() <= matches[0].sum()

    @given(ground_truth_and_predictions())
    def test_inputs_are_not_edited_and_cannot_be(self, drawn: Drawn) -> None:
        truth, found = drawn
        before = truth.boxes.tobytes(), found.boxes.tobytes(), found.score.tobytes()
        evaluate_boxes(truth, found, num_classes=3)
        assert (truth.boxes.tobytes(), found.boxes.tobytes(), found.score.tobytes()) == before
        assert not any(column.flags.writeable for column in (truth.boxes, found.boxes, found.score, found.image_id))


class TestSummary:
    def test_means_leave_out_classes_without_objects(self) -> None:
        truth = GroundTruth([1, 1, 2], [0, 1, 1], [BOX, BOX, BOX])
        found = Predictions([1, 1, 2], [0, 2, 1], [0.9, 0.8, 0.7], [BOX, BOX, FAR])
        figures = evaluate_boxes(truth, found, num_classes=4)
        assert figures.objects.tolist() == [1, 2, 0, 0]
        assert figures.images.tolist() == [1, 2, 0, 0]
        assert figures.area[:2].tolist() == [1.0, 0.0]
        means = (figures.map_area, figures.map_voc07, figures.map_coco, figures.map_coco_50, figures.map_coco_75)
        assert means == pytest.approx([0.5] * 5)

    def test_no_objects_at_all(self) -> None:
        figures = evaluate_boxes(GroundTruth([], [], []), Predictions([], [], [], []), num_classes=2)
        assert all(math.isnan(value) for value in (figures.map_area, figures.map_coco))

    def test_objects_in_one_image_count_one_image(self) -> None:
        figures = evaluate_boxes(GroundTruth([5, 5], [0, 0], [BOX, FAR]), Predictions([], [], [], []), num_classes=1)
        assert (figures.objects[0], figures.images[0], figures.map_area) == (2, 1, 0.0)

    def test_the_overlap_threshold_moves_voc_figures_only(self) -> None:
        truth = GroundTruth([1], [0], [BOX])
        found = Predictions([1], [0], [0.9], [[0, 0, 10, 6]])
        strict = evaluate_boxes(truth, found, num_classes=1, overlap_threshold=0.7)
        assert [strict.map_area, strict.map_voc07, strict.map_coco_50] == pytest.approx([0, 0, 1])

    def test_coco_looks_at_a_hundred_detections_and_voc_at_all(self) -> None:
        count = 101
        truth = GroundTruth([1], [0], [BOX])
        found = Predictions([1] * count, [0] * count, np.linspace(1, 0.5, count), [FAR] * (count - 1) + [BOX])
        figures = evaluate_boxes(truth, found, num_classes=1)
        assert figures.map_coco_50 == 0
        assert figures.map_area == pytest.approx(1 / count)


class TestRefused:
    def test_columns_of_different_length(self) -> None:
        with pytest.raises(BoxError, match="do not fit together"):
            GroundTruth([1, 2], [0], [BOX])

    def test_boxes_of_three_sides(self) -> None:
        with pytest.raises(BoxError, match="do not fit together"):
            Predictions([1], [0], [0.5], [[0, 0, 1]])

    def test_a_box_that_is_not_finite(self) -> None:
        with pytest.raises(BoxError, match="record 1: a box is not finite"):
            GroundTruth([1, 1], [0, 0], [BOX, [0, 0, math.nan, 1]])

    def test_a_score_that_is_not_finite(self) -> None:
        with pytest.raises(BoxError, match="a score is not finite"):
            Predictions([1], [0], [math.inf], [BOX])

    def test_class_ids_that_are_not_whole(self) -> None:
        with pytest.raises(BoxError, match="class ids are not whole numbers"):
            GroundTruth([1], [0.5], [BOX])

    @pytest.mark.parametrize("kind", [-1, 2])
    def test_an_object_of_no_class(self, kind: int) -> None:
        with pytest.raises(BoxError, match="class id of an object is not one of 2 classes"):
            evaluate_boxes(GroundTruth([1], [kind], [BOX]), Predictions([], [], [], []), num_classes=2)

    def test_a_detection_of_no_class(self) -> None:
        with pytest.raises(BoxError, match="class id of a detection is not one of 2 classes"):
            evaluate_boxes(GroundTruth([], [], []), Predictions([1], [2], [0.5], [BOX]), num_classes=2)

    @pytest.mark.parametrize("threshold", [0.0, 1.1, math.nan])
    def test_an_overlap_threshold_out_of_range(self, threshold: float) -> None:
        with pytest.raises(BoxError, match="overlap threshold"):
            evaluate_boxes(
                GroundTruth([], [], []), Predictions([], [], [], []), num_classes=1, overlap_threshold=threshold
            )
