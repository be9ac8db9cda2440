"""Data sets into record files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import birdsod as bd
from birdsod import ClassTable, DetectionDataset, bbox, image, lstwriter
from birdsod.errors import BoxError, DatasetError, ImageError, ListError, RecordError
from birdsod.recordio import _pipeline, pack_list
from birdsod.recordio._cropping import crop_label
from birdsod.recordio._label import detection_label
from birdsod.testing import boxes_inside, image_sizes

if TYPE_CHECKING:
    from birdsod.recordio import Packed

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec" / "images"
TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
NAMES = ["a_grad_320x240.jpg", "c_photo_tall_301x457.jpg", "l_exif6_220x150.jpg", "sub dir/o space name_123x321.JPG"]


def dataset(
    names: list[str] = NAMES,
    boxes: list[tuple[int, int, list[float]]] | None = None,
    *,
    root: Path = GOLDEN,
    table: ClassTable = TABLE,
    **columns: Any,
) -> DetectionDataset:
    """Images numbered from 10, with (image, class, box) triples; by default a box each."""
    ids = list(range(10, 10 + len(names)))
    found = [(k, k % 2, [10.0, 20.0, 60.0 + k, 90.0]) for k in range(len(names))] if boxes is None else boxes
    objects: dict[str, Any] = {
        "image_id": [ids[k] for k, _, _ in found],
        "class_id": [class_id for _, class_id, _ in found],
        **{side: [box[n] for _, _, box in found] for n, side in enumerate(("xmin", "ymin", "xmax", "ymax"))},
    }
    return DetectionDataset.from_tables(
        {"image_id": ids, "path": names, **columns}, objects, root=root, class_table=table
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pack(data: DetectionDataset, folder: Path, **options: Any) -> Packed:
    packed: Packed = bd.pack({"train": data}, folder, **options)
    return packed


def test_what_is_packed(tmp_path: Path) -> None:
    data = dataset()
    packed = bd.pack({"train": data[:3], "validation": data[3:]}, tmp_path / "new" / "birds", resize=100)
    assert packed.directory == tmp_path / "new" / "birds"
    assert set(files(packed.directory)) == {
        "packed.json",
        *(f"{name}.{ending}" for name in ("train", "validation") for ending in ("lst", "rec", "idx")),
    }
    train = packed.channels["train"]
    assert (train.listed, train.records, train.objects, train.most_objects, train.longest_label) == (3, 3, 3, 1, 7)
    assert (packed.class_table, packed.most_objects, packed.longest_label, packed.label_width) == (TABLE, 1, 7, 350)
    assert (packed.clipped, packed.dropped, packed.refused) == ((), (), ())
    with train.open() as reader:
        assert len(reader) == 3
        for record, source in zip(reader, data, strict=False):
            height, width = image.decode(record.image).shape[:2]
            assert min(width, height) == 100
            assert record.header.id == source.image_id
            absolute = bbox.relative_to_absolute(record.boxes.boxes, width=source.width, height=source.height)
            assert np.allclose(absolute, source.boxes, atol=0.05)
            assert record.boxes.class_ids.tolist() == source.class_ids.tolist()


@pytest.mark.parametrize(
    "options",
    [{}, {"resize": 64, "quality": 80}, {"encoding": ".png", "quality": 3}, {"pass_through": True}],
    ids=["plain", "resize", "png", "pass"],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_records_are_those_of_the_list(tmp_path: Path, options: dict[str, Any], jobs: int) -> None:
    packed = pack(dataset(), tmp_path / "birds", jobs=jobs, **options)
    channel = packed.channels["train"]
    again = pack_list(channel.lst, root=GOLDEN, out=tmp_path / "a.rec", **options)
    assert (again.sha256, again.idx_sha256, again.lst_sha256) == (
        channel.sha256,
        channel.idx_sha256,
        channel.lst_sha256,
    )
    lstwriter.write(dataset(), tmp_path / "own.lst")
    assert (tmp_path / "own.lst").read_bytes() == channel.lst.read_bytes()


def test_the_same_input_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    first = pack(dataset(), tmp_path / "one", resize=50)
    again = pack(dataset(), tmp_path / "two", resize=50, jobs=3)
    assert files(first.directory) == files(again.directory)


def test_images_without_objects_are_packed(tmp_path: Path) -> None:
    packed = pack(dataset(boxes=[]), tmp_path, resize=32)
    assert (packed.most_objects, packed.longest_label, packed.channels["train"].objects) == (0, 2, 0)
    with packed.channels["train"].open() as reader:
        assert [len(record.boxes) for record in reader] == [0] * 4


def test_the_longest_label_and_the_most_objects(tmp_path: Path) -> None:
    boxes = [(k % 3, 0, [1.0, 1.0, 50.0, 50.0 + k]) for k in range(80)]
    packed = pack(dataset(boxes=boxes), tmp_path, pass_through=True)
    assert (packed.most_objects, packed.longest_label, packed.label_width) == (27, 137, 350)
    many = pack(dataset(boxes=boxes * 3), tmp_path, pass_through=True, overwrite=True)
    assert (many.longest_label, many.label_width) == (407, 407)


def test_boxes_outside_are_clipped_and_listed_or_raise(tmp_path: Path) -> None:
    data = dataset(boxes=[(0, 0, [-8.0, 20.0, 330.0, 100.0]), (1, 1, [1.0, 2.0, 3.0, 4.0])])
    packed = pack(data, tmp_path / "clip", resize=32)
    assert [(box.image_id, box.object_index, box.after) for box in packed.clipped] == [
        (10, 0, (0.0, 20.0, 320.0, 100.0))
    ]
    with packed.channels["train"].open() as reader:
        assert reader[0].boxes.boxes.tolist() == np.array([[0, 0.0833, 1, 0.4167]], dtype=np.float32).tolist()
    with pytest.raises(BoxError, match="object 0 of image 10"):
        pack(data, tmp_path / "raise", outside="raise")
    assert not (tmp_path / "raise").exists()
    collected = pack(data, tmp_path / "collect", outside="raise", on_error="collect", resize=32)
    assert [refused.image_id for refused in collected.refused] == [10]


def test_impossible_boxes_are_refused_by_image(tmp_path: Path) -> None:
    data = dataset(boxes=[(0, 0, [400.0, 20.0, 430.0, 100.0]), (1, 1, [1.0, 2.0, 3.0, 4.0])])
    with pytest.raises(BoxError, match="object 0 of image 10"):
        pack(data, tmp_path)
    packed = pack(data, tmp_path, on_error="collect", resize=32)
    channel = packed.channels["train"]
    assert (channel.listed, channel.records, len(channel.refused)) == (4, 3, 1)
    assert (channel.refused[0].image_id, channel.refused[0].name) == (10, NAMES[0])
    assert "xmin" in channel.refused[0].reason


@pytest.mark.parametrize(
    ("name", "box", "reason"),
    [(" blank.jpg", [1.0, 2.0, 30.0, 40.0], "cannot stand in a list"), ("thin.jpg", [1, 2, 1 + 1e-9, 40], "too thin")],
)
def test_an_image_that_cannot_be_listed_is_refused(tmp_path: Path, name: str, box: list[float], reason: str) -> None:
    root = copied(tmp_path)
    (root / name).write_bytes((root / NAMES[0]).read_bytes())
    data = dataset([NAMES[0], name], [(1, 0, box)], root=root)
    with pytest.raises((ListError, BoxError), match=reason):
        pack(data, tmp_path / "out")
    packed = pack(data, tmp_path / "out", on_error="collect", resize=32)
    assert (packed.channels["train"].listed, packed.channels["train"].records) == (2, 1)
    assert [(refused.image_id, refused.name) for refused in packed.refused] == [(11, name)]
    assert reason in packed.refused[0].reason


# Centre crop


def test_labels_follow_a_centre_crop(tmp_path: Path) -> None:
    # 320 x 240: the crop keeps 40 to 280.
    boxes = [
        (0, 0, [100.0, 60.0, 220.0, 180.0]),
        (0, 1, [20.0, 60.0, 100.0, 180.0]),
        (0, 1, [0.0, 60.0, 40.0, 180.0]),
        (1, 0, [0.0, 0.0, 30.0, 30.0]),
    ]
    packed = pack(dataset(boxes=boxes), tmp_path / "crop", center_crop=True, resize=64)
    with packed.channels["train"].open() as reader:
        first, second, *_ = list(reader)
    assert image.decode(first.image).shape == (64, 64, 3)
    expected = [[0.25, 0.25, 0.75, 0.75], [0.0, 0.25, 0.25, 0.75]]
    assert np.allclose(first.boxes.boxes, expected, atol=1e-4)
    assert first.boxes.class_ids.tolist() == [0, 1]
    # 301 x 457: the crop keeps 78 to 379 from above, so nothing is left.
    assert len(second.boxes) == 0
    assert [(box.image_id, box.object_index) for box in packed.clipped] == [(10, 1)]
    assert np.allclose(packed.clipped[0].before, [20, 60, 100, 180], atol=0.05)
    assert np.allclose(packed.clipped[0].after, [40, 60, 100, 180], atol=0.05)
    assert [(box.image_id, box.object_index) for box in packed.dropped] == [(10, 2), (11, 0)]
    assert packed.dropped[0].name == NAMES[0]
    assert np.allclose(packed.dropped[0].box, [0, 60, 40, 180], atol=0.05)
    assert packed.channels["train"].objects == 2


def test_the_pixels_of_a_crop_are_those_of_im2rec(tmp_path: Path) -> None:
    packed = pack(dataset(), tmp_path / "crop", center_crop=True, resize=40)
    channel = packed.channels["train"]
    theirs = pack_list(channel.lst, root=GOLDEN, out=tmp_path / "a.rec", center_crop=True, resize=40)
    with channel.open() as ours, theirs.open() as others:
        assert [record.image for record in ours] == [record.image for record in others]


@given(image_sizes(most=500), st.data())
def test_a_cropped_label_holds_the_same_pixels(size: tuple[int, int], data: st.DataObject) -> None:
    width, height = size
    boxes = data.draw(boxes_inside(width, height))
    relative = bbox.absolute_to_relative(boxes, width=width, height=height)
    label = lstwriter.label_row(range(len(boxes)), relative).astype(np.float32)
    cropped = crop_label(7, "a.jpg", label, width=width, height=height)
    window = image.center_crop_box(width, height)
    found = detection_label(cropped.label)
    assert len(found) + len(cropped.dropped) == len(boxes)
    back = found.boxes * window.side + [window.xmin, window.ymin, window.xmin, window.ymin]
    limits = [window.xmin, window.ymin, window.xmin + window.side, window.ymin + window.side]
    for class_id, box in zip(found.class_ids, back, strict=True):
        lower, upper = boxes[class_id][:2], boxes[class_id][2:]
        expected = [*np.maximum(lower, limits[:2]), *np.minimum(upper, limits[2:])]
        assert np.allclose(box, expected, atol=1e-3 * max(size))
    for dropped in cropped.dropped:
        box = np.array(dropped.box)
        closed = np.minimum(box[2:], limits[2:]) - np.maximum(box[:2], limits[:2])
        assert closed.min() <= 1e-4 * max(size)


def test_other_labels_stay_as_they_are() -> None:
    label = np.array([3.0], dtype=np.float32)
    assert crop_label(7, "a.jpg", label, width=30, height=20).label is label


def test_further_columns_survive_a_crop() -> None:
    label = np.array([3, 6, 9, 0, 0.4, 0.4, 0.6, 0.6, 5], dtype=np.float32)
    found = detection_label(crop_label(7, "a.jpg", label, width=30, height=20).label)
    assert (found.header_extra.tolist(), found.extra.tolist()) == ([9], [[5]])


# What cannot be packed


def copied(tmp_path: Path, **replaced: bytes) -> Path:
    """The golden images in a folder of their own, some replaced."""
    root = tmp_path / "photos"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((GOLDEN / name).read_bytes())
    for name, data in replaced.items():
        (root / NAMES[int(name.removeprefix("image"))]).write_bytes(data)
    return root


BROKEN = {
    "empty": b"",
    "text": b"hello",
    "truncated": (GOLDEN / NAMES[1]).read_bytes()[:-2000],
    "header only": (GOLDEN / NAMES[1]).read_bytes()[:300],
}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_images_raise_or_are_refused(tmp_path: Path, kind: str, jobs: int) -> None:
    data = dataset(root=copied(tmp_path, image1=BROKEN[kind]))
    with pytest.raises(ImageError) as caught:
        pack(data, tmp_path / "out", jobs=jobs)
    assert caught.value.path == str(tmp_path / "photos" / NAMES[1])
    assert not (tmp_path / "out").exists()
    packed = pack(data, tmp_path / "out", on_error="collect", jobs=jobs)
    channel = packed.channels["train"]
    assert (channel.listed, channel.records) == (4, 3)
    assert [(refused.image_id, refused.name) for refused in packed.refused] == [(11, NAMES[1])]
    with channel.open() as reader:
        assert reader.keys.tolist() == [10, 12, 13]
    frame = pd.DataFrame(packed.refused)
    assert frame.columns.tolist() == ["image_id", "name", "reason"]
    assert asdict(packed.refused[0])["image_id"] == 11


def test_missing_images_are_counted_or_refused(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (root / NAMES[0]).unlink()
    (root / NAMES[2]).unlink()
    with pytest.raises(DatasetError, match="2 of 4 images are missing"):
        pack(dataset(root=root), tmp_path / "out")
    with pytest.warns(UserWarning, match="train: 2 of 4 images were refused: a_grad.*, l_exif6") as warned:
        packed = bd.pack({"train": dataset(root=root)}, tmp_path / "out", on_error="skip")
    assert warned[0].filename == __file__
    assert [refused.image_id for refused in packed.refused] == [10, 12]
    assert all("missing" in refused.reason for refused in packed.refused)
    assert len(packed.channels["train"].lst.read_text().splitlines()) == 2


def test_missing_images_of_known_size_are_refused_as_well(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (root / NAMES[0]).unlink()
    packed = pack(
        dataset(root=root, width=[320, 301, 150, 123], height=[240, 457, 220, 321]),
        tmp_path / "out",
        on_error="collect",
    )
    channel = packed.channels["train"]
    assert (channel.listed, channel.records, channel.refused[0].image_id) == (4, 3, 10)


def test_a_size_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    data = dataset(width=[320, 301, 220, 123], height=[240, 457, 150, 321])
    with pytest.raises(DatasetError, match="image 12 is 150 x 220 pixels by its header, but 220 x 150"):
        pack(data, tmp_path)
    packed = pack(data, tmp_path, on_error="collect")
    assert [refused.image_id for refused in packed.refused] == [12]


@pytest.mark.parametrize("pass_through", [True, False])
def test_a_source_that_changes_underneath_is_refused(tmp_path: Path, *, pass_through: bool) -> None:
    root = copied(tmp_path)
    data = dataset(root=root)
    data.require_sizes()
    (root / NAMES[0]).write_bytes((GOLDEN / NAMES[1]).read_bytes())
    (root / NAMES[3]).unlink()
    with pytest.raises(ImageError, match="the image is 301 x 457 pixels, but 320 x 240 by the data set"):
        pack(data[:3], tmp_path / "out", pass_through=pass_through)
    packed = pack(data, tmp_path / "out", on_error="collect", pass_through=pass_through)
    reasons = [refused.reason for refused in packed.refused]
    assert [refused.image_id for refused in packed.refused] == [10, 13]
    assert "replaced after its size was read" in reasons[0]
    assert "the image is missing" in reasons[1]


def test_a_channel_of_which_nothing_is_left_is_an_error(tmp_path: Path) -> None:
    root = copied(tmp_path, image0=b"no image")
    with pytest.raises(DatasetError, match="no image of train can be packed"):
        pack(dataset(root=root)[:1], tmp_path / "out", on_error="collect")
    assert not (tmp_path / "out").exists()


def test_an_unforeseen_failure_names_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise MemoryError("no memory for the picture")

    monkeypatch.setattr(image, "encode", failing)
    for on_error in ("raise", "collect"):
        with pytest.raises(RecordError, match=r"image 10 cannot be packed.*MemoryError: no memory") as caught:
            pack(dataset(), tmp_path / "out", on_error=on_error)
        assert caught.value.path == str(GOLDEN / NAMES[0])
    assert not (tmp_path / "out").exists()


def test_a_file_too_large_for_a_record_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdsod.recordio._image_work.LONGEST", 20_000)
    packed = pack(dataset(), tmp_path, on_error="collect")
    assert [refused.image_id for refused in packed.refused] == [11]
    assert "does not fit into a record" in packed.refused[0].reason


@pytest.mark.parametrize("pass_through", [True, False])
def test_an_image_that_claims_too_many_pixels_is_refused(tmp_path: Path, *, pass_through: bool) -> None:
    huge = image.encode(np.zeros((4, 4, 3), np.uint8), encoding=".png")
    huge = huge[:16] + (60_000).to_bytes(4, "big") * 2 + huge[24:]
    root = copied(tmp_path, image0=huge)
    packed = pack(dataset(root=root), tmp_path / "out", on_error="collect", pass_through=pass_through)
    assert [refused.image_id for refused in packed.refused] == [10]
    assert "100,000,000 pixels" in packed.refused[0].reason


# Channels


def test_channels_must_have_the_same_classes(tmp_path: Path) -> None:
    other = dataset(table=ClassTable((17, 47), ("017.Cardinal", "047.American_Goldfinch")))
    with pytest.raises(DatasetError, match="channels 'train' and 'validation' have different classes"):
        bd.pack({"train": dataset(), "validation": other}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_channel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="channel 'validation' is empty"):
        bd.pack({"train": dataset(), "validation": dataset()[:0]}, tmp_path / "out")
    with pytest.raises(DatasetError, match="no channel"):
        bd.pack({}, tmp_path / "out")


def test_an_id_that_occurs_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DetectionDataset, "image_ids", property(lambda _: np.array([3, 4, 4, 5])))
    with pytest.raises(DatasetError, match="an image id occurs twice in channel 'train'") as caught:
        pack(dataset(), tmp_path / "out")
    assert caught.value.value == 4


@pytest.mark.parametrize("channels", [None, {1: dataset()}, {"train": [dataset()[0]]}, dataset()], ids=repr)
def test_channels_are_data_sets_by_name(tmp_path: Path, channels: Any) -> None:
    with pytest.raises(DatasetError, match="channels are data sets by name"):
        bd.pack(channels, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "-x"])
def test_a_channel_needs_the_name_of_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="name of a channel"):
        bd.pack({name: dataset()}, tmp_path / "out")


def test_channels_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="upper and lower case"):
        bd.pack({"train": dataset(), "Train": dataset()}, tmp_path / "out")


# Files that are there already


def test_nothing_is_replaced_unless_asked_for(tmp_path: Path) -> None:
    pack(dataset(), tmp_path, resize=32)
    before = files(tmp_path)
    with pytest.raises(RecordError, match="exists already"):
        pack(dataset(), tmp_path, resize=64)
    assert files(tmp_path) == before
    pack(dataset(), tmp_path, resize=64, overwrite=True)
    assert set(files(tmp_path)) == set(before)
    assert files(tmp_path)["train.rec"] != before["train.rec"]


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    pack(dataset(), tmp_path, resize=32)
    assert files(tmp_path)["notes.txt"] == b"mine"
    assert json.loads(files(tmp_path)["packed.json"])["schema"] == 1


def test_opencv_keeps_its_number_of_threads(tmp_path: Path) -> None:
    cv2.setNumThreads(2)
    pack(dataset(), tmp_path, resize=32, jobs=2)
    assert cv2.getNumThreads() == 2


def test_of_packings_that_overlap_the_last_one_gives_opencv_its_threads_back() -> None:
    cv2.setNumThreads(2)
    one, other = _pipeline.workers(2), _pipeline.workers(3)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    other.__exit__(None, None, None)
    assert cv2.getNumThreads() == 2
    with _pipeline.workers(1):
        assert cv2.getNumThreads() == 2
    with _pipeline.workers(2, decoding=False):
        assert cv2.getNumThreads() == 2
