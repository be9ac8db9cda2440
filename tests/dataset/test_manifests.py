"""Augmented manifests: what is written is read back, and what is none is told by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.classes import ClassTable
from birdsod.dataset import (
    DetectionDataset,
    ImageChannels,
    load_manifest,
    synthetic_birds,
    write_images,
    write_manifest,
)
from birdsod.dataset._manifest import channel_manifest
from birdsod.errors import BoxError, DatasetError
from birdsod.testing import datasets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.dataset import ImageRecord

HOME = "s3://birds/photos"


def line(name: str = "a.jpg", changes: dict[str, Any] | None = None, *, label: str = "boxes") -> dict[str, Any]:
    row: dict[str, Any] = {
        "source-ref": f"{HOME}/{name}",
        label: {
            "image_size": [{"width": 50, "height": 40, "depth": 3}],
            "annotations": [{"class_id": 1, "left": 3, "top": 4, "width": 6, "height": 5}],
        },
        f"{label}-metadata": {
            "objects": [{"confidence": 0.9}],
            "class-map": {"1": "Cardinal"},
            "type": "groundtruth/object-detection",
            "human-annotated": "yes",
            "creation-date": "2026-01-01T00:00:00.000000",
            "job-name": "labeling-job/birds",
        },
    }
    return {key: value for key, value in {**row, **(changes or {})}.items() if value is not None}


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: dict[str, Any] | str) -> Path:
        path = tmp_path / "output.manifest"
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        return path

    return write


def with_label(**parts: Any) -> dict[str, Any]:
    row = line()
    row["boxes"] = {**row["boxes"], **parts}
    return row


def with_box(**parts: Any) -> dict[str, Any]:
    box = {**line()["boxes"]["annotations"][0], **parts}
    return with_label(annotations=[{key: value for key, value in box.items() if value is not None}])


def boxes_of(image: ImageRecord) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the boxes of an image cut to it, and which of them are any boxes then."""
    inside = np.clip(image.boxes, 0, [image.width, image.height] * 2)
    return inside, np.all(inside[:, 2:] - inside[:, :2] > 0, axis=1)


@given(data=datasets(min_images=1), label=st.sampled_from(["bounding-box", "birds", "a-1"]))
@settings(max_examples=60)
def test_what_is_written_is_read_back(
    data: DetectionDataset, label: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("written") / "birds.manifest"
    away = [image.image_id for image in data if not boxes_of(image)[1].all()]
    for image_id in away[:1]:
        with pytest.raises(BoxError, match=f"of image {image_id}"):
            write_manifest(data, path, uri=HOME, label=label)
    data = data[~np.isin(data.image_ids, away)]
    if not len(data):
        return
    written = write_manifest(data, path, uri=f"{HOME}/", label=label)
    assert written.rows == len(data)
    read = load_manifest(path, root=data.root, uri=HOME)
    assert read.image_ids.tolist() == data.image_ids.tolist()
    assert read.names == data.names
    assert read.class_table.names == data.class_table.names
    assert np.array_equal(read.sizes, data.sizes)
    for mine, theirs in zip(data, read, strict=True):
        assert theirs.class_ids.tolist() == mine.class_ids.tolist()
        assert np.allclose(theirs.boxes, boxes_of(mine)[0], rtol=0, atol=1e-9)
    cut = [np.abs(boxes_of(each)[0] - each.boxes).max(axis=1) > 1e-6 for each in data if len(each)]
    assert len(written.clipped) == sum(map(np.sum, cut))
    assert load_manifest(path, root=data.root, uri=HOME, class_table=data.class_table).class_table == data.class_table


def test_a_manifest_of_ground_truth_becomes_a_data_set(manifest: Callable[..., Path], tmp_path: Path) -> None:
    other = line("x/b.jpg")
    other["boxes"]["annotations"] = [{"class_id": 4, "left": 0.5, "top": 0, "width": 2, "height": 2.25}] * 2
    other["boxes-metadata"]["class-map"] = {"4": "Flicker"}
    birds = load_manifest(manifest(line(), "", other))
    assert birds.root == tmp_path
    assert birds.names == ["a.jpg", "x/b.jpg"]
    assert birds.image_ids.tolist() == [1, 3]
    assert birds.class_table == ClassTable((1, 4), ("Cardinal", "Flicker"))
    assert birds.objects["class_id"].tolist() == [0, 1, 1]
    assert birds[1].boxes[0].tolist() == [0.5, 0.0, 2.5, 2.25]
    given_table = ClassTable((17, 36), ("Flicker", "Cardinal"))
    by_name = load_manifest(manifest(line(), other), class_table=given_table)
    assert by_name.objects["class_id"].tolist() == [1, 0, 0]
    with pytest.raises(DatasetError, match="no such class"):
        load_manifest(manifest(line(), other), class_table=ClassTable((1,), ("Cardinal",)))


def test_images_are_found_below_the_address_that_the_folder_stands_for(manifest: Callable[..., Path]) -> None:
    rows = [line("x/a.jpg"), line("x/b.jpg")]
    assert load_manifest(manifest(*rows)).names == ["a.jpg", "b.jpg"]
    assert load_manifest(manifest(*rows), uri=HOME).names == ["x/a.jpg", "x/b.jpg"]
    assert load_manifest(manifest(*rows), uri="s3://").names == ["birds/photos/x/a.jpg", "birds/photos/x/b.jpg"]
    local = [line("a.jpg", {"source-ref": name}) for name in ("a.jpg", "x/b.jpg")]
    assert load_manifest(manifest(*local)).names == ["a.jpg", "x/b.jpg"]
    assert load_manifest(manifest(*local), uri="").names == ["a.jpg", "x/b.jpg"]
    mixed = [line("a.jpg", {"source-ref": name}) for name in ("/data/a.jpg", "x/b.jpg")]
    assert load_manifest(manifest(*mixed)).names == ["/data/a.jpg", "x/b.jpg"]
    for uri in ("s3://birds/other", f"{HOME}/x/a.jpg"):
        with pytest.raises(DatasetError, match="does not lie below") as caught:
            load_manifest(manifest(*rows), uri=uri)
        assert caught.value.line == 1
    with pytest.raises(DatasetError, match="does not lie below"):
        load_manifest(manifest(*local), uri="s3://")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("{", "this is no JSON"),
        ("[1]", "no JSON object"),
        (line("a.jpg", {"source-ref": None, "frame-ref": "s3://birds/1.json"}), "frame-ref refers to a file"),
        (line("a.jpg", {"boxes": None, "birds-ref": "s3://birds/SeqLabel.json"}), "birds-ref refers to a file"),
        (line("a.jpg", {"source-ref": None, "source": "a bird"}), "no source-ref"),
        (line("a.jpg", {"source-ref": "s3://birds/photos/../../etc/a.jpg"}), "no address of an image"),
        (line("a.jpg", {"source-ref": 7}), "no address of an image"),
        (line("a.jpg", {"source-ref": "s3://"}), "no address of an image"),
        (line("first.jpg"), "the image is in line 1 already"),
        (line("a.jpg", {"boxes": None}), "the image has no boxes"),
        (with_label(image_size=[]), "no image_size"),
        (with_label(image_size=[{"width": 0, "height": 40}]), "no image_size"),
        (with_label(annotations={}), "no list of annotations"),
        (with_box(left=None), "not left, top, width and height"),
        (with_box(top="3"), "not left, top, width and height"),
        (with_box(width=0), "a box has no area"),
        (with_box(class_id=-1), "no whole number from 0"),
        (with_box(class_id=True), "no whole number from 0"),
        (with_box(class_id=7), "no name in the class-map"),
        (line("a.jpg", {"boxes-metadata": {"class-map": {"1": "Flicker"}}}), "had the name 'Cardinal' before"),
        (line("a.jpg", {"boxes-metadata": {"class-map": {"one": "Cardinal"}}}), "does not name class ids"),
    ],
)
def test_what_is_wrong_is_told_by_line(manifest: Callable[..., Path], row: Any, match: str) -> None:
    path = manifest(line("first.jpg"), row)
    with pytest.raises(DatasetError, match=match) as caught:
        load_manifest(path)
    assert (caught.value.path, caught.value.line) == (str(path), 2)


def test_the_label_is_the_only_one_or_named(manifest: Callable[..., Path]) -> None:
    both = {**line(), **line(label="more")}
    with pytest.raises(DatasetError, match="several attributes hold boxes") as caught:
        load_manifest(manifest(both))
    assert caught.value.value == ["boxes", "more"]
    assert load_manifest(manifest(both), label="more").num_objects == 1
    segments = {
        **line(),
        "mask-ref": "s3://birds/mask.png",
        "note": {"annotations": []},
        "note-metadata": {"type": "x"},
    }
    assert load_manifest(manifest(segments)).num_objects == 1
    with pytest.raises(DatasetError, match="the image has no boxes"):
        load_manifest(manifest(line()), label="other")


def test_images_that_nobody_labelled_can_be_left_out(manifest: Callable[..., Path]) -> None:
    failed = line("b.jpg", {"boxes": None, "boxes-metadata": {"failure-reason": "ClientError: no access"}})
    with pytest.raises(DatasetError, match="ClientError: no access"):
        load_manifest(manifest(failed, line()))
    left = load_manifest(manifest({"source-ref": f"{HOME}/c.jpg"}, failed, line()), unlabelled="leave_out")
    assert left.names == ["a.jpg"]
    with pytest.raises(DatasetError, match="no labelled image"):
        load_manifest(manifest(failed), unlabelled="leave_out")
    bad: Any = "perhaps"
    with pytest.raises(DatasetError, match="unknown choice of unlabelled"):
        load_manifest(manifest(line()), unlabelled=bad)


def test_a_file_that_is_no_manifest_is_told(tmp_path: Path, manifest: Callable[..., Path]) -> None:
    with pytest.raises(DatasetError, match="no such manifest"):
        load_manifest(tmp_path / "none")
    with pytest.raises(DatasetError, match="cannot be read"):
        load_manifest(tmp_path)
    path = tmp_path / "a.manifest"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(DatasetError, match="not UTF-8"):
        load_manifest(path)
    twice = line("b.jpg")
    twice["boxes-metadata"]["class-map"] = {"1": "Cardinal", "2": "Cardinal"}
    with pytest.raises(DatasetError, match="class name occurs twice"):
        load_manifest(manifest(twice))


def test_what_cannot_stand_in_a_manifest_is_refused(tmp_path: Path) -> None:
    train, _ = synthetic_birds(tmp_path / "birds", seed=1, classes=2, per_class=3).split()
    path = tmp_path / "a.manifest"
    with pytest.raises(DatasetError, match="no address in S3"):
        write_manifest(train, path, uri="birds/photos")
    for name in ("source", "my_boxes", "boxes-ref", "boxes-metadata", "image-id", ""):
        with pytest.raises(DatasetError, match="cannot have this name"):
            write_manifest(train, path, uri=HOME, label=name)
    bad: Any = "perhaps"
    with pytest.raises(DatasetError, match="unknown choice of outside"):
        write_manifest(train, path, uri=HOME, outside=bad)
    with pytest.raises(DatasetError, match="cannot be written"):
        write_manifest(train, tmp_path / "none" / "a.manifest", uri=HOME)
    flipped = train.with_flips(tmp_path / "mirrored")
    with pytest.raises(DatasetError, match="outside the data set's root"):
        write_manifest(flipped, path, uri=HOME)
    assert not path.exists()


def test_the_manifest_of_a_folder_of_images(tmp_path: Path) -> None:
    train, _ = synthetic_birds(tmp_path / "birds", seed=1, classes=2, per_class=3).split()
    images = write_images({"train": train}, tmp_path / "out")
    written = channel_manifest(images, "train", tmp_path / "a.manifest", uri=HOME, label="birds")
    assert written.rows == len(train)
    read = load_manifest(written.path, root=tmp_path / "out/train", uri=HOME)
    read.require_images()
    assert read.image_ids.tolist() == train.image_ids.tolist()
    assert read.objects.equals(train.objects)
    file = images.channels["train"].annotations / images.channels["train"].files[0].annotation
    file.write_text("{}")
    with pytest.raises(DatasetError, match="annotation file cannot be read"):
        channel_manifest(ImageChannels(images.directory, images.channels, images.class_table), "train", file, uri=HOME)
