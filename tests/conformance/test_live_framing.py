"""Records between birdsod and the real MXNet: the same bytes, read by either."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from birdsod.errors import RecordError
from birdsod.recordio import MAGIC, Record, RecordHeader, RecordReader, RecordWriter
from birdsod.testing import image_ids, image_records, payloads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.conftest import Oracle

TIMES = int(os.environ.get("BIRDSOD_CONFORMANCE", "1"))
MAGIC_BYTES = MAGIC.to_bytes(4, "little")
LARGEST = 2**64 - 1

Rows = list[tuple[int, bytes]]
rows = st.lists(st.tuples(image_ids(), payloads()), min_size=1, max_size=6)


def written(folder: Path, made: Sequence[tuple[int, bytes]]) -> tuple[str, str]:
    with RecordWriter(folder / "ours.rec") as writer:
        for key, payload in made:
            writer.write(payload, key)
    return str(folder / "ours.rec"), str(folder / "ours.idx")


def seen(rec: Path, *, scan: bool = False) -> list[bytes]:
    with RecordReader(rec, scan=scan) as reader:
        return [bytes(reader.payload(position)) for position in range(len(reader))]


@given(rows)
@settings(max_examples=150 * TIMES)
@example(
    [(LARGEST, b""), (0, MAGIC_BYTES), (MAGIC, 2 * MAGIC_BYTES), (0, b"x" + MAGIC_BYTES), (1, b"abcd" + MAGIC_BYTES)]
)
def test_files_are_the_same_and_read_by_either(oracle: Oracle, made: Rows) -> None:
    keys, contents = [key for key, _ in made], [payload for _, payload in made]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rec, idx = written(folder, made)
        theirs = {"rec": str(folder / "theirs.rec"), "idx": str(folder / "theirs.idx")}
        oracle.get("write", *contents, keys=keys, **theirs)
        assert (folder / "theirs.rec").read_bytes() == Path(rec).read_bytes()
        assert (folder / "theirs.idx").read_bytes() == Path(idx).read_bytes()
        assert oracle.get("read", rec=rec)[1] == contents
        assert seen(folder / "theirs.rec") == seen(folder / "theirs.rec", scan=True) == contents
        last = dict(made)
        answer, found = oracle.get("read", rec=rec, idx=idx)
        assert answer["keys"] == keys
        assert found == [last[key] for key in keys]
        answer, found = oracle.get("read", rec=rec, idx=idx, key_type="str")
        assert answer["keys"] == [str(key) for key in keys]
        assert found == [last[key] for key in keys]


@given(rows)
@settings(max_examples=30 * TIMES)
def test_keys_that_are_text_need_no_index(oracle: Oracle, made: Rows) -> None:
    contents = [payload for _, payload in made]
    with tempfile.TemporaryDirectory() as name:
        rec, idx = Path(name) / "theirs.rec", Path(name) / "theirs.idx"
        keys = [f"bird {key}" for key, _ in made]
        oracle.get("write", *contents, keys=keys, rec=str(rec), idx=str(idx), key_type="str")
        with pytest.raises(RecordError, match=r"theirs\.idx, line 1: the line is not a key"):
            RecordReader(rec)
        assert seen(rec, scan=True) == contents


def told(label: Any) -> dict[str, Any]:
    numbers = np.asarray(label, "<f4")
    return {"float32": numbers.tobytes().hex(), "array": numbers.ndim > 0}


@given(st.lists(image_records(), min_size=1, max_size=4))
@settings(max_examples=120 * TIMES)
@example([Record(RecordHeader(0, 0.0, MAGIC, LARGEST), np.zeros(0, np.float32), b"")])
def test_records_are_packed_and_unpacked_alike(oracle: Oracle, records: list[Record]) -> None:
    headers = [(told(record.label), record.header.id, record.header.id2) for record in records]
    _, packed = oracle.get("pack", *[record.image for record in records], headers=headers)
    assert packed == [record.payload for record in records]
    answer, images = oracle.get("unpack", *packed)
    assert images == [record.image for record in records]
    for (flag, label, first, second), record in zip(answer["headers"], records, strict=True):
        assert (flag, first, second) == (record.header.flag, record.header.id, record.header.id2)
        # A label of no numbers comes back as the number 0.
        assert label == told(record.label if np.size(record.label) else 0.0)


@pytest.mark.parametrize("wrong", [-1, 2**64, -(2**70)])
@pytest.mark.parametrize("place", [0, 1])
def test_ids_that_do_not_fit_are_refused_by_both(oracle: Oracle, tmp_path: Path, wrong: int, place: int) -> None:
    ids = (7, wrong) if place else (wrong, 7)
    answer, _ = oracle.ask("pack", b"an image", headers=[(told([2.0, 5.0]), *ids)])
    assert "argument out of range" in answer["error"] or "int too large" in answer["error"]
    with RecordWriter(tmp_path / "a.rec") as writer, pytest.raises(RecordError, match="does not fit into a"):
        writer.write_record(ids[0], [2.0, 5.0], b"an image", id2=ids[1])


@given(rows, st.data())
@settings(max_examples=150 * TIMES)
def test_what_mxnet_refuses_is_refused(oracle: Oracle, made: Rows, data: st.DataObject) -> None:
    """A file with changed or missing bytes: MXNet is the more patient reader, never the stricter one."""
    with tempfile.TemporaryDirectory() as name:
        rec = Path(written(Path(name), made)[0])
        damaged = bytearray(rec.read_bytes())
        for _ in range(data.draw(st.integers(0, 2))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        rec.write_bytes(damaged[: data.draw(st.integers(1, len(damaged)))])
        answer, theirs = oracle.get("read", rec=str(rec))
        if "refused" in answer:
            with pytest.raises(RecordError):
                seen(rec, scan=True)
            return
        try:
            ours = seen(rec, scan=True)
        except RecordError:
            return
        assert ours == theirs
