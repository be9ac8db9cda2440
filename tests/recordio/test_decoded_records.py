"""Decoded records under PyTorch's own loader, forked and spawned."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from birdsod import image
from birdsod.errors import ImageError, RecordError
from birdsod.recordio import DecodedRecord, DecodedRecords, RecordReader, RecordWriter

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 5


@pytest.fixture
def rec(tmp_path: Path) -> Path:
    path = tmp_path / "birds.rec"
    with RecordWriter(path) as writer:
        for key in range(COUNT):
            label = [2, 5, *([key, 0.25, 0.25, 0.5, 0.75] * (key % 3))]
            pixels = np.full((6, 8, 3), (250, 0, 20 * key), np.uint8)
            writer.write_record(key, label, image.encode(pixels, encoding=".png"))
    return path


def check(item: DecodedRecord, key: int) -> None:
    # The encoder takes blue first.
    assert (item.image == np.array([20 * key, 0, 250], np.uint8)).all()
    assert item.image.shape == (6, 8, 3)
    assert item.class_ids.tolist() == [key] * (key % 3)
    assert item.boxes.tolist() == [[0.25, 0.25, 0.5, 0.75]] * (key % 3)
    assert item.id == key


def test_items_and_batches(rec: Path) -> None:
    birds = DecodedRecords(rec)
    assert len(birds) == COUNT
    for key, item in enumerate(birds):
        check(item, key)
    check(birds[-1], COUNT - 1)
    for item, key in zip(birds.__getitems__(iter([4, 0, 4])), [4, 0, 4], strict=True):
        check(item, key)
    assert repr(birds).startswith("DecodedRecords(RecordReader(")


def test_a_transform_has_the_last_word(rec: Path) -> None:
    with RecordReader(rec) as reader:
        birds = DecodedRecords(reader, transform=ids)
        assert birds.reader is reader
        assert list(birds) == birds.__getitems__(range(COUNT)) == list(range(COUNT))
        assert pickle.loads(pickle.dumps(birds))[3] == 3  # noqa: S301 - made a moment ago


def test_the_record_at_fault_is_named(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "odd.rec") as writer:
        writer.write_record(1, [2, 5], b"no image")
        writer.write_record(2, 3.0, image.encode(np.zeros((6, 8, 3), np.uint8)))
    birds = DecodedRecords(tmp_path / "odd.rec")
    with pytest.raises(ImageError) as broken:
        birds[0]
    assert (broken.value.path, broken.value.record) == (str(tmp_path / "odd.rec"), 0)
    with pytest.raises(RecordError, match="no detection label") as plain:
        birds[-1]
    assert (plain.value.path, plain.value.record) == (str(tmp_path / "odd.rec"), 1)


def ids(item: DecodedRecord) -> int:
    return item.id


def as_they_are(batch: list[DecodedRecord]) -> list[DecodedRecord]:
    return batch


@pytest.mark.parametrize("method", [None, "fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_pytorchs_loader_takes_it(rec: Path, method: str | None) -> None:
    data = pytest.importorskip("torch.utils.data")
    loader: Any = data.DataLoader(
        cast("Any", DecodedRecords(rec)),
        batch_size=2,
        num_workers=0 if method is None else 2,
        multiprocessing_context=method,
        collate_fn=as_they_are,
    )
    batches = list(loader)
    assert [len(batch) for batch in batches] == [2, 2, 1]
    for key, item in enumerate(item for batch in batches for item in batch):
        check(item, key)
