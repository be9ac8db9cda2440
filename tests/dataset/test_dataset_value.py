"""The data set as a value: picking, selecting, tables, equality, memory."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset
from birdsod.errors import BirdsodError, BoxError, DatasetError
from birdsod.testing import datasets

TABLE = ClassTable((17, 36, 47), ("017.Cardinal", "036.Northern_Flicker", "047.American_Goldfinch"))
IMAGES: dict[str, Any] = {
    "image_id": [4, 2, 9],
    "path": ["a/one.jpg", "a/two.jpg", "three.jpg"],
    "width": [50, 60, 70],
    "height": [40, 30, 20],
    "split": ["train", "validation", ""],
}
OBJECTS: dict[str, Any] = {
    "image_id": [2, 4, 2],
    "class_id": [2, 0, 1],
    "xmin": [1, 2, 3],
    "ymin": [1.5, 2, 3],
    "xmax": [10, 20, 30],
    "ymax": [11, 21, 31.1],
}


def make(images: Any = None, objects: Any = None) -> DetectionDataset:
    return DetectionDataset.from_tables(
        IMAGES | (images or {}), OBJECTS | (objects or {}), root="photos", class_table=TABLE
    )


def unsized() -> DetectionDataset:
    return make({"width": [0, 0, 0], "height": [0, 0, 0]})


class TestRecords:
    def test_a_record_says_all_about_an_image(self) -> None:
        record = make()[1]
        assert (record.image_id, record.name, record.width, record.height) == (2, "a/two.jpg", 60, 30)
        assert record.split == "validation"
        assert record.path == Path.cwd() / "photos" / "a" / "two.jpg"
        assert record.class_ids.tolist() == [2, 1]
        assert record.class_ids.dtype == np.int64
        assert record.boxes.tolist() == [[1, 1.5, 10, 11], [3, 3, 30, 31.1]]
        assert record.boxes.dtype == np.float64
        assert len(record) == 2

    def test_an_image_may_have_no_object(self) -> None:
        record = make()[-1]
        assert record.boxes.shape == (0, 4)
        assert len(record) == 0

    def test_iteration_yields_each_image_in_order(self) -> None:
        assert [record.image_id for record in make()] == [4, 2, 9]

    def test_numpy_integers_pick_too(self) -> None:
        assert make()[np.int64(2)].image_id == 9

    @pytest.mark.parametrize("position", [3, -4])
    def test_a_position_outside_is_an_index_error(self, position: int) -> None:
        with pytest.raises(IndexError):
            make()[position]

    def test_nothing_of_a_record_or_a_set_can_be_edited(self) -> None:
        birds = make()
        for array in (birds[0].boxes, birds[0].class_ids, birds.image_ids, birds.sizes, birds.splits, birds.mirror_of):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = array[0]
        with pytest.raises(FrozenInstanceError):
            birds._rows = np.zeros(0)  # type: ignore[misc]


class TestPicking:
    @pytest.mark.parametrize(
        ("index", "ids"),
        [
            (slice(1, None), [2, 9]),
            (slice(None, None, -1), [9, 2, 4]),
            (np.array([True, False, True]), [4, 9]),
            ([True, False, False], [4]),
            (np.array([2, 0]), [9, 4]),
            ([-1], [9]),
            ((1, 2), [2, 9]),
            (pd.Series([False, True, True]), [2, 9]),
            ([], []),
        ],
    )
    def test_slices_masks_and_positions(self, index: Any, ids: list[int]) -> None:
        picked = make()[index]
        assert picked.image_ids.tolist() == ids
        assert [record.image_id for record in picked] == ids
        assert len(picked) == len(ids)

    @pytest.mark.parametrize(
        ("index", "kind", "message"),
        [
            (np.array([True]), IndexError, "mask"),
            ([0, 7], IndexError, "position 7"),
            ([0, -4], IndexError, "position -4"),
            ([0.5], TypeError, "float64"),
            ("abc", TypeError, "picked by"),
            ([[0]], TypeError, "shape"),
            ([0, 0], DatasetError, "picked twice"),
            ([0, -3], DatasetError, "picked twice"),
        ],
    )
    def test_what_picks_nothing_is_told(self, index: Any, kind: type[Exception], message: str) -> None:
        with pytest.raises(kind, match=message):
            make()[index]

    def test_subset_is_one_split(self) -> None:
        assert make().subset("train").image_ids.tolist() == [4]
        assert make().subset("").image_ids.tolist() == [9]

    def test_an_unknown_split_is_told(self) -> None:
        with pytest.raises(DatasetError, match="no such split"):
            make().subset("test")

    @given(birds=datasets(), data=st.data())
    def test_picking_is_that_of_a_list(self, birds: DetectionDataset, data: st.DataObject) -> None:
        ids = birds.image_ids.tolist()
        part = data.draw(st.slices(len(ids)))
        assert birds[part].image_ids.tolist() == ids[part]
        order = data.draw(st.permutations(range(len(ids))))
        picked = birds[order]
        for place, position in enumerate(order):
            assert picked[place].name == birds[position].name
            assert np.array_equal(picked[place].boxes, birds[position].boxes)


class TestTables:
    def test_images(self) -> None:
        frame = make().images
        assert list(frame.columns) == ["image_id", "path", "width", "height", "split"]
        assert frame.to_dict("records")[1] == {
            "image_id": 2, "path": "a/two.jpg", "width": 60, "height": 30, "split": "validation",
        }  # fmt: skip

    def test_a_size_that_cannot_be_known_is_missing_in_the_table(self) -> None:
        frame = unsized().images
        assert frame["width"].isna().all()
        assert frame["height"].isna().all()

    def test_objects_are_sorted_by_image(self) -> None:
        frame = make().objects
        assert list(frame.columns) == ["image_id", "class_id", "xmin", "ymin", "xmax", "ymax"]
        assert frame.to_numpy().tolist() == [[4, 0, 2, 2, 20, 21], [2, 2, 1, 1.5, 10, 11], [2, 1, 3, 3, 30, 31.1]]

    def test_classes_count_images_of_each_split(self) -> None:
        frame = make(objects={"class_id": [1, 0, 1]}).classes
        assert list(frame.columns) == ["class_id", "source_id", "name", "train", "validation", "unsplit"]
        assert frame["source_id"].tolist() == [17, 36, 47]
        assert frame["train"].tolist() == [1, 0, 0]
        assert frame["validation"].tolist() == [0, 1, 0]  # two objects, one image

    def test_classes_have_a_column_only_for_splits_that_occur(self) -> None:
        assert list(make().subset("train").classes.columns) == ["class_id", "source_id", "name", "train"]

    @given(birds=datasets())
    def test_tables_make_the_same_set_again(self, birds: DetectionDataset) -> None:
        again = DetectionDataset.from_tables(
            birds.images, birds.objects, root=birds.root, class_table=birds.class_table
        )
        assert again == birds
        assert np.array_equal(again.sizes, birds.sizes)

    @given(birds=datasets(), data=st.data())
    def test_rows_of_objects_may_come_in_any_order(self, birds: DetectionDataset, data: st.DataObject) -> None:
        objects = birds.objects
        order = data.draw(st.permutations(range(len(objects))))
        again = DetectionDataset.from_tables(
            birds.images, objects.iloc[order], root=birds.root, class_table=birds.class_table
        )
        for before, after in zip(birds, again, strict=True):
            assert sorted(before.boxes.tolist()) == sorted(after.boxes.tolist())

    def test_inputs_are_neither_edited_nor_shared(self) -> None:
        boxes = np.array([1.0, 2.0, 3.0])
        birds = make(objects={"xmin": boxes})
        boxes[:] = 0
        assert birds.objects["xmin"].tolist() == [2, 1, 3]

    def test_tables_are_copies(self) -> None:
        birds = make()
        frame = birds.objects
        frame["xmin"] = -5
        assert birds == make()


class TestSelect:
    def test_by_id_or_name_in_the_order_of_the_set(self) -> None:
        birds = make().select(["047.American_Goldfinch", 17])
        assert birds.class_table.source_ids == (17, 47)
        assert birds.image_ids.tolist() == [4, 2]
        assert birds.objects["class_id"].tolist() == [0, 1]

    @pytest.mark.parametrize("one", [36, "036.Northern_Flicker", np.int64(36)])
    def test_one_class_needs_no_list(self, one: Any) -> None:
        birds = make().select(one)
        assert birds[0].class_ids.tolist() == [0]
        assert birds[0].boxes.tolist() == [[3, 3, 30, 31.1]]
        assert birds.num_objects == 1

    def test_a_selection_can_be_selected_from(self) -> None:
        birds = make().select([36, 47]).select(47)
        assert birds.class_table.names == ("047.American_Goldfinch",)
        assert birds.objects.to_numpy().tolist() == [[2, 0, 1, 1.5, 10, 11]]

    def test_no_class_is_told(self) -> None:
        with pytest.raises(DatasetError, match="no class is selected"):
            make().select([])

    def test_an_unknown_class_is_told(self) -> None:
        with pytest.raises(DatasetError, match="no such class"):
            make().select([17, 99])

    @given(birds=datasets(), data=st.data())
    def test_every_object_of_the_classes_is_kept_and_no_other(
        self, birds: DetectionDataset, data: st.DataObject
    ) -> None:
        source_ids = birds.class_table.source_ids
        wanted = data.draw(st.lists(st.sampled_from(source_ids), min_size=1))
        before = birds.objects
        chosen = birds.select(wanted)
        names = np.array(birds.class_table.names)[before["class_id"].to_numpy(dtype=np.int64)]
        expected = before.assign(name=names)[np.isin(np.array(source_ids)[before["class_id"]], wanted)]
        after = chosen.objects
        after = after.assign(name=np.array(chosen.class_table.names)[after["class_id"].to_numpy(dtype=np.int64)])
        columns = ["image_id", "name", "xmin", "ymin", "xmax", "ymax"]
        pd.testing.assert_frame_equal(
            after[columns].reset_index(drop=True), expected[columns].reset_index(drop=True), check_dtype=False
        )
        assert set(chosen.image_ids.tolist()) == set(expected["image_id"])
        assert chosen.class_table.source_ids == tuple(sorted(set(wanted)))
        assert chosen.largest_image_id == birds.largest_image_id
        assert chosen.select(wanted) == chosen
        assert birds.objects.equals(before)


class TestValue:
    def test_repr_counts(self) -> None:
        assert repr(make()) == ("DetectionDataset(3 images, 3 objects, 3 classes; 1 train, 1 validation, 1 not split)")
        assert repr(make({"split": [""] * 3})) == "DetectionDataset(3 images, 3 objects, 3 classes; not split)"
        assert repr(make().select(17)) == "DetectionDataset(1 image, 1 object, 1 class; 1 train)"

    def test_an_empty_set_is_a_set(self) -> None:
        birds = make()[:0]
        assert repr(birds) == "DetectionDataset(0 images, 0 objects, 3 classes; not split)"
        assert list(birds) == []
        assert len(birds.images) == len(birds.objects) == 0
        assert birds.classes["name"].tolist() == list(TABLE.names)

    def test_equality_sees_each_column(self) -> None:
        assert make() == make()
        assert make() != 1
        different = [
            make({"image_id": [4, 2, 8]}),
            make({"path": ["a/one.jpg", "a/two.jpg", "four.jpg"]}),
            make({"split": ["train", "validation", "train"]}),
            make({"group": [4, 2, 4]}),
            make({"mirror_of": [-1, -1, 2], "group": [4, 2, 9]}),
            make(objects={"xmin": [1, 2, 2]}),
            make(objects={"class_id": [2, 0, 0]}),
            make()[::-1],
        ]
        assert all(make() != other for other in different)

    def test_it_is_not_hashable(self) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            hash(make())

    def test_it_can_be_pickled(self) -> None:
        birds = make().select([36, 47])
        again = pickle.loads(pickle.dumps(birds))  # noqa: S301 - our own bytes
        assert again == birds
        assert again.largest_image_id == 9

    def test_the_largest_id_is_that_of_the_whole_set(self) -> None:
        assert make().select(17)[:1].largest_image_id == 9
        assert make({"mirror_of": [-1, -1, 2]}).largest_image_id == 4
        assert (
            make(
                {"image_id": []} | {k: [] for k in ("path", "width", "height", "split")}, {k: [] for k in OBJECTS}
            ).largest_image_id
            == 0
        )

    @pytest.mark.parametrize("per_image", [1, 4])
    def test_a_million_objects_take_less_than_100_megabytes(self, per_image: int) -> None:
        birds = many(1_000_000, per_image)
        assert birds.num_objects == 1_000_000
        assert birds.nbytes < 100e6
        assert birds[::2].select(range(100))[5].width == 500

    def test_it_holds_what_it_says_it_holds(self) -> None:
        many(10, 1)
        tracemalloc.start()
        try:
            birds = many(50_000, 1)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert birds.nbytes <= held < 1.05 * birds.nbytes + 100_000


def many(objects: int, per_image: int) -> DetectionDataset:
    ids = np.arange(1, objects // per_image + 1)
    starts = np.arange(objects) % 480 + 0.1  # not exact at half width
    classes = ClassTable(tuple(range(200)), tuple(f"{k:03d}.Bird" for k in range(200)))
    return DetectionDataset.from_tables(
        {
            "image_id": ids,
            "path": [f"{k % 200:03d}.Some_Bird/Some_Bird_{k:07d}_{k % 999:06d}.jpg" for k in ids.tolist()],
            "width": np.full(len(ids), 500),
            "height": np.full(len(ids), 375),
            "split": ["train", "validation"] * (len(ids) // 2),
        },
        {
            "image_id": np.repeat(ids, per_image),
            "class_id": np.arange(objects) % 200,
            "xmin": starts,
            "ymin": starts,
            "xmax": starts + 9.7,
            "ymax": starts + 9.7,
        },
        root="photos",
        class_table=classes,
    )


IMAGE_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"image_id": [1, 2, 2]}, "an image id occurs twice"),
    ({"image_id": [1, 2, -3]}, "an image id is negative"),
    ({"image_id": [1.0, 2.0, 3.5]}, "must hold whole numbers"),
    ({"image_id": [[1, 2, 3]]}, "must hold whole numbers"),
    ({"path": ["a", "b"]}, "'path' has 2 rows where 3 are expected"),
    ({"path": ["a", "b", 3]}, "'path' must hold text"),
    ({"path": ["a", "b", ""]}, "a path is empty"),
    ({"path": ["a", "b", "c\td"]}, "control character"),
    ({"path": ["a", "b", "./a"]}, "a path occurs twice"),
    ({"width": [1, 2]}, "'width' has 2 rows where 3 are expected"),
    ({"width": [1, 2, -1]}, "a width is no number of pixels"),
    ({"height": [1, 2, 2.5]}, "a height is no number of pixels"),
    ({"width": [1, 2, 3e10]}, "a width is no number of pixels"),
    ({"width": [1, 2, 0]}, "a size is known by half"),
    ({"split": ["train", "validation", "test"]}, "no such split"),
    ({"group": [1]}, "'group' has 1 rows where 3 are expected"),
]
OBJECT_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"image_id": [2, 4, 5]}, "an object's image is not in the images table"),
    ({"image_id": [2, 4, 99]}, "an object's image is not in the images table"),
    ({"class_id": [0, 1, 3]}, "an object's class is not in the class table"),
    ({"class_id": [0, 1, -1]}, "an object's class is not in the class table"),
    ({"class_id": [0, 1]}, "'class_id' has 2 rows where 3 are expected"),
    ({"xmin": [1, 2, 30]}, "a box is empty or inverted"),
    ({"ymax": [11, 21, 2]}, "a box is empty or inverted"),
    ({"ymax": [11, 21, np.nan]}, "a box is not finite"),
    ({"xmax": [11, 21, np.inf]}, "a box is not finite"),
    ({"xmax": [11, 21]}, "'xmax' has 2 rows where 3 are expected"),
]


@pytest.mark.parametrize(("fault", "message"), IMAGE_FAULTS)
def test_each_fault_of_the_images_table_is_told(fault: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        make(fault)


@pytest.mark.parametrize(("fault", "message"), OBJECT_FAULTS)
def test_each_fault_of_the_objects_table_is_told(fault: dict[str, Any], message: str) -> None:
    with pytest.raises(BirdsodError, match=message) as told:
        make(objects=fault)
    assert isinstance(told.value, BoxError) == ("box" in message)
    assert told.value.record == 2 or "rows" in message


@pytest.mark.parametrize("table", ["images", "objects"])
def test_a_missing_column_is_told(table: str) -> None:
    images = {key: value for key, value in IMAGES.items() if table != "images" or key != "path"}
    objects = {key: value for key, value in OBJECTS.items() if table != "objects" or key != "ymin"}
    with pytest.raises(DatasetError, match=r"column '(path|ymin)' is missing"):
        DetectionDataset.from_tables(images, objects, root=".", class_table=TABLE)


def test_the_row_of_a_fault_is_named() -> None:
    with pytest.raises(DatasetError) as told:
        make({"image_id": [2, 4, 4]})
    assert (told.value.record, told.value.value) == (2, 4)


def test_optional_columns_may_be_left_out() -> None:
    images = {"image_id": [1], "path": [Path("one.jpg")]}
    objects: dict[str, Any] = {name: [] for name in OBJECTS}
    birds = DetectionDataset.from_tables(images, objects, root=".", class_table=TABLE)
    assert birds.splits.tolist() == [""]
    assert birds.names == ["one.jpg"]
    assert birds.num_objects == 0


def test_paths_are_plain_relative_to_the_root_or_absolute(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    names = [str(root / "in" / "a.jpg"), "../beside/b.jpg", "in/./c.jpg"]
    birds = DetectionDataset.from_tables(IMAGES | {"path": names}, OBJECTS, root=root, class_table=TABLE)
    assert birds.names == ["in/a.jpg", (tmp_path / "beside" / "b.jpg").as_posix(), "in/c.jpg"]
    assert birds[1].path == tmp_path / "beside" / "b.jpg"


def test_missing_values_of_pandas_are_unknown_sizes() -> None:
    images = pd.DataFrame(IMAGES).astype({"width": "Int64", "height": "Int64"})
    images.loc[2, ["width", "height"]] = pd.NA
    birds = DetectionDataset.from_tables(images, pd.DataFrame(OBJECTS), root="photos", class_table=TABLE)
    assert birds.images["width"].isna().tolist() == [False, False, True]


def test_large_ids_are_kept() -> None:
    birds = make({"image_id": [2**40, 2, 9]}, {"image_id": [2, 2**40, 2]})
    assert birds.image_ids.tolist() == [2**40, 2, 9]
    assert birds.objects["image_id"].tolist() == [2**40, 2, 2]


def test_the_room_lists_its_names() -> None:
    from birdsod import dataset

    assert dir(dataset) == sorted(dataset.__all__)
    with pytest.raises(AttributeError, match="no attribute 'parrot'"):
        dataset.parrot  # noqa: B018 - the lookup itself is the test
