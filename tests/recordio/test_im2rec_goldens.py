"""The bytes that im2rec of MXNet 1.9.1 made, from the same lists and images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from birdsod import image
from birdsod.errors import DatasetError, ImageError, ListError, RecordError
from birdsod.recordio import PackOptions, RecordReader, pack_list

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec"
SETS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "expected.json").read_text())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("name", SETS)
def test_the_bytes_are_those_of_im2rec(tmp_path: Path, name: str, jobs: int) -> None:
    told = SETS[name]
    lst = GOLDEN / f"{told['lst']}.lst"
    packed = pack_list(lst, root=GOLDEN / "images", out=tmp_path / "a.rec", jobs=jobs, **told["options"])
    assert sha256(tmp_path / "a.rec") == packed.sha256 == told["rec_sha256"]
    assert sha256(tmp_path / "a.idx") == packed.idx_sha256 == told["idx_sha256"]
    assert packed.bytes == (tmp_path / "a.rec").stat().st_size
    assert packed.records == packed.listed == len(lst.read_text().splitlines())
    assert packed.refused == ()


@pytest.mark.parametrize("name", ["plain", "det6", "cls_pack"])
def test_the_files_of_im2rec_are_read(name: str) -> None:
    rec = GOLDEN / f"{name}.rec"
    assert sha256(rec) == SETS[name]["rec_sha256"]
    with RecordReader(rec) as reader, RecordReader(rec, scan=True) as scanned:
        assert list(reader) == list(scanned)
        assert reader.keys.tolist() == [record.header.id for record in reader]
        for record in reader:
            assert image.decode(record.image).ndim == 3


def test_labels_and_images_are_what_mxnet_unpacks() -> None:
    told = json.loads((GOLDEN / "plain.unpack.json").read_text())["records"]
    with RecordReader(GOLDEN / "plain.rec") as reader:
        for record, expected in zip(reader, told, strict=True):
            assert np.array_equal(record.label, np.array(expected["label"], dtype=np.float32))
            assert record.boxes.class_ids.tolist() == [int(class_id) for class_id in expected["label"][2::5]]
            assert hashlib.sha256(record.image).hexdigest() == expected["payload_sha256"]
            assert hashlib.sha256(record.payload).hexdigest() == expected["record_sha256"]


def test_rows_that_im2rec_skips_are_refused_by_line(tmp_path: Path) -> None:
    lst, out = GOLDEN / "bad2.lst", tmp_path / "a.rec"
    with pytest.raises(ListError, match=r"bad2\.lst, line 3: the row has fewer than three cells"):
        pack_list(lst, root=GOLDEN / "images", out=out, pass_through=True)
    assert list(tmp_path.iterdir()) == []
    packed = pack_list(lst, root=GOLDEN / "images", out=out, pass_through=True, on_error="collect")
    # Labels that are not finite are packed by im2rec, and here by its lenient twin only.
    with RecordReader(GOLDEN / "bad2.rec") as theirs, packed.open() as ours:
        assert list(ours) == [record for record in theirs if np.isfinite(record.label).all()]
        assert len(theirs) == 4
    assert (packed.records, len(packed.refused), packed.listed) == (3, 6, 9)
    assert "the label is not finite" in packed.refused[4].reason
    assert "line 4: the id is not a whole number" in packed.refused[1].reason
    assert packed.refused[1].image_id is None


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e39"])
def test_labels_that_are_not_finite_are_refused_by_line(tmp_path: Path, number: str) -> None:
    image_row = "\t2\t5\t0\t0.1\t0.1\t0.9\t{}\td_noise_64x64.jpg\n"
    (tmp_path / "list.lst").write_text(f"7{image_row.format(0.9)}8{image_row.format(number)}")
    options: Any = {"root": GOLDEN / "images", "out": tmp_path / "a.rec"}
    told = number.replace("1e39", "inf")
    with pytest.raises(ListError, match=rf"list\.lst, line 2: the label is not finite.*got {told}") as caught:
        pack_list(tmp_path / "list.lst", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["list.lst"]
    with pytest.warns(UserWarning, match=r"1 of 2 images were refused: d_noise_64x64\.jpg$"):
        skipped = pack_list(tmp_path / "list.lst", on_error="skip", **options)
    collected = pack_list(tmp_path / "list.lst", on_error="collect", overwrite=True, **options)
    assert collected == skipped
    assert (collected.listed, collected.records) == (2, 1)
    (refused,) = collected.refused
    assert (refused.image_id, refused.name, refused.reason) == (8, "d_noise_64x64.jpg", str(caught.value))
    # What is not packed does not matter.
    assert pack_list(tmp_path / "list.lst", pack_label=False, overwrite=True, **options).records == 2


BAD_IMAGES = {
    "z_broken.jpg": "broken|cannot be decoded|breaks off",
    "z_empty.jpg": "empty",
    "z_truncated.jpg": "breaks off",
    "notes.txt": "not an image",
    "nowhere.jpg": "missing",
    "sub dir": "is no file",
    "a\0b.jpg": "cannot be read.*no path can hold",
}


def listing(tmp_path: Path, *names: str) -> Path:
    lst = tmp_path / "list.lst"
    rows = [f"{number}\t2\t5\t0\t0.1\t0.1\t0.9\t0.9\t{name}" for number, name in enumerate(names)]
    lst.write_text("\n".join(rows) + "\n")
    return lst


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("pass_through", [False, True])
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_images_that_im2rec_loses_or_packs_broken(tmp_path: Path, name: str, *, pass_through: bool, jobs: int) -> None:
    lst = listing(tmp_path, "a_grad_320x240.jpg", name, "d_noise_64x64.jpg")
    options: Any = {"root": GOLDEN / "images", "out": tmp_path / "a.rec", "pass_through": pass_through, "jobs": jobs}
    with pytest.raises(ImageError, match=BAD_IMAGES[name]) as caught:
        pack_list(lst, **options)
    assert caught.value.path == str(GOLDEN / "images" / name)
    assert [path.name for path in tmp_path.iterdir()] == ["list.lst"]
    with pytest.warns(UserWarning, match=rf"1 of 3 images were refused: {name}$"):
        skipped = pack_list(lst, on_error="skip", **options)
    collected = pack_list(lst, on_error="collect", overwrite=True, **options)
    assert collected == skipped
    assert [(image.image_id, image.name) for image in collected.refused] == [(1, name)]
    assert str(caught.value) == collected.refused[0].reason
    with collected.open() as reader:
        assert reader.keys.tolist() == [0, 2]


def test_the_record_file_lies_beside_the_list_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lst = listing(tmp_path, "d_noise_64x64.jpg")
    monkeypatch.chdir(GOLDEN / "images")
    packed = pack_list(lst)
    assert (packed.lst, packed.rec, packed.idx) == (lst, tmp_path / "list.rec", tmp_path / "list.idx")
    assert (packed.name, packed.records, packed.objects, packed.most_objects, packed.longest_label) == (
        "list",
        1,
        1,
        1,
        7,
    )
    with pytest.raises(RecordError, match=r"list\.rec: the file exists already"):
        pack_list(lst)


def test_the_bytes_of_two_jobs_do_not_depend_on_which_is_first(tmp_path: Path) -> None:
    # A large image first, so that a later one is ready before it.
    lst = listing(tmp_path, "n_wide_1001x37.jpg", *["m_tiny_3x5.jpg", "d_noise_64x64.jpg"] * 10)
    root = GOLDEN / "images"
    one = pack_list(lst, root=root, out=tmp_path / "one.rec", resize=500)
    many = pack_list(lst, root=root, out=tmp_path / "many.rec", resize=500, jobs=5)
    assert (one.sha256, one.idx_sha256) == (many.sha256, many.idx_sha256)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_list_without_a_packable_image_makes_no_file(tmp_path: Path, jobs: int) -> None:
    for text, reason in (("", "the list is empty"), ("0\t1\tnowhere.jpg\n", "the image is missing")):
        (tmp_path / "list.lst").write_text(text)
        with pytest.raises(DatasetError, match=rf"no image of a\.rec can be packed.*{reason}"):
            pack_list(tmp_path / "list.lst", root=tmp_path, out=tmp_path / "a.rec", on_error="collect", jobs=jobs)
    assert [path.name for path in tmp_path.iterdir()] == ["list.lst"]


def test_a_missing_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="the list is missing"):
        pack_list(tmp_path / "none.lst", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "resize": ({"resize": 0}, "resize is not positive"),
    "quality low": ({"quality": -1}, "quality out of range"),
    "quality high": ({"quality": 101}, "quality out of range"),
    "encoding": ({"encoding": ".webp"}, "unknown encoding"),
    "color": ({"color": 2}, "unknown color"),
    "pass-through and resize": ({"pass_through": True, "resize": 9}, "cannot be resized"),
    "pass-through and crop": ({"pass_through": True, "center_crop": True}, "cannot be resized"),
    "on_error": ({"on_error": "ignore"}, "unknown way to treat errors"),
    "jobs": ({"jobs": 0}, "jobs is not positive"),
    "resize, a fraction": ({"resize": 2.5}, r"resize is not a whole number \(got .*2\.5.*1 to 65500"),
    "resize, true": ({"resize": True}, r"resize is not a whole number \(got .*True"),
    "resize, a text": ({"resize": "300"}, "resize is not a whole number.*300"),
    "resize, too long": ({"resize": 65_501}, "resize is out of range"),
    "quality, nothing": ({"quality": None}, r"quality is not a whole number \(got .*None.*0 to 100"),
    "quality, a fraction": ({"quality": 95.0}, "quality is not a whole number"),
    "color, true": ({"color": True}, "color is not a whole number"),
    "jobs, a text": ({"jobs": "2"}, "jobs is not a whole number.*2"),
    "jobs, a fraction": ({"jobs": 1.5}, "jobs is not a whole number"),
    "jobs, true": ({"jobs": True}, "jobs is not a whole number"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_out_of_range(tmp_path: Path, name: str) -> None:
    options, message = OPTIONS[name]
    with pytest.raises(RecordError, match=message) as caught:
        pack_list(tmp_path / "any.lst", **options)
    assert caught.value.cure


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    options = PackOptions(resize=cast("int", np.int64(300)), quality=cast("int", np.uint8(90)))
    assert json.loads(json.dumps(asdict(options))) == asdict(PackOptions(resize=300, quality=90))
