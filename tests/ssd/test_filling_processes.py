"""Batches that other processes fill: the same ones, whoever else holds some, and no process is left behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from birdsod.errors import HyperparameterError, ImageError, RecordError
from birdsod.image import encode
from birdsod.recordio import RecordWriter
from birdsod.ssd import Augmentation, BatchForm, DetectionBatch, DetectionLoader
from birdsod.ssd.filling_processes import SharedBatches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NUMBER = 23
PATIENCE = 30.0


def write(path: Path, broken: int = -1) -> Path:
    random = np.random.default_rng(0)
    with RecordWriter(path) as writer:
        for key in range(NUMBER):
            photo = encode(random.integers(0, 256, (40 + key, 60, 3), dtype=np.uint8))
            label = [2, 5, key % 3, 0.1, 0.2, 0.8, 0.9]
            writer.write_record(key, label, b"no image" if key == broken else photo)
    return path


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("birds") / "birds.rec")


def made(records: Any, **given: Any) -> DetectionLoader:
    settings: dict[str, Any] = {"batch_size": 5, "image_shape": 24, "augmentation": Augmentation(), "seed": 3}
    return DetectionLoader(records, **(settings | given))


@pytest.fixture(scope="module")
def beside(birds: Path) -> Iterator[DetectionLoader]:
    """One whose batches are made by two processes."""
    with made(birds, processes=2, ahead=1) as loader:
        yield loader


def same(some: Sequence[DetectionBatch], others: Sequence[DetectionBatch]) -> bool:
    return len(some) == len(others) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for one, other in zip(some, others, strict=True)
        for name in ("images", "labels", "image_ids", "epoch", "number")
    )


def others() -> set[int]:
    return {process.pid for process in multiprocessing.active_children() if process.pid is not None}


def come_true(condition: Any) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_batches_are_those_of_threads(birds: Path, beside: DetectionLoader) -> None:
    threads = made(birds)
    for epoch in range(3):
        for one, other in zip(threads.epoch(epoch), beside.epoch(epoch), strict=True):
            assert same([one], [other])
    assert same(list(threads.epoch(1, first=2)), list(beside.epoch(1, first=2)))


def test_any_form_is_made(birds: Path) -> None:
    still = BatchForm(dtype="uint8", layout="NHWC")
    given = {"form": still, "augmentation": None, "shuffle": False, "drop_last": True}
    with made(birds, processes=1, **given) as loader:
        assert same(list(loader.epoch()), list(made(birds, **given).epoch()))


def test_batches_that_are_kept_stay_as_they_are(birds: Path, beside: DetectionLoader) -> None:
    kept = [list(beside.epoch(epoch)) for epoch in range(4)]
    threads = made(birds)
    assert all(same(batches, list(threads.epoch(epoch))) for epoch, batches in enumerate(kept))


def test_epochs_side_by_side_disturb_each_other_in_nothing(birds: Path, beside: DetectionLoader) -> None:
    together = list(zip(*(beside.epoch(epoch) for epoch in range(6)), strict=True))
    threads = made(birds)
    for epoch, batches in enumerate(zip(*together, strict=True)):
        assert same(batches, list(threads.epoch(epoch)))


def test_an_epoch_that_is_left_early_writes_into_no_later_batch(birds: Path, beside: DetectionLoader) -> None:
    expected = list(made(birds).epoch(0))
    for number in range(1, 6):
        for _ in beside.epoch(number):
            break
        assert same(list(beside.epoch(0)), expected)


def test_opencv_keeps_its_threads_here(beside: DetectionLoader) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    for _ in beside.epoch():
        assert cv2.getNumThreads() == 3
    cv2.setNumThreads(before)


def test_memory_is_used_again_when_nothing_refers_to_it() -> None:
    memory = SharedBatches((2, 3), np.float32, number=1)
    block, rows = memory.take(1)
    assert (block, rows.shape, memory.is_short) == (0, (1, 3), True)
    no_block, own = memory.take(2)
    assert (no_block, own.shape) == (None, (2, 3))
    view = rows[0, 1:]
    del rows
    gc.collect()
    assert memory.is_short
    del view
    gc.collect()
    assert memory.take(2)[0] == 0


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "broken.rec", broken=12)
    with made(path, processes=2, shuffle=False) as loader:
        batches = loader.epoch()
        assert [next(batches).number for _ in range(2)] == [0, 1]
        with pytest.raises(ImageError) as caught:
            next(batches)
        assert (caught.value.path, caught.value.record) == (str(path), 12)
        assert next(loader.epoch()).image_ids.tolist() == [0, 1, 2, 3, 4]


def test_processes_begin_with_the_first_epoch_and_end_with_the_loader(birds: Path) -> None:
    before = others()
    with made(birds, processes=2) as loader:
        assert others() == before
        next(loader.epoch())
        assert len(others() - before) == 2
    assert others() == before
    with pytest.raises(RecordError, match="the loader is closed"):
        loader.epoch()


def test_processes_end_when_nothing_refers_to_the_loader(birds: Path) -> None:
    before = others()
    loader = made(birds, processes=1)
    next(loader.epoch())
    assert len(others() - before) == 1
    del loader
    gc.collect()
    assert come_true(lambda: others() == before)


def test_a_process_that_is_killed_is_told(birds: Path) -> None:
    before = others()
    with made(birds, processes=1, ahead=0) as loader:
        batches = loader.epoch()
        next(batches)
        for pid in others() - before:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(RecordError, match=r"a process that made batches was ended.*take fewer processes"):
            list(batches)


_ENDLESS = """
import multiprocessing, sys, time
from birdsod.ssd import DetectionLoader

if __name__ == "__main__":
    loader = DetectionLoader(sys.argv[1], batch_size=2, image_shape=8, processes=2)
    next(loader.epoch())
    print(len(multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


def test_no_process_outlives_the_one_that_has_the_loop(tmp_path: Path, birds: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(_ENDLESS, encoding="utf-8")
    with subprocess.Popen([sys.executable, script, birds], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "2\n"
        process.kill()
        # Its output ends when the last process is gone that could write to it.
        process.communicate(timeout=PATIENCE)


_UNGUARDED = """
import sys
from birdsod.errors import RecordError
from birdsod.ssd import DetectionLoader

try:
    next(DetectionLoader(sys.argv[1], processes=1).epoch())
except RecordError as error:
    print(error)
"""


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path, birds: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(_UNGUARDED, encoding="utf-8")
    done = subprocess.run([sys.executable, script, birds], capture_output=True, text=True, check=False, timeout=60)
    assert 'put the loop under if __name__ == "__main__":' in done.stdout


def test_what_other_processes_cannot_open_is_refused(birds: Path) -> None:
    with birds.open("rb") as stream, pytest.raises(RecordError):
        made(stream, processes=1)


def test_threads_and_processes_are_not_mixed(birds: Path) -> None:
    with pytest.raises(HyperparameterError, match="both threads and processes"):
        made(birds, threads=2, processes=2)
    with pytest.raises(HyperparameterError, match="processes is out of range"):
        made(birds, processes=-1)
