"""Many images through a predictor: all are accounted for, and what was found is written down."""

from __future__ import annotations

import json
import threading
from collections import Counter
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

import birdsod as bd
from birdsod import lstwriter
from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset
from birdsod.detections import Detections
from birdsod.errors import CloudError, DatasetError, ImageError, InputError, RecordError, ServingError
from birdsod.image import encode, read_size
from birdsod.predicted import FailedImage, Predicted, SeenImage
from birdsod.predicted._images import given_images
from birdsod.recordio import RecordReader, RecordWriter, pack_list

if TYPE_CHECKING:
    from collections.abc import Iterator

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))


def photo(width: int, height: int = 30) -> bytes:
    return encode(np.full((height, width, 3), 90, np.uint8))


class ByWidth:
    """Finds one bird in an odd image, two in an even one; its confidence tells which image it saw."""

    classes = CLASSES

    def predict(self, image: Any) -> Detections:
        width, height = read_size(image)
        boxes = [[0.0, 0.25, 0.5, 1.0], [0.5, 0.5, 0.75, 0.75]][: 2 - width % 2]
        return Detections([1, 0][: len(boxes)], [min(1, width / 100), 0.2][: len(boxes)], boxes, width, height, CLASSES)


class Together(ByWidth):
    """The same, several at a time."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict_batch(self, images: Any) -> list[Detections]:
        self.sizes.append(len(images))
        return [self.predict(image) for image in images]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images, one of them broken, one in a subfolder; and what is none."""
    place = tmp_path / "photos"
    (place / "a").mkdir(parents=True)
    for name, width in (("a/z.JPG", 41), ("b.jpg", 42), ("d.jpg", 44)):
        (place / name).write_bytes(photo(width))
    (place / "c.png").write_bytes(b"no image")
    (place / "notes.txt").write_text("no image either")
    return place


@pytest.fixture
def rec(tmp_path: Path) -> Path:
    with RecordWriter(tmp_path / "birds.rec") as writer:
        for image_id, width in ((7, 41), (3, 42)):
            writer.write_record(image_id, [2, 5, 0, 0.1, 0.2, 0.5, 0.75], photo(width))
    return tmp_path / "birds.rec"


def confidences(found: Predicted) -> list[float | None]:
    return [None if answer is None else round(float(answer.confidence[0]), 2) for answer in found.detections]


@pytest.mark.parametrize("predictor", [ByWidth(), Together()])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_folder_is_looked_at_and_what_is_broken_is_named(folder: Path, predictor: ByWidth, threads: int) -> None:
    found = bd.predict_all(predictor, folder, on_error="collect", threads=threads)
    names = [str(folder / name) for name in ("a/z.JPG", "b.jpg", "c.png", "d.jpg")]
    assert found.names == tuple(names)
    assert confidences(found) == [0.41, 0.42, None, 0.44]
    assert [(failure.name, failure.position) for failure in found.failures] == [(names[2], 2)]
    assert "not an image of a known kind" in found.failures[0].reason
    assert repr(found) == "Predicted(4 images, 5 detections, 1 failures)"
    with pytest.raises(ImageError, match=r"c\.png.*known kind"):
        bd.predict_all(predictor, folder, threads=threads)


def test_a_record_file_keeps_its_ids(rec: Path) -> None:
    found = bd.predict_all(Together(), rec)
    assert [(image.name, image.image_id, image.path) for image in found.images] == [
        (f"{rec}[0]", 7, None),
        (f"{rec}[1]", 3, None),
    ]
    assert confidences(found) == [0.41, 0.42]
    with RecordReader(rec) as reader:
        again = bd.predict_all(ByWidth(), reader)
        assert again.images == found.images
        assert len(reader[0].image) > 0


def test_a_record_that_is_broken_is_an_image_that_is_refused(rec: Path) -> None:
    content = bytearray(rec.read_bytes())
    content[8:12] = (1 << 20).to_bytes(4, "little")  # more label than there is record
    rec.write_bytes(content)
    for predictor in (ByWidth(), Together()):
        found = bd.predict_all(predictor, rec, on_error="collect")
        assert confidences(found) == [None, 0.42]
        assert found.failures[0][:2] == (f"{rec}[0]", 0)
        with pytest.raises(RecordError):
            bd.predict_all(predictor, rec)


def test_broken_records_alone_are_all_refused(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write((9).to_bytes(4, "little") + bytes(30), 0)
    found = bd.predict_all(Together(), tmp_path / "a.rec", on_error="collect")
    assert (len(found), len(found.failures), found.detections) == (1, 1, (None,))


def test_a_data_set_keeps_its_names_and_ids(tmp_path: Path) -> None:
    birds = bd.synthetic_birds(tmp_path, seed=1, classes=2, per_class=2)
    found = bd.predict_all(ByWidth(), birds)
    assert found.names == tuple(birds.names)
    assert [image.image_id for image in found.images] == birds.image_ids.tolist()
    assert found.dataset(threshold=0.0).image_ids.tolist() == birds.image_ids.tolist()


def test_several_places_are_numbered_through(folder: Path, rec: Path) -> None:
    source: list[Any] = [rec, folder / "a", photo(44), str(folder / "b.jpg")]
    kinds: list[Any] = [source, tuple(source), iter(source)]
    for several in kinds:
        found = bd.predict_all(Together(), several)
        assert found.names == (f"{rec}[0]", f"{rec}[1]", str(folder / "a/z.JPG"), "image 3", str(folder / "b.jpg"))
        assert [image.image_id for image in found.images] == [0, 1, 2, 3, 4]
        assert confidences(found) == [0.41, 0.42, 0.41, 0.44, 0.42]


def test_one_image_is_a_list_of_one(folder: Path) -> None:
    for image in (photo(41), np.zeros((30, 41, 3), np.uint8)):
        assert [given.name for given in given_images(image)] == ["image 0"]
    assert len(given_images(np.zeros((2, 30, 41, 3), np.uint8))) == 2
    assert len(bd.predict_all(ByWidth(), photo(41))) == len(bd.predict_all(ByWidth(), folder / "b.jpg")) == 1


def test_images_come_as_they_are_needed_and_are_let_go() -> None:
    taken, open_now, most = 0, Counter[str](), 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for image in repeat(photo(41), 100):
            taken += 1
            open_now["images"] += 1
            yield image

    class Watching(Together):
        def predict_batch(self, images: Any) -> list[Detections]:
            nonlocal most
            most = max(most, open_now["images"])
            open_now["images"] -= len(images)
            return super().predict_batch(images)

    predictor = Watching()
    assert len(bd.predict_all(predictor, images(), batch_size=8)) == taken == 100
    assert most == 8
    assert predictor.sizes == [8] * 12 + [4]


def test_an_interrupt_ends_it_and_its_threads() -> None:
    class Interrupted(ByWidth):
        def predict(self, image: Any) -> Detections:
            raise KeyboardInterrupt(len(image))

    for threads in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            bd.predict_all(Interrupted(), repeat(photo(41), 50), threads=threads)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("birdsod_")]


def test_a_fault_of_the_model_is_raised_with_its_image(folder: Path) -> None:
    class Broken(ByWidth):
        def predict(self, image: Any) -> Detections:
            raise RuntimeError(f"out of memory at {image}")

    with pytest.raises(RuntimeError, match="out of memory") as caught:
        bd.predict_all(Broken(), folder, on_error="collect")
    assert caught.value.__notes__ == [f"while looking for objects in {folder / 'a/z.JPG'}"]


def test_an_endpoint_that_is_gone_is_not_asked_for_ever() -> None:
    class Gone(ByWidth):
        asked = 0

        def predict(self, image: Any) -> Detections:
            self.asked += 1
            if self.asked % 5 == 0 and self.asked < 40:
                return super().predict(image)
            raise ServingError("no answer") if self.asked % 2 else CloudError("no answer")

    gone = Gone()
    with pytest.raises((ServingError, CloudError), match="no answer"):
        bd.predict_all(gone, repeat(photo(41), 1000), on_error="collect")
    assert gone.asked == 35 + 8


def test_images_that_nobody_can_read_never_end_it() -> None:
    found = bd.predict_all(ByWidth(), [b"", *repeat(b"no image", 20)], on_error="collect")
    assert len(found.failures) == 21


@pytest.mark.parametrize(
    "answer", [None, [], [None], [Detections([], [], [], 1, 1, CLASSES)] * 3], ids=["none", "few", "other", "many"]
)
def test_a_wrong_answer_is_the_fault_of_the_predictor(answer: Any) -> None:
    class Wrong(Together):
        def predict_batch(self, images: Any) -> Any:
            assert len(images) == 1
            return answer

    with pytest.raises(InputError, match="the predictor answered"):
        bd.predict_all(Wrong(), [photo(41)], on_error="collect")


@pytest.mark.parametrize("options", [{"on_error": "cry"}, {"batch_size": 0}, {"threads": 0}])
def test_options_are_checked(options: Any) -> None:
    with pytest.raises(InputError):
        bd.predict_all(ByWidth(), [photo(41)], **options)


def test_there_must_be_a_predictor_and_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no predictor"):
        bd.predict_all(bd, [photo(41)])  # type: ignore[arg-type]
    empty: list[Any] = [[], tmp_path]
    for nothing in empty:
        with pytest.raises(DatasetError, match="there are no images"):
            bd.predict_all(ByWidth(), nothing)
    assert len(bd.predict_all(ByWidth(), iter([]))) == 0


def test_a_loaded_model_is_asked_in_batches(folder: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from birdsod.ssd import load_model, save_artifact
    from birdsod.ssd.building import build_network

    torch.manual_seed(0)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    params = bd.Hyperparameters(
        num_classes=2, num_training_samples=8, mini_batch_size=8, base_network="efficientnet-lite0"
    )
    model = load_model(save_artifact(tmp_path / "model.tar.gz", network, params, CLASSES))
    found = bd.predict_all(model, folder, on_error="collect", threshold=0.1)
    assert [answer is None for answer in found.detections] == [False, False, True, False]
    assert "c.png" in found.failures[0].reason
    for image, answer in found.answered():
        expected = model.predict(image.path or "").above(0.1)
        assert answer.class_id.tolist() == expected.class_id.tolist()
        np.testing.assert_allclose(answer.confidence, expected.confidence, rtol=1e-4)


class TestFrame:
    def test_a_row_for_each_detection(self, folder: Path) -> None:
        found = bd.predict_all(ByWidth(), folder, on_error="collect", threshold=0.3)
        frame = found.to_frame()
        assert frame["image_id"].tolist() == [0, 1, 3]
        assert frame["image"].tolist() == [str(folder / name) for name in ("a/z.JPG", "b.jpg", "d.jpg")]
        last = frame.iloc[2].to_dict()
        assert last["name"] == "036.Northern_Flicker"
        assert (last["class_id"], last["source_id"], last["confidence"]) == (1, 36, 0.44)
        assert [last[side] for side in ("xmin", "ymin", "xmax", "ymax")] == [0, 7.5, 22, 30]
        assert [last[f"{side}_relative"] for side in ("xmin", "ymin", "xmax", "ymax")] == [0, 0.25, 0.5, 1]

    def test_it_agrees_with_the_tables_of_the_single_images(self, folder: Path) -> None:
        found = bd.predict_all(ByWidth(), folder, on_error="collect")
        frame = found.to_frame()
        for image, answer in found.answered():
            own = answer.to_frame()
            part = frame[frame["image_id"] == image.image_id].reset_index(drop=True)
            assert part[list(own.columns)].equals(own)

    def test_nothing_found_has_the_same_columns(self, folder: Path) -> None:
        found = bd.predict_all(ByWidth(), folder, on_error="collect")
        empty = bd.predict_all(ByWidth(), folder, on_error="collect", threshold=1).to_frame()
        assert len(empty) == 0
        assert (empty.dtypes == found.to_frame().dtypes).all()

    def test_ids_of_records_may_be_any(self, tmp_path: Path) -> None:
        with RecordWriter(tmp_path / "a.rec") as writer:
            writer.write_record((1 << 64) - 1, [2, 5], photo(41))
        frame = bd.predict_all(ByWidth(), tmp_path / "a.rec").to_frame()
        assert frame["image_id"].tolist() == [(1 << 64) - 1]


class TestCoco:
    def test_pycocotools_opens_both_files(self, folder: Path, tmp_path: Path) -> None:
        found = bd.predict_all(ByWidth(), folder, on_error="collect")
        files = found.to_coco(tmp_path / "found.json")
        assert files == (tmp_path / "found.json", tmp_path / "found.images.json")
        truth = COCO(str(files.images))
        results = truth.loadRes(str(files.results))
        assert [image["file_name"] for image in truth.loadImgs([0, 1, 3])] == [found.names[k] for k in (0, 1, 3)]
        assert {row["id"]: row["name"] for row in truth.loadCats(truth.getCatIds())} == {
            17: "017.Cardinal",
            36: "036.Northern_Flicker",
        }
        annotation = results.loadAnns(results.getAnnIds(imgIds=[3], catIds=[36]))[0]
        assert (annotation["bbox"], annotation["score"]) == ([0, 7.5, 22, 22.5], 0.44)
        assert len(results.anns) == 5

    def test_nothing_found_is_an_empty_list(self, folder: Path, tmp_path: Path) -> None:
        found = bd.predict_all(ByWidth(), folder, on_error="collect", threshold=1)
        files = found.to_coco(tmp_path / "found.json")
        assert json.loads(files.results.read_text()) == []
        assert len(json.loads(files.images.read_text())["images"]) == 3

    def test_two_images_of_one_id_are_refused(self, tmp_path: Path) -> None:
        with RecordWriter(tmp_path / "a.rec") as writer:
            for _ in range(2):
                writer.write_record(7, [2, 5], photo(41))
        found = bd.predict_all(ByWidth(), tmp_path / "a.rec")
        with pytest.raises(DatasetError, match="have the same id"):
            found.to_coco(tmp_path / "found.json")
        assert not list(tmp_path.glob("found*"))


class TestList:
    def test_it_is_packed_with_what_was_found(self, folder: Path, tmp_path: Path) -> None:
        found = bd.predict_all(ByWidth(), folder, on_error="collect")
        written = found.to_lst(tmp_path / "found.lst", threshold=0.415, root=folder)
        assert (written.rows, written.clipped) == (3, ())
        frame = lstwriter.read(written.path)
        assert frame["path"].tolist() == ["a/z.JPG", "b.jpg", "d.jpg"]
        assert frame["class_id"].tolist()[1:] == [1, 1]
        assert frame["class_id"].isna().tolist() == [True, False, False]
        pack_list(written.path, root=folder, out=tmp_path / "found.rec")
        with RecordReader(tmp_path / "found.rec") as records:
            assert [record.header.id for record in records] == [0, 1, 3]
            np.testing.assert_allclose(records[1].boxes.boxes, [[0, 0.25, 0.5, 1]])

    def test_without_a_root_paths_are_absolute(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        found = bd.predict_all(ByWidth(), ["b.jpg"])
        found.to_lst(tmp_path / "found.lst")
        assert lstwriter.read(tmp_path / "found.lst")["path"].tolist() == [str(folder / "b.jpg")]
        with pytest.raises(DatasetError, match="outside the root"):
            found.to_lst(tmp_path / "again.lst", root="a")
        assert not (tmp_path / "again.lst").exists()

    def test_what_has_no_file_is_no_row(self, rec: Path, tmp_path: Path) -> None:
        found = bd.predict_all(ByWidth(), rec)
        for write in (lambda: found.to_lst(tmp_path / "found.lst"), found.dataset):
            with pytest.raises(DatasetError, match=r"has no file of its own.*birdsod unpack"):
                write()
        assert not (tmp_path / "found.lst").exists()

    @given(st.lists(st.tuples(*[st.floats(-2, 3, allow_nan=False) | st.sampled_from([0.0, 0.5, 1.0])] * 4), max_size=5))
    def test_whatever_a_detector_answers_the_list_can_be_read_back(self, boxes: Any) -> None:
        import tempfile

        answer = Detections([0] * len(boxes), [0.9] * len(boxes), boxes, 80, 60, CLASSES)
        found = Predicted((SeenImage("a.jpg", 5, "/photos/a.jpg"),), (answer,), (), CLASSES)
        with tempfile.TemporaryDirectory() as folder:
            written = found.to_lst(Path(folder) / "a.lst", root="/photos")
            row = next(lstwriter.rows(written.path))
        sides = row.label[2:].reshape(-1, 5)[:, 1:]
        inside = np.clip(np.array(boxes).reshape(-1, 4), 0, 1)
        clear = (inside[:, 2:] - inside[:, :2] > 1e-4).all(axis=1)
        inverted = (inside[:, 2:] <= inside[:, :2]).any(axis=1)
        assert clear.sum() <= len(sides) <= (~inverted).sum()
        assert (sides[:, 2:] > sides[:, :2]).all()
        assert ((sides >= 0) & (sides <= 1)).all()


def test_a_data_set_of_what_was_found(folder: Path) -> None:
    found = bd.predict_all(ByWidth(), folder, on_error="collect")
    seen = found.dataset(threshold=0.4)
    assert isinstance(seen, DetectionDataset)
    assert [record.name.rpartition("/")[2] for record in seen] == ["z.JPG", "b.jpg", "d.jpg"]
    assert seen.num_objects == 3
    assert found.failures == (FailedImage(str(folder / "c.png"), 2, found.failures[0].reason),)
