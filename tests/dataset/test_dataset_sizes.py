"""Sizes: read from headers when needed, kept for slices and selections, checked against what is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from birdsod import image
from birdsod.dataset import DetectionDataset, load_cub
from birdsod.errors import DatasetError, ImageError
from birdsod.testing import DrawnCub, DrawnImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from birdsod.image import StoredImage

COUNT = 150


def drawn(count: int = COUNT) -> DrawnCub:
    classes = {1: "001.Even", 2: "002.Odd"}
    return DrawnCub(
        classes,
        tuple(
            DrawnImage(
                image_id=k,
                path=f"{classes[1 + k % 2]}/{k}.png",
                class_id=1 + k % 2,
                is_training=True,
                width=5 + k % 7,
                height=4 + k % 5,
                boxes=((1, 1, 2, 2),),
            )
            for k in range(1, count + 1)
        ),
    )


@pytest.fixture
def birds(tmp_path: Path) -> DetectionDataset:
    return load_cub(drawn().write(tmp_path, sizes=False, pixels=True))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the headers that were read."""
    names: list[str] = []
    read_size: Callable[[StoredImage], image.ImageSize] = image.read_size

    def counted(source: StoredImage) -> image.ImageSize:
        names.append(Path(str(source)).name)
        return read_size(source)

    monkeypatch.setattr(image, "read_size", counted)
    return names


class TestReading:
    def test_sizes_are_those_of_the_headers(self, birds: DetectionDataset) -> None:
        assert birds.sizes.tolist() == [[5 + k % 7, 4 + k % 5] for k in range(1, COUNT + 1)]
        assert birds.images["width"].tolist() == birds.sizes[:, 0].tolist()

    def test_loading_selecting_and_splitting_read_none(self, birds: DetectionDataset, reads: list[str]) -> None:
        repr(birds.select(1)[3:].split(0.5)[0].objects)
        assert reads == []

    def test_one_record_reads_one_header(self, birds: DetectionDataset, reads: list[str]) -> None:
        record = birds[5]
        assert (record.width, record.height) == (5 + 6 % 7, 4 + 6 % 5)
        assert reads == ["6.png"]

    def test_each_header_is_read_once_for_all_slices_and_selections(
        self, birds: DetectionDataset, reads: list[str]
    ) -> None:
        part = birds[:20]
        part.require_sizes()
        assert sorted(reads) == sorted(f"{k}.png" for k in range(1, 21))
        list(birds)
        list(birds.select(2))
        birds.split(0.5)[1].require_sizes()
        assert birds[3].width
        assert sorted(reads) == sorted(f"{k}.png" for k in range(1, COUNT + 1))

    def test_the_progress_bar_counts_images(self, birds: DetectionDataset, monkeypatch: pytest.MonkeyPatch) -> None:
        from birdsod import _progress

        shown: list[Any] = []
        bar = _progress.bar

        def watched(*, total: int, description: str) -> object:
            shown.append(bar(total=total, description=description))
            return shown[0]

        monkeypatch.setattr(_progress, "_watched", lambda: True)
        monkeypatch.setattr(_progress, "bar", watched)
        birds.require_sizes()
        assert (shown[0].n, shown[0].total) == (COUNT, COUNT)


class TestMissing:
    def test_missing_images_are_counted_and_the_first_named(self, birds: DetectionDataset) -> None:
        for record in (birds[0], birds[1], birds[4], birds[6]):
            record.path.unlink()
        whole = load_cub(birds.root.parent)
        expected = "4 of 150 images are missing: 002.Odd/1.png, 001.Even/2.png, 002.Odd/5.png, ..."
        for needing in (whole.require_images, whole.require_sizes, lambda: list(whole), lambda: whole.sizes):
            with pytest.raises(DatasetError) as told:
                needing()
            assert told.value.message == expected
            assert told.value.path == str(birds.root)

    def test_one_record_names_its_image(self, birds: DetectionDataset) -> None:
        (birds.root / "002.Odd" / "1.png").unlink()
        with pytest.raises(DatasetError, match=r"1 of 1 images are missing: 002.Odd/1.png"):
            birds[0]

    def test_selections_that_do_not_need_them_just_work(self, birds: DetectionDataset) -> None:
        (birds.root / "002.Odd" / "1.png").unlink()
        even = birds.select(1)
        even.require_images()
        assert len(list(even)) == COUNT // 2

    def test_sizes_in_a_list_need_no_pixels(self, tmp_path: Path) -> None:
        birds = load_cub(drawn(9).write(tmp_path))
        assert [(record.width, record.height) for record in birds] == [(5 + k % 7, 4 + k % 5) for k in range(1, 10)]
        with pytest.raises(DatasetError, match="9 of 9 images are missing"):
            birds.require_images()

    def test_the_table_shows_what_is_known(self, birds: DetectionDataset) -> None:
        (birds.root / "001.Even" / "2.png").unlink()
        assert birds.images["width"].isna().tolist() == [False, True] + [False] * (COUNT - 2)


class TestBroken:
    def test_one_broken_image_is_told_as_such(self, birds: DetectionDataset) -> None:
        (birds.root / "001.Even" / "2.png").write_bytes(b"no image")
        with pytest.raises(ImageError) as told:
            birds.require_sizes()
        assert told.value.path == str(birds.root / "001.Even" / "2.png")

    def test_several_are_counted(self, birds: DetectionDataset) -> None:
        (birds.root / "001.Even" / "2.png").write_bytes(b"")
        (birds.root / "002.Odd" / "3.png").unlink()
        with pytest.raises(DatasetError, match=r"2 of 150 images cannot be read: 001.Even/2.png, 002.Odd/3.png"):
            birds.require_sizes()

    def test_readable_parts_them_from_the_others(self, birds: DetectionDataset) -> None:
        (birds.root / "001.Even" / "2.png").write_bytes(b"")
        (birds.root / "002.Odd" / "3.png").unlink()
        good, refused = birds.readable()
        assert good.image_ids.tolist() == [k for k in range(1, COUNT + 1) if k not in {2, 3}]
        assert [(bad.image_id, bad.name) for bad in refused] == [(2, "001.Even/2.png"), (3, "002.Odd/3.png")]
        assert isinstance(refused[0].error, ImageError)
        assert isinstance(refused[1].error, DatasetError)
        assert len(good) + len(refused) == len(birds)
        assert len(list(good)) == COUNT - 2

    def test_all_readable(self, birds: DetectionDataset) -> None:
        assert birds.readable() == (birds, ())


class TestContradiction:
    @pytest.mark.parametrize(
        ("size", "cause"), [((8, 6), "another set's sizes"), ((5, 6), "width and height are swapped")]
    )
    def test_a_size_that_contradicts_the_header_is_told(
        self, tmp_path: Path, size: tuple[int, int], cause: str
    ) -> None:
        folder = drawn(3).write(tmp_path, pixels=True)
        (folder / "sizes.txt").write_text(f"1 {size[0]} {size[1]}\n2 7 6\n3 8 7\n")
        path = folder / "images" / "002.Odd" / "1.png"
        path.write_bytes(image.encode(np.zeros((5, 6, 3), np.uint8), encoding=".png"))
        birds = load_cub(folder)
        for needing in (birds.require_sizes, lambda: birds[0], lambda: birds.images, birds.readable):
            with pytest.raises(DatasetError) as told:
                needing()
            assert told.value.message == (
                f"image 1 is 6 x 5 pixels by its header, but {size[0]} x {size[1]} by the given sizes"
            )
            assert told.value.path == str(path)
            assert cause in str(told.value.cause)

    def test_sizes_that_agree_are_let_pass(self, tmp_path: Path) -> None:
        birds = load_cub(drawn(5).write(tmp_path, pixels=True))
        assert len(list(birds)) == 5


@pytest.mark.birds
def test_real_sizes_agree_with_their_headers(cub: Path) -> None:
    listed = cub.parent / "sizes.txt"
    if not listed.exists():
        pytest.skip("no list of sizes beside the birds")
    chosen = load_cub(cub, sizes=listed).select([14, 17, 36, 41, 47])
    chosen.require_sizes()
    assert chosen.sizes.tolist() == load_cub(cub).select([14, 17, 36, 41, 47]).sizes.tolist()
    assert len(list(load_cub(cub, sizes=listed))) == 11_788


@pytest.mark.parametrize("waiting", [-1.0, 1e9])
def test_one_thread_and_many_read_the_same(
    birds: DetectionDataset, monkeypatch: pytest.MonkeyPatch, waiting: float
) -> None:
    monkeypatch.setattr("birdsod.dataset._sizes._WAITING", waiting)
    expected = [(image.width, image.height) for image in drawn().images]
    assert [tuple(size) for size in birds.sizes.tolist()] == expected
