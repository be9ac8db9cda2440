"""The index written from the record file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.errors import RecordError
from birdsod.recordio import MAGIC, RecordReader, RecordWriter, reindex
from birdsod.testing import image_records

if TYPE_CHECKING:
    from birdsod.recordio import Record

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", ["im2rec/plain", "im2rec/det6", "im2rec/cls_pack", "im2rec/bad2"])
def test_the_index_is_that_of_im2rec(tmp_path: Path, name: str) -> None:
    rec = Path(shutil.copy(GOLDEN / f"{name}.rec", tmp_path))
    assert reindex(rec) == rec.with_suffix(".idx")
    assert rec.with_suffix(".idx").read_bytes() == (GOLDEN / f"{name}.idx").read_bytes()


@given(st.lists(image_records(), max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_index_is_that_of_the_writer(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    rec = folder / "a.rec"
    with RecordWriter(rec) as writer:
        for record in records:
            writer.write_record(record.header.id, record.label, record.image)
    found = reindex(rec, index=folder / "b.idx")
    assert found.read_bytes() == rec.with_suffix(".idx").read_bytes()
    with RecordReader(rec, index=found) as reader:
        assert [record.header.id for record in records] == reader.keys.tolist()


@pytest.fixture
def rec(tmp_path: Path) -> Path:
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write_record(MAGIC, [2, 5], b"an image whose id splits the record")
        writer.write_record(7, [2, 5], b"another")
    return tmp_path / "a.rec"


def test_an_index_is_replaced_only_on_request(rec: Path) -> None:
    index = rec.with_suffix(".idx")
    right = index.read_bytes()
    index.write_bytes(b"wrong")
    with pytest.raises(RecordError, match="exists already"):
        reindex(rec)
    assert index.read_bytes() == b"wrong"
    reindex(rec, overwrite=True)
    assert index.read_bytes() == right


@pytest.mark.parametrize(
    ("damage", "message", "record"),
    [
        (lambda data: data[:-1], "ends within a record", 1),
        (lambda data: b"x" + data, "magic number is missing", 0),
        (lambda data: data + MAGIC.to_bytes(4, "little") + b"\4\0\0\0" + b"tiny", "shorter than a record header", 2),
    ],
    ids=["cut", "shifted", "no id"],
)
def test_a_faulty_file_leaves_the_index_as_it_was(rec: Path, damage: object, message: str, record: int) -> None:
    assert callable(damage)
    rec.write_bytes(damage(rec.read_bytes()))
    rec.with_suffix(".idx").write_bytes(b"before")
    with pytest.raises(RecordError, match=message) as caught:
        reindex(rec, overwrite=True)
    assert (caught.value.path, caught.value.record) == (str(rec), record)
    assert rec.with_suffix(".idx").read_bytes() == b"before"
    assert sorted(path.name for path in rec.parent.iterdir()) == ["a.idx", "a.rec"]


def test_a_place_that_cannot_be_written(rec: Path) -> None:
    with pytest.raises(RecordError, match="cannot be written"):
        reindex(rec, index=rec / "a.idx")
    with pytest.raises(RecordError, match="missing"):
        reindex(rec.with_name("none.rec"))


def test_an_empty_file_has_an_empty_index(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(b"")
    assert reindex(tmp_path / "a.rec").read_bytes() == b""
