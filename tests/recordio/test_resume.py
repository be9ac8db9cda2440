"""Packing that is stopped, anywhere, and goes on: the bytes are those of one that never was."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import birdsod as bd
from birdsod.errors import ImageError, RecordError
from birdsod.recordio import PackOptions, RecordWriter, _image_work, _shelf
from birdsod.recordio._journal import Journal, entries
from birdsod.recordio._staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.recordio import stopping
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import stopping

WAYS: dict[str, dict[str, Any]] = {
    "one job": {},
    "two jobs": {"jobs": 2},
    "shards": {"shards": 3},
    "shards of a size": {"shards": "1kB", "jobs": 2},
    "of an array": {"shard": (1, 3)},
    "over others": {"overwrite": True},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    stopping.draw_photos(folder)
    return folder


@pytest.fixture(scope="module")
def unbroken(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of a run that was never stopped, by the way of packing."""
    found = {}
    for way, how in WAYS.items():
        folder = tmp_path_factory.mktemp("unbroken")
        stopping.pack(photos, folder, **how)
        found[way] = files(folder)
    return found


def uncovered() -> dict[str, str]:
    """An environment without coverage, of which a process that is killed or may not write leaves a broken file."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in folder.iterdir()}


@pytest.fixture(scope="module")
def kill(photos: Path) -> Iterator[Callable[..., int]]:
    """Pack in a process that kills itself when so much was written; return how it ended."""
    command = [sys.executable, str(Path(stopping.__file__))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=uncovered()) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        orders, answers = server.stdin, server.stdout

        def run(folder: Path, left: int, rows: int, how: dict[str, Any]) -> int:
            order = {"photos": str(photos), "folder": str(folder), "left": left, "rows": rows, "how": how}
            orders.write(json.dumps(order | {"spent": str(folder) + ".spent"}) + "\n")
            orders.flush()
            return int(answers.readline())

        yield run


def kill_and_resume(
    tmp_path: Path, photos: Path, unbroken: dict[str, dict[str, bytes]], kill: Callable[..., int], wanted: int
) -> None:
    draw = random.Random(wanted)
    costs = {}
    for way, how in WAYS.items():
        assert kill(tmp_path / way, 1 << 40, 3, how) == 0
        costs[way] = int((tmp_path / f"{way}.spent").read_text())
        assert files(tmp_path / way) == unbroken[way]
    kills = trials = 0
    while kills < wanted:
        way = draw.choice(list(WAYS))
        folder = tmp_path / str(trials)
        trials += 1
        before = {}
        if way == "over others":
            stopping.pack(photos, folder, pass_through=False, quality=3, encoding=".png")
            before = files(folder)
        for _ in range(draw.randint(1, 3)):
            ended = kill(folder, draw.randint(1, costs[way]), draw.choice([1, 2, 3, 7]), WAYS[way])
            assert ended in {0, -signal.SIGKILL}
            kills += ended != 0
            if ended == 0:
                break
            seen = (
                {name: data for name, data in files(folder).items() if not name.startswith(".")}
                if folder.exists()
                else {}
            )
            # While files take their names each is the old one, the new one, or away; never a part of one.
            assert all(data in {before.get(name), unbroken[way][name]} for name, data in seen.items())
        if ended:
            stopping.pack(photos, folder, resume=True, **WAYS[way])
        assert files(folder) == unbroken[way], (way, trials)


def test_a_few_kills_lose_nothing(
    tmp_path: Path,
    photos: Path,
    unbroken: dict[str, dict[str, bytes]],
    kill: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What the system has outlives a process that is killed, so no flush is waited for.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    kill_and_resume(tmp_path, photos, unbroken, kill, 10)


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(
    tmp_path: Path,
    photos: Path,
    unbroken: dict[str, dict[str, bytes]],
    kill: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What the system has outlives a process that is killed, so no flush is waited for.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    kill_and_resume(tmp_path, photos, unbroken, kill, 200)


# What a stopped run leaves, and who takes it up


class Stopped(BaseException):
    """As if the process had ended there, but this one goes on."""


@pytest.fixture(autouse=True)
def marks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks every three rows that are on disk when the next image comes."""

    def at_once(journal: Journal, flush: Callable[[], object], entry: Any) -> None:
        flush()
        journal.add(entry)

    monkeypatch.setattr(Journal, "later", at_once)
    monkeypatch.setattr(_shelf, "_ROWS_A_MARK", 3)


def worked_on(
    monkeypatch: pytest.MonkeyPatch, stop: int | None = None, error: type[BaseException] = Stopped
) -> list[int]:
    """Return the numbers of images that are worked on from now on; none after ``stop`` of them."""
    done: list[int] = []
    encoded = _image_work._encoded

    def counted(task: _image_work.Task, options: PackOptions) -> _image_work.Made:
        if len(done) == stop:
            raise error
        done.append(1000 - task.image_id)
        return encoded(task, options)

    monkeypatch.setattr(_image_work, "_encoded", counted)
    return done


def stop_after(number: int, photos: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    with monkeypatch.context() as patched:
        worked_on(patched, number)
        with pytest.raises(Stopped):
            stopping.pack(photos, folder, resume=True, **how)


def left(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith(".birdsod-"))


@pytest.mark.parametrize(("number", "again"), [(0, 0), (2, 0), (3, 3), (17, 15), (20, 20), (25, 23), (29, 29)])
def test_only_what_came_after_the_last_mark_is_done_again(
    tmp_path: Path, photos: Path, unbroken: Any, monkeypatch: pytest.MonkeyPatch, number: int, again: int
) -> None:
    stop_after(number, photos, tmp_path, monkeypatch)
    done = worked_on(monkeypatch)
    packed = stopping.pack(photos, tmp_path, resume=True)
    assert done == list(range(again, 30))
    assert files(tmp_path) == unbroken["one job"]
    assert bd.Packed.open(tmp_path, verify=True) == packed


def test_with_nothing_to_resume_packing_starts_from_the_start(tmp_path: Path, photos: Path, unbroken: Any) -> None:
    stopping.pack(photos, tmp_path / "new", resume=True)
    assert files(tmp_path / "new") == unbroken["one job"]
    with pytest.raises(RecordError, match="exists already"):
        stopping.pack(photos, tmp_path / "new", resume=True)
    assert files(tmp_path / "new") == unbroken["one job"]


def test_without_resume_what_was_left_is_cleared_away(
    tmp_path: Path, photos: Path, unbroken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(25, photos, tmp_path, monkeypatch)
    done = worked_on(monkeypatch)
    stopping.pack(photos, tmp_path)
    assert len(done) == 30
    assert files(tmp_path) == unbroken["one job"]


def test_without_resume_an_error_leaves_nothing(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_on(monkeypatch, 25)
    with pytest.raises(Stopped):
        stopping.pack(photos, tmp_path)
    assert files(tmp_path) == {}


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "resize": (
        {"resize": 9},
        r"another resize \(got 8\).*this one packs with resize=9\. Cure: pack with resize=8, or leave",
    ),
    "quality": ({"quality": 80}, "another quality"),
    "pass through": ({"resize": None, "center_crop": False, "pass_through": True}, "another resize"),
    "outside": ({"outside": "raise"}, "another outside"),
    "shards": (
        {"shards": 3},
        r"something else \(got 'channels train, validation'\).*channels train, validation, shards=3",
    ),
    "size": ({"shards": "1kB"}, "something else.*shards of 1000 bytes"),
    "shard": ({"shard": (1, 3)}, r"something else.*shard=\(1, 3\)"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_options_are_refused_and_nothing_is_lost(
    tmp_path: Path, photos: Path, unbroken: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    how, message = OTHERS[name]
    stop_after(25, photos, tmp_path, monkeypatch)
    with pytest.raises(RecordError, match=message):
        bd.pack(
            stopping.channels(photos),
            tmp_path,
            **{"resize": 8, "center_crop": True, "on_error": "collect", "resume": True, **how},
        )
    done = worked_on(monkeypatch)
    stopping.pack(photos, tmp_path, resume=True)
    assert done == list(range(23, 30))
    assert files(tmp_path) == unbroken["one job"]


def test_another_opencv_is_refused(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(25, photos, tmp_path, monkeypatch)
    monkeypatch.setattr("cv2.__version__", "3.1")
    with pytest.raises(RecordError, match="another OpenCV"):
        stopping.pack(photos, tmp_path, resume=True)


@pytest.mark.parametrize("change", ["box", "image", "size"])
def test_other_data_are_refused(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    own = tmp_path / "photos"
    shutil.copytree(photos, own)
    how: dict[str, Any] = {"on_error": "collect", "resume": True}
    with monkeypatch.context() as patched:
        worked_on(patched, 5)
        with pytest.raises(Stopped):
            bd.pack({"train": stopping.dataset(own)[:20]}, tmp_path / "out", **how)
    data = stopping.dataset(own, side=7 if change == "box" else 8)[: 19 if change == "image" else 20]
    if change == "size":
        # Ten images are cut at the same ratios, but they are as high as another.
        shutil.copy(own / "1.jpg", own / "0.jpg")
    with pytest.raises(RecordError, match="packed other images or boxes of channel 'train'"):
        bd.pack({"train": data}, tmp_path / "out", **how)


def test_one_may_go_on_refusing_but_not_the_other_way_round(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"train": stopping.dataset(photos)}
    with pytest.raises(ImageError, match="breaks off"):
        bd.pack(data, tmp_path / "out", resume=True)
    with monkeypatch.context() as patched:
        done = worked_on(patched, 12)
        with pytest.raises(Stopped):
            bd.pack(data, tmp_path / "out", resume=True, on_error="collect")
        assert done == list(range(3, 15))
    with pytest.raises(RecordError, match=r"refused 2 images.*breaks off.*or leave out resume"):
        bd.pack(data, tmp_path / "out", resume=True)
    packed = bd.pack(data, tmp_path / "out", resume=True, on_error="collect")
    bd.pack(data, tmp_path / "again", on_error="collect")
    assert files(tmp_path / "out") == files(tmp_path / "again")
    assert [image.image_id for image in packed.refused] == [997, 990, 983, 976]


def test_an_image_that_was_mended_is_packed(tmp_path: Path, photos: Path) -> None:
    own = tmp_path / "photos"
    shutil.copytree(photos, own)
    data = {"train": stopping.dataset(own)[:6]}
    with pytest.raises(ImageError, match="breaks off"):
        bd.pack(data, tmp_path / "out", resume=True)
    shutil.copy(own / "7.jpg", own / "3.jpg")
    bd.pack(data, tmp_path / "out", resume=True)
    bd.pack(data, tmp_path / "again")
    assert files(tmp_path / "out") == files(tmp_path / "again")


def test_a_run_that_goes_on_is_not_taken_away(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, met = _image_work._encoded, []

    def interfering(task: _image_work.Task, options: PackOptions) -> _image_work.Made:
        if task.image_id == 990:
            monkeypatch.setattr(_image_work, "_encoded", encoded)
            with pytest.raises(RecordError, match="another process packs this"):
                stopping.pack(photos, tmp_path, resume=True)
            # One that does not resume works beside it, as ever.
            stopping.pack(photos, tmp_path / "..." / "..", shard=(0, 2))
            met.append(task.image_id)
        return encoded(task, options)

    monkeypatch.setattr(_image_work, "_encoded", interfering)
    stopping.pack(photos, tmp_path)
    assert met == [990]


def test_the_jobs_of_an_array_leave_each_other_alone(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(3):
        stop_after(5, photos, tmp_path, monkeypatch, shard=(index, 3))
    stop_after(5, photos, tmp_path / "other", monkeypatch)
    assert len(left(tmp_path)) == 3
    with RecordWriter(tmp_path / "own.rec") as writer:
        writer.write(b"", 0)
    assert len(left(tmp_path)) == 3
    for index in range(3):
        done = worked_on(monkeypatch)
        stopping.pack(photos, tmp_path, shard=(index, 3), resume=True)
        assert 1 <= len(done) < 10
        assert len(left(tmp_path)) == 2 - index
    whole = stopping.pack(photos, tmp_path / "whole", shards=3)
    array = bd.recordio.Sharded.open(tmp_path, verify=True)
    assert [shard.sha256 for shard in array.channels["train"].shards] == [
        shard.sha256 for shard in whole.channels["train"].shards
    ]


def test_other_channels_are_left_alone(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(5, photos, tmp_path, monkeypatch)
    bd.pack({"test": stopping.dataset(photos)[:2]}, tmp_path)
    assert len(left(tmp_path)) == 1
    bd.pack({"train": stopping.dataset(photos)[:2]}, tmp_path, overwrite=True)
    assert left(tmp_path) == []


def test_another_machines_run_is_resumed_only_when_asked_for(
    tmp_path: Path, photos: Path, unbroken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(25, photos, tmp_path / "out", monkeypatch)
    (folder,) = left(tmp_path / "out")
    (folder / ".owner").write_text("elsewhere")
    shutil.copytree(tmp_path / "out", tmp_path / "other")
    stopping.pack(photos, tmp_path / "other")
    assert len(left(tmp_path / "other")) == 1
    stopping.pack(photos, tmp_path / "out", resume=True)
    assert files(tmp_path / "out") == unbroken["one job"]


@pytest.mark.parametrize("mark", ["no locks", "no owner"])
def test_without_locks_a_run_is_resumed_all_the_same(
    tmp_path: Path, photos: Path, unbroken: Any, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    if mark == "no locks":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    stop_after(25, photos, tmp_path, monkeypatch)
    (left(tmp_path)[0] / ".owner").unlink(missing_ok=True)
    done = worked_on(monkeypatch)
    stopping.pack(photos, tmp_path, resume=True)
    assert done == list(range(23, 30))
    assert files(tmp_path) == unbroken["one job"]


def test_while_files_take_their_names_another_may_come_between(
    tmp_path: Path, photos: Path, unbroken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping.pack(photos, tmp_path, quality=3)
    rename, steps = Path.rename, iter(range(100))

    def stopped(self: Path, target: Path) -> Path:
        if next(steps) == 10:
            raise Stopped
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stopped)
        patched.setattr(Staging, "_put_back", lambda *_: None)
        with pytest.raises(Stopped):
            stopping.pack(photos, tmp_path, resume=True, overwrite=True)
    # Three new files have their names; of one of them another has become.
    (tmp_path / "train.rec").write_bytes(b"mine")
    with pytest.raises(RecordError, match="exists already"):
        stopping.pack(photos, tmp_path, resume=True)
    assert (tmp_path / "train.rec").read_bytes() == b"mine"
    stopping.pack(photos, tmp_path, resume=True, overwrite=True)
    assert files(tmp_path) == unbroken["one job"]


def test_a_journal_of_another_kind_is_not_gone_on_with(
    tmp_path: Path, photos: Path, unbroken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(25, photos, tmp_path, monkeypatch)
    path = left(tmp_path)[0] / ".journal"
    (head, _), *rest = entries(path)
    again = Journal(path)
    for entry in (head | {"schema": 2}, *(entry for entry, _ in rest)):
        again.add(entry)
    again.close()
    with pytest.raises(RecordError, match=r"journal in another way \(got 2\).*another version"):
        stopping.pack(photos, tmp_path, resume=True)
    stopping.pack(photos, tmp_path)
    assert files(tmp_path) == unbroken["one job"]


@pytest.mark.parametrize("previous", [False, True])
def test_what_had_appeared_before_a_kill_stays_when_the_next_run_fails(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, *, previous: bool
) -> None:
    if previous:
        stopping.pack(photos, tmp_path, quality=3)
    with monkeypatch.context() as patched:
        patched.setattr(Staging, "__exit__", lambda self, *_: self._claim.close())
        stopping.pack(photos, tmp_path, overwrite=True)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(ImageError):
        bd.pack(stopping.channels(photos), tmp_path, resize=8, overwrite=True)
    assert files(tmp_path) == whole


@pytest.mark.parametrize("place", ["train.rec", "../mine.txt"])
def test_a_journal_moves_no_file_from_or_to_another_folder(tmp_path: Path, photos: Path, place: str) -> None:
    mine, folder = tmp_path / "mine.txt", tmp_path / "packed"
    mine.write_text("mine")
    hidden = folder / ".birdsod-given"
    (hidden / "aside").mkdir(parents=True)
    journal = Journal(hidden / ".journal")
    purpose = {"channels": ["train", "validation"], "count": None, "most_bytes": None, "only": None}
    journal.add({"purpose": purpose})
    sha256 = hashlib.sha256(b"mine").hexdigest()
    given = {"a": ["../mine.txt", sha256]} if place != "train.rec" else {"../../taken.txt": [place, sha256]}
    journal.add({"publishing": given})
    journal.close()
    (hidden / ".owner").write_text(platform.node())
    (folder / "train.rec").write_text("mine")
    stopping.pack(photos, folder, overwrite=True)
    assert mine.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["mine.txt"]
    assert not hidden.exists()


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import stopping
from birdsod.errors import InputError
from birdsod.recordio import _shelf
_shelf._ROWS_A_MARK = 3
resource.setrlimit(resource.RLIMIT_FSIZE, ({bound}, {bound}))
try:
    stopping.pack(Path(sys.argv[2]), Path(sys.argv[1]), resume=True, jobs=2)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("bound", [100, 900, 1500, 3000])
def test_when_a_full_disk_has_room_again_packing_goes_on(
    tmp_path: Path, photos: Path, unbroken: Any, bound: int
) -> None:
    code = FULL.format(here=str(Path(__file__).parent), bound=bound)
    command = [sys.executable, "-c", code, str(tmp_path), str(photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=uncovered())
    assert "cannot be written. Likely cause: File too large" in done.stdout
    assert len(left(tmp_path)) == (bound > 1000)
    stopping.pack(photos, tmp_path, resume=True)
    assert files(tmp_path) == unbroken["one job"]
