"""Whatever happens to a record file, the records that it did not touch are saved."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from birdsod.errors import RecordError
from birdsod.recordio import MAGIC, LeftOut, RecordReader, RecordWriter, repair, verify
from birdsod.recordio._framing import framed
from birdsod.recordio._record import record_head
from birdsod.recordio._walk import Whole, walk
from birdsod.testing import payloads

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC_BYTES = MAGIC.to_bytes(4, "little")
GOLDEN = Path(__file__).parents[1] / "golden"


@dataclasses.dataclass(frozen=True)
class Damaged:
    """A file after damage, and the place in it of each record that was not touched."""

    data: bytes
    untouched: tuple[tuple[int, bytes], ...]


@dataclasses.dataclass(frozen=True)
class Blow:
    """One piece of damage: bytes from start to stop are replaced by others."""

    start: int
    stop: int
    new: bytes


def struck(contents: Sequence[bytes], blows: Sequence[Blow]) -> Damaged:
    """Return the file of some payloads after damage.

    A record is untouched if all its bytes are there, one after the other: bytes added before or after it do not
    touch it.
    """
    frames = [framed(payload) for payload in contents]
    starts = [sum(map(len, frames[:k])) for k in range(len(frames))]
    data = b"".join(frames)
    places: dict[int, int] = dict(enumerate(starts))
    # From the end, so that places before a blow stay what they are.
    for blow in sorted(blows, key=lambda blow: (blow.start, blow.stop), reverse=True):
        shift = len(blow.new) - (blow.stop - blow.start)
        for number, start in list(places.items()):
            begin, end = starts[number], starts[number] + len(frames[number])
            if blow.stop <= begin:
                places[number] = start + shift
            elif blow.start < end:
                del places[number]
        data = data[: blow.start] + blow.new + data[blow.stop :]
    for number, start in places.items():
        assert data[start : start + len(frames[number])] == frames[number]
    return Damaged(data, tuple((start, contents[number]) for number, start in places.items()))


@st.composite
def blows(draw: st.DrawFn, size: int, *, aligned: bool) -> list[Blow]:
    """Draw damage that does not overlap: overwriting, losing and adding bytes, and a cut at the end."""
    bounds = sorted(draw(st.lists(st.integers(0, size), min_size=2, max_size=6)))
    found = []
    for start, stop in zip(bounds[::2], bounds[1::2], strict=False):
        kind = draw(st.sampled_from(["overwrite", "lose", "add", "cut"]))
        if kind == "overwrite":
            new = draw(st.one_of(near_frames(stop - start), st.binary(min_size=stop - start, max_size=stop - start)))
            found.append(Blow(start, stop, new))
        elif kind == "lose":
            found.append(Blow(start, stop - (stop - start) % 4 if aligned else stop, b""))
        elif kind == "add":
            new = draw(st.one_of(st.binary(max_size=20), near_frames(draw(st.integers(0, 24)))))
            found.append(Blow(start, start, new[: len(new) // 4 * 4] if aligned else new))
        else:
            found.append(Blow(stop, size, b""))
            break
    return found


def near_frames(length: int) -> st.SearchStrategy[bytes]:
    """Draw bytes with heads of frames in them."""
    word = st.tuples(st.integers(0, 7), st.integers(0, 90)).map(
        lambda drawn: struct.pack("<I", drawn[0] << 29 | drawn[1])
    )
    piece = st.one_of(st.just(MAGIC_BYTES), word, word.map(MAGIC_BYTES.__add__), st.binary(max_size=5))
    filled = st.lists(piece, max_size=8).map(b"".join)
    return filled.map(lambda data: (data + bytes(length))[:length])


def contents() -> st.SearchStrategy[list[bytes]]:
    """Payloads with the magic number anywhere, a head before some."""
    payload = st.tuples(st.sampled_from([b"", record_head(3, [2, 5]), record_head(MAGIC, 1.0)]), payloads())
    return st.lists(payload.map(b"".join), min_size=1, max_size=6)


def without_magic() -> st.SearchStrategy[list[bytes]]:
    """Payloads that hold the magic number at offsets divisible by four only."""
    word = st.one_of(st.just(MAGIC_BYTES), st.binary(min_size=4, max_size=4).filter(lambda data: 10 not in data))
    tail = st.binary(max_size=3).filter(lambda data: 10 not in data)
    payload = st.tuples(st.lists(word, max_size=12).map(b"".join), tail).map(b"".join)
    return st.lists(payload, min_size=1, max_size=6)


def magics(data: bytes) -> list[int]:
    return [place for place in range(len(data)) if data.startswith(MAGIC_BYTES, place)]


def forged(data: bytes, start: int) -> bool:
    """Tell whether a frame at another alignment covers a place, and ends where one begins or the file ends."""
    for place in magics(data):
        if place < start and (start - place) % 4 and place + 8 <= len(data):
            length = struct.unpack_from("<I", data, place + 4)[0] & (1 << 29) - 1
            end = place + 8 + length + (-length & 3)
            if end > start and (end == len(data) or data.startswith(MAGIC_BYTES, end)):
                return True
    return False


def saved(folder: Path, data: bytes, *, shifted: bool) -> list[bytes]:
    """Return the payloads that a repair keeps, after checking all that it tells."""
    source, target = folder / "a.rec", folder / "b.rec"
    source.write_bytes(data)
    if not any(isinstance(stretch, Whole) for stretch in walk(memoryview(data), shifted=shifted)):
        with pytest.raises(RecordError, match="holds no whole record"):
            repair(source, target, shifted=shifted, overwrite=True)
        return []
    result = repair(source, target, shifted=shifted, overwrite=True)
    assert source.read_bytes() == data
    assert result.kept + sum(row.end - row.start for row in result.left_out) == len(data)
    assert all(first.end <= second.start for first, second in zip(result.left_out, result.left_out[1:], strict=False))
    with RecordReader(target) as reader, RecordReader(target, scan=True) as scanned:
        found = [bytes(reader.payload(position)) for position in range(len(reader))]
        assert len(scanned) == len(reader) == result.records
    assert not [kind for kind in verify(target).counts if kind.name in {"BAD_MAGIC", "BAD_LENGTH", "INDEX_OFFSET"}]
    return found


def survive(untouched: Sequence[tuple[int, bytes]], found: Sequence[bytes]) -> bool:
    """Tell whether all are there, in their order."""
    rest = iter(found)
    return all(any(payload == other for other in rest) for _, payload in untouched)


@given(contents(), st.data())
@settings(max_examples=150, deadline=None)
def test_untouched_records_survive_at_their_alignment(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[bytes], data: st.DataObject
) -> None:
    """Without a shift nothing is assumed: neither of what records hold nor of what the damage made."""
    size = sum(len(framed(payload)) for payload in drawn)
    damaged = struck(drawn, data.draw(blows(size, aligned=True)))
    found = saved(tmp_path_factory.mktemp("aligned"), damaged.data, shifted=False)
    event(f"{len(damaged.untouched)} untouched")
    assert survive(damaged.untouched, found)


@given(without_magic(), st.data())
@settings(max_examples=200, deadline=None)
def test_untouched_records_survive_any_shift(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[bytes], data: st.DataObject
) -> None:
    size = sum(len(framed(payload)) for payload in drawn)
    damaged = struck(drawn, data.draw(blows(size, aligned=False)))
    certain = [(start, payload) for start, payload in damaged.untouched if not forged(damaged.data, start)]
    found = saved(tmp_path_factory.mktemp("shifted"), damaged.data, shifted=True)
    event(f"{len(certain)} certain")
    assert survive(certain, found)


@given(contents(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_an_undamaged_file_is_copied_byte_by_byte(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[bytes], shifted: bool
) -> None:
    folder = tmp_path_factory.mktemp("whole")
    data = b"".join(map(framed, drawn))
    assert saved(folder, data, shifted=shifted) == drawn
    assert (folder / "b.rec").read_bytes() == data


@given(st.binary(max_size=60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_repaired_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, shifted: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    saved(folder, data, shifted=shifted)
    saved(folder, MAGIC_BYTES + data, shifted=shifted)


def big(count: int = 6) -> list[bytes]:
    return [record_head(k, [2, 5]) + b"image %d" % k for k in range(count)]


@pytest.mark.parametrize("lost", range(1, 9))
@pytest.mark.parametrize("at", [3, 20, 31])
def test_bytes_lost_within_a_record_cost_that_record_only(tmp_path: Path, lost: int, at: int) -> None:
    start = 2 * len(framed(big()[0]))
    damaged = struck(big(), [Blow(start + at, start + at + lost, b"")])
    assert saved(tmp_path, damaged.data, shifted=True) == [big()[k] for k in (0, 1, 3, 4, 5)]


def test_gaps_that_follow_each_other_for_one_reason_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(MAGIC_BYTES * 1000 + framed(big()[0]))
    result = repair(tmp_path / "a.rec", tmp_path / "b.rec")
    assert result.left_out == (LeftOut(0, 4000, "the continuation flag is none of 0, 1, 2, 3"),)


def test_without_shifts_an_odd_loss_costs_all_that_follows(tmp_path: Path) -> None:
    damaged = struck(big(), [Blow(10, 11, b"")])
    assert saved(tmp_path, damaged.data, shifted=True) == big()[1:]
    # The first one's frame is as it was, so it is kept, though a byte is missing in it.
    assert saved(tmp_path, damaged.data, shifted=False) == [framed(big()[0])[8:10] + framed(big()[0])[11:]]


@pytest.mark.parametrize("shift", [1, 2, 3, 4, 5])
def test_shifts_to_and_fro(tmp_path: Path, shift: int) -> None:
    size = len(framed(big()[0]))
    damaged = struck(big(), [Blow(size, size, b"\xff" * shift), Blow(3 * size + 9, 3 * size + 9 + shift, b"")])
    assert saved(tmp_path, damaged.data, shifted=True) == [big()[k] for k in (0, 1, 2, 4, 5)]


def test_a_length_that_reaches_over_others_costs_its_record_only(tmp_path: Path) -> None:
    size = len(framed(big()[0]))
    for length in (size, 2 * size - 8, 3 * size, 1 << 28):
        damaged = struck(big(), [Blow(4, 8, struct.pack("<I", length))])
        assert saved(tmp_path, damaged.data, shifted=True) == big()[1:]


def test_a_split_record_without_its_middle_is_left_out(tmp_path: Path) -> None:
    split = record_head(1, [2, 5]) + MAGIC_BYTES + b"part" + MAGIC_BYTES + b"part"
    place = len(framed(split)) - 24
    damaged = struck([split, *big(2)], [Blow(place, place + 4, b"xxxx")])
    assert saved(tmp_path, damaged.data, shifted=True) == big(2)
    result = repair(tmp_path / "a.rec", tmp_path / "c.rec")
    assert result.left_out == (LeftOut(0, len(framed(split)), "a split record has no last part"),)
    assert str(result.left_out[0]) == f"bytes 0 to {len(framed(split))} left out: a split record has no last part"


@example(b"\x00")
@given(st.binary(min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_record_within_a_record_is_not_taken_for_one_while_something_follows(
    tmp_path_factory: pytest.TempPathFactory, before: bytes
) -> None:
    assume(len(before) % 4)
    outer = before + framed(b"inner") + b"\0\0\0"
    drawn = [outer, *big(2)]
    assert saved(tmp_path_factory.mktemp("inner"), b"".join(map(framed, drawn)), shifted=True) == drawn


def test_the_new_index_has_the_ids_as_keys_and_numbers_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(b"X" * 16 + framed(big()[5]) + framed(b"short"))
    repair(tmp_path / "a.rec", tmp_path / "b.rec")
    assert (tmp_path / "b.idx").read_text() == f"5\t0\n1\t{len(framed(big()[5]))}\n"


def test_what_is_told(tmp_path: Path) -> None:
    source, target = tmp_path / "a.rec", tmp_path / "b.rec"
    source.write_bytes(b"X" * 16 + framed(big()[5]))
    result = repair(source, target)
    size = len(framed(big()[5]))
    assert str(result) == f"{target}: 1 records kept, 16 bytes left out in 1 stretches"
    reason = "no record begins here, the magic number is missing"
    assert result.to_json() == {
        "source": str(source),
        "output": str(target),
        "records": 1,
        "kept": size,
        "left_out": [{"start": 0, "end": 16, "reason": reason}],
    }


@pytest.mark.parametrize("name", ["a.rec", "a.idx", "a.bin", "link.rec", "../{folder}/a.rec"])
def test_the_damaged_file_and_its_index_are_never_replaced(tmp_path: Path, name: str) -> None:
    source = tmp_path / "a.rec"
    with RecordWriter(source) as writer:
        writer.write_record(1, [2, 5], b"image")
    (tmp_path / "link.rec").symlink_to(source)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RecordError, match=r"take the place|name of its index"):
        repair(source, tmp_path / name.format(folder=tmp_path.name), overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    source, target = tmp_path / "a.rec", tmp_path / "b.rec"
    source.write_bytes(framed(big()[0]))
    target.write_bytes(b"kept")
    with pytest.raises(RecordError, match="exists already"):
        repair(source, target)
    assert target.read_bytes() == b"kept"
    repair(source, target, overwrite=True)
    assert target.read_bytes() == source.read_bytes()


def test_nothing_appears_if_nothing_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "a.rec"
    source.write_bytes(b"<html>404</html>")
    with pytest.raises(RecordError, match="holds no whole record"):
        repair(source, tmp_path / "b.rec")
    assert [path.name for path in tmp_path.iterdir()] == ["a.rec"]
    with pytest.raises(RecordError, match="missing"):
        repair(tmp_path / "none.rec", tmp_path / "b.rec")


def test_a_file_of_im2rec_with_a_hole(tmp_path: Path) -> None:
    whole = (GOLDEN / "im2rec" / "plain.rec").read_bytes()
    offsets = [int(line.split("\t")[1]) for line in (GOLDEN / "im2rec" / "plain.idx").read_text().splitlines()]
    (tmp_path / "a.rec").write_bytes(whole[: offsets[2] + 50] + whole[offsets[2] + 153 :])
    result = repair(tmp_path / "a.rec", tmp_path / "b.rec")
    assert result.records == len(offsets) - 1
    assert (tmp_path / "b.rec").read_bytes() == whole[: offsets[2]] + whole[offsets[3] :]
    assert [(row.start, row.end) for row in result.left_out] == [(offsets[2], offsets[3] - 103)]
