"""Reading records by position and by key, with and without an index."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import RecordError
from birdsod.recordio import RecordReader, RecordWriter
from birdsod.recordio._framing import framed
from birdsod.recordio._record import record_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LABEL = [2, 5, 3, 0.25, 0.25, 0.5, 0.75]
KEYS = [7, 3, 4_000_000_000, 2**64 - 1]


@pytest.fixture
def rec(tmp_path: Path) -> Path:
    path = tmp_path / "birds.rec"
    with RecordWriter(path) as writer:
        for key in KEYS:
            writer.write_record(key, LABEL, b"image %d" % key)
    return path


@pytest.fixture
def reader(rec: Path) -> Iterator[RecordReader]:
    with RecordReader(rec) as opened:
        yield opened


def ids(records: object) -> list[int]:
    return [record.header.id for record in records]  # type: ignore[attr-defined]  # several kinds of iterables


def test_records_by_position(reader: RecordReader) -> None:
    assert len(reader) == 4
    assert ids(reader) == KEYS
    assert [reader[position].header.id for position in (0, 3, -1, -4)] == [KEYS[0], KEYS[3], KEYS[3], KEYS[0]]
    assert reader[np.int64(1)].image == b"image 3"
    assert repr(reader).endswith("birds.rec', 4 records)")


@pytest.mark.parametrize("position", [4, -5, 100])
def test_a_position_outside_is_an_index_error(reader: RecordReader, position: int) -> None:
    for read in (reader.__getitem__, reader.payload, reader[1:2].__getitem__):
        with pytest.raises(IndexError):
            read(position)


@given(begin=st.none() | st.integers(-6, 6), end=st.none() | st.integers(-6, 6), step=st.none() | st.integers(1, 3))
def test_slices_are_those_of_a_list(golden: Path, begin: int | None, end: int | None, step: int | None) -> None:
    with RecordReader(golden / "im2rec" / "det6.rec") as records:
        everything = list(records)
        part = records[begin:end:step]
        assert list(part) == everything[begin:end:step]
        assert len(part) == len(everything[begin:end:step])
        assert list(part[::-1]) == everything[begin:end:step][::-1]
        assert [part[position] for position in range(len(part))] == everything[begin:end:step]


def test_a_slice_reads_nothing_until_it_is_used(reader: RecordReader) -> None:
    part = reader[1:]
    assert repr(part).startswith("Records(3 of RecordReader(")
    reader.close()
    with pytest.raises(RecordError, match="closed"):
        part[0]


def test_records_by_key(reader: RecordReader) -> None:
    assert reader.keys.tolist() == KEYS
    assert [reader.by_key(key).image for key in KEYS] == [b"image %d" % key for key in KEYS]
    with pytest.raises(RecordError, match="no record has this key") as caught:
        reader.by_key(8)
    assert caught.value.value == 8


def test_of_two_records_with_one_key_the_last_is_read_as_in_mxnet(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "twice.rec") as writer:
        writer.write_record(3, 1.0, b"first")
        writer.write_record(3, 1.0, b"last")
    with RecordReader(tmp_path / "twice.rec") as reader:
        assert reader.by_key(3).image == b"last"
        assert [record.image for record in reader] == [b"first", b"last"]


@pytest.mark.parametrize("remove", [True, False])
def test_a_file_is_scanned_without_an_index_or_when_asked(rec: Path, *, remove: bool) -> None:
    with RecordReader(rec) as indexed:
        expected = list(indexed)
    if remove:
        rec.with_suffix(".idx").unlink()
    with RecordReader(rec, scan=not remove) as scanned:
        assert list(scanned) == expected
        assert scanned.keys.tolist() == KEYS
        assert scanned.by_key(3).image == b"image 3"


def test_an_index_elsewhere(rec: Path, tmp_path: Path) -> None:
    moved = rec.with_suffix(".idx").rename(tmp_path / "elsewhere")
    lines = moved.read_bytes().splitlines(keepends=True)
    moved.write_bytes(b"".join(reversed(lines)))
    with RecordReader(rec, index=moved) as reader:
        assert reader.keys.tolist() == KEYS[::-1]
        assert ids(reader) == KEYS[::-1]


def test_an_index_with_windows_line_ends_or_no_last_line_end(rec: Path) -> None:
    idx = rec.with_suffix(".idx")
    idx.write_bytes(idx.read_bytes().replace(b"\n", b"\r\n"))
    with RecordReader(rec) as reader:
        assert ids(reader) == KEYS
    idx.write_bytes(idx.read_bytes().rstrip())
    with RecordReader(rec) as reader:
        assert ids(reader) == KEYS


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "none.rec").touch()
    with RecordReader(tmp_path / "none.rec") as reader:
        assert len(reader) == 0
        assert list(reader) == []
        assert reader.keys.tolist() == []


def test_payloads_are_views_that_outlive_the_reader(rec: Path) -> None:
    with RecordReader(rec) as reader:
        payload = reader.payload(-1)
        assert isinstance(payload, memoryview)
        label = reader[0].label
    assert bytes(payload) == record_head(KEYS[-1], LABEL) + b"image %d" % KEYS[-1]
    assert np.array_equal(label, np.array(LABEL, dtype=np.float32))


def test_files_without_images_are_read_by_payload(golden: Path) -> None:
    with RecordReader(golden / "recordio" / "str.rec", scan=True) as reader:
        assert [bytes(reader.payload(position)) for position in range(len(reader))] == [b"v1", b"v22"]


def test_threads_share_a_reader(golden: Path) -> None:
    with RecordReader(golden / "im2rec" / "plain.rec") as reader, ThreadPoolExecutor(8) as pool:
        expected = [record.payload for record in reader]
        order = list(range(len(reader))) * 20
        assert list(pool.map(lambda position: reader[position].payload, order)) == expected * 20


def read_payload(reader: RecordReader, position: int) -> bytes:
    return reader[position].payload


@pytest.mark.parametrize("scan", [True, False])
def test_a_reader_goes_to_spawned_workers(rec: Path, *, scan: bool) -> None:
    context = multiprocessing.get_context("spawn")
    with RecordReader(rec, scan=scan) as reader, ProcessPoolExecutor(1, mp_context=context) as pool:
        found = pool.submit(read_payload, reader, 2).result()
        assert found == reader[2].payload


def test_a_relative_path_survives_a_change_of_folder(
    rec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rec.parent)
    with RecordReader(rec.name) as reader:
        pickled = pickle.dumps(reader)
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    with pickle.loads(pickled) as again:  # noqa: S301 - made a moment ago
        assert ids(again) == KEYS


def test_a_file_that_changed_is_not_taken_for_the_one_that_was_pickled(rec: Path) -> None:
    with RecordReader(rec) as reader:
        pickled = pickle.dumps(reader)
    with rec.open("ab") as stream:
        stream.write(framed(b"more"))
    with pytest.raises(RecordError, match="has changed"):
        pickle.loads(pickled)  # noqa: S301 - made a moment ago


def test_a_missing_file_or_index_is_told(tmp_path: Path, rec: Path) -> None:
    with pytest.raises(RecordError, match=r"none\.rec: the record file is missing"):
        RecordReader(tmp_path / "none.rec")
    with pytest.raises(RecordError, match=r"none\.idx: the index is missing"):
        RecordReader(rec, index=tmp_path / "none.idx")


def test_a_folder_is_no_record_file_and_no_index(tmp_path: Path, rec: Path) -> None:
    with pytest.raises(RecordError, match="the record file cannot be read"):
        RecordReader(tmp_path)
    with pytest.raises(RecordError, match="the index cannot be read"):
        RecordReader(rec, index=tmp_path)


MALFORMED_LINES = {
    "no tab": (b"7 0", "key from 0"),
    "no offset": (b"7\t", "key from 0"),
    "no key": (b"\t0", "key from 0"),
    "blank in the middle": (b"", "key from 0"),
    "key is text": (b"k a\t0", "key from 0"),
    "negative key": (b"-1\t0", "key from 0"),
    "key too large": (b"18446744073709551616\t0", "key from 0"),
    "offset is no number": (b"7\tx", "key from 0"),
    "negative offset": (b"7\t-4", "key from 0"),
    "not UTF-8": (b"\xff\t0", "key from 0"),
    "offset beyond the file": (b"7\t4000000", "beyond the record file"),
    "offset at the end": (b"7\t%d", "beyond the record file"),
    "offset not aligned": (b"7\t2", "not divisible by 4"),
}


@pytest.mark.parametrize("name", MALFORMED_LINES)
def test_malformed_lines_of_an_index(rec: Path, name: str) -> None:
    line, message = MALFORMED_LINES[name]
    idx = rec.with_suffix(".idx")
    good = idx.read_bytes().splitlines()
    line = line % rec.stat().st_size if b"%d" in line else line
    idx.write_bytes(b"\n".join([good[0], line, *good[2:]]) + b"\n")
    with pytest.raises(RecordError, match=message) as caught:
        RecordReader(rec)
    assert (caught.value.path, caught.value.line) == (str(idx), 2)
    assert caught.value.cure


def test_an_index_that_points_into_a_record(rec: Path) -> None:
    idx = rec.with_suffix(".idx")
    lines = idx.read_bytes().splitlines(keepends=True)
    idx.write_bytes(b"".join([lines[0], b"3\t84\n", *lines[2:]]))
    with RecordReader(rec) as reader, pytest.raises(RecordError, match="at byte 84: no record begins") as caught:
        reader[1]
    assert caught.value.record == 1


def test_an_index_that_points_to_a_later_part(golden: Path, tmp_path: Path) -> None:
    rec = tmp_path / "split.rec"
    rec.write_bytes((golden / "recordio" / "img.rec").read_bytes())
    lines = (golden / "recordio" / "img.idx").read_bytes().splitlines(keepends=True)
    rec.with_suffix(".idx").write_bytes(b"".join([lines[0], b"1\t32\n", *lines[1:]]))
    with RecordReader(rec) as reader, pytest.raises(RecordError, match="at byte 32: a later part") as caught:
        reader[1]
    assert caught.value.path == str(rec)


STALE: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "cut by a line": (lambda lines: lines[:-1], "the index ends 88 bytes before"),
    "cut by two": (lambda lines: lines[:-2], "the index ends 164 bytes before"),
    "without its first line": (lambda lines: lines[1:], "does not begin where the record file does"),
    "empty": (lambda _: [], "the index is empty, but the record file has 300 bytes"),
    "an offset twice": (lambda lines: [*lines, lines[1]], "stands in an earlier line too"),
    "of another file": (lambda lines: [lines[0], b"8\t200\n"], "at byte 200: no record begins"),
}


@pytest.mark.parametrize("name", STALE)
def test_an_index_that_is_not_that_of_the_whole_file_is_refused_on_opening(rec: Path, name: str) -> None:
    change, message = STALE[name]
    idx = rec.with_suffix(".idx")
    idx.write_bytes(b"".join(change(idx.read_bytes().splitlines(keepends=True))))
    with pytest.raises(RecordError, match=message) as caught:
        RecordReader(rec)
    assert "reindex" in str(caught.value.cure)
    assert "scan=True" in str(caught.value.cure)
    with RecordReader(rec, scan=True) as reader:
        assert ids(reader) == KEYS


@given(positions=st.lists(st.integers(-6, 5), max_size=20))
def test_a_batch_is_what_its_positions_give_one_by_one(golden: Path, positions: list[int]) -> None:
    with RecordReader(golden / "im2rec" / "det6.rec") as reader:
        wanted = [position for position in positions if -len(reader) <= position < len(reader)]
        expected = [reader[position] for position in wanted]
        assert reader.read(wanted) == expected
        assert reader.__getitems__(iter(wanted)) == expected


def test_a_batch_names_the_record_at_fault(rec: Path) -> None:
    with RecordReader(rec) as reader:
        with pytest.raises(IndexError, match="position 4 is outside 4 records"):
            reader.read([0, 4])
        reader.close()
        with pytest.raises(RecordError, match="closed"):
            reader.read([0])


def faulty(rec: Path, end: bytes) -> Path:
    with rec.open("ab") as stream:
        stream.write(end)
    return rec


FAULTS = {
    "magic": (bytes(8), "no record begins"),
    "header": (framed(b"")[:5], "ends within the header"),
    "payload": (framed(bytes(40))[:-4], "ends within a record"),
    "continuation": (framed(b"")[:7] + b"\xff", "continuation flag"),
    "beginning": (framed(b"")[:7] + b"\x60", "a later part"),
    "unfinished": (framed(b"")[:7] + b"\x20", "without its last part"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_found_by_a_scan_name_file_record_and_byte(rec: Path, name: str) -> None:
    size = rec.stat().st_size
    end, message = FAULTS[name]
    with pytest.raises(RecordError, match=message) as caught:
        RecordReader(faulty(rec, end), scan=True)
    assert caught.value.path == str(rec)
    assert caught.value.record == len(KEYS)
    assert f"at byte {size + (8 if name == 'unfinished' else 0)}:" in caught.value.message
    assert caught.value.cause
    assert caught.value.cure


@pytest.mark.parametrize("name", FAULTS)
def test_faults_found_through_an_index_name_file_record_and_byte(rec: Path, name: str) -> None:
    size = rec.stat().st_size
    end, message = FAULTS[name]
    idx = rec.with_suffix(".idx")
    # An index never points where less than a header is left, so the missing bytes are in a later part.
    whole = faulty(rec, end if name != "header" else framed(bytes(4))[:7] + b"\x20" + bytes(4) + end)
    idx.write_bytes(idx.read_bytes() + b"9\t%d\n" % size)
    with pytest.raises(RecordError, match=message) as caught:
        RecordReader(whole)
    assert (caught.value.path, caught.value.record) == (str(rec), 4)


@pytest.mark.parametrize(
    ("payload", "message"),
    [(b"short", "shorter than a record header"), (record_head(1, LABEL)[:-4], "the label is longer")],
)
def test_payloads_that_are_no_images(tmp_path: Path, payload: bytes, message: str) -> None:
    with RecordWriter(tmp_path / "odd.rec") as writer:
        writer.write(b"anything else", 0)
        writer.write(payload, 1)
    with RecordReader(tmp_path / "odd.rec") as reader:
        assert bytes(reader.payload(1)) == payload
        with pytest.raises(RecordError, match=message) as caught:
            reader[1]
    assert caught.value.record == 1
    assert "at byte 24:" in caught.value.message


def test_a_closed_reader_says_so(rec: Path) -> None:
    reader = RecordReader(rec)
    reader.close()
    reader.close()
    with pytest.raises(RecordError, match="closed"):
        reader[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_reader_survives_a_fork(rec: Path) -> None:
    with RecordReader(rec) as reader:
        child = os.fork()
        if not child:
            os._exit(0 if reader[3].header.id == KEYS[3] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert reader[3].header.id == KEYS[3]
