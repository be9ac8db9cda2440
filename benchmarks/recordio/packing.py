"""Packing beside im2rec and beside the machine's ceiling, and packing untouched files beside copying them."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from recordio._sides import Row, room
from sizes import photograph

from birdsod.recordio import pack_list

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGES, LEAST, DISTINCT = 2000, 10, 50
BYTES_AN_IMAGE = 500_000  # read, written by both sides and within a process, and copied
WORKERS = 2
EDGE = 256
CASES = {"shorter edge 256": ["--resize", str(EDGE)], "not resized": [], "untouched files": ["--pass-through"]}
BLOCK = 1 << 20


class Taken(NamedTuple):
    """Seconds by the clock, and of all processors together, children's too."""

    wall: float
    processor: float


def packing(folder: Path, mxnet: Path | None, rounds: int, count: int, given: tuple[Path, Path] | None) -> list[Row]:
    """Images a second: whole processes beside im2rec, then within one process beside the ceiling."""
    if not room(folder, count * BYTES_AN_IMAGE, "packing"):
        return []
    root, lst = given or make_images(folder, count)
    rows = []
    for case, options in CASES.items():
        rows += _processes(case, options, root, lst, folder, mxnet, rounds)
        rows += _within(case, root, lst, folder, rounds)
    return rows


def make_images(folder: Path, count: int) -> tuple[Path, Path]:
    """Photo-like JPEGs of 500 x 375 pixels, and the list of them."""
    root = folder / "images"
    root.mkdir()
    drawn = [photograph(seed) for seed in range(min(DISTINCT, count))]
    rows = []
    for number in range(count):
        (root / f"{number}.jpg").write_bytes(drawn[number % len(drawn)])
        rows.append(f"{number}\t2\t5\t{number % 5}\t0.1000\t0.2000\t0.7000\t0.9000\t{number}.jpg\n")
    lst = folder / "made.lst"
    lst.write_text("".join(rows), encoding="utf-8")
    return root, lst


def _processes(
    case: str, options: list[str], root: Path, lst: Path, folder: Path, mxnet: Path | None, rounds: int
) -> list[Row]:
    ours = folder / "ours" / "packed.rec"
    ours.parent.mkdir(exist_ok=True)
    birdsod = [sys.executable, "-m", "birdsod", "pack", "--lst", str(lst), "--root", str(root), "--out", str(ours)]
    birdsod += [*options, "--jobs", str(WORKERS), "--overwrite"]
    contestants: list[Callable[[], object]] = [lambda: _run(birdsod)]
    theirs = folder / "theirs"
    if mxnet is not None:
        (script,) = mxnet.parents[1].glob("lib/python*/site-packages/mxnet/tools/im2rec.py")
        theirs.mkdir(exist_ok=True)
        shutil.copy(lst, theirs / "packed.lst")
        im2rec = [str(mxnet), "-W", "ignore", str(script), *options, "--pack-label", "--num-thread", str(WORKERS)]
        contestants.append(lambda: _run([*im2rec, str(theirs / "packed"), str(root)]))
    best = _best(contestants, rounds)
    for suffix in (".rec", ".idx") if mxnet else ():
        if ours.with_suffix(suffix).read_bytes() != (theirs / "packed").with_suffix(suffix).read_bytes():
            sys.exit(f"the {suffix} files differ: {case}")
    return _rows(f"pack, whole process, {WORKERS} workers, {case}", _length(lst), best, "im2rec")


def _within(case: str, root: Path, lst: Path, folder: Path, rounds: int) -> list[Row]:
    """The same without starting a process, beside bare OpenCV on images in memory, or bare copying."""
    out = folder / "within.rec"
    paths = [root / line.rsplit("\t", 1)[1] for line in lst.read_text(encoding="utf-8").splitlines()]
    resize, untouched = case == "shorter edge 256", case == "untouched files"
    data = [] if untouched else [path.read_bytes() for path in paths]
    best = _best(
        [
            lambda: pack_list(
                lst,
                root=root,
                out=out,
                resize=EDGE if resize else None,
                pass_through=untouched,
                jobs=WORKERS,
                overwrite=True,
            ),
            (lambda: _copy(paths, folder / "copied")) if untouched else (lambda: _ceiling(data, resize=resize)),
        ],
        rounds,
    )
    beside = "copying the files into one" if untouched else "ceiling (OpenCV alone, images in memory)"
    return _rows(f"pack, within a process, {WORKERS} workers, {case}", _length(lst), best, beside)


def _best(contestants: list[Callable[[], object]], rounds: int) -> list[Taken]:
    best = [Taken(float("inf"), float("inf"))] * len(contestants)
    for _ in range(rounds):
        for number, contestant in enumerate(contestants):
            start, before = time.perf_counter(), _processor_seconds()
            contestant()
            taken = Taken(time.perf_counter() - start, _processor_seconds() - before)
            best[number] = Taken(*map(min, best[number], taken))
    return best


def _processor_seconds() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _rows(what: str, count: int, best: list[Taken], beside: str) -> list[Row]:
    """Rows of images a second, and a second of a processor's time."""
    kinds = zip(("images/s", "images/CPU s"), *best, strict=True)
    return [Row(what, count / own, unit, beside, count / other[0] if other else None) for unit, own, *other in kinds]


def _ceiling(data: list[bytes], *, resize: bool) -> None:
    """Decode, resize and encode, nothing else, on as many threads; OpenCV lets go of Python's lock meanwhile."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    threads = [
        threading.Thread(target=_decode_resize_encode, args=(data[number::WORKERS],), kwargs={"resize": resize})
        for number in range(WORKERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cv2.setNumThreads(before)


def _decode_resize_encode(data: list[bytes], *, resize: bool) -> None:
    for image in data:
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert pixels is not None
        if resize:
            height, width = pixels.shape[:2]
            size = (EDGE, height * EDGE // width) if height > width else (width * EDGE // height, EDGE)
            pixels = cv2.resize(pixels, size)
        cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])


def _copy(paths: list[Path], target: Path) -> None:
    with target.open("wb", buffering=BLOCK) as out:
        for path in paths:
            out.write(path.read_bytes())
        out.flush()
        os.fsync(out.fileno())


def _length(lst: Path) -> int:
    return len(lst.read_text(encoding="utf-8").splitlines())


def _run(command: list[str]) -> None:
    # Compiled once, like every package that is installed: a checkout is not where that is forbidden.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
