"""Packing into shards: together they are what packing without them gives."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import birdsod as bd
from birdsod import ClassTable, DetectionDataset
from birdsod.errors import DatasetError, ImageError, RecordError
from birdsod.recordio import Sharded, ShardedChannel
from birdsod.recordio._shard_plan import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec" / "images"
TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
GOOD = ("d_noise_64x64.jpg", "h_square_256.jpg", "a_grad_320x240.jpg", "c_photo_tall_301x457.jpg")
MOST = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of the good images under names of its own, and one that breaks off."""
    folder = tmp_path_factory.mktemp("photos")
    cut = (GOLDEN / GOOD[1]).read_bytes()[:-900]
    for place in range(MOST):
        (folder / f"{place}_-1.jpg").write_bytes(cut)
        for kind, name in enumerate(GOOD):
            (folder / f"{place}_{kind}.jpg").symlink_to(GOLDEN / name)
    return folder


def dataset(photos: Path, kinds: list[int], *, first: int = 1000) -> DetectionDataset:
    """Images by kind, -1 broken off, -2 missing; ids fall, and each box leaves its image."""
    ids = [first - place for place in range(len(kinds))]
    sides = {"xmin": -3, "ymin": 1, "xmax": 60, "ymax": 9}
    return DetectionDataset.from_tables(
        {"image_id": ids, "path": [f"{place}_{kind}.jpg" for place, kind in enumerate(kinds)]},
        {"image_id": ids, "class_id": [place % 2 for place in range(len(ids))]}
        | {side: [value] * len(ids) for side, value in sides.items()},
        root=photos,
        class_table=TABLE,
    )


def joined(channel: ShardedChannel, ending: str) -> bytes:
    return b"".join(getattr(shard, ending).read_bytes() for shard in channel.shards)


def joined_index(channel: ShardedChannel) -> bytes:
    lines, before = b"", 0
    for shard in channel.shards:
        for line in shard.idx.read_bytes().splitlines():
            key, offset = line.split(b"\t")
            lines += b"%s\t%d\n" % (key, int(offset) + before)
        before += shard.bytes
    return lines


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


KINDS = st.lists(st.integers(-2, 3), min_size=1, max_size=MOST).filter(lambda kinds: max(kinds) >= 0)


@settings(max_examples=60)
@given(KINDS, st.data())
def test_shards_one_after_the_other_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, photos: Path, kinds: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    channels = {"train": dataset(photos, kinds)}
    how: dict[str, Any] = {
        "on_error": "collect",
        "resize": data.draw(st.sampled_from([None, 16])),
        "center_crop": data.draw(st.booleans()),
        "jobs": data.draw(st.sampled_from([1, 3])),
    }
    whole = bd.pack(channels, folder / "whole", **how)
    shards = data.draw(st.one_of(st.integers(1, len(kinds)), st.sampled_from(["1", "2kB", "8KiB", "0.1MB", "1GB"])))
    packed = bd.pack(channels, folder / "shards", shards=shards, **how)
    train = packed.channels["train"]
    assert joined(train, "rec") == whole.channels["train"].rec.read_bytes()
    assert joined(train, "lst") == whole.channels["train"].lst.read_bytes()
    assert joined_index(train) == whole.channels["train"].idx.read_bytes()
    assert train.lst_sha256 == whole.channels["train"].lst_sha256
    for name in (
        "listed",
        "records",
        "objects",
        "most_objects",
        "longest_label",
        "bytes",
        "clipped",
        "dropped",
        "refused",
        "options",
    ):
        assert getattr(train, name) == getattr(whole.channels["train"], name)
    assert (packed.label_width, packed.most_objects) == (whole.label_width, whole.most_objects)
    assert Sharded.open(folder / "shards", verify=True) == packed
    if isinstance(shards, str):
        assert all(shard.bytes <= size_in_bytes(shards) or shard.records == 1 for shard in train.shards)
        # And none could have taken the first record of the next.
        for one, following in pairwise(train.shards):
            ends = [*np.atleast_1d(following.open().offsets[1:2]).tolist(), following.bytes]
            assert one.bytes + ends[0] > size_in_bytes(shards)
    else:
        assert [shard.listed for shard in train.shards] == [
            stop - start for start, stop in pairwise(len(kinds) * k // shards for k in range(shards + 1))
        ]
        # The jobs of an array make the same files, without knowing each other.
        for index in range(shards):
            one = bd.pack(channels, folder / "array", shard=(index, shards), **how)
            assert one.channels["train"].shards == (train.shards[index].within(folder / "array"),)
            assert one.channels["train"].is_whole == (shards == 1)
        array = Sharded.open(folder / "array", verify=True)
        assert array.channels["train"].shards == tuple(shard.within(folder / "array") for shard in train.shards)


# How many, and of which size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("70000", 70_000),
        ("1b", 1),
        ("1kB", 1000),
        ("1 KiB", 1024),
        ("512MB", 512_000_000),
        ("512 mib", 512 << 20),
        (" 0.5GB ", 500_000_000),
        ("1.1GB", 1_100_000_000),
        ("2GiB", 2 << 30),
        ("1TB", 10**12),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MB", "12 MBit", "-1MB", "1e6", "1,5MB", "1.MB", "five", "1GBs"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match=r"unknown size of shards.*512MB.*MiB"):
        size_in_bytes(text)


@pytest.mark.parametrize("text", ["0", "0MB", "0.1b"])
def test_a_size_is_positive(text: str) -> None:
    with pytest.raises(RecordError, match="size of shards is not positive"):
        size_in_bytes(text)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "both": ({"shards": 2, "shard": (0, 2)}, "exclude each other"),
    "none": ({"shards": 0}, r"out of range \(got 0\)"),
    "too many": ({"shards": 100_000}, "out of range"),
    "half": ({"shards": 1.5}, "not a whole number"),
    "true": ({"shards": True}, "not a whole number"),
    "a number alone": ({"shard": 3}, "not a pair"),
    "three": ({"shard": (1, 2, 3)}, "not a pair"),
    "texts": ({"shard": ("1", "2")}, "shard is not a whole number"),
    "beyond": ({"shard": (2, 2)}, r"counted from 0 to 1 \(got 2\)"),
    "below": ({"shard": (-1, 2)}, "no such shard"),
    "of none": ({"shard": (0, 0)}, "out of range"),
}


@pytest.mark.parametrize("name", WRONG)
def test_shards_that_cannot_be_are_refused(tmp_path: Path, photos: Path, name: str) -> None:
    how, message = WRONG[name]
    with pytest.raises(RecordError, match=message) as caught:
        bd.pack({"train": dataset(photos, [0, 1])}, tmp_path / "out", **how)
    assert caught.value.cure
    assert not (tmp_path / "out").exists()


def test_more_shards_than_images_are_refused(tmp_path: Path, photos: Path) -> None:
    channels = {"train": dataset(photos, [0, 1, 0]), "validation": dataset(photos, [0])}
    with pytest.raises(DatasetError, match="channel 'validation' has 1 images, which cannot fill 2 shards"):
        bd.pack(channels, tmp_path / "out", shards=2)


def test_a_shard_may_be_empty_but_not_all(tmp_path: Path, photos: Path) -> None:
    packed = bd.pack({"train": dataset(photos, [-1, -2, 0, 1])}, tmp_path / "out", shards=2, on_error="collect")
    first, second = packed.channels["train"].shards
    assert (first.listed, first.records, first.bytes, first.lst.read_text().count("\n")) == (2, 0, 0, 1)
    assert (second.listed, second.records) == (2, 2)
    assert len(first.open()) == 0
    part = bd.pack({"train": dataset(photos, [-1, -2, 0, 1])}, tmp_path / "part", shard=(0, 2), on_error="collect")
    assert part.channels["train"].records == 0
    with pytest.raises(DatasetError, match="no image of train can be packed"):
        bd.pack({"train": dataset(photos, [-1, -2])}, tmp_path / "none", shards=2, on_error="collect")
    with pytest.raises(ImageError, match="breaks off"):
        bd.pack({"train": dataset(photos, [-1, 0])}, tmp_path / "none", shards=2)
    with pytest.warns(UserWarning, match="train: 1 of 2 images were refused: 0_-1.jpg"):
        bd.pack({"train": dataset(photos, [-1, 0])}, tmp_path / "skip", shards=2, on_error="skip")


# Files that are there already


def test_nothing_is_replaced_unless_asked_for(tmp_path: Path, photos: Path) -> None:
    channels = {"train": dataset(photos, [0, 1, 0, 1])}
    bd.pack(channels, tmp_path, resize=16, shards=4)
    before = names(tmp_path)
    for how in ({"shards": 2}, {"shards": "1kB"}, {"shard": (1, 4)}):
        with pytest.raises(RecordError, match="exists already"):
            bd.pack(channels, tmp_path, resize=20, **how)
    assert names(tmp_path) == before
    assert Sharded.open(tmp_path, verify=True).channels["train"].options.resize == 16
    packed = bd.pack(channels, tmp_path, resize=20, shards=2, overwrite=True)
    assert Sharded.open(tmp_path, verify=True) == packed
    assert names(tmp_path) == {
        "shards.json",
        *(f"train-0000{k}-of-00002.{e}" for k in (0, 1) for e in ("rec", "idx", "lst")),
    }


def test_one_shard_of_an_array_is_packed_again(tmp_path: Path, photos: Path) -> None:
    channels = {"train": dataset(photos, [0, 1])}
    for index in range(2):
        bd.pack(channels, tmp_path, resize=16, shard=(index, 2))
    first = (tmp_path / "train-00000-of-00002.rec").read_bytes()
    bd.pack(channels, tmp_path, resize=20, shard=(1, 2), overwrite=True)
    assert (tmp_path / "train-00000-of-00002.rec").read_bytes() == first
    with pytest.raises(RecordError, match="other options"):
        Sharded.open(tmp_path)


def test_files_that_only_look_alike_are_left_alone(tmp_path: Path, photos: Path) -> None:
    channels = {"train": dataset(photos, [0, 1])}
    others = {"other-00000-of-00001.rec", "train-0-of-1.rec", "shards-1.json"}
    for name in others:
        (tmp_path / name).write_text("mine")
    bd.pack(channels, tmp_path, resize=16, shards=1)
    bd.pack(channels, tmp_path, resize=16, shard=(1, 2), overwrite=True)
    (tmp_path / "shards.json").write_text("{}")
    bd.pack(channels, tmp_path, resize=16, shards=2, overwrite=True)
    assert names(tmp_path) >= {
        "other-00000-of-00001.rec",
        "train-0-of-1.rec",
        "shards-1.json",
        "train-00000-of-00001.rec",
    }


def test_a_folder_without_shards(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(RecordError, match=r"there is no shards\.json"):
            Sharded.open(folder)


# Parts of an array


@pytest.fixture
def array(tmp_path: Path, photos: Path) -> Path:
    for index in range(3):
        both = {"train": dataset(photos, [0, 1, 0, 1]), "validation": dataset(photos, [1, 1, -1])}
        bd.pack(both, tmp_path / "array", resize=16, shard=(index, 3), on_error="collect")
    return tmp_path / "array"


def part(index: int) -> str:
    return f"shards-0000{index}-of-00003.json"


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / part(1)).read_text())
        change(content)
        (folder / part(1)).write_text(json.dumps(content))

    return edit


def train(content: dict[str, Any]) -> dict[str, Any]:
    return content["channels"]["train"]  # type: ignore[no-any-return]


def first(content: dict[str, Any]) -> dict[str, Any]:
    return train(content)["shards"][0]  # type: ignore[no-any-return]


def missing(folder: Path) -> None:
    (folder / part(1)).unlink()


def twice(folder: Path) -> None:
    shutil.copy(folder / part(1), folder / "shards-00009-of-00010.json")


def cut(folder: Path) -> None:
    (folder / part(1)).write_text("{")


def no_file(folder: Path) -> None:
    (folder / "train-00001-of-00003.idx").unlink()


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (missing, r"1 of 3 shards are missing: train-00001-of-00003\. Likely cause: their jobs"),
    "twice": (twice, r"shard 1 of train is in shards-00001-of-00003\.json and again in shards-00009-of-00010\.json"),
    "no JSON": (cut, r"shards-00001-of-00003\.json cannot be read"),
    "a file": (no_file, r"train-00001-of-00003\.idx: a packed file is missing"),
    "schema": (edited(lambda content: content.update(schema=2)), "unknown schema"),
    "channels": (
        edited(lambda content: content["channels"].pop("train")),
        "00000.* and .*00001.* other channels",
    ),
    "classes": (edited(lambda content: content["classes"].pop()), "parts of different runs: they have other classes"),
    "numbers": (edited(lambda content: train(content).update(of=4)), "other numbers of shards"),
    "lists": (edited(lambda content: train(content).update(lst_sha256="")), "other lists of train"),
    "options": (edited(lambda content: first(content)["options"].update(quality=3)), "other options"),
    "rows": (
        edited(lambda content: first(content).update(first_row=2)),
        "begins at image 2, not at 1",
    ),
    "index": (edited(lambda content: first(content).update(index=3)), "malformed.*shard 3 of 3"),
    "no shard": (edited(lambda content: train(content).update(shards=[])), "malformed.*channel 'train' has no shard"),
    "no count": (edited(lambda content: first(content).pop("records")), "malformed.*KeyError"),
    "a name": (edited(lambda content: content["channels"].update({"../x": train(content)})), "name of a channel"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_parts_that_do_not_fit_are_named(array: Path, name: str) -> None:
    change, message = FAULTS[name]
    assert Sharded.open(array, verify=True).channels["validation"].refused
    change(array)
    with pytest.raises(RecordError, match=message) as caught:
        Sharded.open(array)
    assert caught.value.cure


def test_many_missing_parts_are_counted(tmp_path: Path, photos: Path) -> None:
    bd.pack({"train": dataset(photos, [0] * MOST)}, tmp_path, resize=16, shard=(0, MOST))
    with pytest.raises(RecordError, match=r"11 of 12 shards are missing: train-00001-.*-00008-of-00012, \.\.\."):
        Sharded.open(tmp_path)


def test_a_changed_byte_is_found(array: Path) -> None:
    path = array / "train-00001-of-00003.rec"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    Sharded.open(array)
    with pytest.raises(RecordError, match="has SHA-256"):
        Sharded.open(array, verify=True)


def test_it_is_a_value(array: Path, tmp_path: Path, photos: Path) -> None:
    packed = Sharded.open(array)
    assert pickle.loads(pickle.dumps(packed)) == packed == copy.deepcopy(packed)  # noqa: S301 - made a moment ago
    assert str(packed).splitlines() == [
        f"{array}: 2 classes, at most 1 object an image",
        "  train: 3 shards, 4 images, 4 objects, 0.0 MB, 4 clipped",
        "  validation: 3 shards, 2 images, 2 objects, 0.0 MB, 3 clipped, 1 refused",
    ]
    one = bd.pack({"train": dataset(photos, [0, 1])}, tmp_path / "one", resize=16, shard=(1, 2))
    assert "  train: 1 of 2 shards, 1 image, 1 object, 0.0 MB, 1 clipped" in str(one).splitlines()
    assert len(packed.clipped) == 7
    assert (packed.dropped, len(packed.refused), packed.channels["train"].is_whole) == ((), 1, True)
    shutil.move(array, tmp_path / "moved")
    assert Sharded.open(tmp_path / "moved", verify=True).channels["train"].shards[0].sha256


def test_parts_are_not_packed_beside_the_manifest_of_all_shards(photos: Path, tmp_path: Path) -> None:
    channels = {"train": dataset(photos, [0] * 6)}
    bd.pack(channels, tmp_path, resize=16, shards=2)
    with pytest.raises(RecordError, match=r"shards\.json: the file exists already"):
        bd.pack(channels, tmp_path, resize=16, shard=(0, 3))
    for index in range(3):
        bd.pack(channels, tmp_path, resize=16, shard=(index, 3), overwrite=True)
    assert [shard.of for shard in Sharded.open(tmp_path, verify=True).channels["train"].shards] == [3, 3, 3]


def test_the_parts_of_an_array_go_when_all_shards_are_packed_over_them(photos: Path, tmp_path: Path) -> None:
    channels = {"train": dataset(photos, [0] * 6)}
    for index in range(3):
        bd.pack(channels, tmp_path / "packed", resize=16, shard=(index, 3))
    (tmp_path / "packed" / "shards-00009-of-00010.json").write_text("no manifest")
    with pytest.raises(RecordError, match="the file exists already"):
        bd.pack(channels, tmp_path / "packed", resize=16, shards=2)
    bd.pack(channels, tmp_path / "packed", resize=16, shards=2, overwrite=True)
    bd.pack(channels, tmp_path / "fresh", resize=16, shards=2)
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {
        path.name for path in (tmp_path / "fresh").iterdir()
    }


@pytest.mark.parametrize("of", [0, -1, 100_000, 10**12])
def test_a_number_of_shards_that_cannot_be_is_refused_and_not_counted_out(
    photos: Path, tmp_path: Path, of: int
) -> None:
    bd.pack({"train": dataset(photos, [0] * 2)}, tmp_path, resize=16, shards=2)
    content = json.loads((tmp_path / "shards.json").read_text())
    content["channels"]["train"]["of"] = of
    (tmp_path / "shards.json").write_text(json.dumps(content))
    with pytest.raises(RecordError, match=rf"malformed.*cannot have {of} shards"):
        Sharded.open(tmp_path)
