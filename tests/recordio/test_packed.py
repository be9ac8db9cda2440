"""What was packed, in a later session."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import birdsod as bd
from birdsod import ClassTable, DetectionDataset, Packed, recordio
from birdsod.errors import RecordError
from birdsod.recordio import PackOptions

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec" / "images"


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    """Two channels with a clipped box, a dropped box and a refused image."""
    table = ClassTable((17, 36), ("017.Cardinal", "036.Gürtelspecht"))
    names = ["a_grad_320x240.jpg", "h_square_256.jpg", "z_empty.jpg"]
    data = DetectionDataset.from_tables(
        {"image_id": [1, 2, 3], "path": names},
        {"image_id": [1, 1, 2], "class_id": [0, 1, 0], "xmin": [-5, 0, 9], "ymin": 9, "xmax": [90, 9, 80], "ymax": 80}
        | {"ymin": [9, 9, 9], "ymax": [80, 80, 80]},
        root=GOLDEN,
        class_table=table,
    )
    channels = {"train": data, "validation": data[1:2]}
    return bd.pack(channels, tmp_path / "birds", center_crop=True, resize=64, on_error="collect")


def test_the_room_lists_its_names() -> None:
    assert set(dir(recordio)) == set(recordio.__all__)
    with pytest.raises(AttributeError, match="no attribute 'shred'"):
        recordio.shred  # noqa: B018 - the lookup itself is the test


def test_it_is_restored_as_an_equal_value(packed: Packed) -> None:
    assert len(packed.clipped) == 2
    assert len(packed.dropped) == 1
    assert len(packed.refused) == 1
    again = Packed.open(packed.directory, verify=True)
    assert again == packed
    assert again.channels["train"].options == PackOptions(resize=64, center_crop=True)
    assert again.class_table.names[1] == "036.Gürtelspecht"


def test_a_relative_folder_gives_the_same_value(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(packed.directory.parent)
    assert Packed.open("birds") == packed


def test_the_folder_may_move(packed: Packed, tmp_path: Path) -> None:
    moved = Packed.open(shutil.move(packed.directory, tmp_path / "elsewhere"), verify=True)
    assert moved != packed
    assert moved.channels["train"].sha256 == packed.channels["train"].sha256
    assert len(moved.channels["train"].open()) == 2


def test_it_can_be_copied_and_sent_to_workers(packed: Packed) -> None:
    assert pickle.loads(pickle.dumps(packed)) == packed == copy.deepcopy(packed)  # noqa: S301 - made a moment ago


def test_it_tells_what_it_is(packed: Packed) -> None:
    assert str(packed).splitlines() == [
        f"{packed.directory}: 2 classes, at most 1 object an image",
        "  train: 2 images, 2 objects, 0.0 MB, 2 clipped, 1 dropped, 1 refused",
        "  validation: 1 image, 1 object, 0.0 MB",
    ]


@pytest.mark.parametrize(("shape", "hint"), [(300, True), (512, True), (64, False), (32, False)])
def test_images_packed_too_small_are_hinted_at(packed: Packed, shape: int, *, hint: bool) -> None:
    found = packed.image_shape_hint(shape)
    expected = f"images packed at 64 pixels are blown up to the {shape} of the network: pack with resize={shape}"
    assert found == (expected if hint else None)


def test_without_resizing_there_is_no_hint(packed: Packed) -> None:
    train = packed.channels["train"]
    data = DetectionDataset.from_tables(
        {"image_id": [1], "path": ["d_noise_64x64.jpg"]},
        {"image_id": [], "class_id": [], "xmin": [], "ymin": [], "xmax": [], "ymax": []},
        root=GOLDEN,
        class_table=packed.class_table,
    )
    assert bd.pack({"train": data}, train.rec.parent, overwrite=True).image_shape_hint(512) is None


def no_manifest(folder: Path) -> None:
    (folder / "packed.json").unlink()


def manifest_is_a_folder(folder: Path) -> None:
    no_manifest(folder)
    (folder / "packed.json").mkdir()


def no_json(folder: Path) -> None:
    (folder / "packed.json").write_text('{"schema": 1,')


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "packed.json").read_text())
        (folder / "packed.json").write_text(json.dumps(content | changes))

    return edit


def channel_edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "packed.json").read_text())
        change(content["channels"]["train"])
        (folder / "packed.json").write_text(json.dumps(content))

    return edit


def list_instead(folder: Path) -> None:
    (folder / "packed.json").write_text("[]")


def no_rec(folder: Path) -> None:
    (folder / "train.rec").unlink()


def no_idx(folder: Path) -> None:
    (folder / "validation.idx").unlink()


def no_lst(folder: Path) -> None:
    (folder / "train.lst").unlink()


def nested(folder: Path) -> None:
    (folder / "packed.json").write_text("[" * 100_000)


def cut_short(folder: Path) -> None:
    (folder / "train.rec").write_bytes((folder / "train.rec").read_bytes()[:-4])


CONTRADICTIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no manifest": (no_manifest, "there is no packed.json"),
    "manifest is a folder": (manifest_is_a_folder, "packed.json cannot be read"),
    "no JSON": (no_json, "packed.json cannot be read"),
    "a list": (list_instead, "unknown schema"),
    "no schema": (edited(schema=None), "unknown schema"),
    "newer schema": (edited(schema=2), "unknown schema"),
    "no channels": (edited(channels=None), "malformed"),
    "no channel": (edited(channels={}), "malformed.*no channel"),
    "name of a channel leaves the folder": (edited(channels={"../train": {}}), "malformed.*name of a channel"),
    "classes with a gap": (edited(classes=[{"class_id": 1, "source_id": 1, "name": "x"}]), "malformed"),
    "no count": (channel_edited(lambda row: row.pop("records")), "malformed.*KeyError"),
    "count is text": (channel_edited(lambda row: row.update(records="many")), "malformed.*ValueError"),
    "unknown option": (channel_edited(lambda row: row["options"].update(blur=3)), "malformed.*TypeError"),
    "option out of range": (
        channel_edited(lambda row: row["options"].update(quality=101)),
        r"packed\.json: quality out of range",
    ),
    "count without end": (channel_edited(lambda row: row.update(listed=float("inf"))), "malformed.*OverflowError"),
    "nested without end": (nested, r"packed\.json cannot be read.*recursion"),
    "does not add up": (channel_edited(lambda row: row.update(listed=9)), "are not 9 listed"),
    "record file missing": (no_rec, r"train\.rec: a packed file is missing"),
    "index missing": (no_idx, r"validation\.idx: a packed file is missing"),
    "list missing": (no_lst, r"train\.lst: a packed file is missing"),
    "record file cut": (cut_short, r"train\.rec: the record file has \d+ bytes, \d+ were packed"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_told(packed: Packed, name: str) -> None:
    change, message = CONTRADICTIONS[name]
    change(packed.directory)
    with pytest.raises(RecordError, match=message) as caught:
        Packed.open(packed.directory)
    assert caught.value.cure


@pytest.mark.parametrize("name", ["train.rec", "train.idx", "train.lst"])
def test_verifying_finds_a_changed_byte(packed: Packed, name: str) -> None:
    path = packed.directory / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    Packed.open(packed.directory)
    with pytest.raises(RecordError, match="has SHA-256") as caught:
        Packed.open(packed.directory, verify=True)
    assert caught.value.path == str(path)


def test_an_index_of_other_records_is_told_when_opened(packed: Packed) -> None:
    idx = packed.channels["train"].idx
    first, last = idx.read_bytes().splitlines(keepends=True)
    idx.write_bytes(first)
    with pytest.raises(RecordError, match=r"the index ends \d+ bytes before the record file does"):
        packed.channels["train"].open()
    idx.write_bytes(first + last)
    with pytest.raises(RecordError, match="the index has 2 records, 3 were packed"):
        replace(packed.channels["train"], listed=4, records=3).open()
