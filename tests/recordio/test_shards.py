"""Packing into shards: together they are what packing without them gives."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import birdsod as bd
from birdsod import ClassTable, DetectionDataset, Packed
from birdsod.errors import DatasetError, RecordError
from birdsod.recordio import RecordReader, Sharded, ShardedChannel
from birdsod.recordio._manifest import manifest_text
from birdsod.recordio._packed import PackedChannel
from birdsod.recordio._shard_plan import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
