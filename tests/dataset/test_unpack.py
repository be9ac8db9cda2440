"""Archives that are whole, broken, or mean harm."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.dataset import _unpack
from birdsod.dataset._unpack import is_whole, unpack
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "attributes.txt": b"1 has_bill_shape::curved\n",
    "CUB_200_2011/images.txt": b"1 001.Made_Up/one.jpg\n2 001.Made_Up/two.jpg\n",
    "CUB_200_2011/classes.txt": b"1 001.Made_Up\n",
    "CUB_200_2011/image_class_labels.txt": b"1 1\n2 1\n",
    "CUB_200_2011/bounding_boxes.txt": b"1 1.0 1.0 2.0 2.0\n2 1.0 1.0 2.0 2.0\n",
    "CUB_200_2011/train_test_split.txt": b"1 1\n2 0\n",
    "CUB_200_2011/images/001.Made_Up/one.jpg": b"first" * 2000,
    "CUB_200_2011/images/001.Made_Up/two.jpg": b"second" * 2000,
}


def entry(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def archive_of(path: Path, *more: tuple[tarfile.TarInfo, bytes], files: dict[str, bytes] | None = None) -> Path:
    entries = [entry(name, data) for name, data in (FILES if files is None else files).items()]
    with tarfile.open(path, "w:gz") as tar:
        for member, data in [*entries, *more]:
            tar.addfile(member, io.BytesIO(data) if data else None)
    return path


def refusal(archive: Path, directory: Path, **bounds: int) -> str:
    with pytest.raises(DatasetError) as raised:
        unpack(archive, directory, **bounds)
    assert raised.value.path == str(archive)
    assert list(directory.iterdir()) == [], "a refused archive leaves something behind"
    return str(raised.value)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    return made


def test_unpacks_the_folder_whole_with_what_lay_beside_it(tmp_path: Path, directory: Path) -> None:
    folder = unpack(archive_of(tmp_path / "a.tgz"), directory)
    assert folder == directory / "CUB_200_2011"
    assert list(directory.iterdir()) == [folder]
    assert is_whole(folder)
    for name, data in FILES.items():
        assert (folder / name.removeprefix("CUB_200_2011/")).read_bytes() == data


def test_a_folder_can_be_entered_by_others(tmp_path: Path, directory: Path) -> None:
    folder = unpack(archive_of(tmp_path / "a.tgz", entry("CUB_200_2011/parts", type=tarfile.DIRTYPE)), directory)
    reference = tmp_path / "reference"
    reference.mkdir()
    assert folder.stat().st_mode == (folder / "parts").stat().st_mode == reference.stat().st_mode


def test_makes_the_directory(tmp_path: Path) -> None:
    assert unpack(archive_of(tmp_path / "a.tgz"), tmp_path / "deep" / "down").is_dir()


def test_what_lies_beside_does_not_replace_what_lies_inside(tmp_path: Path, directory: Path) -> None:
    folder = unpack(archive_of(tmp_path / "a.tgz", entry("classes.txt", b"other")), directory)
    assert (folder / "classes.txt").read_bytes() == FILES["CUB_200_2011/classes.txt"]


@pytest.mark.parametrize(
    "name",
    ["../escaped.txt", "CUB_200_2011/../../escaped.txt", "/escaped.txt", "C:/escaped.txt", "..\\escaped.txt"],
)
def test_a_path_that_escapes_is_refused(tmp_path: Path, directory: Path, name: str) -> None:
    message = refusal(archive_of(tmp_path / "a.tgz", entry(name, b"harm")), directory)
    assert "not safe" in message
    assert "lies outside the folder" in message
    assert not list(tmp_path.rglob("escaped.txt"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "CUB_200_2011/images.txt"])
def test_a_link_is_refused(tmp_path: Path, directory: Path, kind: bytes, target: str) -> None:
    archive = archive_of(tmp_path / "a.tgz", entry("CUB_200_2011/link", type=kind, linkname=target))
    assert "neither a file nor a folder" in refusal(archive, directory)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_refused(tmp_path: Path, directory: Path, kind: bytes) -> None:
    archive = archive_of(tmp_path / "a.tgz", entry("CUB_200_2011/device", type=kind))
    assert "neither a file nor a folder" in refusal(archive, directory)


def test_pythons_own_filter_has_the_last_word(tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unpack, "_stays_inside", lambda _: True)
    archive = archive_of(tmp_path / "a.tgz", entry("../escaped.txt", b"harm"))
    assert "not safe" in refusal(archive, directory)


def test_a_huge_declared_size_is_refused_before_a_byte_is_written(tmp_path: Path, directory: Path) -> None:
    bomb = tarfile.TarInfo("CUB_200_2011/bomb")
    bomb.size = 1 << 40
    archive = tmp_path / "a.tgz"
    archive.write_bytes(gzip.compress(bomb.tobuf() + bytes(1024)))
    assert "unpacks to more than 4,294,967,296 bytes" in refusal(archive, directory)


def test_bytes_are_bounded_over_all_files(tmp_path: Path, directory: Path) -> None:
    assert "more than 20,000 bytes" in refusal(archive_of(tmp_path / "a.tgz"), directory, most_bytes=20_000)


def test_padding_is_bounded(tmp_path: Path, directory: Path) -> None:
    archive = archive_of(tmp_path / "a.tgz")
    archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes()) + bytes(3 << 20)))
    assert "more than 30,000 bytes" in refusal(archive, directory, most_bytes=30_000)


def test_a_skip_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tgz")
    with _unpack._Bounded(archive, 1) as stream, pytest.raises(DatasetError, match="more than 1 bytes"):
        stream.seek(1 << 30)


@pytest.mark.parametrize("size", [-1, None])
def test_reading_all_at_once_is_refused(tmp_path: Path, size: int | None) -> None:
    with _unpack._Bounded(archive_of(tmp_path / "a.tgz"), 1) as stream, pytest.raises(DatasetError):
        stream.read(size)


def test_members_are_counted(tmp_path: Path, directory: Path) -> None:
    assert "more than 5 files" in refusal(archive_of(tmp_path / "a.tgz"), directory, most_members=5)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, directory: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 31
    archive = tmp_path / "a.tgz"
    archive.write_bytes(gzip.compress(header.tobuf() + bytes(4096)))
    assert "a header is longer" in refusal(archive, directory)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused(tmp_path: Path, directory: Path, share: float) -> None:
    files = {**FILES, "CUB_200_2011/images/001.Made_Up/one.jpg": os.urandom(50_000)}
    archive = archive_of(tmp_path / "a.tgz", files=files)
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    assert "cannot be unpacked" in refusal(archive, directory)


@pytest.mark.parametrize("content", [b"", b"plain text", b"<html>", gzip.compress(b"no tar at all", mtime=0)])
def test_what_is_no_tgz_is_refused(tmp_path: Path, directory: Path, content: bytes) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(content)
    assert "cannot be unpacked" in refusal(archive, directory)


def test_a_wrong_checksum_at_the_very_end_is_noticed(tmp_path: Path, directory: Path) -> None:
    archive = archive_of(tmp_path / "a.tgz")
    content = bytearray(archive.read_bytes())
    content[-6] ^= 0xFF
    archive.write_bytes(bytes(content))
    assert "cannot be unpacked" in refusal(archive, directory)


@pytest.mark.parametrize("missing", ["CUB_200_2011/classes.txt", "CUB_200_2011/images/001.Made_Up/two.jpg"])
def test_an_archive_that_lacks_a_file_is_refused(tmp_path: Path, directory: Path, missing: str) -> None:
    files = {name: data for name, data in FILES.items() if name != missing}
    assert "no whole CUB_200_2011 folder" in refusal(archive_of(tmp_path / "a.tgz", files=files), directory)


def test_an_interruption_leaves_nothing(tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_of(tmp_path / "a.tgz")
    extract, calls = tarfile.TarFile.extract, []

    def interrupted(self: tarfile.TarFile, *args: Any, **options: Any) -> None:
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        extract(self, *args, **options)

    monkeypatch.setattr(tarfile.TarFile, "extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, directory)
    assert list(directory.iterdir()) == []


def test_an_empty_image_makes_a_folder_not_whole(tmp_path: Path, directory: Path) -> None:
    folder = unpack(archive_of(tmp_path / "a.tgz"), directory)
    (folder / "images/001.Made_Up/one.jpg").write_bytes(b"")
    assert not is_whole(folder)
