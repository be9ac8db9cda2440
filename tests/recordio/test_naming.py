"""Files take their final names together: side by side with others, and where a process is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest

from birdsod import image
from birdsod.errors import RecordError
from birdsod.recordio import RecordReader, RecordWriter, _naming, merge, pack_list, unpack
from birdsod.recordio._leftovers import clear, hidden_folders
from birdsod.recordio._naming import alone
from birdsod.recordio._staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recordio import stopping
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import stopping

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this system has no locks of folders")


class Killed(BaseException):
    """As if the process had ended there, but this one goes on."""


def uncovered() -> dict[str, str]:
    """An environment without coverage, of which a process that is killed leaves a broken file."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, number: int, **how: Any) -> None:
    with RecordWriter(folder / "a.rec", **how) as writer:
        for key in range(number):
            writer.write(bytes([number]) * number, key)


def pack_one(folder: Path, number: int, **how: Any) -> None:
    photos = folder.parent / f"photos{number}"
    photos.mkdir(exist_ok=True)
    (photos / "a.png").write_bytes(image.encode(np.full((number, 9, 3), number, np.uint8), encoding=".png"))
    (photos / "a.lst").write_text("7\t1\ta.png\n")
    folder.mkdir(exist_ok=True)
    pack_list(photos / "a.lst", root=photos, out=folder / "a.rec", **how)


def merge_some(folder: Path, number: int, **how: Any) -> None:
    photos, shards = folder.parent / "photos", folder.parent / f"shards{number}"
    if not shards.exists():
        photos.mkdir(exist_ok=True)
        stopping.draw_photos(photos)
        stopping.pack(photos, shards, shards=2, quality=number)
    merge(shards, folder, **how)


def unpack_one(folder: Path, number: int, **how: Any) -> None:
    rec = folder.parent / f"{number}.rec"
    if not rec.exists():
        with RecordWriter(rec) as writer:
            writer.write_record(number, 1, b"\xff\xd8\xff some image")
    unpack(rec, folder / "images", **how)


WRITERS: dict[str, Callable[..., None]] = {
    "writer": write,
    "list": pack_one,
    "merge": merge_some,
    "unpack": unpack_one,
}


def kill_at(step: int, patched: pytest.MonkeyPatch) -> None:
    """Have a process end at so many renames, with all that it leaves."""
    rename, steps = Path.rename, iter(range(1000))

    def killed(self: Path, target: Path) -> Path:
        if next(steps) == step:
            raise Killed
        return rename(self, target)

    patched.setattr(Path, "rename", killed)
    patched.setattr(Staging, "_put_back", lambda *_: None)
    patched.setattr(Staging, "__exit__", lambda self, *_: self._claim.close())


@pytest.mark.parametrize("before", [True, False], ids=["over others", "new"])
@pytest.mark.parametrize("name", WRITERS)
def test_whoever_is_killed_while_files_take_their_names_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, before: bool
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    folder, done, step = tmp_path / "out", WRITERS[name], 0
    done(tmp_path / "new", 9)
    new = files(tmp_path / "new")
    ended = False
    while not ended:
        folder = tmp_path / f"out{step}"
        if before:
            done(folder, 5)
        else:
            folder.mkdir()
        previous = files(folder)
        with monkeypatch.context() as patched:
            kill_at(step, patched)
            try:
                done(folder, 9, overwrite=before)
                ended = True
            except Killed:
                pass
        assert len(hidden_folders(folder)) == 1
        # Whoever writes there next, or looks whether something is there.
        clear(folder)
        assert hidden_folders(folder) == []
        assert files(folder) == (new if ended else previous)
        step += 1
    assert step > 2 or name == "unpack"


def test_what_a_killed_writer_left_half_way_is_nothing_that_exists_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        # Two look for previous files, and the third renames.
        kill_at(3, patched)
        with pytest.raises(Killed):
            write(tmp_path, 9)
    assert (tmp_path / "a.rec").exists()
    assert not (tmp_path / "a.idx").exists()
    write(tmp_path, 5)
    assert len(RecordReader(tmp_path / "a.rec")) == 5
    assert hidden_folders(tmp_path) == []


def test_a_file_that_came_between_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 5)
    with monkeypatch.context() as patched:
        kill_at(3, patched)
        with pytest.raises(Killed):
            write(tmp_path, 9, overwrite=True)
    (tmp_path / "a.rec").unlink()
    (tmp_path / "a.rec").write_bytes(b"mine")
    clear(tmp_path)
    assert (tmp_path / "a.rec").read_bytes() == b"mine"
    assert hidden_folders(tmp_path) == []


def test_what_cannot_be_undone_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 5)
    previous = files(tmp_path)
    with monkeypatch.context() as patched:
        kill_at(1, patched)
        with pytest.raises(Killed):
            write(tmp_path, 9, overwrite=True)
    with monkeypatch.context() as patched:
        kill_at(0, patched)
        patched.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        clear(tmp_path)
    assert len(hidden_folders(tmp_path)) == 1
    clear(tmp_path)
    assert files(tmp_path) == previous


# Side by side

WRITE = """
import sys, time
from pathlib import Path
from birdsod.errors import RecordError
from birdsod.recordio import RecordWriter
rename = Path.rename
def slowly(self, target):
    time.sleep(0.01)
    return rename(self, target)
Path.rename = slowly
number, overwrite = int(sys.argv[2]), sys.argv[3] == "True"
for line in sys.stdin:
    try:
        with RecordWriter(Path(sys.argv[1]) / "a.rec", overwrite=overwrite) as writer:
            for key in range(number):
                writer.write(bytes([number]) * number, key)
            print("written", flush=True)
            sys.stdin.readline()
        print("done", flush=True)
    except RecordError as error:
        print(error, flush=True)
"""


class Others:
    """Processes that write the same file and let it appear when they are told to."""

    def __init__(self, folder: Path, *, overwrite: bool) -> None:
        command = [sys.executable, "-c", WRITE, str(folder)]
        self.all = [
            subprocess.Popen(
                [*command, str(number), str(overwrite)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=uncovered(),
            )
            for number in (3, 5, 8)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.all:
            process.communicate()

    def step(self) -> list[str]:
        """Tell all to go on, and return what they say."""
        for process in self.all:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [process.stdout.readline().strip() for process in self.all if process.stdout is not None]


def written(folder: Path) -> int:
    """Return whose record file and index these are, which must be one and the same."""
    with RecordReader(folder / "a.rec") as reader:
        assert len(reader) in {3, 5, 8}
        assert [bytes(reader.payload(k)) for k in range(len(reader))] == [bytes([len(reader)]) * len(reader)] * len(
            reader
        )
        return len(reader)


def test_of_several_that_appear_at_once_one_does_and_the_others_say_so(tmp_path: Path) -> None:
    with Others(tmp_path, overwrite=False) as others:
        assert others.step() == ["written"] * 3
        said = others.step()
    assert min(said).endswith("the file exists already. Cure: pass overwrite=True, or choose another name.")
    assert said.count("done") == 1
    assert written(tmp_path) == (3, 5, 8)[said.index("done")]
    assert hidden_folders(tmp_path) == []


def test_of_several_that_replace_at_once_the_last_one_stays_whole(tmp_path: Path) -> None:
    with Others(tmp_path, overwrite=True) as others:
        for _ in range(4):
            assert others.step() == ["written"] * 3
            assert others.step() == ["done"] * 3
            written(tmp_path)
    assert hidden_folders(tmp_path) == []


KEEP = """
import sys, time
from pathlib import Path
from birdsod.recordio._naming import alone
with alone(Path(sys.argv[1])):
    print("kept", flush=True)
    time.sleep(600)
"""


def test_who_is_halted_is_told_of_and_who_is_killed_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_naming, "_SECONDS", 0.1)
    with subprocess.Popen(
        [sys.executable, "-c", KEEP, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=uncovered()
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "kept\n"
        with pytest.raises(RecordError, match=r"another process gives files their names.*halted.*end it, or choose"):
            write(tmp_path, 5)
        assert files(tmp_path) == {}
        other.send_signal(signal.SIGKILL)
        other.wait()
        write(tmp_path, 5)
    assert written(tmp_path) == 5


def test_where_folders_cannot_be_locked_files_appear_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as patched:
        patched.setattr("fcntl.flock", unknown)
        write(tmp_path, 5)
    assert written(tmp_path) == 5
    with alone(tmp_path / "none"):
        pass
