"""Frames: what MXNet wrote, laws, and every way to be malformed."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import RecordError
from birdsod.recordio import _framing
from birdsod.recordio._faults import Fault, FaultError
from birdsod.recordio._framing import LONGEST, MAGIC, frame, framed, read_frame, scan
from birdsod.testing import payloads

if TYPE_CHECKING:
    from pathlib import Path

M = MAGIC.to_bytes(4, "little")


def chunk(flag: int, payload: bytes) -> bytes:
    return M + struct.pack("<I", flag << 29 | len(payload)) + payload + bytes(-len(payload) % 4)


def naively_framed(payload: bytes) -> bytes:
    """The same by steps of four bytes, part by part."""
    parts = [b""]
    for start in range(0, len(payload), 4):
        word = payload[start : start + 4]
        if word == M:
            parts.append(b"")
        else:
            parts[-1] += word
    if len(parts) == 1:
        return chunk(0, payload)
    flags = [1, *[2] * (len(parts) - 2), 3]
    return b"".join(map(chunk, flags, parts))


def naively_read(data: bytes) -> list[bytes]:
    """The records of a sound file, chunk by chunk."""
    found: list[bytes] = []
    while data:
        magic, word = struct.unpack("<4sI", data[:8])
        assert magic == M
        flag, length = word >> 29, word & 0x1FFFFFFF
        part = data[8 : 8 + length]
        data = data[8 + length + -length % 4 :]
        if flag in {0, 1}:
            found.append(part)
        else:
            found[-1] += M + part
    return found


def read_all(data: bytes) -> list[bytes]:
    return [bytes(read_frame(memoryview(data), offset, len(data))[0]) for offset in scan(data, len(data))]


@given(st.lists(payloads()))
def test_what_is_written_is_read(written: list[bytes]) -> None:
    data = b"".join(map(framed, written))
    assert read_all(data) == written == naively_read(data)


@given(payloads())
def test_a_naive_writer_agrees(payload: bytes) -> None:
    assert framed(payload) == naively_framed(payload)


@given(st.lists(payloads().map(lambda part: part[: len(part) // 4 * 4]), max_size=3), payloads())
def test_parts_are_framed_as_their_whole(aligned: list[bytes], last: bytes) -> None:
    assert b"".join(frame([*aligned, last])) == framed(b"".join([*aligned, last]))


@given(st.lists(payloads(), min_size=1))
def test_the_next_record_begins_where_one_ends(written: list[bytes]) -> None:
    data = b"".join(map(framed, written))
    offsets = list(scan(data, len(data)))
    ends = [read_frame(data, offset, len(data))[1] for offset in offsets]
    assert ends == [*offsets[1:], len(data)]


@given(st.lists(payloads(), min_size=1), st.data())
def test_a_file_cut_anywhere_gives_its_whole_records_and_an_error(written: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(framed, written))
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    boundaries = [len(b"".join(map(framed, written[:count]))) for count in range(len(written) + 1)]
    found: list[int] = []
    try:
        found.extend(scan(cut, len(cut)))
    except FaultError as error:
        assert error.fault in {Fault.HEADER, Fault.PAYLOAD, Fault.UNFINISHED}  # noqa: PT017 - no error is right at a boundary
        assert len(cut) not in boundaries
    else:
        assert len(cut) in boundaries
    assert found == [place for place in boundaries[:-1] if place < len(cut)][: len(found)]


@given(st.binary())
def test_any_bytes_give_records_or_a_fault(data: bytes) -> None:
    try:
        read_all(data)
    except FaultError as error:
        assert 0 <= error.offset <= len(data)  # noqa: PT017 - sound bytes give none


def test_payloads_with_the_magic_number_are_framed_as_by_mxnet(golden: Path) -> None:
    folder = golden / "recordio"
    given_payloads = [bytes.fromhex(text) for text in json.loads((folder / "raw.payloads_hex.json").read_text())]
    assert b"".join(map(framed, given_payloads)) == (folder / "raw.rec").read_bytes()
    assert read_all((folder / "raw.rec").read_bytes()) == given_payloads


def test_whole_payloads_are_not_copied() -> None:
    data = memoryview(framed(b"abcdefgh"))
    payload, _ = read_frame(data, 0, len(data))
    assert isinstance(payload, memoryview)
    assert payload.obj is data.obj


def test_a_payload_of_2_to_the_29_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LONGEST == 2**29 - 1
    monkeypatch.setattr(_framing, "LONGEST", 8)
    frame([b"12345678"])
    with pytest.raises(RecordError, match="less than 2"):
        frame([b"1234", b"56789"])


MALFORMED = {
    "no magic": (b"abcd" + bytes(4), Fault.MAGIC, 0),
    "no magic after a record": (chunk(0, b"x") + b"abcdefgh", Fault.MAGIC, 12),
    "header cut": (chunk(0, b"abcd") + M, Fault.HEADER, 12),
    "header cut to a byte": (b"\n", Fault.HEADER, 0),
    "payload cut": (chunk(0, b"abcdefgh")[:-1], Fault.PAYLOAD, 0),
    "padding cut": (chunk(0, b"abcde")[:-1], Fault.PAYLOAD, 0),
    "length beyond the file": (M + struct.pack("<I", LONGEST), Fault.PAYLOAD, 0),
    "flag 4": (chunk(4, b"abcd"), Fault.CONTINUATION, 0),
    "flag 7 in a split record": (chunk(1, b"abcd") + chunk(7, b""), Fault.CONTINUATION, 12),
    "begins with a middle part": (chunk(2, b"abcd") + chunk(3, b""), Fault.BEGINNING, 0),
    "begins with a last part": (chunk(3, b"abcd"), Fault.BEGINNING, 0),
    "ends after the first part": (chunk(1, b"abcd"), Fault.UNFINISHED, 12),
    "ends after a middle part": (chunk(1, b"abcd") + chunk(2, b"abcd"), Fault.UNFINISHED, 24),
    "whole record in a split one": (chunk(1, b"abcd") + chunk(0, b"abcd"), Fault.UNFINISHED, 12),
    "first part in a split record": (chunk(1, b"") + chunk(1, b"") + chunk(3, b""), Fault.UNFINISHED, 8),
    "header cut in a split record": (chunk(1, b"abcd") + M, Fault.HEADER, 12),
    "magic lost in a split record": (chunk(1, b"abcd") + bytes(8), Fault.MAGIC, 12),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_frames_are_told_with_their_byte(name: str) -> None:
    data, fault, offset = MALFORMED[name]
    with pytest.raises(FaultError) as caught:
        read_all(data)
    assert (caught.value.fault, caught.value.offset) == (fault, offset)


def test_every_fault_of_a_frame_is_tested() -> None:
    assert {fault for _, fault, _ in MALFORMED.values()} == set(Fault) - {Fault.SHORT, Fault.LABEL}
