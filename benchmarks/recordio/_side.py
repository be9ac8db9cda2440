"""One side of a comparison: does exercises on record files in an environment of its own, and tells the seconds.

``_sides.py`` starts it as ``python _side.py mxnet`` and ``python _side.py birdsod``. A line of JSON in names the
exercise and its arguments; a line of JSON out gives the seconds and a value that both sides must agree on.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

BLOCK = 1 << 20


def shuffled(count: int, most: int) -> list[int]:
    keys = list(range(count))
    random.Random(7).shuffle(keys)
    return keys[:most]


def images(size: int) -> list[bytes]:
    """Some made-up images of a size, so that no side profits from writing the same bytes again."""
    data = np.random.default_rng(5).bytes(size + 512)
    return [data[first : first + size] for first in range(512)]


LABEL = np.array([2, 5, 3, 0.1, 0.2, 0.7, 0.9], dtype=np.float32)


def width(label: Any) -> int:  # noqa: ANN401 - the sides have labels of their own
    """Look at a label, since one that no one looks at need not be made."""
    return int(label[1])


class Both:
    """What does not differ."""

    def prepare(self, path: str) -> None:
        raise NotImplementedError

    def raw(self, path: str) -> int:
        """Read the whole file in blocks: as fast as bytes come."""
        total, block = 0, bytearray(BLOCK)
        with Path(path).open("rb", buffering=0) as stream:
            while count := stream.readinto(block):
                total += count
        return total


class Birdsod(Both):
    def prepare(self, path: str) -> None:
        from birdsod.recordio import RecordReader

        self.reader = RecordReader(path)
        self.keys = shuffled(len(self.reader), 20_000)

    def open(self, path: str) -> int:
        from birdsod.recordio import RecordReader

        with RecordReader(path) as reader:
            return len(reader)

    def scan(self, path: str) -> int:
        from birdsod.recordio import RecordReader

        with RecordReader(path, scan=True) as reader:
            return len(reader)

    def reindex(self, path: str) -> int:
        from birdsod.recordio import reindex

        index = reindex(path, index=f"{path}.again", overwrite=True)
        size = index.stat().st_size
        index.unlink()
        return size

    def payloads(self) -> int:
        reader = self.reader
        return sum(len(bytes(reader.payload(position))) for position in range(len(reader)))

    def records(self) -> int:
        total = 0
        for record in self.reader:
            total += len(record.image) + width(record.label)
        return total

    def random_payloads(self) -> int:
        reader = self.reader
        return sum(len(bytes(reader.payload(key))) for key in self.keys)

    def random_records(self) -> int:
        by_key = self.reader.by_key
        total = 0
        for key in self.keys:
            record = by_key(key)
            total += len(record.image) + width(record.label)
        return total

    def write(self, path: str, size: int, count: int, *, records: bool, flush: bool) -> None:
        from birdsod.recordio import RecordWriter

        given = images(size)
        # The writer flushes always; here for once it does not, for a comparison with one that never does.
        unflushed = contextlib.nullcontext() if flush else patch.object(os, "fsync")
        with unflushed, RecordWriter(path, overwrite=True) as writer:
            for key in range(count):
                if records:
                    writer.write_record(key, LABEL, given[key % 512])
                else:
                    writer.write(given[key % 512], key)


class MXNet(Both):
    def __init__(self) -> None:
        import mxnet

        self.recordio: Any = mxnet.recordio

    def prepare(self, path: str) -> None:
        self.reader = self._indexed(path)
        self.stream = self.recordio.MXRecordIO(path, "r")
        self.keys = shuffled(len(self.reader.keys), 20_000)

    def open(self, path: str) -> int:
        return len(self._indexed(path).keys)

    def scan(self, path: str) -> int:
        """Read every record: nothing else finds them without an index."""
        stream, count = self.recordio.MXRecordIO(path, "r"), 0
        while stream.read() is not None:
            count += 1
        return count

    def payloads(self) -> int:
        self.stream.reset()
        total = 0
        while (payload := self.stream.read()) is not None:
            total += len(payload)
        return total

    def records(self) -> int:
        self.stream.reset()
        total = 0
        while (payload := self.stream.read()) is not None:
            header, image = self.recordio.unpack(payload)
            total += len(image) + width(header.label)
        return total

    def random_payloads(self) -> int:
        return sum(len(self.reader.read_idx(key)) for key in self.keys)

    def random_records(self) -> int:
        total = 0
        for key in self.keys:
            header, image = self.recordio.unpack(self.reader.read_idx(key))
            total += len(image) + width(header.label)
        return total

    def write(self, path: str, size: int, count: int, *, records: bool, flush: bool) -> None:
        recordio, given = self.recordio, images(size)
        names = str(Path(path).with_suffix(".idx")), path
        writer = recordio.MXIndexedRecordIO(*names, "w")
        for key in range(count):
            image = given[key % 512]
            writer.write_idx(key, recordio.pack(recordio.IRHeader(0, LABEL, key, 0), image) if records else image)
        writer.close()
        for name in names if flush else ():
            descriptor = os.open(name, os.O_RDWR)
            os.fsync(descriptor)
            os.close(descriptor)

    def _indexed(self, path: str) -> Any:  # noqa: ANN401 - MXNet has no types
        return self.recordio.MXIndexedRecordIO(str(Path(path).with_suffix(".idx")), path, "r")


def main() -> None:
    side = {"mxnet": MXNet, "birdsod": Birdsod}[sys.argv[1]]()
    for line in sys.stdin:
        exercise, arguments = json.loads(line)
        start = time.perf_counter()
        value = getattr(side, exercise)(**arguments)
        print(json.dumps([time.perf_counter() - start, value]), flush=True)


if __name__ == "__main__":
    main()
