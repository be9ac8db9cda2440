"""Memory that does not grow with the number of records or images; minutes, so only on request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from birdsod import image

if TYPE_CHECKING:
    from collections.abc import Callable

    from recordio._memory import Peak
else:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    from recordio._memory import Peak

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memory is told by Linux")]

IMAGES, PACKING_LIMIT = 100_000, 300_000_000
RECORDS, RECORDS_LIMIT = 1_000_000, 150_000_000
PACK = """
import json, sys
from pathlib import Path
from birdsod.recordio import pack_list
packed = pack_list(sys.argv[1], root=sys.argv[2], resize=24, jobs=2)
print(json.dumps([packed.records, packed.objects, packed.bytes]))
"""
PACK_CLIPPED = """
import json, sys
import numpy as np
from birdsod import ClassTable, DetectionDataset, pack
count = int(sys.argv[3])
ids = np.arange(count)
sides = {"xmin": -1.5, "ymin": 1.25, "xmax": 40.5, "ymax": 30.75}
columns = {side: np.full(count, value) for side, value in sides.items()}
birds = DetectionDataset.from_tables(
    {"image_id": ids, "path": [f"many/{number}.jpg" for number in ids]},
    {"image_id": ids, "class_id": np.zeros(count, int)} | columns,
    root=sys.argv[1],
    class_table=ClassTable((17,), ("017.Cardinal",)),
)
packed = pack({"train": birds}, sys.argv[2], resize=24, jobs=2).channels["train"]
print(json.dumps([packed.records, len(packed.clipped)]))
"""
WRITE_AND_READ = """
import json, sys, time
from birdsod.recordio import RecordReader, RecordWriter
path, count = sys.argv[1], int(sys.argv[2])
start = time.perf_counter()
with RecordWriter(path) as writer:
    for key in range(count):
        writer.write_record(key, [2, 5, key % 5, 0.1, 0.2, 0.5, 0.6], b"image %9d" % key)
written = time.perf_counter()
with RecordReader(path) as reader:
    ids = sum(record.header.id for record in reader)
    last = reader[-1].image
read = time.perf_counter()
with RecordReader(path, scan=True) as scanned:
    found = len(scanned)
print(json.dumps([ids, last.decode(), found, written - start, read - written, time.perf_counter() - read]))
"""


def watched(script: str, *arguments: str) -> tuple[Any, Peak]:
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        with Peak(child.pid) as peak:
            answer, _ = child.communicate()
        assert child.returncode == 0
    return json.loads(answer), peak


def draw_ten(folder: Path) -> None:
    rng = np.random.default_rng(3)
    for number in range(10):
        pixels = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
        (folder / f"{number}.jpg").write_bytes(image.encode(pixels))


def test_packing_a_hundred_thousand_images_takes_little_memory(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    draw_ten(tmp_path)
    lst = tmp_path / "many.lst"
    with lst.open("w", encoding="utf-8") as stream:
        for number in range(IMAGES):
            stream.write(f"{number}\t2\t5\t0\t0.1\t0.2\t0.5\t0.6\t{number % 10}.jpg\n")
    (records, objects, size), peak = watched(PACK, str(lst), str(tmp_path))
    assert (records, objects) == (IMAGES, IMAGES)
    assert size == (tmp_path / "many.rec").stat().st_size
    record_property("peak_pss_megabytes", round(peak.pss / 1e6))
    assert 0 < peak.pss < PACKING_LIMIT


def test_a_clipped_box_on_each_of_them_takes_little_memory(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    draw_ten(tmp_path)
    (tmp_path / "many").mkdir()
    for number in range(IMAGES):
        # A name each for few files: a data set takes no path twice.
        (tmp_path / "many" / f"{number}.jpg").hardlink_to(tmp_path / f"{number % 10}.jpg")
    found, peak = watched(PACK_CLIPPED, str(tmp_path), str(tmp_path / "packed"), str(IMAGES))
    assert found == [IMAGES, IMAGES]
    record_property("peak_pss_megabytes", round(peak.pss / 1e6))
    assert 0 < peak.pss < PACKING_LIMIT


def test_a_million_small_records_there_and_back(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    path = tmp_path / "million.rec"
    (ids, last, found, *seconds), peak = watched(WRITE_AND_READ, str(path), str(RECORDS))
    assert ids == RECORDS * (RECORDS - 1) // 2
    assert last == f"image {RECORDS - 1:9d}"
    assert found == RECORDS
    # Frame, header, seven numbers, an image of 15 bytes and one to fill up.
    assert path.stat().st_size == RECORDS * (8 + 24 + 28 + 16)
    record_property("write_read_scan_seconds", [round(each, 1) for each in seconds])
    record_property("peak_anonymous_megabytes", round(peak.anonymous / 1e6))
    assert 0 < peak.anonymous < RECORDS_LIMIT
