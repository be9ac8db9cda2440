"""What is fuzzed: one function a reader, with the files it begins from.

The law is the same for all: whatever the bytes, a reader answers or raises one of birdsod's own errors, and what it
takes in memory is bounded by the size of the input.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import json
import math
import struct
import tarfile
import tempfile
import tracemalloc
import warnings
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod import image, lstwriter
from birdsod.classes import ClassTable
from birdsod.errors import BirdsodError
from birdsod.mxnet import SparseArray, params_bytes, read_params, read_symbol
from birdsod.recordio import MAGIC, Packed, RecordReader, RecordWriter, Sharded, reindex, repair, verify
from birdsod.recordio._journal import JOURNAL
from birdsod.recordio._leftovers import claim
from birdsod.recordio._marks import Reach
from birdsod.recordio._resume import begin
from birdsod.recordio._shard_plan import Cuts
from birdsod.recordio._taking import Purpose, take
from birdsod.ssd._members import read_matching
from birdsod.ssd.artifact import MEMBERS, Artifact, artifact_members, artifact_of, is_member, write_archive
from birdsod.ssd.mxnet_artifact import holds_mxnet, mxnet_artifact

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TARGETS", "Target"]

# In memory where that can be, since every step of a writer waits for the disk.
_SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None
# Readers keep tables of a row a record or line, and text that was decoded takes up to four bytes a character.
_BYTES_EACH = 256
_BYTES_ANYWAY = 8 << 20
_PURPOSE = Purpose(("a",), None, None, None)
_BLOCK = 512
_MOST_UNPACKED = 1 << 30
# Between the members of an archive.
_BETWEEN = b"\n#\n"
_MXNET_MEMBERS = ("model-symbol.json", "model-0000.params", "hyperparams.json", "classes.json")


class TooMuchMemoryError(AssertionError):
    """A reader took more memory than the size of its input explains."""


@dataclass(frozen=True, slots=True)
class Target:
    """A reader to be fuzzed.

    Parameters
    ----------
    read : callable
        Takes the bytes and an empty folder, and reads them as its kind of file.
    seeds : callable
        Returns whole files of that kind.
    size : callable
        Returns how many bytes an input stands for; packed ones stand for more than they are.
    """

    read: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]
    size: Callable[[bytes], int] = len

    def prepare(self) -> None:
        """Read the seeds, so that packages which load when first used are loaded."""
        for seed in self.seeds():
            self._read(seed)

    def hold(self, data: bytes) -> None:
        """Read some bytes and hold the reader to the law."""
        traced = tracemalloc.is_tracing()
        tracemalloc.start()
        try:
            self._read(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            if not traced:
                tracemalloc.stop()
        size = max(len(data), self.size(data))
        if peak > _BYTES_ANYWAY + _BYTES_EACH * size:
            raise TooMuchMemoryError(f"{peak} bytes of memory for an input of {size}")

    def _read(self, data: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=_SCRATCH) as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(BirdsodError):
                self.read(data, Path(folder))


def _read_record(data: bytes, folder: Path) -> None:
    del folder
    with RecordReader(io.BytesIO(data)) as records:
        for record in records:
            with contextlib.suppress(BirdsodError):
                _ = record.boxes
        for key in records.keys:
            records.by_key(int(key))


def _read_record_file(data: bytes, folder: Path) -> None:
    path = folder / "a.rec"
    path.write_bytes(data)
    found = verify(path, jobs=1)
    json.dumps(found.to_json(), allow_nan=False)
    for step in (lambda: repair(path, folder / "b.rec"), lambda: reindex(path)):
        with contextlib.suppress(BirdsodError):
            step()


def _read_index(data: bytes, folder: Path) -> None:
    path = folder / "a.rec"
    path.write_bytes(_record_file())
    path.with_suffix(".idx").write_bytes(data)
    verify(path, jobs=1)
    with RecordReader(path) as records:
        for position in range(len(records)):
            with contextlib.suppress(BirdsodError):
                _ = records[position]


def _read_list(data: bytes, folder: Path) -> None:
    path = folder / "a.lst"
    path.write_bytes(data)
    skipped: list[BirdsodError] = []
    for _ in lstwriter.rows(path, on_skip=skipped.append):
        pass
    lstwriter.read(path)


def _read_manifest(data: bytes, folder: Path) -> None:
    (folder / "packed.json").write_bytes(data)
    (folder / "a.rec").write_bytes(_record_file())
    verify(folder / "a.rec", jobs=1)
    Packed.open(folder)


def _read_shards(data: bytes, folder: Path) -> None:
    (folder / "shards.json").write_bytes(data)
    (folder / "a-00000-of-00002.rec").write_bytes(_record_file())
    verify(folder, jobs=1)
    Sharded.open(folder)


def _read_journal(data: bytes, folder: Path) -> None:
    hidden = folder / ".birdsod-left"
    hidden.mkdir()
    claim(hidden).close()
    for name, content in {"a-00000.rec": _record_file(), "a-00000.idx": _index_file()}.items():
        (hidden / name).write_bytes(content)
    # With the checksums that a fuzzer cannot guess.
    lines = (b"%08x %s\n" % (zlib.crc32(line), line) for line in data.split(b"\n"))
    (hidden / JOURNAL).write_bytes(b"".join(lines))
    taken = take(folder, _PURPOSE, resume=True)
    if taken is not None:
        with taken.claim:
            reach = Reach(Cuts(0, 0, 3), np.arange(3))
            begin(taken.folder, _journal_entries()[0], {"a": reach}).journal.close()


def _read_image_size(data: bytes, folder: Path) -> None:
    del folder
    image.read_size(data)


def _read_params(data: bytes, folder: Path) -> None:
    del folder
    for array in read_params(data).values():
        # A sparse array may stand for a whole one of any size.
        if isinstance(array, SparseArray) and math.prod(array.shape) <= len(data):
            with contextlib.suppress(BirdsodError):
                array.dense()


def _read_symbol(data: bytes, folder: Path) -> None:
    del folder
    graph = read_symbol(data)
    graph.needed_for(*(number for number, _ in graph.heads))
    for node in graph.nodes:
        for name in node.attributes:
            with contextlib.suppress(BirdsodError):
                node.numbers(name, ())


def _read_archive(data: bytes, folder: Path) -> None:
    path = folder / "model.tar.gz"
    path.write_bytes(data)
    members, ignored = read_matching(path, is_member)
    if holds_mxnet(members):
        opened = mxnet_artifact(members, ignored, path)
        _ = opened.parameters, opened.image_shape, opened.input_mean
        for array in opened.arrays.values():
            if isinstance(array, SparseArray) and math.prod(array.shape) <= len(data):
                with contextlib.suppress(BirdsodError):
                    array.dense()
    else:
        _ = artifact_of(members, ignored, path).parameters


def _read_tar(data: bytes, folder: Path) -> None:
    # With the checksums that a fuzzer cannot guess: gzip's and those of the tar's headers.
    blocks = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    _read_archive(gzip.compress(b"".join(map(_with_checksum, blocks)), 1, mtime=0), folder)


def _with_checksum(block: bytes) -> bytes:
    if len(block) < _BLOCK or block[257:262] != b"ustar":
        return block
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def _unpacked(data: bytes) -> int:
    """Return how many bytes gzip's data stand for, as far as they are sound."""
    whole, unpacking = 0, zlib.decompressobj(wbits=31)
    with contextlib.suppress(zlib.error):
        while data and whole < _MOST_UNPACKED:
            whole += len(unpacking.decompress(data, _BLOCK << 10))
            data = unpacking.unconsumed_tail
            if unpacking.eof:
                data, unpacking = unpacking.unused_data, zlib.decompressobj(wbits=31)
    return whole


def _read_members(data: bytes, folder: Path) -> None:
    # With the checksums of the names and sizes, too.
    path = folder / "model.tar.gz"
    parts = data.split(_BETWEEN)
    names = MEMBERS if len(parts) <= len(MEMBERS) else _MXNET_MEMBERS
    write_archive(path, dict(zip(names, parts, strict=False)))
    _read_archive(path.read_bytes(), folder)


def _payload(image_id: int, label: tuple[float, ...], pixels: bytes) -> bytes:
    return struct.pack("<IfQQ", len(label), 0.0, image_id, 0) + struct.pack(f"<{len(label)}f", *label) + pixels


@functools.cache
def _record_file() -> bytes:
    """Return a file of three records, the last one split since it holds the magic number."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.rec"
        with RecordWriter(path) as writer:
            writer.write(_payload(1, (2, 5, 0, 0.1, 0.2, 0.5, 0.75), _picture(".png")), 1)
            writer.write(_payload(2, (), b"no image"), 2)
            writer.write(_payload(3, (2, 5), MAGIC.to_bytes(4, "little") * 3), 3)
        return path.read_bytes()


def _index_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.rec"
        path.write_bytes(_record_file())
        return reindex(path).read_bytes()


def _list_file() -> bytes:
    rows = [
        "1\t2\t5\t0\t0.1\t0.2\t0.5\t0.75\ta/b.jpg",
        "2\t2\t5\tc.jpg",
        "3\t4\t5\t0\t9\t1\t0\t0\t1\t1\td e.png",
        "4\t7\tf.png",
    ]
    return "".join(f"{row}\n" for row in rows).encode()


def _manifest_file(*, sharded: bool = False) -> bytes:
    options = {"resize": 8, "quality": 95, "encoding": ".jpg", "center_crop": False, "pass_through": False}
    numbers = dict.fromkeys(("listed", "records", "objects", "most_objects", "longest_label", "bytes"), 3)
    hashes = dict.fromkeys(("sha256", "idx_sha256", "lst_sha256"), "0" * 64)
    lists = {"clipped": [], "dropped": [], "refused": [{"image_id": 1, "name": "a.jpg", "reason": "it is broken"}]}
    row = {**numbers, **hashes, "options": options, **lists}
    shards = [{"index": index, "first_row": index * 3, **row, "records": 2} for index in range(2)]
    content = {
        "schema": 1,
        "classes": [{"class_id": 0, "source_id": 17, "name": "017.Cardinal"}],
        "channels": {"a": {"of": 2, "lst_sha256": "0" * 64, "shards": shards} if sharded else row},
    }
    return json.dumps(content).encode()


@functools.cache
def _journal_entries() -> list[dict[str, Any]]:
    """Return the head of a run that was stopped, a mark after two records, and the names that it was about to give."""
    options = {"resize": 8, "OpenCV": "4"}
    lists = {"a": {"list": "0" * 64, "sizes": "0" * 64}}
    head = {"schema": 1, "purpose": asdict(_PURPOSE), "options": options, "lists": lists}
    files = [hashlib.sha256(content).hexdigest() for content in (_record_file(), _index_file())]
    box = {"image_id": 1, "name": "a.jpg", "object_index": 0, "box": [0.0, 0.0, 1.0, 1.0]}
    clipped = {**box, "before": box["box"], "after": box["box"]}
    del clipped["box"]
    tally = {
        **dict.fromkeys(("listed", "records", "objects", "most_objects", "longest_label"), 2),
        "clipped": [clipped],
        "dropped": [box],
        "refused": [],
    }
    sizes = {"bytes": len(_record_file()), "idx_bytes": len(_index_file())}
    hashes = {"sha256": files[0], "idx_sha256": files[1]}
    mark = {"channel": "a", "index": 0, "begin": 0, "row": 2, "is_whole": False, **sizes, **hashes, "tally": tally}
    return [head, {"mark": mark}, {"publishing": {"a-00000.rec": ["a.rec", files[0]]}}]


def _journal_file() -> bytes:
    return "\n".join(json.dumps(entry) for entry in _journal_entries()).encode()


def _params_file() -> bytes:
    return params_bytes({"arg:w": np.ones((2, 3), dtype=np.float32), "aux:mean": np.ones(2, dtype=np.int64)})


def _symbol_file() -> bytes:
    nodes = [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "Pooling", "name": "p", "attrs": {"kernel": "(2, 2)", "pool_type": "max"}, "inputs": [[0, 0, 0]]},
    ]
    return json.dumps({"nodes": nodes, "heads": [[1, 0, 0]], "attrs": {"mxnet_version": ["int", 10901]}}).encode()


def _members() -> dict[str, bytes]:
    table = ClassTable((17,), ("017.Cardinal",))
    arrays: dict[str, np.ndarray[Any, Any]] = {"w": np.ones((2, 3), dtype=np.float32), "n": np.ones(1, dtype=np.int64)}
    values = {"num_classes": "1", "num_training_samples": "8", "mini_batch_size": "8", "_nested": "[1, 2]"}
    made = artifact_members(Artifact(arrays, values, table))
    return {name: made[name] for name in MEMBERS}


def _mxnet_members() -> dict[str, bytes]:
    values = json.dumps({"image_shape": "300", "num_classes": "1", "_input_mean": "123,117,104"}).encode()
    contents = (_symbol_file(), _params_file(), values, _members()["classes.json"])
    return dict(zip(_MXNET_MEMBERS, contents, strict=True))


def _archives() -> list[bytes]:
    """Return a model archive of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tar.gz"
        return [write_archive(path, each).read_bytes() for each in (_members(), _mxnet_members())]


def _tars() -> list[bytes]:
    """Return the archives unpacked, and one with long names, folders and sparse maps of its own."""
    long = io.BytesIO()
    with tarfile.open(fileobj=long, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a seed"}) as archive:
        folder = tarfile.TarInfo("deep/" * 30)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in _members().items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 0.5
            archive.addfile(entry, io.BytesIO(content))
    # Without most of the zeros at their ends.
    return [each.rstrip(b"\0") + bytes(1536) for each in (*map(gzip.decompress, _archives()), long.getvalue())]


def _picture(encoding: str) -> bytes:
    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    return image.encode(pixels, encoding=encoding, quality=9)


TARGETS: dict[str, Target] = {
    "record": Target(_read_record, lambda: [_record_file()]),
    "record-file": Target(_read_record_file, lambda: [_record_file()]),
    "index": Target(_read_index, lambda: [_index_file()]),
    "list": Target(_read_list, lambda: [_list_file()]),
    "manifest": Target(_read_manifest, lambda: [_manifest_file()]),
    "journal": Target(_read_journal, lambda: [_journal_file()]),
    "shards": Target(_read_shards, lambda: [_manifest_file(sharded=True)]),
    "params": Target(_read_params, lambda: [_params_file()]),
    "symbol": Target(_read_symbol, lambda: [_symbol_file()]),
    "archive": Target(_read_archive, _archives, _unpacked),
    "archive-tar": Target(_read_tar, _tars),
    "archive-members": Target(
        _read_members, lambda: [_BETWEEN.join(each.values()) for each in (_members(), _mxnet_members())]
    ),
    "image-size": Target(_read_image_size, lambda: [_picture(".jpg"), _picture(".png")]),
}
"""The targets by name."""
