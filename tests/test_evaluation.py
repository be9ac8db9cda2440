"""Evaluation: a predictor over a data set, its figures, and what is told when something does not fit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdsod import image
from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset
from birdsod.detections import Detections
from birdsod.errors import BoxError, DatasetError, ImageError, InputError, ServingError
from birdsod.evaluation import Report, evaluate
from birdsod.metrics import GroundTruth, Predictions

BIRDS = ClassTable((17, 36, 41), ("017.Cardinal", "036.Flicker", "041.Flycatcher"))
WIDTH, HEIGHT = 40, 30
OBJECTS: dict[str, list[float]] = {
    "image_id": [5, 5, 9, 2],
    "class_id": [0, 1, 0, 1],
    "xmin": [0, 10, 30, 4],
    "ymin": [0, 10, -5, 4],
    "xmax": [10, 20, 48, 16],
    "ymax": [10, 20, 15, 12],
}


@pytest.fixture
def birds(tmp_path: Path) -> DetectionDataset:
    """Four images, one of them without objects; one box leaves its image."""
    ids = [5, 9, 2, 7]
    for position, number in enumerate(ids):
        shade = np.full((HEIGHT, WIDTH, 3), 40 * position, dtype=np.uint8)
        (tmp_path / f"{number}.png").write_bytes(image.encode(shade, encoding=".png"))
    images = {"image_id": ids, "path": [f"{number}.png" for number in ids]}
    return DetectionDataset.from_tables(images, OBJECTS, root=tmp_path, class_table=BIRDS)


class Knowing:
    """Answers with the objects themselves, by file name, and with what a test adds."""

    def __init__(self, dataset: DetectionDataset, classes: ClassTable | None = None) -> None:
        self.classes = classes or dataset.class_table
        self.records = {record.path.name: record for record in dataset}
        self.asked: list[str] = []

    def predict(self, image: Any) -> Detections:
        self.asked.append(Path(image).name)
        record = self.records[Path(image).name]
        names = [BIRDS.names[k] for k in record.class_ids]
        boxes = np.clip(record.boxes / [WIDTH, HEIGHT, WIDTH, HEIGHT], 0, 1)
        ids = [self.classes.find(name) for name in names]
        return Detections(ids, [0.9] * len(record), boxes, WIDTH, HEIGHT, self.classes)


class Batching(Knowing):
    """The same, several at a time."""

    sizes: list[int]

    def predict_batch(self, images: Any) -> list[Detections]:
        self.sizes = [*getattr(self, "sizes", []), len(images)]
        return [self.predict(source) for source in images]


class TestFigures:
    @pytest.mark.parametrize("kind", [Knowing, Batching])
    def test_who_knows_everything_scores_one(self, birds: DetectionDataset, kind: type[Knowing]) -> None:
        # Its box that leaves the image is clipped, as the objects are.
        report = evaluate(kind(birds), birds, progress=False)
        assert [report.map50, report.map50_voc07, report.map75, report.coco_map] == pytest.approx([1] * 4)
        assert (report.images, len(report.truth)) == (4, 4)

    def test_per_class(self, birds: DetectionDataset) -> None:
        frame = evaluate(Knowing(birds), birds, progress=False).per_class
        counts = ["class_id", "source_id", "name", "images", "objects"]
        assert list(frame) == [*counts, "ap50", "ap50_voc07", "ap75", "coco_ap"]
        assert frame["name"].tolist() == list(BIRDS.names)
        assert frame["source_id"].tolist() == [17, 36, 41]
        assert frame["images"].tolist() == frame["objects"].tolist() == [2, 2, 0]
        assert frame["ap50"].tolist() == pytest.approx([1, 1, math.nan], nan_ok=True)

    def test_every_image_is_asked_for_once_in_order(self, birds: DetectionDataset) -> None:
        for predictor in (Knowing(birds), Batching(birds)):
            evaluate(predictor, birds, progress=False)
            assert predictor.asked == ["5.png", "9.png", "2.png", "7.png"]

    def test_batches_are_bounded(self, birds: DetectionDataset, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("birdsod.evaluation._run.BATCH", 3)
        predictor = Batching(birds)
        evaluate(predictor, birds, progress=False)
        assert predictor.sizes == [3, 1]

    def test_false_positives_in_an_image_without_objects_count(self, birds: DetectionDataset) -> None:
        class Eager(Knowing):
            def predict(self, image: Any) -> Detections:
                if Path(image).name == "7.png":
                    return Detections([0], [0.99], [[0, 0, 1, 1]], WIDTH, HEIGHT, BIRDS)
                return super().predict(image)

        report = evaluate(Eager(birds), birds, progress=False)
        assert report.per_class["ap50"][0] == pytest.approx(2 / 3)

    def test_classes_in_another_order_are_understood(self, birds: DetectionDataset) -> None:
        reversed_table = ClassTable((3, 2, 1), BIRDS.names[::-1])
        report = evaluate(Knowing(birds, reversed_table), birds, progress=False)
        assert report.map50 == pytest.approx(1)
        assert {row["category_id"] for row in report.to_coco()} == {17, 36}

    def test_a_progress_bar_is_silent_here(self, birds: DetectionDataset, capsys: pytest.CaptureFixture[str]) -> None:
        evaluate(Knowing(birds), birds)
        assert capsys.readouterr() == ("", "")


class TestReport:
    def test_coco_results_in_the_data_sets_own_ids_and_pixels(self, birds: DetectionDataset) -> None:
        results = evaluate(Knowing(birds), birds, progress=False).to_coco()
        assert results[2] == {"image_id": 9, "category_id": 17, "bbox": pytest.approx([30, 0, 10, 15]), "score": 0.9}
        assert [row["image_id"] for row in results] == [5, 5, 9, 2]
        assert json.loads(json.dumps(results)) == results

    def test_dict_is_plain_and_holds_no_nan(self, birds: DetectionDataset) -> None:
        report = evaluate(Knowing(birds), birds, progress=False).to_dict()
        assert set(report) == {"map50", "map50_voc07", "map75", "coco_map", "images", "per_class"}
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        assert report["per_class"]["036.Flicker"] == {
            "source_id": 36,
            "images": 2,
            "objects": 2,
            "ap50": pytest.approx(1),
            "ap50_voc07": pytest.approx(1),
            "ap75": pytest.approx(1),
            "coco_ap": pytest.approx(1),
        }
        assert report["per_class"]["041.Flycatcher"]["ap50"] is None

    def test_shown_in_a_notebook(self, birds: DetectionDataset) -> None:
        html = evaluate(Knowing(birds), birds, progress=False)._repr_html_()
        assert "4 images, 4 objects, 3 classes" in html
        assert html.count("<tr>") == 4  # three classes and all together; the header's row is styled
        assert "<td>all classes</td>" in html
        assert "nan" not in html.lower()

    def test_repr(self, birds: DetectionDataset) -> None:
        shown = repr(evaluate(Knowing(birds), birds, progress=False))
        figures = "mAP@0.5 1.000, VOC 2007 1.000, mAP@0.75 1.000, COCO 1.000"
        assert shown == f"Report({figures}; 4 images, 4 objects, 3 classes)"

    def test_made_from_saved_detections(self) -> None:
        report = Report(GroundTruth([], [], []), Predictions([], [], [], []), BIRDS, [1, 2])
        assert math.isnan(report.map50)
        assert report.to_dict()["map50"] is None
        assert report.to_coco() == []
        assert not report.image_ids.flags.writeable


class TestRefused:
    def test_no_images(self, birds: DetectionDataset) -> None:
        with pytest.raises(DatasetError, match="no images to evaluate"):
            evaluate(Knowing(birds), birds[:0])

    def test_missing_images_are_told_before_anything_is_predicted(self, birds: DetectionDataset) -> None:
        predictor = Knowing(birds)
        (birds.root / "2.png").unlink()
        with pytest.raises(DatasetError, match=r"2\.png"):
            evaluate(predictor, birds)
        assert predictor.asked == []

    def test_classes_that_differ(self, birds: DetectionDataset) -> None:
        other = ClassTable((17, 36, 50), ("017.Cardinal", "036.Flicker", "050.Wren"))
        with pytest.raises(DatasetError, match=r"only the predictor knows 050\.Wren; only the data set knows 041"):
            evaluate(Knowing(birds, other), birds)

    def test_many_classes_that_differ_are_counted(self, birds: DetectionDataset) -> None:
        many = ClassTable(tuple(range(203)), (*BIRDS.names, *(f"{k:03d}" for k in range(200))))
        with pytest.raises(DatasetError, match=r"knows 000, 001, 002, 003, 004, \.\.\. \(200 classes\)"):
            evaluate(Knowing(birds, many), birds)

    def test_an_object_outside_its_image(self, birds: DetectionDataset) -> None:
        tables = OBJECTS | {"xmin": [0, 10, 50, 4], "xmax": [10, 20, 60, 16]}
        broken = DetectionDataset.from_tables(birds.images, tables, root=birds.root, class_table=BIRDS)
        with pytest.raises(BoxError, match=r"9\.png, record 0: an object lies outside its image of 40 x 30"):
            evaluate(Knowing(birds), broken)

    def test_an_image_of_another_size(self, birds: DetectionDataset) -> None:
        class Elsewhere(Knowing):
            def predict(self, image: Any) -> Detections:
                found = super().predict(image)
                return Detections(found.class_id, found.confidence, found.xyxy_relative, 30, 40, BIRDS)

        with pytest.raises(DatasetError, match=r"5\.png: the image is 30 x 40, the data set says 40 x 30"):
            evaluate(Elsewhere(birds), birds)

    @pytest.mark.parametrize("kind", [Knowing, Batching])
    @pytest.mark.parametrize("error", [ServingError("no answer"), ImageError("broken", path="else.png")])
    def test_an_image_that_fails_is_named(
        self, birds: DetectionDataset, kind: type[Knowing], error: ServingError | ImageError
    ) -> None:
        class Failing(kind):  # type: ignore[valid-type, misc] # one test for both
            def predict(self, image: Any) -> Detections:
                if Path(image).name == "2.png":
                    raise type(error)(error.message, path=error.path)
                found: Detections = super().predict(image)
                return found

        with pytest.raises(type(error), match=r"else\.png: broken" if error.path else r"2\.png: no answer"):
            evaluate(Failing(birds), birds)

    def test_a_failure_of_the_batch_alone_is_no_failure(self, birds: DetectionDataset) -> None:
        class Overwhelmed(Batching):
            def predict_batch(self, images: Any) -> list[Detections]:
                raise ServingError(f"too many: {len(images)}")

        assert evaluate(Overwhelmed(birds), birds).map50 == pytest.approx(1)

    def test_another_error_keeps_its_kind_and_names_the_image(self, birds: DetectionDataset) -> None:
        class Broken(Knowing):
            def predict(self, image: Any) -> Detections:
                raise ZeroDivisionError(image)

        with pytest.raises(ZeroDivisionError) as caught:
            evaluate(Broken(birds), birds)
        assert caught.value.__notes__ == [f"while looking for objects in {birds.root / '5.png'}"]

    def test_too_few_answers(self, birds: DetectionDataset) -> None:
        class Forgetful(Batching):
            def predict_batch(self, images: Any) -> list[Detections]:
                return super().predict_batch(images)[1:]

        with pytest.raises(InputError, match="answered 3 times for 4 images"):
            evaluate(Forgetful(birds), birds)

    @pytest.mark.parametrize("answer", [None, [[0, 0.9, 0, 0, 1, 1]]])
    @pytest.mark.parametrize("kind", [Knowing, Batching])
    def test_answers_of_another_kind(self, birds: DetectionDataset, kind: type[Knowing], answer: Any) -> None:
        class Other(kind):  # type: ignore[valid-type, misc] # one test for both
            def predict(self, image: Any) -> Any:
                del image
                return answer

        with pytest.raises(InputError, match=r"5\.png: the predictor answered with something else than Detections"):
            evaluate(Other(birds), birds)

    def test_no_answers(self, birds: DetectionDataset) -> None:
        class Silent(Batching):
            def predict_batch(self, images: Any) -> Any:
                del images

        with pytest.raises(InputError, match=r"answered with no list \(got 'NoneType'\)"):
            evaluate(Silent(birds), birds)

    def test_arguments_of_another_kind(self, birds: DetectionDataset) -> None:
        with pytest.raises(InputError, match=r"no predictor \(got 'NoneType'\).*load_model"):
            evaluate(None, birds)  # type: ignore[arg-type] # what a type checker refuses
        with pytest.raises(DatasetError, match=r"no data set \(got 'NoneType'\).*load_cub"):
            evaluate(Knowing(birds), None)  # type: ignore[arg-type] # what a type checker refuses
        listing = Knowing(birds)
        listing.classes = ["017.Cardinal"]  # type: ignore[assignment] # what a type checker refuses
        with pytest.raises(InputError, match=r"no predictor.*ClassTable"):
            evaluate(listing, birds)
