"""How the file of an image is read before it goes into a record."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from birdsod.errors import ImageError
from birdsod.recordio import _image_work


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    for size in (0, 1, 70_000):
        (tmp_path / "a").write_bytes(bytes(size))
        assert _image_work._read(str(tmp_path / "a")) == bytes(size)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that is longer than it says")
def test_a_file_that_is_longer_than_it_says_is_read_whole() -> None:
    path = Path("/proc/self/mounts")
    assert path.stat().st_size == 0
    assert _image_work._read(str(path)) == path.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that never ends")
def test_a_file_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_image_work, "LONGEST", 1000)
    with pytest.raises(ImageError, match="does not fit into a record"):
        _image_work._read("/dev/zero")
