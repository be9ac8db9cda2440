"""Images with labels in JSON become the records that packing them makes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from birdsod.container.annotated import holds_attributes, named_classes, write_attributes, write_images
from birdsod.container.channels import Bringer, channel_modes
from birdsod.dataset import synthetic_birds
from birdsod.dataset import write_images as write_files
from birdsod.errors import DatasetError, RecordError
from birdsod.recordio import RecordReader
from birdsod.recordio._framing import framed

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.dataset import DetectionDataset
    from tests.container.conftest import Laid


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    return synthetic_birds(tmp_path_factory.mktemp("birds") / "birds", 5, classes=2, per_class=4)


@pytest.fixture(scope="module")
def written(birds: DetectionDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    train, validation = birds.split()
    folder = tmp_path_factory.mktemp("images") / "images"
    write_files({"train": train, "validation": validation}, folder)
    return folder


@pytest.fixture
def images(laid: Laid, written: Path) -> Laid:
    """Lay out images with their annotations."""
    for name in ("train", "validation", "train_annotation", "validation_annotation"):
        shutil.copytree(written / name, laid.tree.data / name)
    return laid


def attributes(written: Path) -> list[bytes]:
    """Return what comes through the pipe of an augmented manifest."""
    found = []
    for note in sorted((written / "train_annotation").glob("*.json")):
        row = json.loads(note.read_text())
        label = {name: row[name] for name in ("image_size", "annotations")}
        found += [(written / "train" / row["file"]).read_bytes(), json.dumps(label).encode()]
    return found


def test_files_become_records_with_their_boxes(images: Laid, birds: DetectionDataset, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    bringer = Bringer(tree=images.tree, work=work, num_classes=2, spool=lambda *_: None)
    packed = bringer.bring(channel_modes(images.tree))
    assert packed.class_table.names == birds.class_table.names
    train = birds.split()[0]
    assert packed.channels["train"].records == len(train)
    assert packed.channels["train"].objects == len(train.objects)
    sizes = train.images.set_index("image_id")
    objects = train.objects.join(sizes[["width", "height"]], on="image_id")
    wanted = objects[["xmin", "ymin", "xmax", "ymax"]].to_numpy(float) / objects[["width", "height"] * 2].to_numpy(
        float
    )
    with packed.channels["train"].open() as reader:
        found = np.concatenate([record.boxes.boxes for record in reader])
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(wanted, axis=0), atol=1e-6)


def test_a_manifest_s_attributes_become_the_same_records(written: Path, tmp_path: Path) -> None:
    stream = tmp_path / "stream"
    stream.write_bytes(b"".join(map(framed, attributes(written))))
    assert holds_attributes(stream)
    write_attributes(stream, tmp_path / "pipe.rec")
    write_images(written / "train", written / "train_annotation", tmp_path / "files.rec")
    assert (tmp_path / "pipe.rec").read_bytes() == (tmp_path / "files.rec").read_bytes()
    assert not holds_attributes(tmp_path / "pipe.rec")


def test_attributes_come_through_the_pipe_of_a_channel(images: Laid, written: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    shutil.rmtree(images.tree.data / "train_annotation")

    def spool(name: str, target: Path) -> None:
        assert name == "train"
        target.write_bytes(b"".join(map(framed, attributes(written))))

    bringer = Bringer(tree=images.tree, work=work, num_classes=2, spool=spool)
    modes = {"train": "Pipe", "validation": "File", "validation_annotation": "File"}
    packed = bringer.bring(modes)
    assert packed.channels["train"].records == len(attributes(written)) // 2
    assert packed.class_table.names == ("0", "1")
    assert sorted(path.name for path in work.iterdir()) == [
        "train.idx",
        "train.rec",
        "validation.idx",
        "validation.rec",
    ]


@pytest.mark.parametrize(
    ("categories", "names"),
    [
        ([], None),
        ([{"class_id": 1, "name": "b"}], None),
        ([{"class_id": 1, "name": "b"}, {"class_id": 0, "name": "a"}], ("a", "b")),
    ],
)
def test_classes_have_names_if_all_have(
    tmp_path: Path, categories: list[dict[str, Any]], names: tuple[str, ...] | None
) -> None:
    for number, category in enumerate(categories or [{}]):
        (tmp_path / f"{number}.json").write_text(json.dumps({"categories": [category] if category else []}))
    table = named_classes(tmp_path)
    assert (None if table is None else table.names) == names


def label(**changes: Any) -> dict[str, Any]:
    box = {"class_id": 0, "left": 10, "top": 10, "width": 20, "height": 20}
    return {"image_size": [{"width": 64, "height": 48, "depth": 3}], "annotations": [{**box, **changes}]}


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ("no JSON", "the annotation is not JSON"),
        ("[]", "the annotation holds no names with values"),
        (json.dumps({"file": "b.jpg", **label()}), r"the annotated image is missing \(got 'b.jpg'\)"),
        (json.dumps({"file": "a.jpg", **label(left=-1)}), "reaches outside its image of 64 by 48 pixels"),
        (json.dumps({"file": "a.jpg", **label(width=60)}), r"reaches outside .*\(got \[10.0, 10.0, 70.0, 30.0\]\)"),
        (json.dumps({"file": "a.jpg"}), "the label has no image_size"),
        (json.dumps({"file": "a.jpg", **label(width=0)}), "a box has no area"),
    ],
)
def test_an_annotation_that_cannot_be_is_named(tmp_path: Path, note: str, message: str) -> None:
    images, notes = tmp_path / "train", tmp_path / "notes"
    images.mkdir()
    notes.mkdir()
    (images / "a.jpg").write_bytes(b"a photo")
    (notes / "a.json").write_text(note)
    with pytest.raises(DatasetError, match=message) as caught:
        write_images(images, notes, tmp_path / "train.rec")
    assert caught.value.path == str(notes / "a.json")
    assert not (tmp_path / "train.rec").exists()


def test_an_image_without_annotation_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.jpg").write_bytes(b"a photo")
    with pytest.raises(DatasetError, match=r"1 images have no annotation \(got 'a.jpg'\)"):
        write_images(tmp_path / "train", tmp_path / "notes", tmp_path / "train.rec")


@pytest.mark.parametrize(
    ("records", "message", "record"),
    [
        ([b"\xff\xd8\xff", b"{"], "the label is not JSON", 1),
        ([b"\xff\xd8\xff", b"{}"], "the label has no image_size", 1),
        ([b"\xff\xd8\xff", json.dumps(label(left=60)).encode()], "reaches outside", 1),
        ([b"\xff\xd8\xff", json.dumps(label()).encode(), b"\xff\xd8\xff"], "the last image has no label", None),
    ],
)
def test_an_attribute_that_cannot_be_is_named(
    tmp_path: Path, records: list[bytes], message: str, record: int | None
) -> None:
    stream = tmp_path / "stream"
    stream.write_bytes(b"".join(map(framed, records)))
    with pytest.raises(RecordError, match=message) as caught:
        write_attributes(stream, tmp_path / "train.rec")
    assert (caught.value.path, caught.value.record) == (str(stream), record)


def test_an_image_without_objects_is_kept(tmp_path: Path) -> None:
    stream = tmp_path / "stream"
    nothing = json.dumps({**label(), "annotations": []}).encode()
    stream.write_bytes(framed(b"\xff\xd8\xff") + framed(nothing))
    write_attributes(stream, tmp_path / "train.rec")
    with RecordReader(tmp_path / "train.rec") as reader:
        assert len(reader[0].boxes) == 0
