from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from birdsod import _files, _progress

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with _files.appearing(target) as stream:
        stream.write(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    _files.write_text(target, "old")

    def fail() -> None:
        with _files.appearing(target) as stream:
            stream.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_has_the_rights_that_the_user_asked_for(tmp_path: Path) -> None:
    _files.write_bytes(tmp_path / "a", b"")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="no file size limit to set")
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from birdsod import _files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "_files.write_bytes(sys.argv[1], bytes(5000))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_sha256_reads_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "_BLOCK", 7)
    (tmp_path / "a").write_bytes(bytes(range(100)))
    assert _files.sha256(tmp_path / "a") == hashlib.sha256(bytes(range(100))).hexdigest()


def test_the_bar_is_silent_off_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(_progress.bar(range(3), description="counting")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_a_notebooks_packages_alone_are_no_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert list(_progress.bar(range(3), description="counting")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
