"""The lines of an ``.idx``: read a block at a time, and one by one where they are not written as always."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import RecordError
from birdsod.recordio import _index
from birdsod.testing import image_ids

SIZE = 1 << 40
PLACES = st.integers(0, (SIZE - 8) // 4).map(lambda place: 4 * place)
PAIRS = st.lists(st.tuples(image_ids(), PLACES), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n"])
BLOCKS = st.integers(0, 80)


def lines(pairs: list[tuple[int, int]], ends: str) -> bytes:
    return "".join(f"{key}\t{place}{ends}" for key, place in pairs).encode()


@given(PAIRS, ENDS, st.sampled_from(["", " ", "\t "]), BLOCKS)
def test_what_is_written_is_read(pairs: list[tuple[int, int]], ends: str, blanks: str, block: int) -> None:
    with patch.object(_index, "_BLOCK", block):
        found = _index.parse_index(lines(pairs, ends) + blanks.encode(), "birds.idx", size=SIZE)
    assert list(zip(found.keys.tolist(), found.offsets.tolist(), strict=True)) == pairs
    assert not found.keys.flags.writeable


def test_the_last_line_needs_no_end() -> None:
    assert _index.parse_index(b"1\t0\n2\t8", "birds.idx", size=100).offsets.tolist() == [0, 8]


@given(
    PAIRS, PAIRS, ENDS, BLOCKS, st.sampled_from(["", "1 0", "1\t2", f"1\t{SIZE}", f"{1 << 64}\t0", "-1\t0", "1\t0\t0"])
)
def test_a_wrong_line_is_named(
    before: list[tuple[int, int]], after: list[tuple[int, int]], ends: str, block: int, wrong: str
) -> None:
    data = lines(before, ends) + f"{wrong}{ends}".encode() + lines(after, ends)
    with patch.object(_index, "_BLOCK", block), pytest.raises(RecordError) as caught:
        _index.parse_index(data, "birds.idx", size=SIZE)
    assert caught.value.line == len(before) + 1
