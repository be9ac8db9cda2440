from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from birdsod.errors import RecordError
from birdsod.ssd.augmentation import Augmentation
from birdsod.ssd.loader import Batch, Stream, in_order
from birdsod.ssd.windows import Sample

STILL = Augmentation(mirror=0.0, crop=0.0, zoom_out=0.0, colour=0.0)


@dataclass
class Shelf:
    """Images of one colour each, which is their position."""

    number: int = 10
    broken: int = -1
    loaded: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.number

    def load(self, position: int) -> tuple[int, Sample]:
        if position == self.broken:
            raise RecordError("broken", record=position)
        self.loaded.append(position)
        image = np.full((20, 30, 3), position, np.uint8)
        boxes = np.tile([0.1, 0.1, 0.9, 0.9], (position % 3, 1))
        return 1000 + position, Sample(image, boxes, np.arange(position % 3))


def stream(shelf: Shelf, augmentation: Augmentation = STILL, seed: int = 0, batch_size: int = 4) -> Stream:
    return Stream(shelf, 16, batch_size, seed, augmentation)


def shown(batches: list[Batch]) -> list[int]:
    return [int(image[0, 0, 0]) for batch in batches for image in batch.images]


def equal(one: Batch, other: Batch) -> bool:
    return np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)


def test_every_image_once_a_turn_over_the_ends_of_batches() -> None:
    seen = shown(list(stream(Shelf(10)).batches(0, 10)))
    assert len(seen) == 40
    turns = [seen[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(turn) == list(range(10)) for turn in turns)
    assert len({tuple(turn) for turn in turns}) == 4


def test_labels_are_filled_up_with_minus_one() -> None:
    batch = stream(Shelf(10)).batch(0)
    for image, rows in zip(batch.images, batch.labels, strict=True):
        objects = int(image[0, 0, 0]) % 3
        assert rows[:objects, 0].tolist() == list(range(objects))
        assert np.allclose(rows[:objects, 1:], [0.1, 0.1, 0.9, 0.9])
        assert (rows[objects:] == -1).all()
    assert batch.images.dtype == np.uint8
    assert batch.labels.dtype == np.float32


def test_images_without_objects_still_have_a_row_of_padding() -> None:
    batch = stream(Shelf(1), batch_size=1).batch(0)
    assert batch.labels.tolist() == [[[-1] * 5]]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ahead", [0, 3])
def test_neither_threads_nor_start_change_a_batch(threads: int, ahead: int) -> None:
    expected = [stream(Shelf(10), Augmentation()).batch(update) for update in range(3, 8)]
    found = list(stream(Shelf(10), Augmentation()).batches(3, 8, threads=threads, ahead=ahead))
    assert len(found) == 5
    assert all(equal(one, other) for one, other in zip(expected, found, strict=True))


def test_another_seed_another_order_and_other_changes() -> None:
    assert shown([stream(Shelf(10), seed=0).batch(0)]) != shown([stream(Shelf(10), seed=1).batch(0)])
    changed = [stream(Shelf(1), Augmentation(zoom_out=1.0), seed=seed, batch_size=1).batch(0) for seed in range(2)]
    assert not equal(*changed)


def test_an_image_changes_anew_each_turn() -> None:
    endless = stream(Shelf(1), Augmentation(crop=0.0, zoom_out=1.0), batch_size=1)
    assert not equal(endless.batch(0), endless.batch(1))


def test_no_more_is_loaded_ahead_than_was_asked_for() -> None:
    shelf = Shelf(100)
    batches = stream(shelf).batches(0, 25, threads=1, ahead=2)
    next(batches)
    assert 4 <= len(shelf.loaded) <= 12
    batches.close()
    before = len(shelf.loaded)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("birdsod-loader")]
    assert len(shelf.loaded) == before


def test_what_breaks_in_a_thread_arrives() -> None:
    with pytest.raises(RecordError, match="record 3"):
        list(stream(Shelf(10, broken=3)).batches(0, 5))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("birdsod-loader")]


def test_in_order_shows_every_image_once_the_last_batch_smaller() -> None:
    batches = list(in_order(Shelf(10), size=16, batch_size=4))
    assert shown(batches) == list(range(10))
    assert [len(batch.images) for batch in batches] == [4, 4, 2]
    assert list(in_order(Shelf(0), size=16, batch_size=4)) == []
