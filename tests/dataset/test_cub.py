"""Folders in CUB layout: what is read from them, and each way in which they may be wrong."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset, load_cub
from birdsod.errors import DatasetError
from birdsod.testing import DrawnCub, cub_folders

FILES = {
    "classes.txt": "17 017.Cardinal\n36 036.Northern_Flicker\n",
    "images.txt": "1 017.Cardinal/one.jpg\n2 036.Northern_Flicker/two.jpg\n5 017.Cardinal/a file.jpg\n",
    "image_class_labels.txt": "1 17\n2 36\n5 17\n",
    "train_test_split.txt": "1 1\n2 0\n5 1\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 0.1 0.2 10 20\n5 1 2 3 4\n5 7 7 2 2\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


class TestReading:
    def test_boxes_become_corners_and_stay_as_written(self, folder: Path) -> None:
        birds = load_cub(folder)
        assert birds.objects.to_numpy().tolist() == [
            [1, 0, 60, 27, 385, 331],
            [2, 1, 0.1, 0.2, 0.1 + 10, 0.2 + 20],
            [5, 0, 1, 2, 4, 6],
            [5, 0, 7, 7, 9, 9],
        ]

    def test_the_root_is_the_folder_of_images(self, folder: Path) -> None:
        birds = load_cub(folder)
        assert birds.root == folder / "images"
        assert birds.names == ["017.Cardinal/one.jpg", "036.Northern_Flicker/two.jpg", "017.Cardinal/a file.jpg"]
        assert birds.splits.tolist() == ["train", "validation", "train"]
        assert birds.class_table == ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))

    def test_a_relative_folder_is_kept_absolute(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)
        assert load_cub(folder.name).root == folder / "images"

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace("\n", "\r\n"),
            lambda text: text.replace("\n", "\r"),
            lambda text: "\ufeff" + text,
            lambda text: text.replace("\n", "  \t\n"),
            lambda text: "\n" + text.replace("\n", "\n\n"),
            lambda text: text.rstrip("\n"),
            lambda text: "\n".join(reversed(text.splitlines())),
        ],
        ids=["windows", "old mac", "byte order mark", "blanks", "empty lines", "no last line end", "reversed"],
    )
    def test_what_editors_do_to_text_is_let_pass(self, folder: Path, change: object) -> None:
        expected = load_cub(folder)
        assert callable(change)
        for name, text in FILES.items():
            (folder / name).write_bytes(change(text).encode())
        read = load_cub(folder)
        assert read.names == expected.names
        assert sorted(read.objects.to_numpy().tolist()) == sorted(expected.objects.to_numpy().tolist())
        assert read.class_table == expected.class_table

    @settings(max_examples=40)
    @given(drawn=cub_folders(), seed=st.integers(0, 2**32))
    def test_the_order_of_rows_does_not_matter(self, drawn: DrawnCub, seed: int) -> None:
        with tempfile.TemporaryDirectory() as place:
            plain = load_cub(drawn.write(Path(place, "birds")))
            shuffled = load_cub(drawn.write(Path(place, "birds"), shuffled=Random(seed), newline="\r\n"))
        assert [_told(record) for record in plain] == [_told(record) for record in shuffled]
        assert plain.image_ids.tolist() == sorted(image.image_id for image in drawn.images)
        assert plain.class_table == shuffled.class_table

    @settings(max_examples=40)
    @given(drawn=cub_folders())
    def test_every_row_arrives(self, drawn: DrawnCub) -> None:
        with tempfile.TemporaryDirectory() as place:
            birds = load_cub(drawn.write(place))
        records = {record.image_id: record for record in birds}
        for image in drawn.images:
            record = records[image.image_id]
            assert (record.name, record.width, record.height) == (image.path, image.width, image.height)
            assert record.split == ("train" if image.is_training else "validation")
            assert record.boxes.tolist() == [[x, y, x + w, y + h] for x, y, w, h in image.boxes]
            assert {birds.class_table.source_ids[k] for k in record.class_ids} == {image.class_id}


def _told(record: object) -> list[object]:
    assert hasattr(record, "boxes")
    fields = ("image_id", "name", "width", "height", "split")
    return [*[getattr(record, name) for name in fields], sorted(record.boxes.tolist())]


class TestSizes:
    def test_a_list_in_the_folder_is_used(self, folder: Path) -> None:
        put(folder, "sizes.txt", "5 50 40\n1 500 335\n2 30 31\n")
        assert load_cub(folder).sizes.tolist() == [[500, 335], [30, 31], [50, 40]]

    def test_a_list_elsewhere_comes_first(self, folder: Path, tmp_path: Path) -> None:
        put(folder, "sizes.txt", "1 1 1\n2 1 1\n5 1 1\n")
        other = put(tmp_path, "other.txt", "1 500 335\n2 30 31\n5 50 40\n")
        assert load_cub(folder, sizes=other).sizes.tolist() == [[500, 335], [30, 31], [50, 40]]

    def test_ids_that_it_lacks_are_left_to_the_headers(self, folder: Path) -> None:
        put(folder, "sizes.txt", "1 500 335\n")
        birds = load_cub(folder)
        assert birds[0].width == 500
        with pytest.raises(DatasetError, match="2 of 3 images are missing"):
            birds.require_sizes()

    @pytest.mark.parametrize(
        ("text", "message", "line"),
        [
            ("1 500 335\n7 5 5\n", "this image id has no row in images.txt", 2),
            ("7 5 5\n8 5 5\n", "2 image ids have no row in images.txt", 1),
            ("1 500 335\n1 500 335\n", "the image id stands in line 1 already", 2),
            ("1 500 0\n", "an image of no size", 1),
            ("1 -5 3\n", "the width is no whole number", 1),
            ("1 5 3.5\n", "the height is no whole number", 1),
            ("1 5 3000000000\n", "the height is no whole number", 1),
            ("1 5\n", "a row must read 'image_id width height'", 1),
            ("", "the file is empty", None),
        ],
    )
    def test_a_wrong_list_is_told(self, folder: Path, text: str, message: str, line: int | None) -> None:
        path = put(folder, "sizes.txt", text)
        with pytest.raises(DatasetError, match=message) as told:
            load_cub(folder)
        assert (told.value.path, told.value.line) == (str(path), line)

    def test_a_list_that_is_not_there_is_told(self, folder: Path) -> None:
        with pytest.raises(DatasetError, match="the file cannot be read"):
            load_cub(folder, sizes=folder / "none.txt")


FAULTS = [
    ("images.txt", "one a.jpg\n", "the image id is no whole number", 1, "one"),
    ("images.txt", "1_0 a.jpg\n", "the image id is no whole number", 1, "1_0"),
    ("images.txt", "-1 a.jpg\n", "the image id is no whole number", 1, "-1"),
    ("images.txt", f"{2**63} a.jpg\n", "the image id is no whole number", 1, str(2**63)),
    ("images.txt", "1 a.jpg\n2\n", "a row must read 'image_id path'", 2, "2"),
    ("images.txt", "1 a.jpg\n1 b.jpg\n", "the image id stands in line 1 already", 2, 1),
    ("images.txt", "1 a.jpg\n2 b.jpg\n5 a.jpg\n", "the path stands in line 1 already", 3, "a.jpg"),
    ("images.txt", "1 /etc/a.jpg\n", "a path leaves the folder of images", 1, "/etc/a.jpg"),
    ("images.txt", "1 ../a.jpg\n", "a path leaves the folder of images", 1, "../a.jpg"),
    ("images.txt", "1 a\0.jpg\n", "a path holds a control character", 1, "a\0.jpg"),
    ("images.txt", "1 a.jpg\n2 b.jpg\n", "this image id has no row in images.txt", 3, 5),
    ("images.txt", "1 a.jpg\n2 b.jpg\n5 c.jpg\n6 d.jpg\n", "this image id has no row in image_class_labels.txt", 4, 6),
    ("image_class_labels.txt", "1 17\n", "2 image ids have no row in image_class_labels.txt", 2, 2),
    ("image_class_labels.txt", "1 17\n2 36\n5 17\n7 17\n", "this image id has no row in images.txt", 4, 7),
    ("image_class_labels.txt", "1 17\n2 36\n5 17\n5 17\n", "the image id stands in line 3 already", 4, 5),
    ("image_class_labels.txt", "1 17\n2 99\n5 17\n", "the class id has no row in classes.txt", 2, 99),
    ("image_class_labels.txt", "1 17\n2 x\n", "the class id is no whole number", 2, "x"),
    ("image_class_labels.txt", "1 17 3\n", "the class id is no whole number", 1, "17 3"),
    ("train_test_split.txt", "1 1\n2 0\n", "this image id has no row in train_test_split.txt", 3, 5),
    ("train_test_split.txt", "1 1\n2 0\n5 2\n", "the mark for training is neither 0 nor 1", 3, "2"),
    ("train_test_split.txt", "1 1\n2 0\n5 1\n2 0\n", "the image id stands in line 2 already", 4, 2),
    ("bounding_boxes.txt", "1 1 1 1 1\n2 1 1 1 1\n", "this image id has no row in bounding_boxes.txt", 3, 5),
    ("bounding_boxes.txt", "1 1 1 1 1\n2 1 1 1 1\n5 1 1 1 1\n6 1 1 1 1\n", "has no row in images.txt", 4, 6),
    ("bounding_boxes.txt", "1 1 1 1\n", "a row must read 'image_id x y width height'", 1, "1 1 1 1"),
    ("bounding_boxes.txt", "1 1 1 1 1 1\n", "a row must read 'image_id x y width height'", 1, "1 1 1 1 1 1"),
    ("bounding_boxes.txt", "1 1 nan 1 1\n", "y is no finite number", 1, "nan"),
    ("bounding_boxes.txt", "1 1 1 1e999 1\n", "width is no finite number", 1, "1e999"),
    ("bounding_boxes.txt", "1 x 1 1 1\n", "x is no finite number", 1, "x"),
    ("bounding_boxes.txt", "1 1 1 1 1_0\n", "height is no finite number", 1, "1_0"),
    ("bounding_boxes.txt", "1 9 1 0 1\n", "a box has no area", 1, [9, 1, 0, 1]),
    ("bounding_boxes.txt", "1 9 1 1 -1\n", "a box has no area", 1, [9, 1, 1, -1]),
    ("bounding_boxes.txt", "x 9 1 1 1\n", "the image id is no whole number", 1, "x"),
    ("bounding_boxes.txt", "5 1 2 3 4\n1 1 1 1 1\n2 1 1 1 1\n5 1 2 3 4\n", "stands in line 1 already", 4, 5),
    ("classes.txt", "17 a\n36 a\n", "class name occurs twice", None, "a"),
    ("classes.txt", "17 a\n17 b\n", "the class id stands in line 1 already", 2, 17),
    ("classes.txt", "17\n", "a row must read 'class_id name'", 1, "17"),
]


@pytest.mark.parametrize(("name", "text", "message", "line", "value"), FAULTS)
def test_each_fault_is_told_with_file_line_and_value(
    folder: Path, name: str, text: str, message: str, line: int | None, value: object
) -> None:
    put(folder, name, text)
    with pytest.raises(DatasetError, match=message) as told:
        load_cub(folder)
    at_fault = told.value
    assert Path(str(at_fault.path)).parent == folder
    lacking = f"no row in {name}" in message
    # An id that a file lacks is told where it stands, which is in another file.
    assert (Path(str(at_fault.path)).name != name) == lacking
    assert (at_fault.line, at_fault.value) == (line, value)
    assert at_fault.cure


@pytest.mark.parametrize("name", FILES)
class TestFiles:
    def test_a_missing_file_is_told(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(DatasetError, match=f"no {name} here") as told:
            load_cub(folder)
        assert told.value.path == str(folder)

    def test_an_empty_file_is_told(self, folder: Path, name: str) -> None:
        path = put(folder, name, " \n\n")
        with pytest.raises(DatasetError, match="the file is empty") as told:
            load_cub(folder)
        assert told.value.path == str(path)

    def test_a_file_that_is_no_text_is_told(self, folder: Path, name: str) -> None:
        (folder / name).write_bytes(b"1 1\n2 \xff\xfe\n")
        with pytest.raises(DatasetError, match="the file is no UTF-8 text") as told:
            load_cub(folder)
        assert (told.value.path, told.value.line) == (str(folder / name), 2)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        load_cub(tmp_path / "none")


def test_the_folder_above_is_told_with_the_right_one(folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / "CUB_200_2011"
    inner.mkdir()
    for name in FILES:
        shutil.move(folder / name, inner / name)
    with pytest.raises(DatasetError, match="CUB_200_2011") as told:
        load_cub(tmp_path)
    assert str(inner) in str(told.value.cure)


@pytest.fixture(scope="module")
def birds(cub: Path) -> DetectionDataset:
    return load_cub(cub)


@pytest.mark.birds
class TestRealBirds:
    def test_the_whole_set(self, birds: DetectionDataset) -> None:
        assert (len(birds), birds.num_objects, len(birds.class_table)) == (11_788, 11_788, 200)
        assert birds.largest_image_id == 11_788
        train, validation = birds.split()
        assert (len(train), len(validation)) == (5_994, 5_794)
        assert birds.classes["train"].between(29, 30).all()

    def test_a_selection_numbers_its_classes_anew(self, birds: DetectionDataset) -> None:
        chosen = birds.select([47, 17, "036.Northern_Flicker"])
        assert chosen.class_table.source_ids == (17, 36, 47)
        assert chosen.classes["name"].tolist() == ["017.Cardinal", "036.Northern_Flicker", "047.American_Goldfinch"]
        assert set(chosen.objects["class_id"]) == {0, 1, 2}

    def test_what_is_missing_is_counted(self, birds: DetectionDataset) -> None:
        present = sum(path.suffix == ".jpg" for path in birds.root.rglob("*.jpg"))
        if present == len(birds):
            pytest.skip("all pixels are there")
        with pytest.raises(DatasetError, match=rf"{len(birds) - present} of 11788 images are missing: 0\d\d\."):
            birds.require_images()
        with pytest.raises(DatasetError, match="images are missing"):
            birds.require_sizes()
        readable = birds.readable()
        assert (len(readable.dataset), len(readable.refused)) == (present, len(birds) - present)

    def test_species_whose_pixels_are_there_just_work(self, birds: DetectionDataset) -> None:
        chosen = birds.select([14, 17, 36, 41, 47])
        chosen.require_images()
        assert len(chosen) == 297
        assert [len(part) for part in chosen.split()] == [150, 147]
        assert chosen.sizes.min() > 100
        assert len(list(chosen)) == 297
