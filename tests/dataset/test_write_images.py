"""Data sets written as images with annotation files: what is written is what was there, and what can be read."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset, ImageChannels, load_cub, synthetic_birds, write_images
from birdsod.dataset._image_files import flat_stems
from birdsod.dataset._labels import label_json, read_boxes, read_extent
from birdsod.errors import BoxError, DatasetError, ImageError
from birdsod.hyperparameters import Hyperparameters
from birdsod.image import decode
from birdsod.testing import cub_folders

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.testing import DrawnCub

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))


def jpeg(mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    ramp = Image.linear_gradient("L").resize(size)
    picture = Image.merge("RGB", [ramp, ramp.rotate(180), ramp]).convert(mode)
    stream = io.BytesIO()
    picture.save(stream, options.pop("format", "JPEG"), **options)
    return stream.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(exif=exif)


def birds(
    root: Path, files: dict[str, bytes], boxes: dict[int, list[list[float]]] | None = None, **columns: Any
) -> DetectionDataset:
    """Return a data set of some files, each with a box of 2 to 20 pixels unless others are given."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    ids = list(range(1, len(files) + 1))
    held = {image_id: [[2.0, 3.0, 20.0, 21.0]] for image_id in ids} | (boxes or {})
    rows = [(image_id, box) for image_id in ids for box in held[image_id]]
    objects = {
        "image_id": np.array([image_id for image_id, _ in rows], dtype=np.int64),
        "class_id": np.array([image_id % 2 for image_id, _ in rows], dtype=np.int64),
        **{side: [box[place] for _, box in rows] for place, side in enumerate(("xmin", "ymin", "xmax", "ymax"))},
    }
    images = {"image_id": ids, "path": list(files), **columns}
    return DetectionDataset.from_tables(images, objects, root=root, class_table=CLASSES)


def annotation(written: ImageChannels, channel: str = "train", row: int = 0) -> dict[str, Any]:
    held = written.channels[channel]
    found: dict[str, Any] = json.loads((held.annotations / held.files[row].annotation).read_text())
    return found


def test_an_image_has_its_annotation_beside_it(tmp_path: Path) -> None:
    data = birds(tmp_path / "photos", {"017/a.jpg": jpeg()}, {1: [[2, 3, 12.5, 21], [-4, 0, 9, 50]]})
    written = write_images({"train": data}, tmp_path / "out")
    assert annotation(written) == {
        "file": "a.jpg",
        "image_size": [{"width": 40, "height": 30, "depth": 3}],
        "annotations": [
            {"class_id": 1, "left": 2, "top": 3, "width": 10.5, "height": 18},
            {"class_id": 1, "left": 0, "top": 0, "width": 9, "height": 30},
        ],
        "categories": [{"class_id": 1, "name": "036.Northern_Flicker"}],
    }
    (clipped,) = written.clipped
    assert (clipped.image_id, clipped.name, clipped.object_index) == (1, "017/a.jpg", 1)
    assert (clipped.before, clipped.after) == ((-4.0, 0.0, 9.0, 50.0), (0.0, 0.0, 9.0, 30.0))
    assert (tmp_path / "out/train/a.jpg").read_bytes() == (tmp_path / "photos/017/a.jpg").read_bytes()
    assert (written.most_objects, written.longest_label, written.label_width) == (2, 12, 350)
    assert ImageChannels.open(tmp_path / "out") == written


def test_a_box_outside_can_be_refused(tmp_path: Path) -> None:
    over = birds(tmp_path / "photos", {"a.jpg": jpeg()}, {1: [[0, 0, 41, 10]]})
    with pytest.raises(BoxError, match="object 0 of image 1"):
        write_images({"train": over}, tmp_path / "out", outside="raise")
    away = birds(tmp_path / "photos", {"a.jpg": jpeg()}, {1: [[50, 0, 60, 10]]})
    with pytest.raises(BoxError, match="object 0 of image 1"):
        write_images({"train": away}, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (jpeg("L"), ".jpg"),
        (jpeg("CMYK"), ".jpg"),
        (jpeg("L", format="PNG"), ".jpg"),
        (jpeg("RGBA", format="PNG"), ".jpg"),
        (cv2.imencode(".png", np.full((30, 40, 3), 40_000, np.uint16))[1].tobytes(), ".jpg"),
        (jpeg(format="BMP"), ".jpg"),
        (jpeg(format="WEBP"), ".jpg"),
        (turned(3), ".jpg"),
    ],
    ids=["grey", "cmyk", "grey-png", "transparent", "16-bit", "bmp", "webp", "turned"],
)
def test_what_the_algorithm_cannot_read_becomes_an_upright_colour_jpeg(
    tmp_path: Path, data: bytes, suffix: str
) -> None:
    written = write_images({"train": birds(tmp_path / "photos", {"a.xyz": data})}, tmp_path / "out")
    (file,) = written.channels["train"].files
    assert file.name == f"a{suffix}"
    stored = (tmp_path / "out/train" / file.name).read_bytes()
    assert stored != data
    with Image.open(io.BytesIO(stored)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (40, 30))
        assert 0x0112 not in picture.getexif()
    assert np.abs(decode(stored).astype(int) - decode(data).astype(int)).mean() < 4


def test_odd_bytes_between_the_parts_of_a_header_are_passed_over(tmp_path: Path) -> None:
    data = jpeg()
    odd = data[:2] + b"\xff\x01\xff" + data[2:]
    written = write_images({"train": birds(tmp_path / "photos", {"a.jpg": odd})}, tmp_path / "out")
    assert (tmp_path / "out/train/a.jpg").read_bytes() == odd
    assert written.channels["train"].content_type == "image/jpeg"


def test_a_picture_on_its_side_is_set_upright(tmp_path: Path) -> None:
    data = birds(tmp_path / "photos", {"a.jpg": turned(6)}, {1: [[0, 0, 30, 40]]})
    written = write_images({"train": data}, tmp_path / "out")
    assert annotation(written)["image_size"] == [{"width": 30, "height": 40, "depth": 3}]
    assert decode(tmp_path / "out/train/a.jpg").shape == (40, 30, 3)


def test_plain_files_go_byte_for_byte_and_kinds_are_told(tmp_path: Path) -> None:
    files = {"a.jpg": jpeg(), "b.png": jpeg(format="PNG"), "c.jpg": jpeg(progressive=True)}
    data = birds(tmp_path / "photos", files)
    for picked, kind in (([0, 2], "image/jpeg"), ([1], "image/png"), ([0, 1], "application/x-image")):
        written = write_images({"train": data[picked]}, tmp_path / "out", overwrite=True)
        assert written.channels["train"].content_type == kind
        for file in written.channels["train"].files:
            assert (tmp_path / "out/train" / file.name).read_bytes() == files[file.name]


def test_names_that_two_folders_share_begin_with_the_id(tmp_path: Path) -> None:
    data = birds(tmp_path / "photos", {"x/Bird.jpg": jpeg(), "y/bird.png": jpeg(format="PNG"), "z/é 1.jpg": jpeg()})
    written = write_images({"train": data}, tmp_path / "out")
    assert [file.name for file in written.channels["train"].files] == ["1-Bird.jpg", "2-bird.png", "3-__1.jpg"]
    assert [annotation(written, row=row)["file"] for row in range(3)] == ["1-Bird.jpg", "2-bird.png", "3-__1.jpg"]


@given(
    names=st.lists(st.text(min_size=1, max_size=300).filter(lambda name: "\0" not in name), min_size=1, max_size=8),
    start=st.integers(0, 200),
)
def test_names_stand_in_one_folder_of_any_file_system(names: list[str], start: int) -> None:
    stems = flat_stems(names, list(range(start, start + len(names))))
    assert len({stem.lower() for stem in stems}) == len(names)
    for stem in stems:
        assert 0 < len(stem) <= 130
        assert stem.isascii()
        assert "/" not in stem
        assert not stem.startswith(".")


def test_images_without_objects_are_refused_left_out_or_kept(tmp_path: Path) -> None:
    data = birds(tmp_path / "photos", {"a.jpg": jpeg(), "b.jpg": jpeg()}, {2: []})
    with pytest.raises(DatasetError, match="1 of 2 images of train have no object") as caught:
        write_images({"train": data}, tmp_path / "out")
    assert caught.value.path == str(tmp_path / "photos/b.jpg")
    left = write_images({"train": data}, tmp_path / "left", without_objects="leave_out").channels["train"]
    assert (left.records, left.left_out) == (1, (2,))
    kept = write_images({"train": data}, tmp_path / "kept", without_objects="keep")
    assert [file.objects for file in kept.channels["train"].files] == [1, 0]
    assert annotation(kept, row=1)["annotations"] == []


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda data: data[:-20], "breaks off"),
        (lambda _: b"GIF89a", "broken header"),
        (lambda _: jpeg(size=(41, 30)), "41 x 30 pixels, but 40 x 30"),
    ],
    ids=["cut", "no-picture", "replaced"],
)
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, spoil: Any, match: str) -> None:
    data = birds(tmp_path / "photos", {"a.jpg": jpeg(), "b.jpg": jpeg()})
    data.require_sizes()
    path = tmp_path / "photos/b.jpg"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ImageError, match=match) as caught:
        write_images({"train": data}, tmp_path / "out", jobs=1)
    assert caught.value.path == str(path)
    assert not (tmp_path / "out").exists()
    path.unlink()
    with pytest.raises(DatasetError, match="1 of 2 images are missing"):
        write_images({"train": data}, tmp_path / "out")


def test_choices_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    data = birds(tmp_path / "photos", {"a.jpg": jpeg(), "b.jpg": jpeg()})
    bad: Any = "perhaps"
    other: Any = [data]
    with pytest.raises(DatasetError, match="no channels"):
        write_images({}, tmp_path / "out")
    with pytest.raises(DatasetError, match="no channels"):
        write_images(other, tmp_path / "out")
    with pytest.raises(DatasetError, match="unknown choice of outside"):
        write_images({"train": data}, tmp_path / "out", outside=bad)
    with pytest.raises(DatasetError, match="unknown choice of without_objects"):
        write_images({"train": data}, tmp_path / "out", without_objects=bad)
    with pytest.raises(DatasetError, match="at least one job"):
        write_images({"train": data}, tmp_path / "out", jobs=0)
    for name in ("../train", "train_annotation", ""):
        with pytest.raises(DatasetError, match="cannot have this name"):
            write_images({name: data}, tmp_path / "out")
    with pytest.raises(DatasetError, match="not the same classes"):
        write_images({"train": data, "validation": data.select(17)}, tmp_path / "out")


def test_nothing_else_is_written_over(tmp_path: Path) -> None:
    data = birds(tmp_path / "photos", {"a.jpg": jpeg(), "b.jpg": jpeg()})
    with pytest.raises(DatasetError, match="holds something else"):
        write_images({"train": data}, tmp_path / "photos", overwrite=True)
    with pytest.raises(DatasetError, match="a file stands"):
        write_images({"train": data}, tmp_path / "photos/a.jpg")
    (tmp_path / "out").mkdir()
    write_images({"train": data}, tmp_path / "out")
    with pytest.raises(DatasetError, match="holds images already"):
        write_images({"train": data[:1]}, tmp_path / "out")
    again = write_images({"train": data[:1]}, tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out/train").iterdir()) == ["a.jpg"]
    assert again.channels["train"].records == 1
    with pytest.raises(DatasetError, match="cannot be written"):
        write_images({"train": data}, tmp_path / "photos/a.jpg/out")


def test_what_was_written_is_opened_again_if_it_is_whole(tmp_path: Path) -> None:
    written = write_images({"train": birds(tmp_path / "photos", {"a.jpg": jpeg()})}, tmp_path / "out")
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    assert ImageChannels.open(moved).channels["train"].files == written.channels["train"].files
    note = moved / "train_annotation/a.json"
    whole = note.read_bytes()
    note.write_bytes(whole + b" ")
    with pytest.raises(DatasetError, match="another size"):
        ImageChannels.open(moved)
    note.unlink()
    with pytest.raises(DatasetError, match="a file is missing"):
        ImageChannels.open(moved)
    note.write_bytes(whole)
    (moved / "images.json").write_text("[]")
    with pytest.raises(DatasetError, match="list of images is malformed"):
        ImageChannels.open(moved)
    (moved / "images.json").unlink()
    with pytest.raises(DatasetError, match=r"no images\.json"):
        ImageChannels.open(moved)


def test_hyperparameters_are_derived_from_it(tmp_path: Path) -> None:
    boxes = [[float(x), 0.0, x + 1.0, 1.0] for x in range(40)]
    data = birds(tmp_path / "photos", {"a.jpg": jpeg(), "b.jpg": jpeg()}, {1: boxes * 2})
    params = Hyperparameters.for_data(write_images({"train": data}, tmp_path / "out"))
    derived = (params.num_classes, params.num_training_samples, params.label_width, params.mini_batch_size)
    assert derived == (2, 2, 402, 2)


def test_made_up_birds_in_cub_layout_with_their_mirrors(tmp_path: Path) -> None:
    whole = synthetic_birds(tmp_path / "birds", seed=3, classes=3, per_class=4).with_flips(tmp_path / "mirrored")
    train, validation = whole.split()
    written = write_images({"train": train, "validation": validation}, tmp_path / "out", jobs=2)
    assert [channel.records for channel in written.channels.values()] == [len(train), len(validation)]
    # A mirrored image has the name of its original.
    assert all(file.name[0].isdigit() for file in written.channels["train"].files)
    assert [file.image_id for file in written.channels["train"].files] == train.image_ids.tolist()
    one = write_images({"train": train, "validation": validation}, tmp_path / "one", jobs=1)
    assert (tmp_path / "one/images.json").read_bytes() == (tmp_path / "out/images.json").read_bytes()
    assert one.channels["validation"].content_type == "image/jpeg"


@given(drawn=cub_folders())
@settings(max_examples=25)
def test_what_is_written_is_read_back(drawn: DrawnCub, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    whole = load_cub(drawn.write(folder / "cub", pixels=True))
    # A box wholly outside its image is refused, which other tests see to.
    data = whole[[bool((image.boxes[:, :2] < [image.width, image.height]).all()) for image in whole]]
    written = write_images({"train": data}, folder / "out")
    for image, file, row in zip(data, written.channels["train"].files, range(len(data)), strict=True):
        note = annotation(written, row=row)
        assert (file.image_id, read_extent(note)) == (image.image_id, (image.width, image.height))
        assert decode(folder / "out/train" / note["file"]).shape == (image.height, image.width, 3)
        found = list(read_boxes(note))
        assert [class_id for class_id, _ in found] == image.class_ids.tolist()
        inside = np.clip(image.boxes, 0, [image.width, image.height] * 2)
        assert np.allclose([box for _, box in found], inside, rtol=0, atol=1e-9)


@given(
    start=st.floats(0, 4000),
    length=st.floats(1e-3, 4000),
)
def test_a_box_read_back_never_leaves_what_it_was(start: float, length: float) -> None:
    end = start + length
    note = json.loads(json.dumps(label_json(9000, 9000, np.array([0]), np.array([[start, start, end, end]]))))
    ((_, box),) = read_boxes(note)
    assert box[2] <= end
    assert np.allclose(box, [start, start, end, end], rtol=0, atol=1e-9)
