"""The same records from a path, from file objects and from URLs, with and without an index."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import multiprocessing
import pickle
import struct
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import MissingDependencyError, RecordError
from birdsod.recordio import Record, RecordReader, RecordWriter, _ranges, _sources
from birdsod.recordio._framing import MAGIC, framed
from birdsod.recordio._ranges import ends_of, grouped, scan_source
from birdsod.recordio._record import record_head
from birdsod.testing import payloads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

# It ships no types.
fsspec: Any = import_module("fsspec")

KEYS = [7, 3, 40, 2**64 - 1, 0xCED7230A]
LABEL = [2, 5, 3, 0.25, 0.25, 0.5, 0.75]


@pytest.fixture
def rec(tmp_path: Path) -> Path:
    path = tmp_path / "birds.rec"
    with RecordWriter(path) as writer:
        for key in KEYS:
            writer.write_record(key, LABEL, b"image %d" % key * 40)
    return path


@pytest.fixture
def records(rec: Path) -> list[Record]:
    with RecordReader(rec) as reader:
        return list(reader)


@pytest.fixture
def memory(rec: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    for path in (rec, rec.with_suffix(".idx")):
        system.pipe_file(f"/birds/{path.name}", path.read_bytes())
    yield "memory://birds/birds.rec"
    system.rm("/birds", recursive=True)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, by ranges unless told otherwise; counts what is asked for."""

    ranges = True
    sizes = True
    announces = False
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        span = self.headers.get("Range", "")
        self.asked.append(f"{self.command} {self.path} {span}")
        try:
            with open(self.translate_path(self.path), "rb") as stream:  # noqa: PTH123 - it is a str
                data = stream.read()
        except OSError:
            self.send_error(403 if "secret" in self.path else 404)
            return
        part = data
        if self.ranges and span:
            first, last = span.removeprefix("bytes=").split("-")
            part = data[int(first) : int(last) + 1]
        self.send_response(206 if self.ranges and span else 200)
        if self.announces:
            self.send_header("Accept-Ranges", "none")
        if self.sizes:
            self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if body:
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Site:
    def __init__(self, folder: Path, **manners: bool) -> None:
        self.asked: list[str] = []
        kind = type("Kind", (Handler,), {**manners, "asked": self.asked})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(kind, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/birds.rec"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def check_all(reader: RecordReader, records: list[Record]) -> None:
    """Hold every way of reading to what the mapped file gives."""
    assert len(reader) == len(records)
    assert list(reader) == records
    assert [reader[position] for position in range(len(records))] == records
    assert list(reader[::-1]) == records[::-1]
    assert reader.read([3, 1, 3, -1]) == [records[3], records[1], records[3], records[-1]]
    assert reader.read([]) == []
    assert reader.keys.tolist() == KEYS
    assert reader.by_key(40) == records[2]
    assert bytes(reader.payload(1)) == records[1].payload


class Seekable(io.RawIOBase):
    """A file object that nothing knows but by its methods."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._data.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def opened(kind: str, rec: Path) -> BinaryIO:
    if kind == "gzip":
        return cast("BinaryIO", gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(rec.read_bytes()))))
    kinds = {"BytesIO": io.BytesIO, "raw": Seekable}
    return cast("BinaryIO", kinds[kind](rec.read_bytes())) if kind in kinds else rec.open("rb")


@pytest.mark.parametrize("kind", ["BytesIO", "raw", "gzip", "file"])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_file_object(rec: Path, records: list[Record], kind: str, *, indexed: bool) -> None:
    with opened(kind, rec) as stream:
        with RecordReader(stream, index=rec.with_suffix(".idx") if indexed else None) as reader:
            check_all(reader, records)
            with ThreadPoolExecutor(4) as pool:
                assert list(pool.map(reader.__getitem__, [0, 4, 1, 3, 2] * 20)) == [
                    records[position] for position in [0, 4, 1, 3, 2] * 20
                ]
            with pytest.raises(RecordError, match="cannot go to another process"):
                pickle.dumps(reader)
        assert not stream.closed


def test_a_file_object_that_is_none(tmp_path: Path, rec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "none").open("wb") as written:
        written.write(bytes(8))
        with pytest.raises(RecordError, match="cannot be read"):
            RecordReader(cast("BinaryIO", written))
    with rec.open("r", encoding="latin-1") as text, pytest.raises(RecordError, match="binary mode"):
        RecordReader(cast("BinaryIO", text))
    stream = rec.open("rb", buffering=0)
    stream.close()
    with pytest.raises(RecordError, match="the record file cannot be read"):
        RecordReader(cast("BinaryIO", stream))
    blind = Seekable(b"")
    monkeypatch.setattr(blind, "seek", lambda *_: (_ for _ in ()).throw(OSError("a pipe")))
    with pytest.raises(RecordError, match="cannot seek"):
        RecordReader(cast("BinaryIO", blind))


def test_a_file_object_stays_in_its_process(rec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordReader(opened("raw", rec)) as reader:
        monkeypatch.setattr("birdsod.recordio._sources.os.getpid", lambda: -1)
        with pytest.raises(RecordError, match="belongs to another process"):
            reader[0]


def test_storage_options_are_for_urls(rec: Path) -> None:
    with pytest.raises(RecordError, match="only a URL takes storage options"):
        RecordReader(rec, storage_options={"anon": True})


@pytest.mark.parametrize("scan", [True, False])
def test_a_url(memory: str, records: list[Record], *, scan: bool) -> None:
    with RecordReader(memory, scan=scan) as reader:
        assert reader.path == memory
        check_all(reader, records)
        with pickle.loads(pickle.dumps(reader)) as again:  # noqa: S301 - made a moment ago
            check_all(again, records)


def test_a_url_without_an_index_and_with_one_elsewhere(memory: str, records: list[Record]) -> None:
    system = fsspec.filesystem("memory")
    system.mv("/birds/birds.idx", "/birds/other")
    with RecordReader(memory) as reader:
        check_all(reader, records)
        assert not reader.indexed
    with RecordReader(memory, index="memory://birds/other") as reader:
        check_all(reader, records)
        assert reader.indexed
    system.mv("/birds/birds.rec", "/birds/unnamed")
    with RecordReader("memory://birds/unnamed") as reader:
        check_all(reader, records)
    with pytest.raises(RecordError, match=r"birds\.rec: the file is missing"):
        RecordReader(memory)
    with pytest.raises(RecordError, match=r"none\.idx: the file is missing"):
        RecordReader("memory://birds/unnamed", index="memory://birds/none.idx")
    with pytest.raises(RecordError, match="does not tell the size"):
        RecordReader("memory://birds")


def test_a_url_that_changed_is_not_taken_for_the_one_that_was_pickled(memory: str) -> None:
    with RecordReader(memory) as reader:
        pickled = pickle.dumps(reader)
    fsspec.filesystem("memory").pipe_file("/birds/birds.rec", framed(record_head(1, LABEL)))
    with pytest.raises(RecordError, match="has changed"):
        pickle.loads(pickled)  # noqa: S301 - made a moment ago


def test_a_stale_index_far_away(memory: str) -> None:
    system = fsspec.filesystem("memory")
    index = system.cat_file("/birds/birds.idx")
    system.pipe_file("/birds/birds.idx", index[: index.rindex(b"\n", 0, -1) + 1])
    with pytest.raises(RecordError, match=r"birds\.idx: the index ends \d+ bytes before"):
        RecordReader(memory)


def test_over_http_by_ranges(rec: Path, records: list[Record]) -> None:
    with Site(rec.parent) as site:
        with RecordReader(site.url) as reader:
            check_all(reader, records)
            site.asked.clear()
            assert reader.read([4, 0]) == [records[4], records[0]]
            assert len(site.asked) == 1
            assert list(reader) == records
            assert len(site.asked) == 2
        rec.with_suffix(".idx").unlink()
        with RecordReader(site.url) as reader:
            check_all(reader, records)
        with pytest.raises(RecordError, match="the file is missing"):
            RecordReader(site.url.replace("birds", "bats"))
        with pytest.raises(RecordError, match=r"secret\.idx: the file cannot be read"):
            RecordReader(site.url, index=site.url.replace("birds.rec", "secret.idx"))


def read_image(reader: RecordReader, position: int) -> bytes:
    return reader[position].image


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_open_the_url_themselves(rec: Path, records: list[Record], method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    with (
        Site(rec.parent) as site,
        RecordReader(site.url) as reader,
        ProcessPoolExecutor(1, mp_context=context) as pool,
    ):
        assert pool.submit(read_image, reader, 2).result(60) == records[2].image


@pytest.mark.parametrize("manners", [{"ranges": False}, {"sizes": False}, {"announces": True}])
def test_a_server_that_cannot_do_it_is_told(rec: Path, manners: dict[str, bool]) -> None:
    expected = {
        "ranges": r"bytes came where \d+ were asked for.*the server ignores byte ranges.*download the file",
        "sizes": "does not tell the size",
        "announces": "the server ignores byte ranges",
    }[next(iter(manners))]
    with rec.open("ab") as stream:
        stream.write(framed(bytes(1 << 13)))
    with rec.with_suffix(".idx").open("ab") as stream:
        stream.write(b"9\t%d\n" % (rec.stat().st_size - 8200))
    with Site(rec.parent, **manners) as site, pytest.raises(RecordError, match=expected):
        RecordReader(site.url)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr("birdsod.recordio._remote.import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"birdsod\[remote\]' s3fs"):
        RecordReader("s3://bucket/birds.rec")


@given(data=st.lists(payloads(), max_size=8), block=st.integers(8, 40))
def test_scanning_by_blocks_finds_what_was_written(data: list[bytes], block: int) -> None:
    stream = b"".join(map(framed, data))
    begins = [sum(len(framed(payload)) for payload in data[:count]) for count in range(len(data))]
    source = _sources.source_of(cast("BinaryIO", Seekable(stream)))
    assert list(scan_source(source, block=block)) == begins
    reader = RecordReader(cast("BinaryIO", Seekable(stream)))
    assert [bytes(reader.payload(position)) for position in range(len(data))] == data


@given(data=st.lists(payloads(), min_size=1, max_size=4), place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_mapped_bytes_are_read_as_others_are(data: list[bytes], place: int, byte: int) -> None:
    stream = bytearray(b"".join(map(framed, data)))
    stream[place % len(stream)] = byte
    told: list[object] = []
    for file in (io.BytesIO(stream), cast("BinaryIO", Seekable(bytes(stream)))):
        try:
            with RecordReader(file) as reader:
                told.append([bytes(reader.payload(position)) for position in range(len(reader))])
        except RecordError as error:
            told.append((error.message, error.record, error.value, error.cause))
    assert told[0] == told[1]


def test_a_record_that_another_one_cuts_short_is_told_whatever_it_is_read_from() -> None:
    first = framed(b"part" + struct.pack("<I", MAGIC) + b"rest")[:12]
    stream = framed(b"a record") + first + framed(b"another")
    for file in (io.BytesIO(stream), cast("BinaryIO", Seekable(stream))):
        with pytest.raises(RecordError, match=r"at byte 28: .*without its last part") as caught:
            RecordReader(file)
        assert caught.value.record == 1


def test_a_mapped_reader_is_closed_for_good(rec: Path) -> None:
    reader = RecordReader(rec)
    held = reader.payload(0)
    before = bytes(held)
    reader.close()
    for use in (lambda: reader[0], lambda: reader.payload(0), lambda: reader.read([0]), lambda: list(reader)):
        with pytest.raises(RecordError, match="the reader is closed"):
            use()
    assert bytes(held) == before


@given(spans=st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**6)), max_size=12))
def test_ranges_hold_their_spans(spans: list[tuple[int, int]]) -> None:
    spans = [(begin, begin + length) for begin, length in spans]
    ranges = grouped(spans)
    assert ranges == sorted(ranges)
    for begin, end in spans:
        number = max(place for place, (start, _) in enumerate(ranges) if start <= begin)
        start, length = ranges[number]
        assert start <= begin
        assert end <= start + length
    assert all(length <= _ranges.BLOCK for _, length in ranges)


def test_a_long_file_comes_in_blocks(memory: str, monkeypatch: pytest.MonkeyPatch, records: list[Record]) -> None:
    monkeypatch.setattr("birdsod.recordio._reader.BLOCK", 1000)
    monkeypatch.setattr("birdsod.recordio._ranges.BLOCK", 1000)
    monkeypatch.setattr("birdsod.recordio._ranges._GAP", 0)
    with RecordReader(memory) as reader:
        check_all(reader, records)


def test_a_record_longer_than_its_index_says(memory: str) -> None:
    system = fsspec.filesystem("memory")
    lines = system.cat_file("/birds/birds.idx").splitlines(keepends=True)
    # A line too many points into the first record; the record itself must still be read whole.
    system.pipe_file("/birds/birds.idx", b"".join([lines[0], b"5\t16\n", *lines[1:]]))
    with RecordReader(memory) as reader:
        assert reader[0].image == b"image 7" * 40
        with pytest.raises(RecordError, match="at byte 16: no record begins"):
            reader[1]
        with pytest.raises(RecordError, match="at byte 16: no record begins") as caught:
            list(reader)
    assert caught.value.record == 1


def test_where_a_record_ends() -> None:
    import numpy as np

    assert ends_of(np.array([40, 0, 12]), 60).tolist() == [60, 12, 40]
    assert ends_of(np.array([], dtype=np.int64), 0).tolist() == []
