"""Whatever lies where a journal should be, packing goes on or says in its own words why not."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdsod.errors import BirdsodError, RecordError
from birdsod.recordio import _image_work, _shelf
from birdsod.recordio._journal import JOURNAL, Journal, entries
from birdsod.recordio._leftovers import hidden_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.recordio import stopping
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import stopping

SHARDS = 3
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(["", "..", "a/b", "\0"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=6,
)
ANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


class Left(NamedTuple):
    """What a stopped run left, the entries of its journal, and the files that packing would have made."""

    photos: Path
    folder: Path
    entries: list[dict[str, Any]]
    whole: dict[str, bytes]


class Stopped(BaseException):
    """As if the process had ended there, but this one goes on."""


def visible(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """A run that was stopped in its second channel, with marks of whole and of half-filled files."""
    photos, whole, folder = (tmp_path_factory.mktemp(name) for name in ("photos", "whole", "left"))
    stopping.draw_photos(photos)
    encoded, done = _image_work._encoded, []

    def stopping_one(*given: Any) -> Any:
        done.append(given)
        if len(done) == 27:
            raise Stopped
        return encoded(*given)

    def at_once(journal: Journal, flush: Any, entry: Any) -> None:
        flush()
        journal.add(entry)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        stopping.pack(photos, whole, shards=SHARDS)
        patched.setattr(_shelf, "_ROWS_A_MARK", 2)
        patched.setattr(Journal, "later", at_once)
        with patched.context() as stopped:
            stopped.setattr(_image_work, "_encoded", stopping_one)
            with pytest.raises(Stopped):
                stopping.pack(photos, folder, shards=SHARDS, resume=True)
        (hidden,) = hidden_folders(folder)
        yield Left(photos, folder, [entry for entry, _ in entries(hidden / JOURNAL)], visible(whole))


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory, left: Left) -> Path:
    """A place for copies of what was left."""
    del left
    return tmp_path_factory.mktemp("fresh")


def lines(content: list[Any]) -> bytes:
    texts = [json.dumps(entry).encode() for entry in content]
    return b"".join(b"%08x %s\n" % (zlib.crc32(text), text) for text in texts)


def hold(left: Left, fresh: Path, journal: bytes, *, resume: bool) -> bool:
    """Pack over a journal and hold packing to the law; return whether it packed."""
    folder = fresh / "out"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(left.folder, folder)
    (hidden,) = hidden_folders(folder)
    (hidden / JOURNAL).write_bytes(journal)
    try:
        stopping.pack(left.photos, folder, shards=SHARDS, resume=resume)
    except BirdsodError:
        assert visible(folder) == {}
        return False
    assert {name: data for name, data in visible(folder).items() if name != "shards.json"} == {
        name: data for name, data in left.whole.items() if name != "shards.json"
    }
    json.loads((folder / "shards.json").read_text())
    return True


def test_the_journal_as_it_was_left_is_taken_up(left: Left, fresh: Path) -> None:
    assert hold(left, fresh, lines(left.entries), resume=True)
    assert visible(fresh / "out") == left.whole
    assert sum("mark" in entry for entry in left.entries) > SHARDS + 2


@given(journal=st.binary(max_size=99) | st.lists(JSON, max_size=4).map(lines), resume=st.booleans())
@ANY
def test_any_bytes_and_any_lines(left: Left, fresh: Path, journal: bytes, *, resume: bool) -> None:
    assert hold(left, fresh, journal, resume=resume)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each part of some JSON."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    changed = value.copy()
    changed[path[0]] = replaced(value[path[0]], path[1:], by)
    return changed


@given(data=st.data(), by=JSON, resume=st.booleans())
@ANY
def test_any_part_replaced_by_anything(left: Left, fresh: Path, data: st.DataObject, by: Any, *, resume: bool) -> None:
    path = data.draw(st.sampled_from(list(places(left.entries))[1:]))
    hold(left, fresh, lines(replaced(left.entries, path, by)), resume=resume)


def mark(left: Left, number: int = 1) -> tuple[Any, ...]:
    return ([place for place, entry in enumerate(left.entries) if "mark" in entry][number], "mark")


NOTE = {"image_id": 1000, "name": "a", "reason": "b"}


@pytest.mark.parametrize(
    ("path", "by"),
    [
        (("tally", "clipped"), ["abc"]),
        (("tally", "clipped", 0, "before"), [0, "1", 2, 3]),
        (("tally", "refused"), [NOTE | {"image_id": 1 << 70}]),
        (("tally", "refused"), [NOTE | {"reason": ["x"]}]),
        (("tally", "records"), -1),
        (("tally", "records"), 99),
        (("row",), 99),
        (("row",), True),
        (("begin",), 1),
        (("index",), 7),
        (("is_whole",), True),
        (("channel",), "validation"),
        (("channel",), "../../train"),
        (("channel",), ["train"]),
        (("bytes",), 1 << 70),
    ],
    ids=str,
)
def test_a_mark_that_no_run_makes_is_not_trusted(left: Left, fresh: Path, path: tuple[Any, ...], by: object) -> None:
    changed = replaced(left.entries, (*mark(left), *path), by)
    assert hold(left, fresh, lines(changed), resume=True)
    assert visible(fresh / "out") == left.whole


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "purpose",
    [{"channels": [["train"]]}, {"channels": 3}, {"channels": ["train"], "count": True}, "train", []],
    ids=str,
)
def test_a_purpose_that_is_none_belongs_to_someone_else(left: Left, fresh: Path, purpose: Any, *, resume: bool) -> None:
    head = left.entries[0]
    given_purpose = head["purpose"] | purpose if isinstance(purpose, dict) else purpose
    assert hold(left, fresh, lines([head | {"purpose": given_purpose}, *left.entries[1:]]), resume=resume)
    assert len(hidden_folders(fresh / "out")) == 1


@pytest.mark.parametrize(
    ("part", "by", "told"),
    [
        ("options", None, "another resize"),
        ("options", [], "another resize"),
        ("options", {"resize": {"a": 1}}, "another resize"),
        ("lists", 3, "other images or boxes"),
        ("lists", {"train": []}, "other images or boxes"),
        ("schema", [[]], "in another way"),
    ],
    ids=str,
)
def test_a_head_that_says_something_else_is_refused(left: Left, fresh: Path, part: str, by: object, told: str) -> None:
    folder = fresh / "out"
    shutil.copytree(left.folder, folder)
    (hidden,) = hidden_folders(folder)
    (hidden / JOURNAL).write_bytes(lines([left.entries[0] | {part: by}]))
    with pytest.raises(RecordError, match=told):
        stopping.pack(left.photos, folder, shards=SHARDS, resume=True)


@pytest.mark.parametrize(
    "published",
    [[], 3, {"train.lst": []}, {"train.lst": [1, 2]}, {"train.lst": ["a"]}, {"x": ["../a", ""]}, {"x": ["a", {}]}],
    ids=str,
)
@pytest.mark.parametrize("resume", [True, False])
def test_names_that_were_never_given_are_not_taken_back(
    left: Left, fresh: Path, published: Any, *, resume: bool
) -> None:
    journal = lines([*left.entries, {"publishing": published}])
    folder = fresh / "out"
    shutil.copytree(left.folder, folder)
    (hidden,) = hidden_folders(folder)
    (hidden / JOURNAL).write_bytes(journal)
    (hidden / "aside").mkdir()
    stopping.pack(left.photos, folder, shards=SHARDS, resume=resume)
    assert visible(folder) == left.whole


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_place_of_a_journal_is_not_waited_for(left: Left, fresh: Path) -> None:
    folder = fresh / "out"
    shutil.copytree(left.folder, folder)
    (hidden,) = hidden_folders(folder)
    (hidden / JOURNAL).unlink()
    os.mkfifo(hidden / JOURNAL)
    stopping.pack(left.photos, folder, shards=SHARDS, resume=True)
    assert visible(folder) == left.whole
