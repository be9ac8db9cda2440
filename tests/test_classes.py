from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod import ClassTable
from birdsod.errors import DatasetError

BIRDS = ClassTable((17, 36, 47), ("017.Cardinal", "036.Northern_Flicker", "047.American_Goldfinch"))


@st.composite
def class_tables(draw: st.DrawFn) -> ClassTable:
    ids = draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=20, unique=True))
    names = draw(st.lists(st.text(min_size=1, max_size=20), min_size=len(ids), max_size=len(ids), unique=True))
    return ClassTable(tuple(ids), tuple(names))


@given(class_tables())
def test_json_there_and_back(table: ClassTable) -> None:
    assert ClassTable.from_json(list(reversed(table.to_json()))) == table


@given(class_tables(), st.data())
def test_a_subset_keeps_the_order_and_the_pairs(table: ClassTable, data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(table.source_ids), unique=True))
    part = table.subset(wanted)
    assert set(part.source_ids) == set(wanted)
    positions = [table.find(source_id) for source_id in part.source_ids]
    assert positions == sorted(positions)
    assert [table.names[k] for k in positions] == list(part.names)


@given(class_tables())
def test_find_by_id_and_by_name_agree(table: ClassTable) -> None:
    for position, (source_id, name) in enumerate(zip(table.source_ids, table.names, strict=True)):
        assert table.find(source_id) == table.find(name) == position


def test_an_unknown_name_is_told_with_close_ones() -> None:
    with pytest.raises(DatasetError, match=r"got '017.Cardinale'.*017\.Cardinal"):
        BIRDS.find("017.Cardinale")


def test_an_unknown_id_is_told_with_some_that_exist() -> None:
    with pytest.raises(DatasetError, match=r"got 18.*17 017\.Cardinal"):
        BIRDS.find(18)


@pytest.mark.parametrize(
    ("ids", "names", "what"),
    [((1,), ("a", "b"), "1 class ids but 2"), ((1, 1), ("a", "b"), "id occurs twice"), ((1, 2), ("a", "a"), "name")],
)
def test_a_table_that_contradicts_itself_is_refused(ids: tuple[int, ...], names: tuple[str, ...], what: str) -> None:
    with pytest.raises(DatasetError, match=what):
        ClassTable(ids, names)


@pytest.mark.parametrize(
    "rows",
    [
        [{"class_id": 0, "source_id": 1}],
        [{"class_id": "x", "source_id": 1, "name": "a"}],
        [{"class_id": 1, "source_id": 1, "name": "a"}],
    ],
)
def test_malformed_json_is_refused(rows: list[dict[str, object]]) -> None:
    with pytest.raises(DatasetError):
        ClassTable.from_json(rows)


def test_the_frame_has_a_row_a_class() -> None:
    frame = BIRDS.to_frame()
    assert list(frame.columns) == ["class_id", "source_id", "name"]
    assert list(frame["source_id"]) == [17, 36, 47]
    assert list(BIRDS) == list(frame["name"])
