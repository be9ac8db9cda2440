"""Writing records: both files appear together, whole, or nothing does."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from birdsod.errors import RecordError
from birdsod.recordio import RecordReader, RecordWriter, _writer
from birdsod.recordio._framing import framed
from birdsod.testing import image_ids, payloads

if TYPE_CHECKING:
    from collections.abc import Sequence


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, written: Sequence[bytes], **options: bool) -> None:
    with RecordWriter(path, **options) as writer:
        for key, payload in enumerate(written):
            writer.write(payload, key)


def test_both_files_appear_when_the_block_ends(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write(b"one", 5)
        assert len(writer) == 1
        assert not {"a.rec", "a.idx"} & set(names(tmp_path))
    assert names(tmp_path) == ["a.idx", "a.rec"]
    assert (tmp_path / "a.rec").read_bytes() == framed(b"one")
    assert (tmp_path / "a.idx").read_bytes() == b"5\t0\n"


def test_no_records_make_empty_files(tmp_path: Path) -> None:
    write(tmp_path / "a.rec", [])
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0, 0]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_appears_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), RecordWriter(tmp_path / "deep" / "er" / "a.rec") as writer:  # noqa: PT012 - two statements tell more
        writer.write(b"one", 0)
        raise error
    assert names(tmp_path / "deep") == []


def test_records_that_others_wrote_stay_until_the_new_ones_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    write(path, [b"old", b"old"])
    with pytest.raises(RecordError, match=r"a\.rec: the file exists already"):
        write(path, [b"new"])
    with pytest.raises(ValueError, match="stop"), RecordWriter(path, overwrite=True) as writer:  # noqa: PT012 - see above
        writer.write(b"new", 0)
        raise ValueError("stop")
    with RecordReader(path) as reader:
        assert [bytes(reader.payload(k)) for k in range(len(reader))] == [b"old", b"old"]
    write(path, [b"new"], overwrite=True)
    with RecordReader(path) as reader:
        assert [bytes(reader.payload(k)) for k in range(len(reader))] == [b"new"]
    assert names(tmp_path) == ["a.idx", "a.rec"]


def test_an_index_alone_is_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "a.idx").touch()
    with pytest.raises(RecordError, match=r"a\.idx: the file exists already"):
        write(tmp_path / "a.rec", [])


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.rec").mkdir()
    with pytest.raises(RecordError, match="a folder has the name"):
        write(tmp_path / "a.rec", [], overwrite=True)


def test_a_file_cannot_be_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="cannot be written") as caught:
        write(tmp_path / "file" / "a.rec", [b"x"])
    assert caught.value.cause == os.strerror(errno.EEXIST)
    assert names(tmp_path) == ["file"]


def test_record_file_and_index_need_two_names() -> None:
    with pytest.raises(RecordError, match="name of its index"):
        RecordWriter("birds.idx")


@pytest.mark.parametrize("key", [1.5, 1.0, "7", None, True])
def test_keys_that_are_not_whole_numbers_are_refused(tmp_path: Path, key: Any) -> None:
    with RecordWriter(tmp_path / "birds.rec") as writer:
        with pytest.raises(RecordError, match="the key is not a whole number") as caught:
            writer.write(b"", key)
        assert caught.value.value == repr(key)
        with pytest.raises(RecordError, match="the key is not a whole number"):
            writer.write_record(key, 1.0, b"")
        with pytest.raises(RecordError, match="id2 is not a whole number"):
            writer.write_record(7, 1.0, b"", id2=key)
        assert len(writer) == 0


@pytest.mark.parametrize("key", [-1, 2**64])
def test_keys_that_do_not_fit_are_refused(tmp_path: Path, key: int) -> None:
    with RecordWriter(tmp_path / "a.rec") as writer:
        with pytest.raises(RecordError, match="the key does not fit"):
            writer.write(b"", key)
        with pytest.raises(RecordError, match="the id does not fit"):
            writer.write_record(key, 1.0, b"")


def test_a_writer_writes_in_its_block_only(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "a.rec")
    with pytest.raises(RecordError, match="with block"):
        writer.write(b"", 0)
    with writer:
        writer.write(b"", 0)
    with pytest.raises(RecordError, match="with block"):
        writer.write(b"", 1)


def test_a_number_is_no_payload(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec") as writer:
        with pytest.raises(TypeError):
            writer.write(cast("bytes", 5), 0)
        with pytest.raises(TypeError):
            writer.write_record(0, 1.0, cast("bytes", 5))
        assert len(writer) == 0


def test_what_the_caller_does_with_a_buffer_later_does_not_matter(tmp_path: Path) -> None:
    buffer = bytearray(b"before")
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write(memoryview(buffer), 0)
        buffer[:] = b"behind"
    with RecordReader(tmp_path / "a.rec") as reader:
        assert bytes(reader.payload(0)) == b"before"


@pytest.mark.parametrize("gather", [True, False])
def test_large_and_many_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, gather: bool) -> None:
    if not gather:
        monkeypatch.delattr(os, "writev")
    written = [bytes([k % 251]) * (k * 37 % 4000) for k in range(3000)] + [b"large" * 1_000_000]
    write(tmp_path / "a.rec", written)
    assert (tmp_path / "a.rec").read_bytes() == b"".join(map(framed, written))
    with RecordReader(tmp_path / "a.rec") as reader:
        assert all(bytes(reader.payload(k)) == payload for k, payload in enumerate(written))


def test_a_system_that_takes_less_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", lambda descriptor, pieces: os.write(descriptor, b"".join(pieces)[:5]))
    monkeypatch.setattr(_writer, "_BLOCK", 64)
    written = [bytes([k]) * k for k in range(100)]
    write(tmp_path / "a.rec", written)
    assert (tmp_path / "a.rec").read_bytes() == b"".join(map(framed, written))


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="a system that takes no advice")
@pytest.mark.parametrize("refuses", [False, True])
def test_the_disk_begins_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, refuses: bool) -> None:
    begun: list[tuple[int, int]] = []

    def advise(file: int, start: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        assert os.fstat(file).st_size == start + length
        begun.append((start, length))
        if refuses:
            raise OSError(errno.EINVAL, "no such advice here")

    monkeypatch.setattr(_writer, "_BEGIN", 3 << 20)
    monkeypatch.setattr(os, "posix_fadvise", advise)
    with RecordWriter(tmp_path / "a.rec") as writer:
        for key in range(20):
            writer.write(bytes([key]) * (1 << 19), key)
    assert len(begun) == 3
    assert [start for start, _ in begun] == [0, begun[0][1], begun[0][1] + begun[1][1]]
    with RecordReader(tmp_path / "a.rec") as reader:
        assert [bytes(reader.payload(key)) for key in range(20)] == [bytes([key]) * (1 << 19) for key in range(20)]


def test_a_system_that_takes_no_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_writer, "_BEGIN", 1 << 20)
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write(bytes(3 << 20), 0)
    with RecordReader(tmp_path / "a.rec") as reader:
        assert len(reader.payload(0)) == 3 << 20


def test_files_have_the_mode_that_the_user_asks_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.rec", [b"x"])
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_a_failing_rename_brings_the_previous_files_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.rec", [b"old"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == tmp_path / "a.idx":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(RecordError, match="cannot be written"):
        write(tmp_path / "a.rec", [b"new", b"new"], overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


FULL_DISK = """
import resource, signal, sys
from birdsod.errors import RecordError
from birdsod.recordio import RecordWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
try:
    with RecordWriter(sys.argv[1]) as writer:
        for key in range(100):
            writer.write(bytes(100_000), key)
except RecordError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    assert hasattr(resource, "RLIMIT_FSIZE")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.rec")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a.rec: the file cannot be written. Likely cause: File too large" in done.stdout
    assert names(tmp_path) == []


class Files(RuleBasedStateMachine):
    """Writers that succeed, fail and replace, against a model of what must stand in the folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "a.rec"
        self.expected: list[tuple[int, bytes]] | None = None

    def teardown(self) -> None:
        self.folder.cleanup()

    def _write(self, pairs: list[tuple[int, bytes]], *, overwrite: bool, fail: bool) -> None:
        with RecordWriter(self.path, overwrite=overwrite) as writer:
            for key, payload in pairs:
                writer.write(payload, key)
            if fail:
                raise InterruptedError

    pairs = st.lists(st.tuples(image_ids(), payloads()), max_size=4)

    @rule(pairs=pairs)
    def succeed(self, pairs: list[tuple[int, bytes]]) -> None:
        self._write(pairs, overwrite=True, fail=False)
        self.expected = pairs

    @rule(pairs=pairs)
    def fail(self, pairs: list[tuple[int, bytes]]) -> None:
        with pytest.raises(InterruptedError):
            self._write(pairs, overwrite=True, fail=True)

    @precondition(lambda self: self.expected is not None)
    @rule(pairs=pairs)
    def refuse(self, pairs: list[tuple[int, bytes]]) -> None:
        with pytest.raises(RecordError, match="exists already"):
            self._write(pairs, overwrite=False, fail=False)

    @precondition(lambda self: self.expected is not None)
    @rule()
    def lose_the_index(self) -> None:
        self.path.with_suffix(".idx").unlink(missing_ok=True)

    @invariant()
    def what_stands_is_what_was_written_last(self) -> None:
        if self.expected is None:
            assert names(self.path.parent) == []
            return
        indexed = self.path.with_suffix(".idx").exists()
        assert names(self.path.parent) == (["a.idx", "a.rec"] if indexed else ["a.rec"])
        with RecordReader(self.path) as reader:
            found = [bytes(reader.payload(position)) for position in range(len(reader))]
            assert found == [payload for _, payload in self.expected]
            if indexed:
                assert reader.keys.tolist() == [key for key, _ in self.expected]


TestFiles = Files.TestCase
TestFiles.settings = settings(max_examples=30, stateful_step_count=10)
