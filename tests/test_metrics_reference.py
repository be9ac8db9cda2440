"""Average precision against second implementations: pycocotools, faster-coco-eval, plain Python, MXNet."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.metrics import GroundTruth, Predictions, evaluate_boxes, match_boxes, precision_recall
from birdsod.testing import ground_truth_and_predictions

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = 3
NO_LIMIT = 10_000
Drawn = tuple[GroundTruth, Predictions]


def xywh(box: Any) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def coco_input(truth: GroundTruth, found: Predictions) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    images = np.union1d(truth.image_id, found.image_id).tolist()
    annotations = [
        {
            "id": row + 1,  # COCOeval takes an annotation numbered 0 for no match
            "image_id": int(truth.image_id[row]),
            "category_id": int(truth.class_id[row]),
            "bbox": xywh(truth.boxes[row]),
            "area": xywh(truth.boxes[row])[2] * xywh(truth.boxes[row])[3],
            "iscrowd": 0,
        }
        for row in range(len(truth))
    ]
    results = [
        {
            "image_id": int(found.image_id[row]),
            "category_id": int(found.class_id[row]),
            "bbox": xywh(found.boxes[row]),
            "score": float(found.score[row]),
        }
        for row in range(len(found))
    ]
    categories = [{"id": k, "name": str(k)} for k in range(CLASSES)]
    return {"images": [{"id": k} for k in images], "categories": categories, "annotations": annotations}, results


def run_pycocotools(drawn: Drawn, limit: int) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    dataset, results = coco_input(*drawn)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.params.maxDets = [limit]
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
    return run


def run_faster(drawn: Drawn) -> Any:
    from faster_coco_eval import COCO, COCOeval_faster

    dataset, results = coco_input(*drawn)
    truth = COCO(dataset, print_function=lambda *_: None)
    run = COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=lambda *_: None)
    run.params.maxDets = [100]
    run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
    run.evaluate()
    run.accumulate()
    return run


def coco_precision(run: Any) -> Any:
    """Average precision by class and threshold; NaN for classes without objects, where COCO writes -1."""
    mean = run.eval["precision"][:, :, :, 0, 0].mean(axis=1).T
    return np.where(mean < 0, np.nan, mean)


def plain_matches(truth: GroundTruth, found: Predictions, threshold: float) -> dict[int, int]:
    """Return detection row -> object row, one detection after the other."""
    free = set(range(len(truth)))
    matches = {}
    for row in sorted(range(len(found)), key=lambda k: (-found.score[k], k)):
        best, best_overlap = None, min(threshold, 1 - 1e-10)
        for k in sorted(free):
            same = (truth.image_id[k], truth.class_id[k]) == (found.image_id[row], found.class_id[row])
            overlap = plain_overlap(truth.boxes[k].tolist(), found.boxes[row].tolist())
            if same and overlap >= best_overlap:
                best, best_overlap = k, overlap
        if best is not None:
            free.remove(best)
            matches[row] = best
    return matches


def plain_overlap(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def plain_area(right: list[bool], objects: int) -> float:
    """Integrate the best precision at this recall or a higher one, object by object."""
    total = 0.0
    for wanted in range(1, objects + 1):
        reached = [sum(right[:end]) / end for end in range(1, len(right) + 1) if sum(right[:end]) >= wanted]
        total += max(reached, default=0.0) / objects
    return total


def plain_voc07(right: list[bool], objects: int) -> float:
    total = 0.0
    for tenth in range(11):
        reached = [
            sum(right[:end]) / end for end in range(1, len(right) + 1) if 10 * sum(right[:end]) >= tenth * objects
        ]
        total += max(reached, default=0.0) / 11
    return total


def in_order(found: Predictions, kind: int) -> list[int]:
    rows = [row for row in range(len(found)) if found.class_id[row] == kind]
    return sorted(rows, key=lambda row: (-found.score[row], found.image_id[row], row))


@given(ground_truth_and_predictions(num_classes=CLASSES).filter(lambda drawn: len(drawn[1]) > 0))
@settings(max_examples=100)
def test_coco_figures_equal_pycocotools(drawn: Drawn) -> None:
    expected = coco_precision(run_pycocotools(drawn, 100))
    figures = evaluate_boxes(*drawn, num_classes=CLASSES)
    np.testing.assert_allclose(figures.coco, expected.mean(axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(figures.coco_50, expected[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(figures.coco_75, expected[:, 5], rtol=0, atol=1e-12)


@given(
    ground_truth_and_predictions(num_classes=CLASSES, num_images=1, max_detections=24).filter(lambda d: len(d[1]) > 0),
    st.integers(1, 4),
)
@settings(max_examples=50)
def test_the_limit_of_detections_equals_pycocotools(drawn: Drawn, limit: int) -> None:
    expected = coco_precision(run_pycocotools(drawn, limit))
    figures = evaluate_boxes(*drawn, num_classes=CLASSES, max_detections=limit)
    np.testing.assert_allclose(figures.coco, expected.mean(axis=1), rtol=0, atol=1e-12)


@given(ground_truth_and_predictions(num_classes=CLASSES).filter(lambda drawn: len(drawn[1]) > 0))
@settings(max_examples=50)
def test_coco_figures_equal_faster_coco_eval(drawn: Drawn) -> None:
    expected = coco_precision(run_faster(drawn))
    figures = evaluate_boxes(*drawn, num_classes=CLASSES)
    np.testing.assert_allclose(figures.coco, expected.mean(axis=1), rtol=0, atol=1e-12)


@given(ground_truth_and_predictions(num_classes=CLASSES).filter(lambda drawn: len(drawn[1]) > 0))
@settings(max_examples=50)
def test_the_area_under_the_matches_of_pycocotools(drawn: Drawn) -> None:
    """pycocotools decides what is right; only the integration is ours, done a second time."""
    truth, found = drawn
    run = run_pycocotools(drawn, NO_LIMIT)
    right = {k: [] for k in range(CLASSES)}  # type: dict[int, list[tuple[float, int, int, bool]]]
    for image in filter(None, run.evalImgs):
        for number, score, match in zip(image["dtIds"], image["dtScores"], image["dtMatches"][0], strict=True):
            right[image["category_id"]].append((-score, image["image_id"], number, match > 0))
    figures = evaluate_boxes(truth, found, num_classes=CLASSES)
    for kind, rows in right.items():
        if figures.objects[kind]:
            decided = [good for *_, good in sorted(rows)]
            assert figures.area[kind] == pytest.approx(plain_area(decided, int(figures.objects[kind])), abs=1e-12)


@given(ground_truth_and_predictions(num_classes=CLASSES), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_matches_equal_plain_python(drawn: Drawn, threshold: float) -> None:
    truth, found = drawn
    expected = plain_matches(truth, found, threshold)
    assert match_boxes(truth, found, [threshold])[0].tolist() == [expected.get(row, -1) for row in range(len(found))]


@given(ground_truth_and_predictions(num_classes=CLASSES), st.sampled_from([0.25, 0.5, 0.75]))
def test_voc_figures_equal_plain_python(drawn: Drawn, threshold: float) -> None:
    truth, found = drawn
    figures = evaluate_boxes(truth, found, num_classes=CLASSES, overlap_threshold=threshold)
    matches = plain_matches(truth, found, threshold)
    for kind in np.flatnonzero(figures.objects):
        right = [row in matches for row in in_order(found, int(kind))]
        objects = int(figures.objects[kind])
        assert figures.area[kind] == pytest.approx(plain_area(right, objects), abs=1e-12)
        assert figures.voc07[kind] == pytest.approx(plain_voc07(right, objects), abs=1e-12)


@pytest.fixture(scope="module")
def scored_by_mxnet(golden: Path) -> tuple[GroundTruth, Predictions, dict[str, list[float]]]:
    """Six images as MXNet 1.9.1 scored them: per class and their mean. An image without objects is skipped there."""
    with np.load(golden / "metrics" / "map_io.npz") as arrays:
        labels, dets = arrays["labels"], arrays["dets"]
    image, row = np.nonzero(labels[:, :, 0] >= 0)
    truth = GroundTruth(image, labels[image, row, 0].astype(int), labels[image, row, 1:5])
    scored = (dets[:, :, 0] >= 0) & (labels[:, :, 0] >= 0).any(axis=1)[:, None]
    image, row = np.nonzero(scored)
    rows = dets[image, row]
    expected = json.loads((golden / "metrics" / "map_expected.json").read_text())
    return truth, Predictions(image, rows[:, 0].astype(int), rows[:, 1], rows[:, 2:]), expected


Scored = tuple[GroundTruth, Predictions, dict[str, list[float]]]


def test_area_equals_mxnet(scored_by_mxnet: Scored) -> None:
    truth, found, expected = scored_by_mxnet
    figures = evaluate_boxes(truth, found, num_classes=4)
    assert figures.area[:3].tolist() == pytest.approx(expected["map_allpoint"][:3], abs=1e-12)
    # MXNet counts the class that only detections name as 0; here it has no figure.
    assert np.isnan(figures.area[3])
    assert figures.map_area * 3 / 4 == pytest.approx(expected["map_allpoint"][3], abs=1e-12)


def test_voc07_equals_mxnet_but_for_its_float_recalls(scored_by_mxnet: Scored) -> None:
    truth, found, expected = scored_by_mxnet
    figures = evaluate_boxes(truth, found, num_classes=4)
    for kind, theirs in enumerate(expected["map_voc07"][:3]):
        curve = precision_recall(truth, found, class_id=kind)
        rounded_up = [max(curve.precision[curve.recall >= recall], default=0.0) for recall in np.arange(0.0, 1.1, 0.1)]
        assert np.mean(rounded_up) == pytest.approx(theirs, abs=1e-12)
        assert figures.voc07[kind] >= theirs
