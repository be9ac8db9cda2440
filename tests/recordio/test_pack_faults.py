"""Packing that is killed, interrupted, or finds the disk full: nothing half-written, nothing lost."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import birdsod as bd
from birdsod import ClassTable, DetectionDataset, Packed
from birdsod.errors import RecordError
from birdsod.recordio import PackOptions, _image_work, _pipeline, pack_list
from birdsod.recordio._writer import Pair

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec" / "images"
KINDS = ["a_grad_320x240.jpg", "b_photo_500x375.jpg", "d_noise_64x64.jpg"]
COUNT = 120
FINAL = {"packed.json", "train.lst", "train.rec", "train.idx"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        (folder / f"{number}.jpg").write_bytes((GOLDEN / KINDS[number % len(KINDS)]).read_bytes())
    return folder


def dataset(photos: Path, count: int = COUNT) -> DetectionDataset:
    """Images without objects."""
    return DetectionDataset.from_tables(
        {"image_id": list(range(count)), "path": [f"{number}.jpg" for number in range(count)]},
        {column: list(range(0)) for column in ("image_id", "class_id", "xmin", "ymin", "xmax", "ymax")},
        root=photos,
        class_table=ClassTable((17,), ("017.Cardinal",)),
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# The child says when it has packed some images and then waits, so that it is hit in the middle and never by timing.
CHILD = """
import signal, sys, threading
from pathlib import Path
sys.path.insert(0, {here!r})
import test_pack_faults as faults
from birdsod.recordio import _image_work
import birdsod as bd

# The worker that waits comes back when the interrupt is there, as one with a real image does.
interrupted = threading.Event()
def interrupt(*_):
    interrupted.set()
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, interrupt)
encoded = _image_work._encoded
def waiting(task, options):
    if task.image_id == 60:
        print("packing", flush=True)
        interrupted.wait()
    return encoded(task, options)
_image_work._encoded = waiting
bd.pack({{"train": faults.dataset(Path(sys.argv[2]))}}, sys.argv[1], resize=32, jobs={jobs}, overwrite=True)
"""


def child(folder: Path, photos: Path, *, jobs: int) -> subprocess.Popen[str]:
    code = CHILD.format(here=str(Path(__file__).parent), jobs=jobs)
    command = [sys.executable, "-c", code, str(folder), str(photos)]
    # A killed process leaves a broken file of coverage.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert started.stdout is not None
    assert started.stdout.readline() == "packing\n"
    return started


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("before", [True, False])
def test_a_killed_pack_leaves_nothing_under_a_final_name(
    tmp_path: Path, photos: Path, *, before: bool, jobs: int
) -> None:
    if before:
        bd.pack({"train": dataset(photos, 3)}, tmp_path, resize=16)
    previous = files(tmp_path)
    with child(tmp_path, photos, jobs=jobs) as killed:
        killed.kill()
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert files(tmp_path) == previous
    assert set(previous) == (FINAL if before else set())
    packed = bd.pack({"train": dataset(photos)}, tmp_path, resize=32, overwrite=True)
    assert Packed.open(tmp_path, verify=True) == packed
    # And what the killed one left is gone.
    assert names(tmp_path) == FINAL


def test_a_pack_leaves_the_folder_of_one_that_is_under_way(tmp_path: Path, photos: Path) -> None:
    with child(tmp_path, photos, jobs=1) as other:
        bd.pack({"validation": dataset(photos, 3)}, tmp_path, resize=16)
        assert len([name for name in names(tmp_path) if name.startswith(".birdsod-")]) == 1
        other.kill()
        other.communicate()


UNCLEAR: dict[str, dict[str, str]] = {
    "no owner": {"train.rec": "half"},
    "another machine's": {".owner": "elsewhere"},
    "previous files in it": {".owner": platform.node(), "aside/train.rec": "the only copy"},
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_a_hidden_folder_is_left_where_it_is_unclear_whose_it_is(tmp_path: Path, photos: Path, name: str) -> None:
    for file, text in UNCLEAR[name].items():
        path = tmp_path / ".birdsod-other" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    bd.pack({"train": dataset(photos, 3)}, tmp_path, resize=16)
    assert names(tmp_path) == FINAL | {".birdsod-other"}


def test_without_locks_nothing_is_cleared(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    (tmp_path / ".birdsod-other").mkdir()
    (tmp_path / ".birdsod-other" / ".owner").write_text(platform.node())
    bd.pack({"train": dataset(photos, 3)}, tmp_path, resize=16)
    assert names(tmp_path) == FINAL | {".birdsod-other"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_pack_leaves_what_was_there(tmp_path: Path, photos: Path, jobs: int) -> None:
    folder = tmp_path / "birds"
    bd.pack({"train": dataset(photos, 3)}, folder, resize=16)
    previous = files(folder)
    with child(folder, photos, jobs=jobs) as interrupted:
        interrupted.send_signal(signal.SIGINT)
        _, errors = interrupted.communicate()
    assert interrupted.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert files(folder) == previous
    assert names(folder) == FINAL


def test_an_interrupted_first_pack_leaves_no_folder(tmp_path: Path, photos: Path) -> None:
    with child(tmp_path / "birds", photos, jobs=1) as interrupted:
        interrupted.send_signal(signal.SIGINT)
        interrupted.communicate()
    assert names(tmp_path) == set()


@pytest.mark.parametrize("step", range(9))
def test_an_interrupt_while_files_take_their_names_brings_the_previous_back(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    bd.pack({"train": dataset(photos, 3)}, tmp_path, resize=16)
    previous = files(tmp_path)
    rename, steps = Path.rename, iter(range(100))

    def interrupted(self: Path, target: Path) -> Path:
        if next(steps) == step:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    done = False
    try:
        bd.pack({"train": dataset(photos, 6)}, tmp_path, resize=32, overwrite=True)
        done = True
    except KeyboardInterrupt:
        pass
    # Four files go aside and four come: the ninth step is never reached.
    assert done == (step == 8)
    assert names(tmp_path) == FINAL
    assert (files(tmp_path) == previous) != done


@pytest.mark.parametrize("step", range(12))
def test_channels_that_are_not_packed_again_go_with_the_others_or_stay(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    bd.pack({"train": dataset(photos, 3), "validation": dataset(photos, 2)}, tmp_path, resize=16)
    (tmp_path / "test.rec").write_bytes(b"mine")
    previous = files(tmp_path)
    steps = iter(range(12))
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if next(steps) == step:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    if step < 11:
        with pytest.raises(KeyboardInterrupt):
            bd.pack({"train": dataset(photos, 6)}, tmp_path, resize=32, overwrite=True)
        assert files(tmp_path) == previous
        assert names(tmp_path) == set(previous)
    else:
        # Seven files go aside and four come: the twelfth step is never reached.
        packed = bd.pack({"train": dataset(photos, 6)}, tmp_path, resize=32, overwrite=True)
        assert names(tmp_path) == FINAL | {"test.rec"}
        assert Packed.open(tmp_path, verify=True) == packed


@pytest.mark.parametrize("manifest", [None, "{}", '{"schema": 1, "classes": [], "channels": {"../mine": {}}}'])
def test_only_a_manifest_that_can_be_read_names_files_to_remove(
    tmp_path: Path, photos: Path, manifest: str | None
) -> None:
    bd.pack({"train": dataset(photos, 3), "validation": dataset(photos, 2)}, tmp_path, resize=16)
    (tmp_path / "packed.json").unlink()
    if manifest is not None:
        (tmp_path / "packed.json").write_text(manifest)
    bd.pack({"train": dataset(photos, 3)}, tmp_path, resize=16, overwrite=True)
    assert names(tmp_path) == FINAL | {"validation.lst", "validation.rec", "validation.idx"}


def test_a_folder_with_the_name_of_an_old_file_stays(tmp_path: Path, photos: Path) -> None:
    bd.pack({"train": dataset(photos, 3), "validation": dataset(photos, 2)}, tmp_path, resize=16)
    (tmp_path / "validation.lst").unlink()
    (tmp_path / "validation.lst").mkdir()
    bd.pack({"train": dataset(photos, 3)}, tmp_path, resize=16, overwrite=True)
    assert names(tmp_path) == FINAL | {"validation.lst"}


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import test_pack_faults as faults
import birdsod as bd
from birdsod.errors import RecordError
resource.setrlimit(resource.RLIMIT_FSIZE, ({bound}, {bound}))
try:
    bd.pack({{"train": faults.dataset(Path(sys.argv[2]))}}, sys.argv[1], resize={resize}, jobs=2, overwrite=True)
except RecordError as error:
    print(error)
"""


@pytest.mark.parametrize(("bound", "resize"), [(4_000, 8), (500_000, 300)], ids=["list", "records"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, photos: Path, bound: int, resize: int) -> None:
    bd.pack({"train": dataset(photos, 3)}, tmp_path, resize=16)
    previous = files(tmp_path)
    code = FULL.format(here=str(Path(__file__).parent), bound=bound, resize=resize)
    command = [sys.executable, "-c", code, str(tmp_path), str(photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written. Likely cause: File too large" in done.stdout
    assert files(tmp_path) == previous
    assert names(tmp_path) == FINAL


def test_a_file_cannot_be_the_folder(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file", tmp_path / "file" / "birds"):
        with pytest.raises(RecordError, match="cannot be written"):
            bd.pack({"train": dataset(photos, 3)}, target)
    assert files(tmp_path) == {"file": b"mine"}


def test_a_folder_where_nothing_may_be_written(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", forbidden)
    with pytest.raises(RecordError, match=r"cannot be written\. Likely cause: Permission denied"):
        bd.pack({"train": dataset(photos, 3)}, tmp_path)


def test_what_is_under_way_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lst = tmp_path / "list.lst"
    lst.write_text("".join(f"{k}\t1\td_noise_64x64.jpg\n" for k in range(200)))
    begun: list[int] = []
    written: list[int] = []
    encoded = _image_work._encoded

    def counting(task: _image_work.Task, options: PackOptions) -> _image_work.Made:
        begun.append(task.image_id)
        # For each worker two groups of four, and one that is being put away.
        assert len(begun) - len(written) <= 2 * 2 * 4 + 4
        return encoded(task, options)

    def put_away(_: Pair, key: int, *framed: object) -> None:  # noqa: ARG001 - the signature of the method
        written.append(key)

    monkeypatch.setattr(_image_work, "_encoded", counting)
    monkeypatch.setattr(Pair, "append_framed", put_away)
    pack_list(lst, root=GOLDEN, jobs=2)
    assert written == list(range(200))


def test_an_error_in_the_middle_stops_the_workers(tmp_path: Path) -> None:
    listed = ["d_noise_64x64.jpg"] * 20 + ["z_empty.jpg"] + ["d_noise_64x64.jpg"] * 20
    lst = tmp_path / "list.lst"
    lst.write_text("".join(f"{k}\t1\t{name}\n" for k, name in enumerate(listed)))
    with pytest.raises(bd.errors.ImageError, match=r"z_empty\.jpg: the image is empty"):
        pack_list(lst, root=GOLDEN, jobs=2)
    assert names(tmp_path) == {"list.lst"}


def test_answers_come_in_order_whoever_is_first() -> None:
    with _pipeline.workers(3) as (executor, ahead):
        found = list(_pipeline.in_order(str, iter(range(100)), executor=executor, ahead=ahead))
    assert found == [str(k) for k in range(100)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_refused_rows_and_images_stand_in_the_order_of_the_list(tmp_path: Path, jobs: int) -> None:
    rows = ["z_empty.jpg", None, "d_noise_64x64.jpg", "z_empty.jpg", None, "z_empty.jpg", None]
    text = [f"{k}\t1\t{name}\n" if name else f"no row {k}\n" for k, name in enumerate(rows * 3)]
    (tmp_path / "list.lst").write_text("".join(text))
    packed = pack_list(tmp_path / "list.lst", root=GOLDEN, jobs=jobs, on_error="collect")
    refused = [image.name if image.image_id is None else image.image_id for image in packed.refused]
    assert refused == [k if name else f"no row {k}" for k, name in enumerate(rows * 3) if name != "d_noise_64x64.jpg"]
