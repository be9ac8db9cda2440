"""What a record holds: header, label, image."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import RecordError
from birdsod.recordio import MAGIC, Record, RecordHeader, RecordReader
from birdsod.recordio._faults import Fault, FaultError
from birdsod.recordio._framing import framed, read_frame
from birdsod.recordio._label import DetectionLabel, detection_label, is_detection_label, object_count
from birdsod.recordio._record import parse_record, record_head, whole_record
from birdsod.testing import detection_labels, image_ids, image_records, labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@given(image_records())
def test_what_is_packed_is_parsed(record: Record) -> None:
    found = parse_record(record.payload)
    assert found == record
    assert hash(found) == hash(record)
    assert (found.header.flag, found.header.id, found.header.id2) == (
        record.header.flag,
        record.header.id,
        record.header.id2,
    )
    assert found.image == record.image
    assert np.array_equal(found.label, record.label, equal_nan=True)


@given(image_records(), image_records())
def test_records_are_equal_if_their_bytes_are(one: Record, other: Record) -> None:
    assert (one == other) == (one.payload == other.payload)
    assert one != one.payload


@given(image_ids(), image_ids(), labels())
def test_the_head_is_what_struct_packs(key: int, second: int, label: float | NDArray[np.float32]) -> None:
    numbers = [] if isinstance(label, float) else label.tolist()
    scalar = label if isinstance(label, float) else 0.0
    expected = struct.pack(f"<IfQQ{len(numbers)}f", len(numbers), scalar, key, second, *numbers)
    head = record_head(key, label, id2=second)
    assert len(head) % 4 == 0
    # Not-a-number has many patterns, and struct picks one.
    if not np.isnan(label).any():
        assert head == expected


@given(image_records(), st.binary(max_size=8), st.data())
def test_in_one_step_a_record_is_what_it_is_in_two(record: Record, before: bytes, data: st.DataObject) -> None:
    edited = bytearray(framed(record.payload))
    place = data.draw(st.integers(0, min(len(edited), 40) - 1))
    edited[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(edited)))
    for frames in (framed(record.payload), bytes(edited), bytes(edited[:end])):
        buffer, offset = before + frames, len(before)
        found = whole_record(buffer, offset)
        try:
            slow = parse_record(read_frame(memoryview(buffer), offset, len(buffer))[0])
        except FaultError:
            assert found is None
        else:
            split = int.from_bytes(frames[4:8], "little") >> 29
            assert (found is None) == bool(split)
            assert found is None or (found.header.flag, found) == (slow.header.flag, slow)


def test_no_label_at_all_is_the_number_zero() -> None:
    assert record_head(7, []) == struct.pack("<IfQQ", 0, 0.0, 7, 0)


@pytest.mark.parametrize(("key", "second", "wrong"), [(-1, 0, -1), (2**64, 0, 2**64), (1, -1, -1), (1, 2**64, 2**64)])
def test_ids_that_do_not_fit_are_refused(key: int, second: int, wrong: int) -> None:
    with pytest.raises(RecordError, match="id does not fit") as caught:
        record_head(key, 1.0, id2=second)
    assert caught.value.value == wrong


@pytest.mark.parametrize("length", [0, 1, 23])
def test_a_record_shorter_than_its_header_is_a_fault(length: int) -> None:
    with pytest.raises(FaultError) as caught:
        parse_record(bytes(length))
    assert caught.value.fault is Fault.SHORT


def test_a_label_longer_than_the_record_is_a_fault() -> None:
    head = record_head(1, [2, 5, 0, 0, 0, 1, 1])
    assert parse_record(head).image == b""
    with pytest.raises(FaultError) as caught:
        parse_record(head[:-1])
    assert caught.value.fault is Fault.LABEL


def test_records_of_mxnet_are_parsed_as_by_mxnet(golden: Path) -> None:
    told = json.loads((golden / "recordio" / "img.unpack.json").read_text())
    offsets = []
    with RecordReader(golden / "recordio" / "img.rec") as reader:
        assert len(reader) == len(told["records"])
        for record, expected in zip(reader, told["records"], strict=True):
            header = record.header
            assert (header.flag, header.id, header.id2) == (expected["flag"], expected["id"], expected["id2"])
            assert np.asarray(record.label, "<f4").tobytes().hex() == expected["label_f32_hex"]
            assert len(record.image) == expected["payload_len"]
            assert len(record.payload) == expected["record_len"]
            offsets.append(header.id)
    assert MAGIC in offsets


def test_a_parsed_label_cannot_be_edited() -> None:
    label = parse_record(record_head(1, [2, 5, 0, 0, 0, 1, 1])).label
    assert isinstance(label, np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        label[0] = 3


@given(detection_labels())
def test_a_detection_label_there_and_back(label: NDArray[np.float32]) -> None:
    typed = detection_label(label)
    assert np.array_equal(typed.numbers, label)
    assert is_detection_label(label)
    assert object_count(label) == len(detection_label(label))
    assert len(typed) == len(typed.boxes) == len(typed.extra)
    assert typed.extra.shape[1] == typed.object_width - 5
    assert len(typed.header_extra) == typed.header_width - 2


def test_the_objects_of_a_label() -> None:
    label = [4, 6, 9, 8, 1, 0.25, 0.5, 0.75, 1, 7, 3, 0, 0, 0.5, 0.5, 6]
    record = Record(RecordHeader(len(label), 0.0, 5, 0), np.array(label, dtype=np.float32), b"")
    found: DetectionLabel = record.boxes
    assert (found.header_width, found.object_width) == (4, 6)
    assert found.class_ids.tolist() == [1, 3]
    assert found.boxes.tolist() == [[0.25, 0.5, 0.75, 1], [0, 0, 0.5, 0.5]]
    assert found.extra.tolist() == [[7], [6]]
    assert found.header_extra.tolist() == [9, 8]


NOT_DETECTION: dict[str, tuple[Any, str]] = {
    "a number": (3.0, "two widths"),
    "two rows": ([[2, 5], [2, 5]], "two widths"),
    "one number": ([2], "two widths"),
    "header below 2": ([1, 5, 0, 0, 0, 1, 1], "width of the header"),
    "header beyond the label": ([8, 5, 0, 0, 0, 1, 1], "width of the header"),
    "broken header": ([2.5, 5, 0, 0, 0, 1, 1], "width of the header"),
    "header not a number": ([math.nan, 5], "width of the header"),
    "object below 5": ([2, 4, 0, 0, 0, 1], "width of an object"),
    "object longer than a record": ([2, 2.0**28], "width of an object"),
    "object longer than any row": ([2, 9.25e19], "width of an object"),
    "object infinite": ([2, math.inf, 0, 0, 0, 1], "width of an object"),
    "objects do not fill it": ([2, 5, 0, 0, 0, 1], "do not fill"),
    "class with a fraction": ([2, 5, 0.5, 0, 0, 1, 1], "class id"),
    "class not a number": ([2, 5, math.nan, 0, 0, 1, 1], "class id"),
}


@pytest.mark.parametrize("name", NOT_DETECTION)
def test_other_labels_are_told_as_such(name: str) -> None:
    label, reason = NOT_DETECTION[name]
    assert not is_detection_label(label)
    assert object_count(np.asarray(label, np.float32)) == 0
    with pytest.raises(RecordError, match=reason) as caught:
        detection_label(label, record_id=7)
    assert "image 7" in str(caught.value)
    assert "pack-label" in str(caught.value)


def test_without_an_id_the_error_names_none() -> None:
    with pytest.raises(RecordError, match="the label is no detection label"):
        detection_label(3.0)
