"""How the file of an image is read before it goes into a record."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize("size", [1001, 5000])
def test_a_file_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(_image_work, "LONGEST", 1000)
    (tmp_path / "a").write_bytes(bytes(size))
    with pytest.raises(ImageError, match="does not fit into a record"):
        _image_work._read(str(tmp_path / "a"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_neither_a_pipe_nor_a_device_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ImageError, match=r"the image is no file.*a pipe, a device"):
            _image_work._read(str(path))


def test_what_the_system_does_not_open_is_told_with_its_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"cannot be read\. Likely cause: Not a directory") as caught:
        _image_work._read(str(tmp_path / "file" / "a.jpg"))
    assert caught.value.path == str(tmp_path / "file" / "a.jpg")
