"""Reading, writing and scanning record files beside ``mx.recordio``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from recordio._sides import best_in_turn, room, row

from birdsod.recordio import RecordWriter

if TYPE_CHECKING:
    from pathlib import Path

    from recordio._sides import Row, Side

# Bytes of an image and how many of them: a thumbnail, a photograph of 256 pixels, one of 800.
KINDS = {1_000: 50_000, 20_000: 20_000, 100_000: 5_000}
READING = {
    "payloads": "payloads in a row (bytes(payload(i)) | read())",
    "records": "records in a row (for record in reader | unpack(read()))",
    "random_payloads": "payloads anywhere (bytes(payload(i)) | read_idx(i))",
    "random_records": "records anywhere (by_key(i) | unpack(read_idx(i)))",
}
LABEL = [2, 5, 3, 0.1, 0.2, 0.7, 0.9]
SCANNED, SCANNED_SIZE = 100_000, 20_000


def write_file(path: Path, count: int, size: int) -> Path:
    data = os.urandom(size + 512)
    with RecordWriter(path) as writer:
        for key in range(count):
            writer.write_record(key, LABEL, data[key % 512 : key % 512 + size])
    return path


def reading(folder: Path, contestants: list[Side], rounds: int, share: float) -> list[Row]:
    rows = []
    for size, whole in KINDS.items():
        count = max(10, int(whole * share))
        path = write_file(folder / f"read{size}.rec", count, size)
        for side in contestants:
            side.does("prepare", path=str(path))
        for exercise, what in READING.items():
            amount = min(count, 20_000) if exercise.startswith("random") else count
            seconds = best_in_turn(rounds, contestants, exercise)
            rows.append(row(f"read {what}, {size:,} bytes", amount, "records/s", seconds))
        rows.append(row(f"open with .idx, {count:,}", count, "records/s", _opened(rounds, contestants, path)))
    return rows


def _opened(rounds: int, contestants: list[Side], path: Path) -> list[float]:
    return best_in_turn(rounds, contestants, "open", path=str(path))


def writing(folder: Path, contestants: list[Side], rounds: int, share: float) -> list[Row]:
    rows = []
    for size, whole in KINDS.items():
        count = max(10, int(whole * share))
        for records, flush in ((False, False), (True, False), (True, True)):
            call = "records (write_record | write_idx(pack()))" if records else "payloads (write | write_idx)"
            what = f"write {call}, {size:,} bytes, {'flushed to disk' if flush else 'not flushed'}"
            seconds = _written(folder, contestants, rounds, size=size, count=count, records=records, flush=flush)
            rows.append(row(what, count, "records/s", seconds))
    return rows


def _written(folder: Path, contestants: list[Side], rounds: int, **how: object) -> list[float]:
    """Seconds of each side for a file of its own; the files must be the same."""
    best = [float("inf")] * len(contestants)
    for _ in range(rounds):
        for number, side in enumerate(contestants):
            seconds, _ = side.does("write", path=str(folder / f"{side.name}.rec"), **how)
            best[number] = min(best[number], seconds)
    for suffix in (".rec", ".idx"):
        if len({(folder / f"{side.name}{suffix}").read_bytes() for side in contestants}) > 1:
            sys.exit(f"the {suffix} files differ: {how}")
    return best


def scanning(folder: Path, contestants: list[Side], rounds: int, share: float) -> list[Row]:
    """A file of 2 GB without an index, beside reading all of it, and beside MXNet which reads all of it too."""
    count = max(10, int(SCANNED * share))
    size = count * SCANNED_SIZE
    if not room(folder, size, "scanning 2 GB"):
        return []
    path = write_file(folder / "scanned.rec", count, SCANNED_SIZE)
    gigabytes = path.stat().st_size / 1e9
    rows = []
    for state in ("cached", "not cached"):
        scans = _scans(contestants)
        taken = dict.fromkeys([name for name, _, _ in scans], float("inf"))
        # In turn: the disk of a virtual machine has a cache of its own, which the last to read would profit from.
        for _ in range(rounds):
            for name, side, exercise in scans:
                taken[name] = min(taken[name], _once(side, exercise, path, cold=state == "not cached"))
        for name in list(taken)[1:]:
            seconds = [taken["scan"], taken[name]]
            rows.append(row(f"scan {gigabytes:.1f} GB without .idx, {state}", gigabytes, "GB/s", seconds, beside=name))
        if state == "cached":
            rows.append(row(f"reindex {gigabytes:.1f} GB, cached", gigabytes, "GB/s", [taken["reindex"]]))
    path.unlink()
    return [line for line in rows if line.beside != "reindex"]


def _scans(contestants: list[Side]) -> list[tuple[str, Side, str]]:
    birdsod = contestants[0]
    own = [("scan", birdsod, "scan"), ("reading it all", birdsod, "raw"), ("reindex", birdsod, "reindex")]
    return own + [("MXNet reading it all", side, "scan") for side in contestants[1:]]


def _once(side: Side, exercise: str, path: Path, *, cold: bool) -> float:
    if cold and hasattr(os, "posix_fadvise"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    return side.does(exercise, path=str(path))[0]
