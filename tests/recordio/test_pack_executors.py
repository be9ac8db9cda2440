"""Whoever works on the images, the bytes are the same; what befalls a worker is told."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import birdsod as bd
from birdsod import ClassTable, DetectionDataset
from birdsod.errors import ImageError, RecordError
from birdsod.recordio import MAGIC, _channel
from birdsod.recordio._image_work import make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from birdsod.recordio import PackOptions
    from birdsod.recordio._image_work import Answer, Task

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec" / "images"
KINDS = ("d_noise_64x64.jpg", "h_square_256.jpg", "a_grad_320x240.jpg")
COUNT = 20


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        data = (GOLDEN / KINDS[number % 3]).read_bytes()
        (folder / f"{number}.jpg").write_bytes(data[:-900] if number == 13 else data)
    return folder


def dataset(photos: Path) -> DetectionDataset:
    ids = list(range(COUNT))
    return DetectionDataset.from_tables(
        {"image_id": ids, "path": [f"{number}.jpg" for number in ids]},
        {"image_id": ids, "class_id": [0] * COUNT}
        | {side: [value] * COUNT for side, value in (("xmin", -2), ("ymin", 1), ("xmax", 50), ("ymax", 60))},
        root=photos,
        class_table=ClassTable((17,), ("017.Cardinal",)),
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pack(photos: Path, folder: Path, **how: Any) -> Any:
    return bd.pack({"train": dataset(photos)}, folder, **{"resize": 24, "on_error": "collect", **how})


@pytest.fixture(scope="module")
def alone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("alone")
    pack(photos, folder)
    return files(folder)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def cluster() -> Iterator[Executor]:
    """The executor of a real cluster of two processes."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as local,  # type: ignore[no-untyped-call]  # it has no types
        Client(local, set_as_default=False) as client,  # type: ignore[no-untyped-call]  # the same
    ):
        yield client.get_executor()


@pytest.fixture(params=["threads", "processes", "cluster"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "threads":
        with ThreadPoolExecutor(3) as pool:
            yield pool
    else:
        yield request.getfixturevalue(request.param)


def test_the_bytes_are_the_same_and_the_executor_lives_on(
    tmp_path: Path, photos: Path, alone: dict[str, bytes], executor: Executor
) -> None:
    packed = pack(photos, tmp_path / "out", executor=executor)
    assert files(tmp_path / "out") == alone
    assert [(image.image_id, "breaks off" in image.reason) for image in packed.refused] == [(13, True)]
    assert executor.submit(abs, -3).result() == 3


def test_the_first_image_that_cannot_be_packed_is_named(tmp_path: Path, photos: Path, executor: Executor) -> None:
    with pytest.raises(ImageError, match="breaks off") as caught:
        pack(photos, tmp_path / "out", executor=executor, on_error="raise")
    assert caught.value.path == str(photos / "13.jpg")
    assert not (tmp_path / "out").exists()
    assert executor.submit(abs, -3).result() == 3


def failing(task: Task, options: PackOptions) -> Answer:
    if task.image_id == 7:
        options = replace(options)
        # What no check lets through, so that no one foresees it.
        object.__setattr__(options, "resize", "wide")
    return make(task, options)


def killed(task: Task, options: PackOptions) -> Answer:
    if task.image_id == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return make(task, options)


def with_work(work: Callable[[Task, PackOptions], Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    run = _channel.Run
    monkeypatch.setattr("birdsod.recordio._pack.Run", partial(run, work=work))


@settings(max_examples=25)
@given(
    who=st.sampled_from(["processes", "cluster", None]),
    jobs=st.sampled_from([None, 1, 2, 5]),
    shards=st.sampled_from([None, 1, 3, "4kB", "1MB"]),
    how=st.sampled_from(
        [{}, {"center_crop": True}, {"encoding": ".png", "quality": 3}, {"resize": None, "pass_through": True}]
    ),
)
def test_the_bytes_do_not_depend_on_jobs_executor_or_shards(
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    photos: Path,
    who: str | None,
    jobs: int | None,
    shards: int | str | None,
    how: dict[str, Any],
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    whole = pack(photos, folder / "whole", **how).channels["train"]
    executor = who and request.getfixturevalue(who)
    packed = pack(photos, folder / "drawn", executor=executor, jobs=jobs, shards=shards, **how).channels["train"]
    parts = [packed] if shards is None else packed.shards
    assert b"".join(part.rec.read_bytes() for part in parts) == whole.rec.read_bytes()
    assert b"".join(part.lst.read_bytes() for part in parts) == whole.lst.read_bytes()
    assert (packed.listed, packed.clipped, packed.refused) == (whole.listed, whole.clipped, whole.refused)


class Counting(ThreadPoolExecutor):
    """Threads that know how many groups of images are under way at most."""

    under_way = most = 0

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        future = super().submit(function, *args, **kwargs)
        result = future.result

        def counted(timeout: float | None = None) -> Any:
            self.under_way -= 1
            return result(timeout)

        future.result = counted  # type: ignore[method-assign]
        return future


@pytest.mark.parametrize(("jobs", "most"), [(None, 2), (2, 4), (9, 5)])
def test_what_is_under_way_is_bounded(tmp_path: Path, photos: Path, jobs: int | None, most: int) -> None:
    # Twenty images are five groups.
    with Counting(1) as executor:
        pack(photos, tmp_path, executor=executor, jobs=jobs)
        assert executor.most == most


def test_an_image_that_is_cut_at_the_magic_number_travels(tmp_path: Path, processes: Executor) -> None:
    data = (GOLDEN / KINDS[0]).read_bytes()
    # Within a comment, at a place that four divides.
    comment = b"\xff\xfe" + (20).to_bytes(2, "big") + b"\0\0" + MAGIC.to_bytes(4, "little") + bytes(12)
    (tmp_path / "cut.jpg").write_bytes(data[:2] + comment + data[2:])
    rows = {"image_id": [7], "path": ["cut.jpg"]}
    boxes = {"image_id": [7], "class_id": [0], "xmin": [1], "ymin": [1], "xmax": [50], "ymax": [60]}
    one = DetectionDataset.from_tables(rows, boxes, root=tmp_path, class_table=ClassTable((17,), ("017.Cardinal",)))
    here, there = (
        bd.pack({"train": one}, tmp_path / name, pass_through=True, executor=executor).channels["train"]
        for name, executor in (("here", None), ("there", processes))
    )
    assert here.rec.read_bytes() == there.rec.read_bytes()
    assert here.rec.read_bytes().count(MAGIC.to_bytes(4, "little")) == 2
    assert here.open()[0].image == (tmp_path / "cut.jpg").read_bytes()


def test_a_failure_that_no_one_foresaw_comes_back_with_its_path(
    tmp_path: Path, photos: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_work(failing, monkeypatch)
    with pytest.raises(RecordError, match=r"image 7 cannot be packed. Likely cause: \w+Error:") as caught:
        pack(photos, tmp_path / "out", executor=executor)
    assert caught.value.path == str(photos / "7.jpg")


def test_a_worker_that_is_killed_is_told_and_packing_goes_on_with_another(
    tmp_path: Path, photos: Path, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith("COVERAGE_"):
            # A killed process leaves a broken file of coverage.
            monkeypatch.delenv(name)
    with monkeypatch.context() as patched, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        with_work(killed, patched)
        with pytest.raises(RecordError, match=r"the executor did not do its work.*BrokenProcessPool.*resume=True"):
            pack(photos, tmp_path, executor=pool, resume=True)
    pack(photos, tmp_path, jobs=2, resume=True)
    assert files(tmp_path) == alone


def test_an_executor_that_is_shut_down_is_told(tmp_path: Path, photos: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        pass
    with pytest.raises(RecordError, match=r"the executor did not do its work.*after shutdown"):
        pack(photos, tmp_path / "out", executor=pool)
    assert not (tmp_path / "out").exists()


def test_what_is_no_executor_is_refused(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(RecordError, match=r"the executor is none \(got 4\)"):
        pack(photos, tmp_path / "out", executor=4)
