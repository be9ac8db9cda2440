"""How time and memory grow with the number of records, each size in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from recordio._memory import Peak
from recordio._sides import Row, room
from sizes import photograph

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 100
COUNTS = (1_000, 10_000, 100_000, 1_000_000)
PACKED = (1_000, 10_000, 100_000)
IN_TURN = """
import json, sys, time
from birdsod.recordio import RecordReader, RecordWriter
path, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
image, label = bytes(size), [2, 5, 3, 0.1, 0.2, 0.7, 0.9]
marks = [time.perf_counter()]
with RecordWriter(path) as writer:
    for key in range(count):
        writer.write_record(key, label, image)
marks.append(time.perf_counter())
with RecordReader(path) as reader:
    marks.append(time.perf_counter())
    found = sum(1 for record in reader)
marks.append(time.perf_counter())
with RecordReader(path, scan=True) as reader:
    assert len(reader) == found == count
marks.append(time.perf_counter())
print(json.dumps([after - before for before, after in zip(marks, marks[1:])]))
"""
PACKING = """
import json, sys, time
from birdsod.recordio import pack_list
start = time.perf_counter()
packed = pack_list(sys.argv[1], root=sys.argv[2], out=sys.argv[3], resize=int(sys.argv[4]), jobs=2)
print(json.dumps([time.perf_counter() - start, packed.records]))
"""


def growth(folder: Path, share: float) -> tuple[list[Row], list[dict[str, float]]]:
    """Rows of speeds, and for each size its seconds and its largest memory."""
    rows, sizes = [], []
    for whole in COUNTS:
        count = int(whole * share)
        path = folder / f"grown{count}.rec"
        (write, opened, read, scan), peak = _measured(IN_TURN, str(path), str(count), str(SMALL))
        size = {"records": count, "write": write, "open": opened, "read": read, "scan": scan, **_megabytes(peak)}
        sizes.append(size)
        note = f"peak {size['anonymous_megabytes']:.0f} MB"
        rows.append(Row(f"write {count:,} records of {SMALL} bytes ({note})", count / write, "records/s"))
        rows.append(Row(f"read {count:,} records of {SMALL} bytes ({note})", count / (opened + read), "records/s"))
    for whole in PACKED:
        count = int(whole * share)
        if not room(folder, 15_000 * count, f"packing {count:,} images"):
            continue
        root, lst = linked_images(folder / f"images{count}", count)
        (seconds, _), peak = _measured(PACKING, str(lst), str(root), str(folder / f"many{count}.rec"), "128")
        sizes.append({"images": count, "pack": seconds, **_megabytes(peak)})
        what = f"pack {count:,} images of 500 x 375, shorter edge 128 (peak {peak.pss / 1e6:.0f} MB)"
        rows.append(Row(what, count / seconds, "images/s"))
    return rows, sizes


def linked_images(folder: Path, count: int) -> tuple[Path, Path]:
    """Twenty images that many rows of a list name."""
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
    lst = folder.with_suffix(".lst")
    with lst.open("w", encoding="utf-8") as stream:
        for number in range(count):
            stream.write(f"{number}\t2\t5\t0\t0.1\t0.2\t0.7\t0.9\t{number % 20}.jpg\n")
    return folder, lst


def _measured(script: str, *arguments: str) -> tuple[Any, Peak]:
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        with Peak(child.pid) as peak:
            answer, _ = child.communicate()
        if child.returncode:
            sys.exit(f"{arguments} failed")
    return json.loads(answer), peak


def _megabytes(peak: Peak) -> dict[str, float]:
    return {"pss_megabytes": peak.pss / 1e6, "anonymous_megabytes": peak.anonymous / 1e6}
