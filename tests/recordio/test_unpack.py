"""A record file to image files and a list, and back to the same bytes."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from birdsod import image
from birdsod.cli._app import app
from birdsod.errors import RecordError
from birdsod.recordio import Inexact, RecordReader, RecordWriter, im2rec, pack_list, unpack
from birdsod.recordio._unpack import _stem
from birdsod.testing import image_ids, labels

if TYPE_CHECKING:
    from typing import BinaryIO

    from numpy.typing import NDArray

PIXELS = np.full((6, 8, 3), 99, np.uint8)
PHOTO = image.encode(PIXELS)
PICTURE = image.encode(PIXELS, encoding=".png")
LABEL = [2, 5, 3, 0.25, 0.25, 0.5, 0.75]


def write(rec: Path, *records: tuple[int, object, bytes]) -> Path:
    with RecordWriter(rec) as writer:
        for key, label, data in records:
            writer.write_record(key, cast("float", label), data)
    return rec


def packed_again(folder: Path, lst: Path, rec: Path) -> None:
    """Hold a list to the bytes that it was unpacked from."""
    with RecordReader(rec) as reader:
        finite = all(np.isfinite(record.label).all() for record in reader)
    if finite:
        again = pack_list(lst, root=folder, out=folder.parent / "again.rec", pass_through=True)
    else:
        remarks: list[str] = []
        options: Any = {"pack_label": True, "pass_through": True, "lenient": True, "on_remark": remarks.append}
        (again,) = im2rec(lst, folder, **options)
        assert any("not finite" in remark for remark in remarks)
    assert again.rec.read_bytes() == rec.read_bytes()
    assert again.idx.read_bytes() == rec.with_suffix(".idx").read_bytes()


@settings(max_examples=30)
@given(
    drawn=st.lists(st.tuples(image_ids(), labels(), st.sampled_from([PHOTO, PICTURE])), min_size=1, max_size=6),
)
def test_unpacked_and_packed_again_a_file_is_the_same(
    drawn: list[tuple[int, float | NDArray[np.float32], bytes]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rec = write(Path(folder) / "birds.rec", *drawn)
        result = unpack(rec, Path(folder) / "out")
        assert result.records == len(drawn)
        assert sorted(path.name for path in result.folder.iterdir()) == ["birds.lst", "images"]
        lossy = [place for place, (_, label, _) in enumerate(drawn) if not a_list_can_say(label)]
        assert [record.record for record in result.inexact] == lossy
        if not lossy:
            packed_again(result.folder, result.lst, rec)


def a_list_can_say(label: float | NDArray[np.float32]) -> bool:
    """Tell whether the label is one number in the header or several behind it, and no number is odd."""
    numbers = np.atleast_1d(np.asarray(label, np.float32))
    plain = np.float32("nan").tobytes()
    sound = all(number.tobytes() == plain for number in numbers if np.isnan(number))
    return sound and (numbers.size > 1 if isinstance(label, np.ndarray) else not np.isnan(numbers[0]))


@pytest.mark.parametrize("name", ["plain", "det6", "cls_pack", "bad2"])
def test_what_im2rec_wrote_comes_back(golden: Path, tmp_path: Path, name: str) -> None:
    rec = golden / "im2rec" / f"{name}.rec"
    result = unpack(rec, tmp_path / "out")
    assert result.inexact == ()
    packed_again(result.folder, result.lst, rec)


def test_names_and_rows(tmp_path: Path) -> None:
    gif = b"GIF89a" + bytes(20)
    rec = write(
        tmp_path / "a b.rec",
        (7, LABEL, PHOTO),
        (7, 2.5, PICTURE),
        (7, [0.1, -0.0], PHOTO),
        (2**64 - 1, 3.0, gif),
        (7, 1.0, PHOTO),
        (0, 1.0, b"no image"),
    )
    result = unpack(rec, tmp_path / "deep" / "out")
    assert result.lst == tmp_path / "deep" / "out" / "a_b.lst"
    assert result.lst.read_text().splitlines() == [
        "7\t2\t5\t3\t0.25\t0.25\t0.5\t0.75\timages/7.jpg",
        "7\t2.5\timages/7.png",
        "7\t0.1\t-0.0\timages/7_2.jpg",
        "18446744073709551615\t3\timages/18446744073709551615.gif",
        "7\t1\timages/7_3.jpg",
        "0\t1\timages/0",
    ]
    assert (result.folder / "images" / "7_2.jpg").read_bytes() == PHOTO
    assert [record.record for record in result.inexact] == [3, 5]


def test_what_a_list_cannot_say_is_named(tmp_path: Path) -> None:
    head = struct.Struct("<IfQQ")
    with RecordWriter(tmp_path / "odd.rec") as writer:
        writer.write_record(1, LABEL, PHOTO, id2=5)
        writer.write(head.pack(0, 1.0, 2, 0) + PHOTO, 3)
        writer.write(head.pack(1, 0.0, 3, 0) + struct.pack("<f", 1) + PHOTO, 3)
        writer.write(head.pack(2, 9.0, 4, 0) + struct.pack("<2f", 1, 2) + PHOTO, 4)
        writer.write(head.pack(0, float("nan"), 5, 0) + PHOTO, 5)
        writer.write_record(6, LABEL, PHOTO[:-2])
        writer.write_record(7, LABEL, PHOTO)
    assert unpack(tmp_path / "odd.rec", tmp_path / "out").inexact == (
        Inexact(0, "a list has no second id, such as 5"),
        Inexact(1, "its key in the index is 3, its id 2"),
        Inexact(2, "a list cannot hold its label as it is stored"),
        Inexact(3, "a list cannot hold its label as it is stored"),
        Inexact(4, "its label is not a number"),
        Inexact(5, "the image breaks off"),
    )


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rec = write(tmp_path / "a.rec", (1, LABEL, PHOTO))
    monkeypatch.setattr(image, "MAX_PIXELS", 47)
    assert unpack(rec, tmp_path / "out").inexact == (Inexact(0, "the image has too many pixels"),)


def test_an_index_in_another_order(tmp_path: Path) -> None:
    rec = write(tmp_path / "a.rec", (1, LABEL, PHOTO), (2, LABEL, PHOTO))
    idx = rec.with_suffix(".idx")
    idx.write_bytes(b"".join(reversed(idx.read_bytes().splitlines(keepends=True))))
    result = unpack(rec, tmp_path / "out")
    assert result.inexact == (Inexact(1, "the index names it in another order than the file"),)
    with RecordReader(rec, scan=True) as reader:
        assert unpack(reader, tmp_path / "scanned").inexact == ()


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    rec = write(tmp_path / "a.rec", (1, LABEL, PHOTO))
    out = tmp_path / "out"
    unpack(rec, out)
    write(tmp_path / "b.rec", (2, LABEL, PICTURE))
    with pytest.raises(RecordError, match="the folder exists already"):
        unpack(tmp_path / "b.rec", out)
    unpack(tmp_path / "b.rec", out, overwrite=True)
    assert sorted(path.name for path in out.rglob("*")) == ["2.png", "b.lst", "images"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.idx", "a.rec", "b.idx", "b.rec", "out"]


def plant(folder: Path, name: str) -> None:
    if name == "only a list":
        (folder / "images" / "1.jpg").unlink()
        (folder / "images").rmdir()
        return
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")


@pytest.mark.parametrize("name", ["images/mine.jpg", "notes.txt", "other.lst", "images2/1.jpg", "only a list"])
def test_a_folder_with_something_else_is_never_replaced(tmp_path: Path, name: str) -> None:
    rec = write(tmp_path / "a.rec", (1, LABEL, PHOTO))
    unpack(rec, tmp_path / "out")
    plant(tmp_path / "out", name)
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.raises(RecordError, match="something that was not unpacked"):
        unpack(rec, tmp_path / "out", overwrite=True)
    assert sorted((tmp_path / "out").rglob("*")) == before


def test_a_file_or_a_link_is_never_replaced_but_an_empty_folder_is(tmp_path: Path) -> None:
    rec = write(tmp_path / "a.rec", (1, LABEL, PHOTO))
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for target in (rec, tmp_path / "link"):
        with pytest.raises(RecordError, match="something that was not unpacked"):
            unpack(rec, target, overwrite=True)
    assert unpack(rec, tmp_path / "empty", overwrite=True).records == 1


def test_a_fault_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    rec = write(tmp_path / "a.rec", (1, LABEL, PHOTO))
    with RecordWriter(tmp_path / "b.rec") as writer:
        writer.write_record(1, LABEL, PHOTO)
        writer.write(b"short", 2)
    with pytest.raises(RecordError, match="shorter than a record header"):
        unpack(tmp_path / "b.rec", tmp_path / "out")
    with pytest.raises(RecordError, match="cannot be written"):
        unpack(rec, rec / "out")
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.idx", "a.rec", "b.idx", "b.rec"]


def test_lists_have_safe_names() -> None:
    found = [
        _stem(name) for name in ("https://a/b%20c.rec?x=../y", "..", "C:\\x\\a b.rec", "<BytesIO>", ".rec", "ü.rec")
    ]
    assert found == ["b_20c", "records", "a_b", "_BytesIO_", "records", "_"]


def test_without_the_sync_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sync")
    rec = write(tmp_path / "a.rec", (1, LABEL, PHOTO))
    assert unpack(cast("BinaryIO", io.BytesIO(rec.read_bytes())), tmp_path / "out").records == 1


def test_the_command(tmp_path: Path) -> None:
    rec = write(tmp_path / "a.rec", (1, LABEL, PHOTO), (2, LABEL, b"no image"))
    command = ["unpack", str(rec), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0
    assert done.stdout == f"2 images, {tmp_path / 'out' / 'a.lst'}\n"
    assert done.stderr.startswith(f"{rec}, record 1: ")
    assert CliRunner().invoke(app, command).exit_code == 1
    assert CliRunner().invoke(app, [*command, "--overwrite", "--scan"]).exit_code == 0
