"""Every way in which a record file can be at fault: planted, and found with its kind and place."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod import image
from birdsod.classes import ClassTable
from birdsod.errors import ListError, RecordError
from birdsod.recordio import (
    MAGIC,
    Finding,
    FindingKind,
    RecordReader,
    RecordWriter,
    Severity,
    Verification,
    pack_list,
    verify,
)
from birdsod.recordio._framing import framed
from birdsod.recordio._manifest import manifest_text
from birdsod.recordio._record import record_head
from birdsod.recordio._walk import walk
from birdsod.testing import image_records, labels, payloads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GOLDEN = Path(__file__).parents[1] / "golden"
MAGIC_BYTES = MAGIC.to_bytes(4, "little")
PHOTO = image.encode(np.arange(40 * 30 * 3, dtype=np.uint8).reshape(30, 40, 3))
DRAWING = image.encode(np.zeros((30, 40, 3), np.uint8), encoding=".png")
LABEL = [2.0, 5.0, 0.0, 0.125, 0.25, 0.5, 0.75]
OTHER = [2.0, 5.0, 1.0, 0.125, 0.25, 0.5, 0.75, 0.0, 0.0, 0.0, 1.0, 1.0]
IDS = (7, 3, 11, 5, 2, 13)


def record(image_id: int, label: Any = LABEL, data: bytes = PHOTO) -> bytes:
    return record_head(image_id, label) + data


def clean() -> list[bytes]:
    """Payloads of six records; the last but one is split in the file."""
    found = [record(image_id, OTHER if k % 2 else LABEL) for k, image_id in enumerate(IDS)]
    found[4] = record_head(IDS[4], LABEL) + (b"\xff\xd8" + MAGIC_BYTES)
    return found


@dataclasses.dataclass
class Set:
    """A record file in memory, and what lies beside it."""

    frames: list[bytes]
    index: bytes | None = None
    lst: bytes | None = None

    @classmethod
    def of(cls, contents: Sequence[bytes]) -> Set:
        made = cls([framed(payload) for payload in contents])
        keys = [struct.unpack_from("<Q", payload.ljust(24, b"\0"), 8)[0] for payload in contents]
        made.index = b"".join(b"%d\t%d\n" % pair for pair in zip(keys, made.offsets, strict=True))
        return made

    @property
    def offsets(self) -> list[int]:
        return np.cumsum([0, *map(len, self.frames[:-1])]).tolist() if self.frames else []

    def write(self, folder: Path) -> Path:
        rec = folder / "birds.rec"
        rec.write_bytes(b"".join(self.frames))
        if self.index is not None:
            rec.with_suffix(".idx").write_bytes(self.index)
        if self.lst is not None:
            rec.with_suffix(".lst").write_bytes(self.lst)
        return rec


def told(result: Verification, *, least: Severity = Severity.WARNING) -> list[tuple[str, int | None, int | None]]:
    """Kind, record or line, and byte of the findings; the notes are left out."""
    shown = {Severity.ERROR, Severity.WARNING} if least is Severity.WARNING else set(Severity)
    return [
        (finding.kind.name, finding.record if finding.line is None else finding.line, finding.offset)
        for finding in result.findings
        if finding.severity in shown
    ]


def edit(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


# Faults of frames: the bytes of frame 2 or the whole file, damaged. Each test says what is told and where.
def word(flag: int, length: int) -> bytes:
    return struct.pack("<I", flag << 29 | length)


SECOND = sum(len(framed(payload)) for payload in clean()[:2])
LENGTH = len(clean()[2])
END = sum(len(framed(payload)) for payload in clean())
FIFTH = sum(len(framed(payload)) for payload in clean()[:5])

FRAME_FAULTS: dict[str, tuple[Callable[[bytes], bytes], list[tuple[str, int | None, int | None]]]] = {
    "magic": (lambda d: edit(d, SECOND, b"XXXX"), [("BAD_MAGIC", 2, SECOND)]),
    "one bit of the magic": (lambda d: edit(d, SECOND, b"\x0b"), [("BAD_MAGIC", 2, SECOND)]),
    "flag": (lambda d: edit(d, SECOND + 4, word(5, LENGTH)), [("BAD_CONTINUATION", 2, SECOND)]),
    "longer": (lambda d: edit(d, SECOND + 4, word(0, LENGTH + 400)), [("BAD_LENGTH", 2, SECOND)]),
    "beyond the file": (lambda d: edit(d, SECOND + 4, word(0, 1 << 28)), [("BAD_LENGTH", 2, SECOND)]),
    "later part": (lambda d: edit(d, SECOND + 4, word(3, LENGTH)), [("LOST_BEGINNING", 2, SECOND)]),
    "middle part": (lambda d: edit(d, SECOND + 4, word(2, LENGTH)), [("LOST_BEGINNING", 2, SECOND)]),
    "first part alone": (lambda d: edit(d, SECOND + 4, word(1, LENGTH)), [("LOST_END", 2, SECOND)]),
    "cut record": (lambda d: d[:-40], [("CUT_RECORD", 5, FIFTH)]),
    "cut header": (lambda d: d + MAGIC_BYTES + b"\1", [("CUT_HEADER", 6, END)]),
    "cut magic": (lambda d: d + MAGIC_BYTES[:2], [("CUT_HEADER", 6, END)]),
    "trailing byte": (lambda d: d + b"\0", [("TRAILING_BYTES", 6, END)]),
    "trailing text": (lambda d: d + b"and so on, and on", [("TRAILING_BYTES", 6, END)]),
    "zeros at the end": (lambda d: d + bytes(4096), [("TRAILING_BYTES", 6, END)]),
    "lost byte": (
        lambda d: d[: SECOND + 200] + d[SECOND + 201 :],
        [("SHIFTED", 2, SECOND), ("MISALIGNED", 2, SECOND + len(framed(clean()[2])) - 1)],
    ),
    "added byte": (
        lambda d: d[:SECOND] + b"\0" + d[SECOND:],
        [("BAD_MAGIC", 2, SECOND), ("MISALIGNED", 2, SECOND + 1)],
    ),
    "added bytes": (
        lambda d: d[:SECOND] + b"no record at all" + d[SECOND:],
        [("BAD_MAGIC", 2, SECOND)],
    ),
    "text in place of a file": (lambda _: b"<html>404</html>", [("BAD_MAGIC", 0, 0)]),
    "empty": (lambda _: b"", [("EMPTY_FILE", None, 0)]),
}


@pytest.mark.parametrize("name", FRAME_FAULTS)
def test_a_fault_of_a_frame_is_found_at_its_byte(tmp_path: Path, name: str) -> None:
    damage, expected = FRAME_FAULTS[name]
    rec = tmp_path / "birds.rec"
    rec.write_bytes(damage(b"".join(map(framed, clean()))))
    result = verify(rec)
    assert told(result) == expected
    assert not result.ok


def test_every_fault_is_found_not_only_the_first(tmp_path: Path) -> None:
    damaged = b"".join(map(framed, clean()))
    offsets = Set.of(clean()).offsets
    damaged = edit(damaged, 0, b"X")
    damaged = edit(damaged, offsets[1] + 4, word(7, 3))
    damaged = edit(damaged, offsets[3] + 4, word(0, 1 << 20))[:-1]
    rec = tmp_path / "birds.rec"
    rec.write_bytes(damaged)
    found = told(verify(rec))
    assert found == [
        ("BAD_MAGIC", 0, 0),
        ("BAD_CONTINUATION", 0, offsets[1]),
        ("BAD_LENGTH", 1, offsets[3]),
        ("CUT_RECORD", 2, offsets[5]),
    ]
    gap = verify(rec).findings[0]
    assert (gap.offset, gap.end) == (0, offsets[1])


def test_bytes_that_fill_up_a_record_are_zero(tmp_path: Path) -> None:
    rec = tmp_path / "birds.rec"
    rec.write_bytes(framed(record(1, data=b"image"))[:-3] + b"\0\1\0")
    result = verify(rec)
    assert told(result) == [("PADDING", 0, 0)]
    assert result.ok


# Faults of the third record's head and label.
LABEL_FAULTS: dict[str, tuple[bytes, str, str | None]] = {
    "short record": (b"x" * 23, "SHORT_RECORD", None),
    "label longer than the record": (struct.pack("<IfQQ", 999, 0, 11, 0) + PHOTO[:40], "LONG_LABEL", None),
    "one number": (record(11, [2.0]), "SHORT_LABEL", "the two widths"),
    "no header": (record(11, [0, 0.1, 0.2, 0.3, 0.4]), "HEADER_WIDTH", "the two widths"),
    "header of half a number": (record(11, [2.5, 5, 0, 0, 0, 1, 1]), "HEADER_WIDTH", None),
    "header beyond the label": (record(11, [8, 5, 0, 0, 0, 1, 1]), "HEADER_WIDTH", None),
    "header nan": (record(11, [np.nan, 5, 0, 0, 0, 1, 1]), "HEADER_WIDTH", None),
    "narrow objects": (record(11, [2, 4, 0, 0.1, 0.2, 0.3]), "OBJECT_WIDTH", None),
    "objects longer than any row": (record(11, [2, 9.25e19]), "OBJECT_WIDTH", None),
    "endless objects": (record(11, [2, np.inf, 0, 0.1, 0.2, 0.3]), "OBJECT_WIDTH", None),
    "a column too few": (record(11, LABEL[:-1]), "LABEL_LENGTH", "columns are missing"),
    "a column too many": (record(11, [*LABEL, 0]), "LABEL_LENGTH", None),
    "other widths": (record(11, [2, 6, *LABEL[2:], 0]), "MIXED_WIDTHS", "joined"),
    "a label for classification": (record(11, 3.0), "MIXED_LABELS", "--pack-label"),
    "nan in a box": (record(11, [2, 5, 0, 0.1, np.nan, 0.3, 0.4]), "NOT_FINITE", "nan"),
    "an infinite class": (record(11, [2, 5, np.inf, 0.1, 0.2, 0.3, 0.4]), "NOT_FINITE", None),
    "half a class": (record(11, [2, 5, 0.5, 0.1, 0.2, 0.3, 0.4]), "CLASS_NOT_WHOLE", "shifted"),
    "class -1": (record(11, [2, 5, -1, 0.1, 0.2, 0.3, 0.4]), "CLASS_NEGATIVE", "background"),
    "class 2 of 2": (record(11, [2, 5, 2, 0.1, 0.2, 0.3, 0.4]), "CLASS_UNKNOWN", "counted from 1"),
    "percent": (record(11, [2, 5, 0, 12.5, 25, 54.1, 75]), "OUTSIDE", "percent, not ratio"),
    "pixels": (record(11, [2, 5, 0, 60, 27, 385, 331]), "OUTSIDE", "pixels, not ratios"),
    "over the edge": (record(11, [2, 5, 0, 0.5, 0.5, 1.01, 1]), "OUTSIDE", "leaves its image"),
    "below zero": (record(11, [2, 5, 0, -0.01, 0.5, 0.75, 1]), "OUTSIDE", "leaves its image"),
    "width in place of xmax": (record(11, [2, 5, 0, 0.6, 0.1, 0.3, 0.4]), "INVERTED_BOX", "width and height"),
    "upside down": (record(11, [2, 5, 0, 0.1, 0.9, 0.3, 0.4]), "INVERTED_BOX", None),
    "no width": (record(11, [2, 5, 0, 0.1, 0.2, 0.1, 0.4]), "EMPTY_BOX", "decimals"),
    "no height": (record(11, [2, 5, 0, 0.1, 0.2, 0.3, 0.2]), "EMPTY_BOX", None),
    "the id of the first": (record(7), "DUPLICATE_ID", "twice"),
}


@pytest.mark.parametrize("name", LABEL_FAULTS)
def test_a_fault_of_a_label_is_found_at_its_record(tmp_path: Path, name: str) -> None:
    payload, kind, cause = LABEL_FAULTS[name]
    rec = Set.of([*clean()[:2], payload, *clean()[3:]]).write(tmp_path)
    result = verify(rec, classes=2)
    assert told(result) == [(kind, 2, SECOND)]
    finding = next(finding for finding in result.findings if finding.record == 2)
    assert (cause or "") in str(finding.cause)
    assert result.ok is (finding.severity is Severity.WARNING)


def test_faults_of_one_label_are_told_apart(tmp_path: Path) -> None:
    label = [2, 5, -1, 0.5, 0.5, 0.4, 0.6, 0.5, 0.1, 0.1, 0.1, 40.0]
    result = verify(Set.of([record(1, label)]).write(tmp_path), classes=3)
    assert {kind for kind, _, _ in told(result)} == {
        "CLASS_NEGATIVE",
        "CLASS_NOT_WHOLE",
        "OUTSIDE",
        "INVERTED_BOX",
        "EMPTY_BOX",
    }
    values = {finding.kind.name: finding.value for finding in result.findings}
    assert values["INVERTED_BOX"] == [0.5, 0.5, 0.4, 0.6]
    assert values["OUTSIDE"] == [0.1, 0.1, 0.1, 40.0]


def test_a_single_number_before_the_first_label_of_objects(tmp_path: Path) -> None:
    rec = Set.of([record(1, 3.0), record(2, 4.0), record(3), record(4, 5.0)]).write(tmp_path)
    found = told(verify(rec))
    assert [(kind, place) for kind, place, _ in found] == [("MIXED_LABELS", 0), ("MIXED_LABELS", 3)]


@pytest.mark.parametrize(
    ("given", "ids", "kind", "value", "place"),
    [
        (None, [0, 2, 5], "CLASS_GAP", [1, 3, 4], 2),
        (None, [1, 2, 3], "CLASS_GAP", [0], 2),
        (None, [0, 2.0**100], "CLASS_GAP", list(range(1, 11)), 1),
        (3, [0, 2], "CLASS_UNUSED", [1], None),
        (ClassTable((4, 8), ("a", "b")), [1], "CLASS_UNUSED", [0], None),
        (1, [0, 3], "CLASS_UNKNOWN", [3.0], 1),
    ],
)
def test_classes_are_counted_from_zero_without_gaps(
    tmp_path: Path, given: Any, ids: list[float], kind: str, value: list[float], place: int | None
) -> None:
    contents = [record(k, [2, 5, class_id, 0.1, 0.2, 0.3, 0.4]) for k, class_id in enumerate(ids)]
    result = verify(Set.of(contents).write(tmp_path), classes=given)
    (finding,) = [finding for finding in result.findings if finding.kind is not FindingKind.NO_CHECKSUM]
    assert (finding.kind.name, finding.value, finding.record) == (kind, value, place)


@pytest.mark.parametrize(("value", "cause"), [(2.0, "--pack-label"), (1.0, "classification")])
def test_a_set_for_classification_is_noted(tmp_path: Path, value: float, cause: str) -> None:
    result = verify(Set.of([record(k, value) for k in range(12)]).write(tmp_path))
    assert result.ok
    (finding,) = [finding for finding in result.findings if finding.kind is FindingKind.SCALAR_LABELS]
    assert finding.record == 0
    assert cause in str(finding.cause)
    assert finding.value == [value] * 10


def test_an_image_with_no_object_is_a_note(tmp_path: Path) -> None:
    result = verify(Set.of([record(1), record(2, [2, 5])]).write(tmp_path))
    assert result.ok
    assert ("NO_OBJECTS", 1, len(framed(record(1)))) in told(result, least=Severity.NOTE)


IMAGE_FAULTS = {
    "no image": (b"", "IMAGE_EMPTY"),
    "a page": (b"<html>404</html>", "IMAGE_UNKNOWN"),
    "a header that breaks off": (PHOTO[:100], "IMAGE_BROKEN"),
    "a header alone": (DRAWING[:40], "IMAGE_BROKEN"),
    "pixels that break off": (PHOTO[:-300], "IMAGE_CUT"),
    "too many pixels": (b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(30), "IMAGE_HUGE"),
}


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("name", IMAGE_FAULTS)
def test_a_fault_of_an_image_is_found_by_looking_deep(tmp_path: Path, name: str, jobs: int) -> None:
    data, kind = IMAGE_FAULTS[name]
    contents = [record(1), record(2, data=DRAWING), record(3, data=data), record(4)]
    rec = Set.of(contents).write(tmp_path)
    assert told(verify(rec)) == []
    assert told(verify(rec, deep=True, jobs=jobs)) == [(kind, 2, len(b"".join(map(framed, contents[:2]))))]


def test_the_order_of_findings_does_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    contents = [record(k, data=PHOTO[: 700 - 9 * k]) if k % 3 else record(k, [1, 2]) for k in range(30)]
    rec = Set.of(contents).write(tmp_path)
    alone = verify(rec, deep=True, jobs=1)
    assert alone == verify(rec, deep=True, jobs=3) == verify(rec, deep=True)
    assert [finding.offset for finding in alone.findings[:-1]] == sorted(
        finding.offset for finding in alone.findings[:-1] if finding.offset is not None
    )


# Faults of the index: what is done to its lines.
def swapped(lines: list[bytes]) -> list[bytes]:
    first, second = (line.split(b"\t") for line in lines[:2])
    return [first[0] + b"\t" + second[1], second[0] + b"\t" + first[1], *lines[2:]]


INDEX_FAULTS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], list[tuple[str, int | None]]]] = {
    "a line lost": (lambda lines: lines[:2] + lines[3:], [("INDEX_MISSING", 2)]),
    "cut short": (lambda lines: lines[:5], [("INDEX_MISSING", 5)]),
    "beyond the file": (lambda lines: [*lines, b"99\t99999999\n"], [("INDEX_BEYOND", 7)]),
    "within a record": (lambda lines: [*lines, b"99\t8\n"], [("INDEX_OFFSET", 7)]),
    "wrong offset": (
        lambda lines: [*lines[:3], lines[3].split(b"\t")[0] + b"\t4\n", *lines[4:]],
        [("INDEX_MISSING", 3), ("INDEX_OFFSET", 4)],
    ),
    "a line twice": (lambda lines: [*lines, lines[5]], [("INDEX_REPEATED", 7)]),
    "another key": (lambda lines: [b"8" + lines[0][1:], *lines[1:]], [("INDEX_KEY", 1)]),
    "the key of an earlier line": (
        lambda lines: [*lines[:5], lines[0].split(b"\t")[0] + b"\t" + lines[5].split(b"\t")[1]],
        [("INDEX_DUPLICATE", 6)],
    ),
    "two offsets exchanged": (swapped, [("INDEX_KEY", 1), ("INDEX_KEY", 2)]),
    "no tab": (
        lambda lines: [*lines[:5], lines[5].replace(b"\t", b" ")],
        [("INDEX_MISSING", 5), ("INDEX_LINE", 6)],
    ),
    "an empty line": (lambda lines: [*lines[:2], b"\n", *lines[2:]], [("INDEX_LINE", 3)]),
    "a negative offset": (lambda lines: [*lines, b"9\t-8\n"], [("INDEX_LINE", 7)]),
    "a key beyond 64 bits": (lambda lines: [*lines, b"%d\t0\n" % 2**64], [("INDEX_LINE", 7)]),
    "no end of line": (lambda lines: [*lines, b"9"], [("INDEX_LINE", 7)]),
    "an endless line": (lambda lines: [*lines, b"9" * 3_000_000 + b"\n"], [("INDEX_LINE", 7)]),
    "of another file": (
        lambda lines: [line[:-1] + b"4\n" for line in lines[:-1]] + lines[-1:],
        [("INDEX_STALE", None)],
    ),
}


@pytest.mark.parametrize("name", INDEX_FAULTS)
def test_a_fault_of_the_index_is_found_at_its_line(tmp_path: Path, name: str) -> None:
    change, expected = INDEX_FAULTS[name]
    made = Set.of(clean())
    assert made.index is not None
    made.index = b"".join(change(made.index.splitlines(keepends=True)))
    result = verify(made.write(tmp_path))
    assert [(kind, place) for kind, place, _ in told(result)] == expected
    assert not result.ok


def test_an_index_in_another_order_is_a_note(tmp_path: Path) -> None:
    made = Set.of(clean())
    assert made.index is not None
    made.index = b"".join(reversed(made.index.splitlines(keepends=True)))
    result = verify(made.write(tmp_path))
    assert result.ok
    assert FindingKind.INDEX_ORDER in result.counts


def test_no_index_is_a_note_but_a_named_one_must_be_there(tmp_path: Path) -> None:
    made = Set.of(clean())
    made.index = None
    rec = made.write(tmp_path)
    assert verify(rec).ok
    assert FindingKind.INDEX_ABSENT in verify(rec).counts
    result = verify(rec, index=tmp_path / "other.idx")
    assert told(result) == [("INDEX_UNREADABLE", None, None)]
    assert result.findings[-1].path == tmp_path / "other.idx"


def test_blanks_after_the_last_line_of_an_index_are_fine(tmp_path: Path) -> None:
    made = Set.of(clean())
    assert made.index is not None
    made.index += b"  "
    assert told(verify(made.write(tmp_path))) == []


def test_carriage_returns_in_an_index_are_fine(tmp_path: Path) -> None:
    made = Set.of(clean())
    assert made.index is not None
    made.index = made.index.replace(b"\n", b"\r\n")
    assert told(verify(made.write(tmp_path))) == []


# Faults against the list.
def list_of(contents: Sequence[bytes]) -> list[bytes]:
    rows = []
    for payload in contents:
        count, _, image_id, _ = struct.unpack_from("<IfQQ", payload)
        cells = np.frombuffer(payload, "<f4", count=count, offset=24)
        rows.append("\t".join([str(image_id), *(f"{cell:.4f}" for cell in cells), f"{image_id}.jpg"]).encode())
    return rows


LIST_FAULTS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], list[tuple[str, int | None]]]] = {
    "an image more": (lambda rows: [*rows, rows[0].replace(b"7\t", b"8\t", 1)], [("LIST_LOST", 7)]),
    "an image fewer": (lambda rows: rows[:3] + rows[4:], [("LIST_EXTRA", 3)]),
    "another label": (lambda rows: [rows[0].replace(b"0.75", b"0.7"), *rows[1:]], [("LIST_LABEL", 1)]),
    "a short row": (lambda rows: [*rows, b"x\ty"], [("LIST_LINE", 7)]),
    "a row that is no row": (lambda rows: [b"x" + rows[0], *rows[1:]], [("LIST_EXTRA", 0), ("LIST_LINE", 1)]),
}


@pytest.mark.parametrize("name", LIST_FAULTS)
def test_a_difference_to_the_list_is_found_at_its_row(tmp_path: Path, name: str) -> None:
    change, expected = LIST_FAULTS[name]
    made = Set.of(clean())
    made.lst = b"\n".join(change(list_of(clean()))) + b"\n"
    assert [(kind, place) for kind, place, _ in told(verify(made.write(tmp_path)))] == expected


def test_a_list_in_another_order_agrees(tmp_path: Path) -> None:
    made = Set.of(clean())
    made.lst = b"\n".join(sorted(list_of(clean())))
    assert told(verify(made.write(tmp_path))) == []


def test_rows_with_the_same_id_stand_for_records_in_turn(tmp_path: Path) -> None:
    contents = [record(1), record(1, OTHER), record(2)]
    made = Set.of(contents)
    made.lst = b"\n".join([list_of(contents)[k] for k in (2, 0, 1)] + list_of(contents)[:1])
    found = told(verify(made.write(tmp_path)))
    assert [(kind, place) for kind, place, _ in found] == [("DUPLICATE_ID", 1), ("LIST_LOST", 4)]


def test_records_packed_without_their_labels_are_told_by_the_list(tmp_path: Path) -> None:
    contents = [record(image_id, 2.0) for image_id in IDS]
    made = Set.of(contents)
    made.lst = b"\n".join(list_of([record(image_id) for image_id in IDS]))
    assert [kind for kind, _, _ in told(verify(made.write(tmp_path)))] == ["UNPACKED_LABELS"]


def test_a_list_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise ListError("the list cannot be read", path=path, cause="Input/output error")

    monkeypatch.setattr("birdsod.lstwriter.rows", refuse)
    made = Set.of(clean())
    made.lst = b""
    result = verify(made.write(tmp_path))
    assert [kind for kind, _, _ in told(result)] == ["LIST_LINE"]
    assert result.findings[-1].cause == "Input/output error"


# Faults against packed.json.
@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A folder that pack might have made: two images of two classes."""
    rows = []
    for image_id in (1, 2, 3):
        pixels = np.full((30, 40, 3), 40 * image_id, np.uint8)
        (tmp_path / f"{image_id}.png").write_bytes(image.encode(pixels, encoding=".png"))
        rows.append(f"{image_id}\t2\t5\t{image_id % 2}\t0.1\t0.2\t0.5\t0.6\t{image_id}.png\n")
    (tmp_path / "birds.lst").write_text("".join(rows))
    channel = pack_list(tmp_path / "birds.lst", root=tmp_path, resize=20)
    table = ClassTable((4, 8), ("finch", "wren"))
    (tmp_path / "packed.json").write_text(manifest_text({"birds": channel}, table))
    return tmp_path / "birds.rec"


def changed_manifest(rec: Path, **changes: Any) -> None:
    path = rec.parent / "packed.json"
    content = json.loads(path.read_text())
    content["channels"]["birds"].update(changes)
    path.write_text(json.dumps(content))


def test_what_was_packed_is_clean(packed: Path) -> None:
    result = verify(packed, deep=True)
    assert result.ok
    assert result.findings == ()
    assert (result.records, result.counts) == (3, {})


def test_a_changed_byte_is_seen_by_its_hash(packed: Path) -> None:
    data = packed.read_bytes()
    packed.write_bytes(edit(data, 200, bytes([data[200] ^ 1])))
    assert told(verify(packed)) == [("MANIFEST_HASH", None, None)]


def test_a_changed_size(packed: Path) -> None:
    packed.write_bytes(packed.read_bytes() + framed(record(9)))
    kinds = {kind for kind, _, _ in told(verify(packed))}
    assert {"MANIFEST_SIZE", "MANIFEST_COUNT"} <= kinds
    assert "MANIFEST_HASH" not in kinds


def test_a_changed_index_and_a_changed_list(packed: Path) -> None:
    for ending in (".idx", ".lst"):
        path = packed.with_suffix(ending)
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert [kind for kind, _, _ in told(verify(packed))] == ["MANIFEST_INDEX", "MANIFEST_LIST"]


@pytest.mark.parametrize("name", ["records", "objects", "most_objects", "longest_label"])
def test_a_changed_count(packed: Path, name: str) -> None:
    changed_manifest(packed, **{name: 5}, **({"listed": 5} if name == "records" else {}))
    result = verify(packed)
    assert [kind for kind, _, _ in told(result)] == ["MANIFEST_COUNT"]
    assert name in str(result.findings[-1].value)


def test_images_of_another_size_or_encoding(packed: Path) -> None:
    options = {"resize": 21, "quality": 95, "encoding": ".png", "center_crop": False, "pass_through": False, "color": 1}
    changed_manifest(packed, options=options)
    result = verify(packed, deep=True)
    assert [(kind, place) for kind, place, _ in told(result)] == [
        ("IMAGE_SIZE", 0),
        ("IMAGE_ENCODING", 0),
        ("IMAGE_SIZE", 1),
        ("IMAGE_ENCODING", 1),
        ("IMAGE_SIZE", 2),
        ("IMAGE_ENCODING", 2),
    ]
    changed_manifest(packed, options={**options, "resize": None, "pass_through": True})
    assert told(verify(packed, deep=True)) == []


def test_classes_beyond_the_table_of_the_manifest(packed: Path) -> None:
    path = packed.parent / "packed.json"
    content = json.loads(path.read_text())
    content["classes"].pop()
    path.write_text(json.dumps(content))
    assert [(kind, place) for kind, place, _ in told(verify(packed))] == [("CLASS_UNKNOWN", 0), ("CLASS_UNKNOWN", 2)]
    assert verify(packed, classes=2).ok


def test_refused_images_may_be_missing_and_cropped_labels_differ(packed: Path) -> None:
    rows = packed.with_suffix(".lst").read_text().replace("0.5", "0.4") + "9\t2\t5\t0\t0.1\t0.2\t0.5\t0.6\t9.png\n"
    packed.with_suffix(".lst").write_text(rows)
    assert {kind for kind, _, _ in told(verify(packed))} == {"LIST_LABEL", "LIST_LOST", "MANIFEST_LIST"}
    refused = [{"image_id": 9, "name": "9.png", "reason": "missing"}]
    changed_manifest(packed, refused=refused, listed=4, options={"center_crop": True})
    assert [kind for kind, _, _ in told(verify(packed))] == ["MANIFEST_LIST"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "channels": {}, "classes": []}', "[" * 100_000, "\xff"],
)
def test_a_manifest_that_is_none(packed: Path, text: str) -> None:
    (packed.parent / "packed.json").write_bytes(text.encode("latin-1"))
    result = verify(packed)
    assert [kind for kind, _, _ in told(result)] == ["MANIFEST_BROKEN"]
    assert result.findings[-1].path.name == "packed.json"
    assert result.findings[-1].cause


@pytest.mark.parametrize(
    "changes", [{"bytes": float("inf")}, {"options": None}, {"refused": [{}]}, {"clipped": 3}, {"records": 77}]
)
def test_a_manifest_with_a_malformed_channel(packed: Path, changes: dict[str, Any]) -> None:
    changed_manifest(packed, **changes)
    assert [kind for kind, _, _ in told(verify(packed))] == ["MANIFEST_BROKEN"]


def test_a_manifest_of_other_files_vouches_for_nothing(packed: Path) -> None:
    other = packed.with_name("others.rec")
    other.write_bytes(packed.read_bytes())
    assert FindingKind.NO_CHECKSUM in verify(other).counts


# What holds of any file.
@pytest.mark.parametrize("name", ["plain", "det6", "cls_pack"])
def test_files_of_im2rec_are_clean(name: str) -> None:
    result = verify(GOLDEN / "im2rec" / f"{name}.rec", deep=True)
    assert result.ok
    with RecordReader(result.path) as reader:
        assert result.records == len(reader)


@given(st.lists(image_records(), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_records_are_framed_without_a_finding(tmp_path_factory: pytest.TempPathFactory, records: list[Any]) -> None:
    rec = tmp_path_factory.mktemp("drawn") / "a.rec"
    with RecordWriter(rec) as writer:
        for position in records:
            writer.write_record(position.header.id, position.label, position.image, id2=position.header.id2)
    result = verify(rec)
    frames = list(FindingKind)[1:14]
    assert not set(frames) & set(result.counts)
    assert not [kind for kind in result.counts if kind.name.startswith("INDEX")]
    assert result.records == len(records)


def detection_sets() -> st.SearchStrategy[list[tuple[list[float], bytes]]]:
    """Labels as anyone would write them, and the bytes of any image."""
    side = st.tuples(st.integers(0, 99), st.integers(1, 100)).map(sorted).filter(lambda pair: pair[0] < pair[1])
    thing = st.tuples(st.integers(0, 2), side, side).map(
        lambda drawn: [drawn[0], *(axis[end] / 100 for end in (0, 1) for axis in drawn[1:])]
    )
    label = st.lists(thing, max_size=4).map(lambda things: [2.0, 5.0, *(number for row in things for number in row)])
    return st.lists(st.tuples(label, payloads()), min_size=1, max_size=6)


@given(detection_sets())
@settings(max_examples=60, deadline=None)
def test_a_clean_file_has_no_error_and_no_false_alarm(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[list[float], bytes]]
) -> None:
    rec = tmp_path_factory.mktemp("drawn") / "a.rec"
    with RecordWriter(rec) as writer:
        for image_id, (label, data) in enumerate(drawn):
            writer.write_record(image_id, label, data)
    result = verify(rec, classes=3)
    assert result.ok
    assert told(result) == []


@given(st.lists(labels(), max_size=3), st.binary(max_size=300), st.booleans())
@settings(max_examples=60, deadline=None)
def test_nothing_is_changed(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Any], more: bytes, deep: bool
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    made = Set.of([record(k, label) for k, label in enumerate(drawn)])
    made.frames.append(more)
    made.lst = b"0\t1\ta.jpg\n"
    rec = made.write(folder)
    (folder / "packed.json").write_text("{}")
    for path in folder.iterdir():
        os.utime(path, ns=(1, 1))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    verify(rec, deep=deep, jobs=2)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def pieces() -> st.SearchStrategy[bytes]:
    """Bytes that come close to a record file."""
    piece = st.one_of(
        st.just(MAGIC_BYTES),
        st.integers(0, 40).map(lambda length: MAGIC_BYTES + struct.pack("<I", length)),
        st.tuples(st.integers(0, 7), st.integers(0, 60)).map(lambda drawn: MAGIC_BYTES + word(*drawn)),
        st.sampled_from([framed(payload) for payload in clean()[:2]]),
        labels().map(lambda label: framed(record(3, label, b"image"))),
        st.binary(max_size=30),
    )
    return st.lists(piece, max_size=12).map(b"".join)


def index_texts() -> st.SearchStrategy[bytes]:
    number = st.one_of(st.integers(0, 400), st.integers(0, 2**70)).map(lambda value: b"%d" % value)
    line = st.one_of(st.tuples(number, number).map(b"\t".join), st.binary(max_size=20))
    return st.lists(line, max_size=8).map(b"\n".join)


def manifests() -> st.SearchStrategy[bytes]:
    leaf = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=4))
    names = ["listed", "records", "objects", "most_objects", "longest_label", "bytes", "sha256"]
    channel: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
        {
            **dict.fromkeys((*names, "idx_sha256", "lst_sha256"), leaf),
            "options": st.one_of(leaf, st.just({}), st.fixed_dictionaries({"resize": leaf})),
            **{name: st.one_of(leaf, st.just([])) for name in ("clipped", "dropped", "refused")},
        }
    )
    content = st.fixed_dictionaries(
        {
            "schema": st.just(1),
            "channels": st.fixed_dictionaries({"a": st.one_of(leaf, channel)}),
            "classes": st.one_of(leaf, st.just([]), st.lists(st.one_of(leaf, st.just({"class_id": 0})), max_size=2)),
        }
    )
    return st.one_of(st.binary(max_size=20), content.map(lambda value: json.dumps(value).encode()))


@given(pieces(), st.none() | index_texts(), st.none() | st.binary(max_size=60), st.none() | manifests(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_a_verification(
    tmp_path_factory: pytest.TempPathFactory,
    rec_bytes: bytes,
    index: bytes | None,
    lst: bytes | None,
    manifest: bytes | None,
    deep: bool,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    files = {"a.rec": rec_bytes, "a.idx": index, "a.lst": lst, "packed.json": manifest}
    for name, data in files.items():
        if data is not None:
            (folder / name).write_bytes(data)
    result = verify(folder / "a.rec", deep=deep, jobs=1)
    assert isinstance(result, Verification)
    assert result.ok is not any(finding.severity is Severity.ERROR for finding in result.findings)
    json.dumps(result.to_json(), allow_nan=False)
    assert all(str(finding).startswith(str(folder)) for finding in result.findings)
    gaps = [(finding.offset, finding.end) for finding in result.findings if finding.end is not None]
    assert all(start < end for start, end in gaps if start is not None)


def test_the_findings_kept_of_a_kind_are_bounded_and_all_are_counted(tmp_path: Path) -> None:
    rec = Set.of([record(k, [2, 5]) for k in range(20)]).write(tmp_path)
    few, all_of_them = verify(rec, most=3), verify(rec, most=None)
    assert few.counts == all_of_them.counts == {FindingKind.NO_OBJECTS: 20, FindingKind.NO_CHECKSUM: 1}
    assert (len(few.findings), len(all_of_them.findings)) == (4, 21)
    assert [finding.record for finding in few.findings[:3]] == [0, 1, 2]


def heads(kind: str, count: int) -> bytes:
    """Bytes that a walk could look at again and again."""
    pattern: Callable[[int], bytes] = {
        # Each head claims all that follows, at every alignment.
        "greedy": lambda k: MAGIC_BYTES + word(0, 13 * (count - k)) + b"x" * 5,
        "first parts": lambda k: MAGIC_BYTES + word(1, 5 + 13 * (k % 7)) + b"x" * 5,
        "middle parts": lambda k: MAGIC_BYTES + word(2 if k else 1, 0),
        "magic only": lambda _: MAGIC_BYTES,
        "magic and a byte": lambda _: MAGIC_BYTES + b"\0",
        "small records that overlap": lambda k: MAGIC_BYTES + word(0, 9 + k % 5) + b"x" * (k % 4),
    }[kind]
    return b"".join(pattern(k) for k in range(count))


@pytest.mark.parametrize(
    "kind",
    ["greedy", "first parts", "middle parts", "magic only", "magic and a byte", "small records that overlap"],
)
def test_each_byte_is_looked_at_a_bounded_number_of_times(kind: str) -> None:
    looks = []
    for count in (500, 2000):
        data = memoryview(heads(kind, count))
        calls = 0

        def counting(frame: Any, what: str, _: Any) -> None:
            nonlocal calls
            calls += what == "call" and frame.f_code.co_filename.endswith("_walk.py")

        sys.setprofile(counting)
        try:
            stretches = list(walk(data))
        finally:
            sys.setprofile(None)
        assert sum(stretch.end - stretch.start for stretch in stretches) == len(data)
        looks.append(calls)
    assert looks[1] < 6 * looks[0]


def test_damage_across_blocks_is_found(tmp_path: Path) -> None:
    # Magic numbers that lie across the bounds of the blocks in which they are searched.
    size = (1 << 20) - 8 - 2
    payload = record(1, data=bytes(size - 24 - 28 - 2))
    contents = [payload, record(2), *[record(k, data=bytes(1 << 19)) for k in range(3, 24)]]
    data = edit(b"".join(map(framed, contents)), 4, word(0, 1 << 25))
    rec = tmp_path / "a.rec"
    rec.write_bytes(data)
    result = verify(rec)
    assert told(result) == [("BAD_LENGTH", 0, 0)]
    assert result.records == len(contents) - 1


def test_what_cannot_be_checked_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="missing"):
        verify(tmp_path / "none.rec")
    with pytest.raises(RecordError, match=r"there is no packed\.json or shards\.json"):
        verify(tmp_path)
    rec = Set.of(clean()).write(tmp_path)
    with pytest.raises(RecordError, match="jobs is not positive"):
        verify(rec, jobs=0)


def test_a_file_that_is_its_own_list_is_not_compared_with_itself(tmp_path: Path) -> None:
    path = tmp_path / "birds.lst"
    path.write_bytes(framed(record(1)))
    assert told(verify(path)) == []


def test_findings_as_text_and_as_json(tmp_path: Path) -> None:
    rec = Set.of([record(1, [2, 5, 0, 0.1, np.nan, 0.3, 0.4])]).write(tmp_path)
    result = verify(rec)
    finding = result.findings[0]
    assert str(finding) == (
        f"{rec}, record 0, byte 0: error: not-finite: a class or coordinate is not a finite number "
        "(got [0.0, 0.1, nan, 0.3, 0.4]). Likely cause: a cell 'nan' or 'inf'. Cure: pack it again."
    )
    assert finding.to_json() == {
        "kind": "not-finite",
        "severity": "error",
        "path": str(rec),
        "record": 0,
        "line": None,
        "offset": 0,
        "end": None,
        "value": [0.0, 0.1, "nan", 0.3, 0.4],
        "message": "a class or coordinate is not a finite number",
        "cause": "a cell 'nan' or 'inf'",
        "cure": "pack it again",
    }
    assert str(result) == f"{rec}: 1 records, 1 errors, 0 warnings, 1 notes; images not looked at"
    assert result.to_json()["counts"] == {"not-finite": 1, "no-checksum": 1}
    assert json.loads(json.dumps(result.to_json())) == result.to_json()


def test_a_finding_without_a_place() -> None:
    finding = Finding(kind=FindingKind.NO_OBJECTS, path=Path("a.rec"), offset=4, end=8)
    assert str(finding) == "a.rec, byte 4, up to 8: note: no-objects: the image has no object."


def _sources() -> str:
    """The tests of single files, and of all files of a manifest."""
    here = Path(__file__)
    return here.read_text(encoding="utf-8") + here.with_name("test_verify_shards.py").read_text(encoding="utf-8")


def test_every_kind_is_planted_by_a_test() -> None:
    source = _sources()
    missing = [kind.name for kind in FindingKind if kind.name not in source]
    assert missing == []
    assert len(FindingKind) >= 30


def test_the_manual_lists_every_finding_with_a_test_that_there_is() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "recordio.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in manual.splitlines() if "| `test_" in line]
    listed = {row[0]: row for row in rows}
    sources = _sources()
    for kind in FindingKind:
        name = kind.name.lower().replace("_", "-")
        assert listed[name][1:3] == [kind.value.severity.value, kind.value.message]
        assert f"def {listed[name][3]}(" in sources
