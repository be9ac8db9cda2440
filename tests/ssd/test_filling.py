"""Batches that threads fill ahead, and the memory they stand in."""

from __future__ import annotations

import functools
import gc
import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch

from birdsod.ssd.filling import Draw, Drawn, Memory, Place, filled, label_rows, one_thread_each

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt


@pytest.fixture(autouse=True)
def _threads_of_opencv() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def address(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_memory_is_used_again_when_nothing_refers_to_it() -> None:
    memory = Memory((4, 8), np.float32, keep=2)
    first = memory.take(4)
    place = address(first)
    del first
    gc.collect()
    assert address(memory.take(4)) == place


@pytest.mark.parametrize("hold", [lambda array: array[1:, ::2], memoryview, lambda array: torch.from_numpy(array)[2]])
def test_memory_that_anything_refers_to_stays_as_it_is(hold: Any) -> None:
    memory = Memory((4, 8), np.float32, keep=2)
    first = memory.take(4)
    first[:] = 7
    held = hold(first)
    del first
    gc.collect()
    memory.take(4)[:] = 0
    assert (np.asarray(held) == 7).all()


def test_no_more_memory_is_kept_than_asked_for() -> None:
    memory = Memory((4, 8), np.uint8, keep=2)
    arrays = [memory.take(4) for _ in range(5)]
    assert len({address(array) for array in arrays}) == 5
    del arrays
    gc.collect()
    assert len(memory._unused) == 2


def test_a_shorter_array_is_the_beginning() -> None:
    assert Memory((4, 8, 2), np.float32, keep=1).take(3).shape == (3, 8, 2)


def plan(sizes: list[int]) -> list[list[Place]]:
    ends = np.cumsum(sizes)
    return [[Place(0, int(k)) for k in range(end - size, end)] for size, end in zip(sizes, ends, strict=True)]


def begin(places: Sequence[Place]) -> list[Draw]:
    return [functools.partial(fill, place) for place in places]


def fill(place: Place, slot: npt.NDArray[Any]) -> Drawn:
    slot[:] = place.position
    return Drawn(100 + place.position, np.zeros((0, 4)), np.zeros(0, np.int64))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_batches_come_in_order_whatever_the_threads(threads: int, ahead: int) -> None:
    memory = Memory((9, 2), np.uint8, keep=2)
    sizes = [9, 5, 1, 9, 4]
    batches = filled(begin, plan(sizes), memory, threads=threads, ahead=ahead)
    seen = [(batch.images.copy(), [drawn.image_id for drawn in batch.drawn]) for batch in batches]
    assert [len(images) for images, _ in seen] == sizes
    assert np.concatenate([images for images, _ in seen])[:, 1].tolist() == list(range(28))
    assert [each for _, ids in seen for each in ids] == list(range(100, 128))


def test_batches_that_are_kept_keep_their_images() -> None:
    memory = Memory((4, 2), np.uint8, keep=1)
    kept = list(filled(begin, plan([4] * 6), memory, threads=2, ahead=1))
    assert np.concatenate([batch.images for batch in kept])[:, 0].tolist() == list(range(24))


def test_opencv_keeps_to_one_thread_meanwhile_and_gets_back_what_it_had() -> None:
    cv2.setNumThreads(3)
    with one_thread_each():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == 3


def test_of_two_that_overlap_the_last_one_gives_back() -> None:
    cv2.setNumThreads(3)
    first, second = one_thread_each(), one_thread_each()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 3


def test_whoever_stops_early_leaves_nothing_behind() -> None:
    cv2.setNumThreads(3)
    batches = filled(begin, plan([4] * 6), Memory((4, 2), np.uint8, keep=1), threads=2, ahead=1)
    next(batches)
    batches.close()
    assert cv2.getNumThreads() == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("birdsod-loader")]


def test_labels_are_filled_up() -> None:
    one = Drawn(1, np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([3]))
    none = Drawn(2, np.zeros((0, 4)), np.zeros(0, np.int64))
    labels = label_rows([one, none], 2)
    assert labels.dtype == np.float32
    assert np.allclose(labels[0, 0], [3, 0.1, 0.2, 0.3, 0.4])
    assert (labels[0, 1] == -1).all()
    assert (labels[1] == -1).all()
