"""Detections: a value whose rows can be chosen, read in several forms, and not edited."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.classes import ClassTable
from birdsod.detections import Detections
from birdsod.errors import BoxError, DatasetError, ImageError
from birdsod.testing import detections

BIRDS = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
ROWS = [[0, 0.9, 0.1, 0.2, 0.5, 0.8], [1, 0.4, 0.0, 0.0, 1.0, 1.0], [0, 0.3, 0.5, 0.5, 0.6, 0.7]]


@pytest.fixture
def found() -> Detections:
    return Detections.from_prediction(ROWS, width=500, height=300, classes=BIRDS)


class TestReading:
    def test_columns(self, found: Detections) -> None:
        assert found.class_id.tolist() == [0, 1, 0]
        assert found.class_id.dtype == np.int64
        assert found.confidence.tolist() == [0.9, 0.4, 0.3]
        assert found.names == ["017.Cardinal", "036.Northern_Flicker", "017.Cardinal"]
        assert (found.width, found.height, found.classes) == (500, 300, BIRDS)

    def test_both_kinds_of_boxes(self, found: Detections) -> None:
        assert found.xyxy_relative[1].tolist() == [0, 0, 1, 1]
        assert found.xyxy[0] == pytest.approx([50, 60, 250, 240])

    def test_table(self, found: Detections) -> None:
        frame = found.to_frame()
        assert list(frame) == ["class_id", "source_id", "name", "confidence", "xmin", "ymin", "xmax", "ymax"]
        assert frame["source_id"].tolist() == [17, 36, 17]
        assert frame["xmax"].tolist() == pytest.approx([250, 500, 300])

    def test_coco_results_are_plain_values_in_the_data_sets_own_ids(self, found: Detections) -> None:
        first = found.to_coco(np.int64(7))[0]  # type: ignore[arg-type] # an id out of an array
        assert first == {"image_id": 7, "category_id": 17, "bbox": pytest.approx([50, 60, 200, 180]), "score": 0.9}
        assert {type(first["image_id"]), type(first["bbox"][0]), type(first["score"])} == {int, float}

    def test_repr_is_short(self, found: Detections) -> None:
        shown = "Detections(3 in 500 x 300: 017.Cardinal 0.90, 036.Northern_Flicker 0.40, 017.Cardinal 0.30)"
        assert repr(found) == shown
        assert repr(found[[0, 1, 2, 0]]) == shown.replace("(3", "(4").replace("30)", "30, ...)")

    def test_repr_of_none(self, found: Detections) -> None:
        assert repr(found[[]]) == "Detections(0 in 500 x 300)"

    def test_suppressed_rows_are_dropped(self) -> None:
        rows = [[-1, 0.9, 0, 0, 1, 1], ROWS[0], [-1, math.nan, 9, 9, 9, 9]]
        assert len(Detections.from_prediction(rows, width=5, height=5, classes=BIRDS)) == 1

    @pytest.mark.parametrize("rows", [[], np.zeros((0, 6))])
    def test_an_empty_answer(self, rows: Any) -> None:
        none = Detections.from_prediction(rows, width=500, height=300, classes=BIRDS)
        assert (len(none), none.names, none.xyxy.shape, len(none.to_frame())) == (0, [], (0, 4), 0)
        assert none.to_coco(1) == []

    def test_no_columns(self) -> None:
        assert len(Detections([], [], [], 5, 5, BIRDS)) == 0


class TestChoosing:
    @pytest.mark.parametrize(
        ("rows", "kept"),
        [
            (slice(1, None), [1, 2]),
            (slice(None, None, -1), [2, 1, 0]),
            (np.array([True, False, True]), [0, 2]),
            ([True, False, False], [0]),
            (np.array([2, 0]), [2, 0]),
            ([2, 2], [2, 2]),
            ([], []),
            (np.zeros(3, dtype=bool), []),
            (1, [1]),
            (-1, [2]),
            (np.int64(1), [1]),
        ],
    )
    def test_rows(self, found: Detections, rows: Any, kept: list[int]) -> None:
        some = found[rows]
        assert some.confidence.tolist() == [ROWS[k][1] for k in kept]
        assert some.xyxy_relative.tolist() == [ROWS[k][2:] for k in kept]
        assert some.names == [found.names[k] for k in kept]

    @pytest.mark.parametrize("rows", ["a", 1.0, [[0, 1]], None])
    def test_what_chooses_no_rows(self, found: Detections, rows: Any) -> None:
        with pytest.raises(IndexError, match="3 detections are indexed by"):
            found[rows]

    @pytest.mark.parametrize("rows", [3, [0, -4], [True, False]])
    def test_out_of_range(self, found: Detections, rows: Any) -> None:
        with pytest.raises(IndexError):
            found[rows]

    def test_iteration_gives_a_row_each_and_ends(self, found: Detections) -> None:
        assert [one.names for one in found] == [[name] for name in found.names]

    def test_above_keeps_the_threshold_itself(self, found: Detections) -> None:
        assert [len(found.above(threshold)) for threshold in (0.3, 0.4, 0.6, 1)] == [3, 2, 1, 0]

    @pytest.mark.parametrize("wanted", [36, "036.Northern_Flicker"])
    def test_of_class(self, found: Detections, wanted: int | str) -> None:
        assert found.of_class(wanted) == found[1]

    def test_of_unknown_class(self, found: Detections) -> None:
        with pytest.raises(DatasetError, match="no such class"):
            found.of_class("Cardinalis")

    @given(detections(), st.floats(0, 1))
    def test_above_splits_in_two(self, drawn: Detections, threshold: float) -> None:
        high = drawn.above(threshold)
        assert len(high) + len(drawn[drawn.confidence < threshold]) == len(drawn)
        assert (high.confidence >= threshold).all()

    @given(detections())
    def test_every_row_is_of_one_class(self, drawn: Detections) -> None:
        assert sum(len(drawn.of_class(name)) for name in drawn.classes) == len(drawn)


class TestValue:
    @given(detections())
    def test_there_and_back_through_a_prediction(self, drawn: Detections) -> None:
        rows = np.c_[drawn.class_id, drawn.confidence, drawn.xyxy_relative]
        back = Detections.from_prediction(rows, width=drawn.width, height=drawn.height, classes=drawn.classes)
        assert back == drawn

    @given(detections())
    def test_copies_are_equal_and_read_only(self, drawn: Detections) -> None:
        for other in (pickle.loads(pickle.dumps(drawn)), copy.deepcopy(drawn), drawn[:]):  # noqa: S301 - our own bytes
            assert other == drawn
            assert hash(other) == hash(drawn)
            assert not other.xyxy_relative.flags.writeable

    def test_differences(self, found: Detections) -> None:
        others = [
            found[[1, 0, 2]],
            found[:2],
            Detections(found.class_id, found.confidence, found.xyxy_relative, 501, 300, BIRDS),
            Detections(found.class_id, found.confidence, found.xyxy_relative * 0.5, 500, 300, BIRDS),
            Detections(found.class_id, found.confidence * 0.5, found.xyxy_relative, 500, 300, BIRDS),
            Detections(found.class_id, found.confidence, found.xyxy_relative, 500, 300, ClassTable((1, 2), ("a", "b"))),
        ]
        assert all(found != other for other in others)

    def test_not_equal_to_something_else(self, found: Detections) -> None:
        assert found != [1, 2, 3]

    def test_arrays_are_copies_that_cannot_be_edited(self) -> None:
        confidence = np.array([0.5])
        one = Detections([0], confidence, [[0, 0, 1, 1]], 5, 5, BIRDS)
        confidence[0] = 0.1
        assert one.confidence[0] == 0.5
        for column in (one.class_id, one.confidence, one.xyxy_relative):
            with pytest.raises(ValueError, match="read-only"):
                column[...] = 0

    def test_fields_cannot_be_set(self, found: Detections) -> None:
        with pytest.raises(AttributeError):
            found.width = 3  # type: ignore[misc] # that it is refused is the point


class TestRefused:
    @pytest.mark.parametrize("rows", [[1, 2, 3], [[0, 0.5, 0, 0, 1]], np.zeros((1, 1, 6)), np.zeros((2, 0)), 3.0])
    def test_a_prediction_of_other_shape(self, rows: Any) -> None:
        with pytest.raises(BoxError, match=r"rows of class, score, xmin, ymin, xmax, ymax.*shape \(n, 6\)"):
            Detections.from_prediction(rows, width=5, height=5, classes=BIRDS)

    @pytest.mark.parametrize("rows", [[[0, 0.5], [1]], [["a"] * 6], None])
    def test_a_prediction_that_is_no_table(self, rows: Any) -> None:
        with pytest.raises(BoxError):
            Detections.from_prediction(rows, width=5, height=5, classes=BIRDS)

    @pytest.mark.parametrize(
        ("ids", "scores", "boxes"),
        [
            ([0], [0.5, 0.5], [[0, 0, 1, 1]]),
            ([0], [0.5], [[0, 0, 1]]),
            ([0], [0.5], [0, 0, 1, 1]),
            ([[0]], [0.5], [[0, 0, 1, 1]]),
            (0, 0.5, [0, 0, 1, 1]),
            ([0], [0.5], []),
        ],
    )
    def test_columns_that_do_not_fit(self, ids: Any, scores: Any, boxes: Any) -> None:
        with pytest.raises(BoxError, match=r"do not fit together.*\(n,\), \(n,\) and \(n, 4\)"):
            Detections(ids, scores, boxes, 5, 5, BIRDS)

    @pytest.mark.parametrize("kind", [-2, 2])
    def test_a_class_that_the_table_does_not_name(self, kind: int) -> None:
        with pytest.raises(DatasetError, match=r"record 1: a class id is not in the table.*from 0 to 1"):
            Detections([0, kind], [0.5, 0.5], [[0, 0, 1, 1]] * 2, 5, 5, BIRDS)

    @pytest.mark.parametrize("kind", [0.5, math.nan, math.inf])
    def test_a_class_that_is_not_whole(self, kind: float) -> None:
        with pytest.raises(DatasetError, match="not a whole number"):
            Detections([kind], [0.5], [[0, 0, 1, 1]], 5, 5, BIRDS)

    @pytest.mark.parametrize("score", [-0.1, 40, math.nan])
    def test_a_confidence_out_of_range(self, score: float) -> None:
        with pytest.raises(BoxError, match="record 0: a confidence is not between 0 and 1"):
            Detections([0], [score], [[0, 0, 1, 1]], 5, 5, BIRDS)

    def test_float_noise_of_a_softmax_is_no_error(self) -> None:
        assert (
            Detections([0], [np.nextafter(np.float32(1), np.float32(2))], [[0, 0, 1, 1]], 5, 5, BIRDS).confidence[0] > 1
        )

    @pytest.mark.parametrize("side", [math.nan, -math.inf])
    def test_a_box_that_is_not_finite(self, side: float) -> None:
        with pytest.raises(BoxError, match="record 1: a box is not finite"):
            Detections([0, 0], [0.5, 0.5], [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, side, 1.0]], 5, 5, BIRDS)

    @pytest.mark.parametrize("size", [(0, 5), (5, -1)])
    def test_an_image_without_area(self, size: tuple[int, int]) -> None:
        with pytest.raises(ImageError, match="width and a height"):
            Detections([], [], [], *size, BIRDS)

    def test_a_size_that_is_not_whole(self) -> None:
        with pytest.raises(TypeError):
            Detections([], [], [], 5.5, 5, BIRDS)  # type: ignore[arg-type] # that it is refused is the point
