"""Packing as a machine that is stopped, damaged and resumed in any order: it ends with the bytes of an unbroken run."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from birdsod.errors import RecordError
from birdsod.recordio import PackOptions, _image_work, _shelf
from birdsod.recordio._journal import head_of

if TYPE_CHECKING:
    from tests.recordio import stopping
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import stopping

WAYS: list[dict[str, Any]] = [{}, {"shards": 3}, {"shards": "1kB"}, {"shard": (0, 2)}]


class Stopped(BaseException):
    """As if the process had ended there, but this one goes on."""


class Packing(RuleBasedStateMachine):
    """One folder, packed into until it is whole."""

    photos: Path
    unbroken: tuple[dict[str, bytes], ...]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="birdsod-machine-"))

    @initialize(way=st.integers(0, len(WAYS) - 1))
    def begin(self, way: int) -> None:
        self.how, self.expected = WAYS[way], self.unbroken[way]
        self.is_whole = False

    def teardown(self) -> None:
        try:
            if not self.is_whole:
                self.finish()
        finally:
            shutil.rmtree(self.folder)

    @property
    def left(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.name.startswith(".birdsod-")]

    @precondition(lambda self: not self.is_whole)
    @rule(images=st.integers(0, 31), rows=st.integers(1, 8), jobs=st.sampled_from([1, 2]))
    def pack_some(self, images: int, rows: int, jobs: int) -> None:
        encoded, done = _image_work._encoded, iter(range(images))

        def some(task: _image_work.Task, options: PackOptions) -> _image_work.Made:
            if next(done, None) is None:
                raise Stopped
            return encoded(task, options)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(_image_work, "_encoded", some)
            patched.setattr(_shelf, "_ROWS_A_MARK", rows)
            try:
                stopping.pack(self.photos, self.folder, resume=True, jobs=jobs, **self.how)
                self.is_whole = True
            except Stopped:
                pass

    @precondition(lambda self: not self.is_whole and self.left)
    @rule(data=st.data())
    def lose_an_end(self, data: st.DataObject) -> None:
        """A file loses what the disk had not got, or more."""
        path = self._file(data)
        size = path.stat().st_size
        with path.open("r+b") as stream:
            stream.truncate(data.draw(st.integers(0, size)))
            if data.draw(st.booleans()):
                # Some file systems give back the length, and zeros.
                stream.truncate(size)

    @precondition(lambda self: not self.is_whole and self.left)
    @rule(data=st.data(), junk=st.binary(min_size=1, max_size=40))
    def spoil(self, data: st.DataObject, junk: bytes) -> None:
        """A file holds something else somewhere, or at its end."""
        path = self._file(data)
        with path.open("r+b") as stream:
            stream.seek(data.draw(st.integers(0, path.stat().st_size)))
            stream.write(junk)

    @precondition(lambda self: not self.is_whole and self.left)
    @rule(data=st.data())
    def lose_a_file(self, data: st.DataObject) -> None:
        self._file(data).unlink()

    def _file(self, data: st.DataObject) -> Path:
        folder = data.draw(st.sampled_from(sorted(self.left)))
        found = [
            path for path in folder.iterdir() if path.suffix in {".rec", ".idx", ".lst"} or path.name == ".journal"
        ]
        return data.draw(st.sampled_from(sorted(found))) if found else folder / ".owner"

    @precondition(lambda self: not self.is_whole)
    @rule()
    def ask_for_other_shards(self) -> None:
        if any(head_of(folder) for folder in self.left):
            with pytest.raises(RecordError, match="packed something else"):
                stopping.pack(self.photos, self.folder, resume=True, shards=7)
            return
        # There is nothing to resume, so nothing is lost; but what was packed otherwise is in the way.
        stopping.pack(self.photos, self.folder, resume=True, shards=7)
        for path in self.folder.iterdir():
            path.unlink()

    @precondition(lambda self: not self.is_whole)
    @rule()
    def finish(self) -> None:
        stopping.pack(self.photos, self.folder, resume=True, **self.how)
        self.is_whole = True

    @precondition(lambda self: self.is_whole)
    @rule()
    def refuse_to_pack_again(self) -> None:
        with pytest.raises(RecordError, match="exists already"):
            stopping.pack(self.photos, self.folder, resume=True, **self.how)

    @invariant()
    def is_nothing_or_whole(self) -> None:
        if not hasattr(self, "expected"):
            return
        found = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        assert found == (self.expected if self.is_whole else {})
        assert not (self.is_whole and self.left)


@pytest.fixture(scope="module", autouse=True)
def _unbroken(tmp_path_factory: pytest.TempPathFactory) -> None:
    Packing.photos = tmp_path_factory.mktemp("photos")
    stopping.draw_photos(Packing.photos)
    found = []
    for how in WAYS:
        folder = tmp_path_factory.mktemp("unbroken")
        stopping.pack(Packing.photos, folder, **how)
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    Packing.unbroken = tuple(found)


TestPacking = Packing.TestCase
TestPacking.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
