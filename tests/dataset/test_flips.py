"""Mirrored images: counted, boxed, numbered, never over anything, made once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from birdsod import image
from birdsod._ordered import in_threads
from birdsod.bbox import flip_horizontal
from birdsod.dataset import DetectionDataset, _flips, load_cub
from birdsod.errors import DatasetError, ImageError
from birdsod.testing import DrawnCub, DrawnImage, cub_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

BIRDS = DrawnCub(
    {3: "003.Wren", 8: "008.Finch"},
    (
        DrawnImage(1, "003.Wren/a.png", 3, is_training=True, width=20, height=10, boxes=((2, 3, 5, 4),)),
        DrawnImage(2, "003.Wren/b.png", 3, is_training=False, width=21, height=11, boxes=((0, 0, 21, 11),)),
        DrawnImage(4, "008.Finch/c.jpg", 8, True, 32, 16, boxes=((1, 1, 30.5, 3), (9, 9, 4, 4))),
        DrawnImage(7, "008.Finch/d.png", 8, True, 9, 8, boxes=((-1, 2, 5, 40),)),
    ),
)


@pytest.fixture
def birds(tmp_path: Path) -> DetectionDataset:
    return load_cub(BIRDS.write(tmp_path / "birds", pixels=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"}


class TestWhatComesOut:
    def test_each_training_image_has_a_mirror_after_all_originals(
        self, birds: DetectionDataset, tmp_path: Path
    ) -> None:
        both = birds.with_flips(tmp_path / "flips")
        assert both.image_ids.tolist() == [1, 2, 4, 7, 8, 11, 14]
        assert both.splits.tolist() == ["train", "validation", "train", "train", *["train"] * 3]
        assert both.mirror_of.tolist() == [-1, -1, -1, -1, 1, 4, 7]
        assert both[:4] == birds
        assert both.largest_image_id == 7

    def test_boxes_are_mirrored_within_the_width(self, birds: DetectionDataset, tmp_path: Path) -> None:
        both = birds.with_flips(tmp_path / "flips")
        assert both[4].boxes.tolist() == [[13, 3, 18, 7]]
        assert both[5].boxes.tolist() == [[0.5, 1, 31, 4], [19, 9, 23, 13]]
        assert both[6].boxes.tolist() == [[5, 2, 10, 42]]
        assert [record.class_ids.tolist() for record in both[4:]] == [[0], [1, 1], [1]]

    def test_files_lie_beside_and_are_mirrored(self, birds: DetectionDataset, tmp_path: Path) -> None:
        both = birds.with_flips(tmp_path / "flips")
        assert both.names[4:] == [
            (tmp_path / "flips" / name).as_posix() for name in ("003.Wren/a.png", "008.Finch/c.jpg", "008.Finch/d.png")
        ]
        for original, mirror in ((0, 4), (3, 6)):
            before, after = (image.decode(both[place].path) for place in (original, mirror))
            assert np.array_equal(after, before[:, ::-1])
        both.require_images()
        both.require_sizes()

    def test_a_folder_within_the_root_gives_relative_names(self, birds: DetectionDataset) -> None:
        both = birds.with_flips(birds.root / "mirrored")
        assert both.names[4] == "mirrored/003.Wren/a.png"

    def test_a_relative_folder(self, birds: DetectionDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert birds.with_flips("flips")[4].path == tmp_path / "flips" / "003.Wren" / "a.png"

    def test_originals_stay_untouched(self, birds: DetectionDataset, tmp_path: Path) -> None:
        before = contents(tmp_path / "birds")
        objects = birds.objects
        birds.with_flips(tmp_path / "flips")
        assert contents(tmp_path / "birds") == before
        assert birds.objects.equals(objects)
        assert len(birds) == 4

    def test_ids_do_not_depend_on_what_was_selected(self, birds: DetectionDataset, tmp_path: Path) -> None:
        chosen = birds.select(3).with_flips(tmp_path / "flips")
        assert chosen.image_ids.tolist() == [1, 2, 8]
        assert chosen.largest_image_id == 7

    def test_an_id_of_zero_has_a_mirror_too(self, tmp_path: Path) -> None:
        images = tuple(
            DrawnImage(k, f"003.Wren/{k}.png", 3, is_training=True, width=8, height=8, boxes=((1, 1, 2, 2),))
            for k in range(3)
        )
        birds = load_cub(DrawnCub({3: "003.Wren"}, images).write(tmp_path / "birds", pixels=True))
        assert birds.with_flips(tmp_path / "flips").image_ids.tolist() == [0, 1, 2, 5, 3, 4]

    def test_nothing_to_mirror_is_no_fault(self, birds: DetectionDataset, tmp_path: Path) -> None:
        validation = birds.subset("validation")
        assert validation.with_flips(tmp_path / "flips") == validation
        assert not (tmp_path / "flips").exists()

    def test_an_image_outside_the_root_is_mirrored_too(self, birds: DetectionDataset, tmp_path: Path) -> None:
        shutil.move(birds[0].path, tmp_path / "away.png")
        images = birds.images
        images.loc[0, "path"] = str(tmp_path / "away.png")
        moved = DetectionDataset.from_tables(
            images, birds.objects, root=birds.root, class_table=birds.class_table
        ).with_flips(tmp_path / "flips")
        assert moved[4].path == tmp_path / "flips" / "outside" / Path(*(tmp_path / "away.png").parts[1:])

    @settings(max_examples=15)
    @given(drawn=cub_folders(max_images=4))
    def test_laws(self, drawn: DrawnCub) -> None:
        with tempfile.TemporaryDirectory() as place:
            birds = load_cub(drawn.write(Path(place, "birds"), pixels=True))
            both = birds.with_flips(Path(place, "flips"))
            train = birds.subset("train")
            assert len(both) == len(birds) + len(train)
            assert both[: len(birds)] == birds
            for original, mirror in zip(train, both[len(birds) :], strict=True):
                assert mirror.image_id > birds.largest_image_id
                assert np.array_equal(mirror.class_ids, original.class_ids)
                expected = flip_horizontal(original.boxes, width=original.width)
                assert np.array_equal(mirror.boxes, expected)
                assert (mirror.width, mirror.height) == (original.width, original.height)
                assert np.array_equal(image.decode(mirror.path), image.decode(original.path)[:, ::-1])
            assert both.with_flips(Path(place, "flips")) == both
            assert both.with_flips(Path(place, "elsewhere")) == both


class TestTwice:
    def test_files_are_used_again(self, birds: DetectionDataset, tmp_path: Path) -> None:
        first = birds.with_flips(tmp_path / "flips")
        before = times(tmp_path / "flips")
        assert birds.with_flips(tmp_path / "flips") == first
        assert times(tmp_path / "flips") == before

    def test_flips_are_not_flipped(self, birds: DetectionDataset, tmp_path: Path) -> None:
        both = birds.with_flips(tmp_path / "flips")
        mirrors = both[both.mirror_of >= 0]
        assert mirrors.with_flips(tmp_path / "more") == mirrors

    @pytest.mark.parametrize("name", ["003.Wren/a.png", "008.Finch/c.jpg"])
    @pytest.mark.parametrize("harm", ["cut", "emptied", "gone", "other size"])
    def test_a_broken_mirror_is_made_again(self, birds: DetectionDataset, tmp_path: Path, name: str, harm: str) -> None:
        birds.with_flips(tmp_path / "flips")
        path = tmp_path / "flips" / name
        whole = path.read_bytes()
        if harm == "gone":
            path.unlink()
        elif harm == "other size":
            path.write_bytes(image.encode(np.zeros((3, 3, 3), np.uint8), encoding=path.suffix))
        else:
            path.write_bytes(whole[: len(whole) // 2] if harm == "cut" else b"")
        birds.with_flips(tmp_path / "flips")
        assert path.read_bytes() == whole

    def test_a_changed_source_is_mirrored_again(self, birds: DetectionDataset, tmp_path: Path) -> None:
        birds.with_flips(tmp_path / "flips")
        source = birds[0].path
        source.write_bytes(image.encode(np.full((10, 20, 3), 7, np.uint8), encoding=".png"))
        birds.with_flips(tmp_path / "flips")
        assert image.decode(tmp_path / "flips" / "003.Wren" / "a.png").max() == 7

    def test_a_moved_set_uses_the_same_files(self, birds: DetectionDataset, tmp_path: Path) -> None:
        birds.with_flips(tmp_path / "flips")
        before = times(tmp_path / "flips")
        shutil.move(tmp_path / "birds", tmp_path / "moved")
        load_cub(tmp_path / "moved").with_flips(tmp_path / "flips")
        assert times(tmp_path / "flips") == before

    def test_more_classes_add_to_the_same_folder(self, birds: DetectionDataset, tmp_path: Path) -> None:
        birds.select(3).with_flips(tmp_path / "flips")
        before = times(tmp_path / "flips")
        assert len(birds.with_flips(tmp_path / "flips")) == 7
        assert before.items() < times(tmp_path / "flips").items()

    def test_the_number_of_jobs_changes_nothing(self, birds: DetectionDataset, tmp_path: Path) -> None:
        one = birds.with_flips(tmp_path / "one", jobs=1)
        three = birds.with_flips(tmp_path / "three", jobs=3)
        assert contents(tmp_path / "one") == contents(tmp_path / "three")
        assert one.image_ids.tolist() == three.image_ids.tolist()


class TestRefused:
    def test_the_root(self, birds: DetectionDataset) -> None:
        before = contents(birds.root)
        with pytest.raises(DatasetError, match="may not go to the folder of the originals"):
            birds.with_flips(birds.root)
        assert contents(birds.root) == before

    def test_the_root_by_another_name(self, birds: DetectionDataset, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(birds.root)
        with pytest.raises(DatasetError, match="may not go to the folder of the originals"):
            birds.with_flips(tmp_path / "link")

    def test_a_folder_that_holds_copies(self, birds: DetectionDataset, tmp_path: Path) -> None:
        shutil.copytree(birds.root, tmp_path / "copy")
        before = contents(tmp_path / "copy")
        with pytest.raises(DatasetError, match="a file that is no mirrored image of ours") as told:
            birds.with_flips(tmp_path / "copy")
        assert told.value.path == str(tmp_path / "copy" / "003.Wren" / "a.png")
        assert contents(tmp_path / "copy") == before

    def test_a_folder_that_leads_back_to_the_originals(self, birds: DetectionDataset, tmp_path: Path) -> None:
        (tmp_path / "flips").mkdir()
        (tmp_path / "flips" / "008.Finch").symlink_to(birds.root / "008.Finch")
        before = contents(birds.root)
        with pytest.raises(DatasetError, match="a file that is no mirrored image of ours"):
            birds.with_flips(tmp_path / "flips")
        assert contents(birds.root) == before

    def test_the_mirrors_of_another_set(self, birds: DetectionDataset, tmp_path: Path) -> None:
        birds.with_flips(tmp_path / "flips")
        other = load_cub(BIRDS.write(tmp_path / "other", pixels=True))
        with pytest.raises(DatasetError, match="holds the mirrored image of another file"):
            other.with_flips(tmp_path / "flips")

    def test_a_file_in_place_of_the_folder(self, birds: DetectionDataset, tmp_path: Path) -> None:
        (tmp_path / "flips").write_text("not a folder")
        with pytest.raises(DatasetError, match="a file stands where"):
            birds.with_flips(tmp_path / "flips")

    def test_a_folder_that_cannot_be_made(self, birds: DetectionDataset, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(DatasetError, match="cannot be written here") as caught:
            birds.with_flips(tmp_path / "file" / "flips")
        assert caught.value.path == str(tmp_path / "file" / "flips")

    @pytest.mark.parametrize("text", ["", "[]", '{"sources": {"a": [1]}}', '{"sources": 3}'])
    def test_a_list_that_cannot_be_read(self, birds: DetectionDataset, tmp_path: Path, text: str) -> None:
        (tmp_path / "flips").mkdir()
        (tmp_path / "flips" / "mirrored.json").write_text(text)
        with pytest.raises(DatasetError, match="the list of mirrored images cannot be read"):
            birds.with_flips(tmp_path / "flips")

    @pytest.mark.parametrize("jobs", [0, -1])
    def test_no_jobs(self, birds: DetectionDataset, tmp_path: Path, jobs: int) -> None:
        with pytest.raises(DatasetError, match="at least one job"):
            birds.with_flips(tmp_path / "flips", jobs=jobs)

    def test_missing_images_are_counted(self, birds: DetectionDataset, tmp_path: Path) -> None:
        birds[0].path.unlink()
        birds[2].path.unlink()
        with pytest.raises(DatasetError, match=r"2 of 3 images are missing: 003.Wren/a.png, 008.Finch/c.jpg"):
            birds.with_flips(tmp_path / "flips")

    def test_missing_validation_images_are_not_needed(self, birds: DetectionDataset, tmp_path: Path) -> None:
        birds[1].path.unlink()
        assert len(birds.with_flips(tmp_path / "flips")) == 7

    def test_an_image_that_cannot_be_mirrored_is_named(self, birds: DetectionDataset, tmp_path: Path) -> None:
        data = birds[3].path.read_bytes()
        birds[3].path.write_bytes(data[:60])
        with pytest.raises(ImageError) as told:
            birds.with_flips(tmp_path / "flips")
        assert told.value.path == str(birds.root / "008.Finch" / "d.png")
        assert not (tmp_path / "flips" / "008.Finch" / "d.png").exists()
        birds[3].path.write_bytes(data)
        assert len(birds.with_flips(tmp_path / "flips")) == 7


class TestBrokenOff:
    def test_ctrl_c_leaves_whole_files_and_the_next_call_goes_on(
        self, birds: DetectionDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stopped(function: Any, items: Any, *, threads: int) -> Iterator[Any]:
            for place, answer in enumerate(in_threads(function, items, threads=threads)):
                if function is _flips._mirror and place == 1:
                    raise KeyboardInterrupt
                yield answer

        monkeypatch.setattr(_flips, "in_threads", stopped)
        with pytest.raises(KeyboardInterrupt):
            birds.with_flips(tmp_path / "flips", jobs=1)
        made = [path for path in (tmp_path / "flips").rglob("*") if path.is_file() and path.suffix != ".json"]
        assert made
        for path in made:
            image.decode(path)
        monkeypatch.undo()
        assert birds.with_flips(tmp_path / "flips") == birds.with_flips(tmp_path / "flips")

    def test_a_real_interrupt_leaves_no_half_file(self, tmp_path: Path) -> None:
        images = tuple(
            DrawnImage(k, f"003.Wren/{k}.png", 3, is_training=True, width=300, height=300, boxes=((1, 1, 2, 2),))
            for k in range(1, 121)
        )
        DrawnCub({3: "003.Wren"}, images).write(tmp_path / "birds", pixels=True)
        arguments = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "birds"), str(tmp_path / "flips")]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode != 0
        assert "KeyboardInterrupt" in done.stderr
        made = tmp_path / "flips" / "003.Wren"
        left = [path for path in (tmp_path / "flips").rglob("*") if path.is_file()]
        assert 10 <= len(left) < 121
        assert {path.suffix for path in left} == {".png", ".json"}
        for path in made.iterdir():
            assert image.decode(path).shape == (300, 300, 3)
        assert len(load_cub(tmp_path / "birds").with_flips(tmp_path / "flips")) == 240


# Sends itself what Ctrl-C sends, while the tenth image is being mirrored.
INTERRUPTED = """
import os, signal, sys
from birdsod import image
from birdsod.dataset import load_cub

mirror, seen = image.mirror, []

def interrupted(source, target):
    seen.append(source)
    if len(seen) == 10:
        os.kill(os.getpid(), signal.SIGINT)
    mirror(source, target)

image.mirror = interrupted
load_cub(sys.argv[1]).with_flips(sys.argv[2])
"""


def test_the_list_tells_the_source_of_each_file(birds: DetectionDataset, tmp_path: Path) -> None:
    birds.with_flips(tmp_path / "flips")
    entries = json.loads((tmp_path / "flips" / "mirrored.json").read_text())["sources"]
    assert {name: Path(entry[0]) for name, entry in entries.items()} == {
        record.name: record.path for record in birds.subset("train")
    }


@pytest.mark.birds
def test_real_birds(cub: Path, tmp_path: Path) -> None:
    train, _ = load_cub(cub).select(17).split()
    both = train.with_flips(tmp_path / "flips")
    assert len(both) == 2 * len(train) == 60
    assert both.image_ids[30:].tolist() == (both.image_ids[:30] + 11_788).tolist()
    assert len(os.listdir(tmp_path / "flips" / "017.Cardinal")) == 30  # noqa: PTH208 - names alone
    for original, mirror in zip(both[:30], both[30:], strict=True):
        one, other = image.decode(original.path)[:, ::-1].astype(int), image.decode(mirror.path).astype(int)
        assert np.abs(one - other).mean() < 3
