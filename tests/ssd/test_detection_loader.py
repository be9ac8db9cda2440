"""Batches for a training loop of one's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch

from birdsod.errors import HyperparameterError, ImageError, RecordError
from birdsod.image import encode
from birdsod.recordio import RecordReader, RecordWriter
from birdsod.ssd import Augmentation, BatchForm, DetectionBatch, DetectionLoader
from birdsod.ssd.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from birdsod.ssd.filling import Draw, Place

NUMBER = 11
STILL = BatchForm(dtype="uint8", layout="NHWC")


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of grey photographs that are as bright as their position says, with 0 to 3 objects each."""
    path = tmp_path_factory.mktemp("birds") / "birds.rec"
    with RecordWriter(path) as writer:
        for position in range(NUMBER):
            objects = [[position % 4, 0.1, 0.2, 0.3 + 0.1 * k, 0.9] for k in range(position % 4)]
            label = np.concatenate([[2, 5], np.ravel(objects)]).astype(np.float32)
            photo = np.full((60 + position, 80, 3), 10 * position, np.uint8)
            writer.write_record(2**63 + position, label, encode(photo, encoding=".png", quality=1))
    return path


@pytest.fixture
def three() -> Iterator[int]:
    """OpenCV with three threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield 3
    cv2.setNumThreads(before)


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("birdsod-loader")]


def positions(batches: list[DetectionBatch]) -> list[int]:
    return [int(image_id) - 2**63 for batch in batches for image_id in batch.image_ids]


def same(one: DetectionBatch, other: DetectionBatch) -> bool:
    arrays = ("images", "labels", "image_ids")
    equal = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
    return equal and (one.epoch, one.number) == (other.epoch, other.number)


def test_an_epoch_gives_each_image_once_with_its_pixels_and_objects(birds: Path) -> None:
    batches = list(DetectionLoader(birds, batch_size=4, image_shape=32, form=STILL).epoch(3))
    assert [len(batch.images) for batch in batches] == [4, 4, 3]
    assert [(batch.epoch, batch.number) for batch in batches] == [(3, 0), (3, 1), (3, 2)]
    assert sorted(positions(batches)) == list(range(NUMBER))
    for batch in batches:
        assert batch.images.shape[1:] == (32, 32, 3)
        for image, rows, position in zip(batch.images, batch.labels, positions([batch]), strict=True):
            assert (image == 10 * position).all()
            assert rows[: position % 4, 0].tolist() == [position % 4] * (position % 4)
            assert np.allclose(rows[: position % 4, 3], [0.3 + 0.1 * k for k in range(position % 4)])
            assert (rows[position % 4 :] == -1).all()


def test_each_epoch_has_an_order_of_its_own_unless_told(birds: Path) -> None:
    shuffled = DetectionLoader(birds, batch_size=4, image_shape=8)
    orders = {tuple(positions(list(shuffled.epoch(number)))) for number in range(4)}
    assert len(orders) == 4
    in_order = DetectionLoader(birds, batch_size=4, image_shape=8, shuffle=False)
    assert positions(list(in_order.epoch(2))) == list(range(NUMBER))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (2, 1), (5, 3)])
def test_neither_threads_nor_the_place_to_begin_change_a_batch(birds: Path, threads: int, ahead: int) -> None:
    def loader(**given: Any) -> DetectionLoader:
        return DetectionLoader(birds, batch_size=3, image_shape=24, seed=5, augmentation=Augmentation(), **given)

    expected = list(loader().epoch(1))
    for first in range(5):
        found = list(loader(threads=threads, ahead=ahead).epoch(1, first=first))
        assert len(found) == 4 - first
        assert all(same(one, other) for one, other in zip(expected[first:], found, strict=True))


def test_seed_and_epoch_change_the_images(birds: Path) -> None:
    def pixels(seed: int, epoch: int) -> bytes:
        loader = DetectionLoader(birds, image_shape=24, shuffle=False, seed=seed, augmentation=Augmentation())
        return bytes(next(loader.epoch(epoch)).images.tobytes())

    assert len({pixels(seed, epoch) for seed in range(2) for epoch in range(2)}) == 4


def test_the_form_is_that_of_all_batches(birds: Path) -> None:
    form = BatchForm(mean=(1.0, 2.0, 3.0), std=(2.0, 2.0, 2.0))
    batch = next(DetectionLoader(birds, batch_size=4, image_shape=16, shuffle=False, form=form).epoch())
    assert batch.images.dtype == np.float32
    assert batch.images.shape == (4, 3, 16, 16)
    assert np.allclose(batch.images[2, :, 5, 5], [9.5, 9, 8.5])
    assert torch.from_numpy(batch.images).data_ptr() == batch.images.__array_interface__["data"][0]


def test_batches_that_are_kept_stay_as_they_are(birds: Path) -> None:
    loader = DetectionLoader(birds, batch_size=2, image_shape=16, shuffle=False, form=STILL, ahead=0)
    kept = list(loader.epoch())
    list(loader.epoch(1))
    assert [int(batch.images[0, 0, 0, 0]) for batch in kept] == [0, 20, 40, 60, 80, 100]


def test_the_last_batch_can_be_left_out(birds: Path) -> None:
    loader = DetectionLoader(birds, batch_size=4, image_shape=8, drop_last=True)
    assert [len(batch.images) for batch in loader.epoch()] == [4, 4]
    assert len(loader) == 2
    assert len(DetectionLoader(birds, batch_size=4)) == 3


def test_shards_share_the_images(birds: Path) -> None:
    def parts(epoch: int) -> list[list[int]]:
        loaders = [DetectionLoader(birds, batch_size=2, image_shape=8, shard=k, shards=3) for k in range(3)]
        assert {len(loader) for loader in loaders} == {2}
        return [positions(list(loader.epoch(epoch))) for loader in loaders]

    left_out = set()
    for epoch in range(5):
        given = parts(epoch)
        assert {len(part) for part in given} == {3}
        together = [position for part in given for position in part]
        assert len(set(together)) == 9
        left_out |= set(range(NUMBER)) - set(together)
    assert len(left_out) > 2


def test_rows_of_labels_can_be_of_one_number(birds: Path) -> None:
    loader = DetectionLoader(birds, batch_size=1, image_shape=8, most_objects=5)
    assert {batch.labels.shape for batch in loader.epoch()} == {(1, 5, 5)}
    free = DetectionLoader(birds, batch_size=1, image_shape=8)
    assert {batch.labels.shape for batch in free.epoch()} == {(1, 1, 5), (1, 2, 5), (1, 3, 5)}
    with pytest.raises(RecordError, match="has 3 objects") as caught:
        list(DetectionLoader(birds, image_shape=8, most_objects=2).epoch())
    assert caught.value.value == 2


def test_large_photographs_may_be_decoded_smaller(tmp_path: Path) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photo = np.kron(coarse, np.ones((60, 60, 1), np.uint8))
    with RecordWriter(tmp_path / "large.rec") as writer:
        writer.write_record(1, [2, 5, 0, 0.25, 0.5, 0.75, 1.0], encode(photo))
    whole, reduced = (
        next(DetectionLoader(tmp_path / "large.rec", image_shape=60, form=STILL, reduce=reduce).epoch())
        for reduce in (False, True)
    )
    assert not np.array_equal(whole.images, reduced.images)
    assert np.median(np.abs(whole.images.astype(int) - reduced.images)) <= 3
    assert np.allclose(whole.labels, reduced.labels)


def test_whoever_opened_the_reader_closes_it(birds: Path) -> None:
    with RecordReader(birds) as reader:
        loader = DetectionLoader(reader, batch_size=4, image_shape=8)
        assert loader.reader is reader
        assert repr(loader) == f"DetectionLoader({reader!r}, 3 batches of 4)"
        batches = loader.epoch()
        next(batches)
        batches.close()
        assert len(reader[0].image) > 0


def test_an_epoch_that_is_left_early_gives_back_its_threads(birds: Path, three: int) -> None:
    loader = DetectionLoader(birds, batch_size=2, image_shape=8)
    assert cv2.getNumThreads() == three
    for _ in loader.epoch():
        assert cv2.getNumThreads() == 1
        assert own_threads()
        break
    assert (own_threads(), cv2.getNumThreads()) == ([], three)


def test_closing_the_loader_ends_all_epochs_and_its_file(birds: Path, three: int) -> None:
    with DetectionLoader(birds, batch_size=2, image_shape=8) as loader:
        epochs = [loader.epoch(number) for number in range(3)]
        next(epochs[0])
        next(epochs[1])
        assert own_threads()
    assert (own_threads(), cv2.getNumThreads()) == ([], three)
    assert [list(epoch) for epoch in epochs] == [[], [], []]
    with pytest.raises(RecordError, match=r"the loader is closed.*make another"):
        loader.epoch()
    with pytest.raises(RecordError, match="the reader is closed"):
        _ = loader.reader[0]
    loader.close()


def test_an_error_within_the_block_closes_the_loader_too(birds: Path, three: int) -> None:
    held = []

    def failing() -> None:
        with DetectionLoader(birds, batch_size=2, image_shape=8) as loader:
            held.append(loader.epoch())
            next(held[0])
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert (own_threads(), cv2.getNumThreads()) == ([], three)


def test_a_reader_that_was_given_stays_open(birds: Path) -> None:
    with RecordReader(birds) as reader:
        with DetectionLoader(reader, batch_size=2, image_shape=8) as loader:
            next(loader.epoch())
        assert len(reader[0].image) > 0


def test_a_loader_is_not_closed_under_a_thread_that_waits(birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = DetectionLoader(birds, batch_size=2, image_shape=8, threads=1, ahead=0)
    begun, go_on = threading.Event(), threading.Event()
    begin = Preparation.__call__

    def waiting(self: Preparation, places: Sequence[Place]) -> list[Draw]:
        begun.set()
        assert go_on.wait(60)
        return begin(self, places)

    monkeypatch.setattr(Preparation, "__call__", waiting)
    epoch = loader.epoch()
    other = threading.Thread(target=next, args=(epoch,))
    other.start()
    try:
        assert begun.wait(60)
        with pytest.raises(RecordError, match=r"being made for another thread.*close the loader in the thread"):
            loader.close()
    finally:
        go_on.set()
        other.join()
    loader.close()
    assert own_threads() == []


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"image_shape": 0.5}, "image_shape"),
        ({"shards": 0}, "shards"),
        ({"threads": 0}, "threads"),
        ({"most_objects": 0}, "most_objects"),
        ({"seed": -1}, "seed"),
        ({"ahead": True}, "ahead"),
        ({"shard": 2, "shards": 2}, "shard is out of range"),
    ],
)
def test_what_is_out_of_range_is_refused(birds: Path, wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(HyperparameterError, match=what):
        DetectionLoader(birds, **wrong)


@pytest.mark.parametrize("wrong", [{"number": -1}, {"first": -1}, {"first": 2}])
def test_a_place_that_there_is_not_is_refused(birds: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(HyperparameterError):
        DetectionLoader(birds, image_shape=8).epoch(**wrong)


def test_too_few_records_are_refused(tmp_path: Path, birds: Path) -> None:
    (tmp_path / "empty.rec").write_bytes(b"")
    with pytest.raises(RecordError, match="no record"):
        DetectionLoader(tmp_path / "empty.rec")
    with pytest.raises(RecordError, match="fewer records"):
        DetectionLoader(birds, shards=12)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.rec"
    with RecordWriter(path) as writer:
        for key in range(4):
            writer.write_record(
                key, [2, 5, 0, 0.1, 0.1, 0.9, 0.9], b"no image" if key == 2 else encode(np.zeros((8, 8, 3), np.uint8))
            )
    batches = DetectionLoader(path, batch_size=1, image_shape=8, shuffle=False, ahead=0).epoch()
    assert [next(batches).number for _ in range(2)] == [0, 1]
    with pytest.raises(ImageError) as caught:
        next(batches)
    assert (caught.value.path, caught.value.record) == (str(path), 2)
