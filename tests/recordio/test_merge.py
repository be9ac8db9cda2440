"""Shards merged: every file is what packing without shards writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import birdsod as bd
from birdsod import ClassTable, DetectionDataset
from birdsod.errors import DatasetError, RecordError
from birdsod.recordio import Packed, Sharded, merge
from birdsod.recordio import _merge_files as files

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec" / "images"
TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
GOOD = ("d_noise_64x64.jpg", "h_square_256.jpg", "a_grad_320x240.jpg")
MOST = 10


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


def dataset(photos: Path, kinds: list[int]) -> DetectionDataset:
    """Images by kind, -1 broken off, -2 missing; ids fall, and each box leaves its image."""
    ids = [1000 - place for place in range(len(kinds))]
    sides = {"xmin": -3, "ymin": 1, "xmax": 60, "ymax": 9}
    return DetectionDataset.from_tables(
        {"image_id": ids, "path": [f"{place}_{kind}.jpg" for place, kind in enumerate(kinds)]},
        {"image_id": ids, "class_id": [place % 2 for place in range(len(ids))]}
        | {side: [value] * len(ids) for side, value in sides.items()},
        root=photos,
        class_table=TABLE,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


KINDS = st.lists(st.integers(-2, 2), min_size=1, max_size=MOST).filter(lambda kinds: max(kinds) >= 0)
SIZES = st.sampled_from(["1", "2kB", "8KiB", "0.1MB", "1GB"])


@settings(max_examples=30)
@given(KINDS, KINDS, st.data())
def test_merging_shards_is_packing_without_them(
    tmp_path_factory: pytest.TempPathFactory, photos: Path, train: list[int], other: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    channels = {"train": dataset(photos, train), "validation": dataset(photos, other)}
    how: dict[str, Any] = {
        "on_error": "collect",
        "resize": data.draw(st.sampled_from([None, 16])),
        "center_crop": data.draw(st.booleans()),
        "pass_through": False,
    }
    whole = bd.pack(channels, folder / "whole", **how)
    fewest = min(len(train), len(other))
    shards = data.draw(st.one_of(st.integers(1, fewest), SIZES))
    if isinstance(shards, int) and data.draw(st.booleans()):
        for index in range(shards):
            bd.pack(channels, folder / "shards", shard=(index, shards), **how)
    else:
        bd.pack(channels, folder / "shards", shards=shards, **how)
    source = Sharded.open(folder / "shards") if data.draw(st.booleans()) else folder / "shards"
    verify = data.draw(st.booleans())
    merged = merge(source, folder / "merged", verify=verify)
    assert contents(folder / "merged") == contents(folder / "whole")
    assert merged == Packed.open(folder / "merged", verify=True)
    assert merged.channels["train"] == whole.channels["train"].within(folder / "merged")
    assert merged.refused == whole.refused


# Where it goes


@pytest.fixture
def shards(tmp_path: Path, photos: Path) -> Path:
    both = {"train": dataset(photos, [0, 1, -1, 0, 1, 2]), "validation": dataset(photos, [1, 0, 1])}
    bd.pack(both, tmp_path / "shards", resize=16, shards=3, on_error="collect")
    return tmp_path / "shards"


@pytest.fixture
def array(tmp_path: Path, photos: Path) -> Path:
    both = {"train": dataset(photos, [0, 1, -1, 0, 1, 2]), "validation": dataset(photos, [1, 0, 1])}
    for index in range(3):
        bd.pack(both, tmp_path / "array", resize=16, shard=(index, 3), on_error="collect")
    return tmp_path / "array"


WHOLE = {"packed.json", *(f"{name}.{end}" for name in ("train", "validation") for end in ("lst", "rec", "idx"))}


def test_an_array_and_the_shards_of_one_run_give_the_same(shards: Path, array: Path, tmp_path: Path) -> None:
    merge(shards / "shards.json", tmp_path / "one")
    merge(array, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_folder_of_the_shards_will_do(shards: Path) -> None:
    before = contents(shards)
    merged = merge(shards, shards)
    assert names(shards) == {*before, *WHOLE}
    assert before.items() <= contents(shards).items()
    Sharded.open(shards, verify=True)
    assert merge(shards, shards, overwrite=True) == merged
    assert names(shards) == {*before, *WHOLE}


def test_nothing_is_replaced_unless_asked_for(shards: Path, tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    bd.pack({"train": dataset(photos, [0]), "test": dataset(photos, [1])}, out, resize=20)
    before = contents(out)
    with pytest.raises(RecordError, match="exists already"):
        merge(shards, out)
    assert contents(out) == before
    merge(shards, out, overwrite=True)
    assert names(out) == WHOLE
    assert Packed.open(out, verify=True).channels["train"].options.resize == 16


def test_what_names_no_files_of_its_own_stays(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "packed.json").write_text("{}")
    (out / "test.rec").write_text("mine")
    merge(shards, out, overwrite=True)
    assert names(out) == {*WHOLE, "test.rec"}


def test_a_shard_is_never_written_over_or_removed(tmp_path: Path, photos: Path) -> None:
    one = {"train": dataset(photos, [0, 1])}
    bd.pack({**one, "train-00000-of-00001": dataset(photos, [1])}, tmp_path, shards=1, resize=16)
    with pytest.raises(RecordError, match="a shard has the name of a merged file") as caught:
        merge(tmp_path, tmp_path, overwrite=True)
    assert caught.value.path == str(tmp_path / "train-00000-of-00001.lst")
    other = tmp_path / "other"
    bd.pack({"train-00000-of-00001": dataset(photos, [1])}, other, resize=16)
    bd.pack(one, other, shards=1, resize=16, overwrite=True)
    merge(other, other, overwrite=True)
    assert Sharded.open(other, verify=True).channels["train"].records == 2


def test_addresses_and_folders_do_not_mix(shards: Path) -> None:
    for source, directory in ((shards, "s3://bucket/out"), ("s3://bucket/in", shards)):
        with pytest.raises(RecordError, match="within folders or within the store") as caught:
            merge(source, directory)
        assert caught.value.cure


# What does not fit


def part(content: dict[str, Any], shard: int = 1) -> dict[str, Any]:
    return content["channels"]["train"]["shards"][shard]  # type: ignore[no-any-return]


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "shards.json").read_text())
        change(content)
        (folder / "shards.json").write_text(json.dumps(content))

    return edit


def replaced(name: str, old: bytes, new: bytes) -> Callable[[Path], object]:
    def replace(folder: Path) -> None:
        data = (folder / name).read_bytes()
        assert old in data
        (folder / name).write_bytes(data.replace(old, new, 1))

    return replace


REC, IDX, LST = (f"train-00001-of-00003.{ending}" for ending in ("rec", "idx", "lst"))
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of a record file": (replaced(REC, b"\xff\xd9", b"\xff\xd8"), f"{REC}: the file has SHA-256"),
    "a shorter record file": (lambda folder: (folder / REC).write_bytes(b""), "has 0 bytes"),
    "no record file": (lambda folder: (folder / REC).unlink(), f"{REC}: a packed file is missing"),
    "no index": (lambda folder: (folder / IDX).unlink(), f"{IDX}: a packed file is missing"),
    "a key": (replaced(IDX, b"997\t", b"887\t"), f"{IDX}: the file has SHA-256"),
    "no key": (replaced(IDX, b"997\t", b"9x7\t"), f"{IDX}, line 1: the line is not a key"),
    "a large key": (replaced(IDX, b"997\t", b"9" * 20 + b"\t"), f"{IDX}, line 1: the line is not a key"),
    "an offset beyond": (replaced(IDX, b"997\t0", b"997\t100000"), f"{IDX}, line 1: the line is not a key"),
    "a line more": (replaced(IDX, b"997\t0\n", b"997\t0\n997\t0\n"), f"{IDX}: the index has 2 lines, 1 records"),
    "a list": (replaced(LST, b".jpg", b".jpe"), f"{LST}: the file has SHA-256"),
    "no manifest": (lambda folder: (folder / "shards.json").unlink(), r"there is no shards\.json"),
    "a missing shard": (
        edited(lambda content: content["channels"]["train"]["shards"].pop(1)),
        "1 of 3 shards are missing: train-00001-of-00003",
    ),
    "the list of another run": (
        edited(lambda content: content["channels"]["train"].update(lst_sha256="0" * 64)),
        "the lists of the shards together have SHA-256",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_shards_that_do_not_fit_are_named(shards: Path, tmp_path: Path, name: str) -> None:
    change, message = FAULTS[name]
    change(shards)
    with pytest.raises(RecordError, match=message) as caught:
        merge(shards, tmp_path / "out")
    assert caught.value.cure
    assert caught.value.path
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("a list", "the lists of the shards together"), ("a line more", "2 lines"), ("no key", "key")]
)
def test_what_the_manifest_tells_without_hashes(shards: Path, tmp_path: Path, name: str, message: str) -> None:
    FAULTS[name][0](shards)
    with pytest.raises(RecordError, match=message):
        merge(shards, tmp_path / "out", verify=False)
    assert not (tmp_path / "out").exists()


def test_hashes_are_compared_where_asked_for_only(shards: Path, tmp_path: Path) -> None:
    FAULTS["a byte of a record file"][0](shards)
    merged = merge(shards, tmp_path / "out", verify=False)
    # It tells what it holds, whatever that is.
    assert Packed.open(tmp_path / "out", verify=True) == merged


def test_a_part_is_no_whole(array: Path, tmp_path: Path, photos: Path) -> None:
    one = bd.pack({"train": dataset(photos, [0, 1, 0])}, tmp_path / "one", resize=16, shard=(1, 3))
    with pytest.raises(RecordError, match=r"channel 'train' has shards \[1\] of 3, not 0, 2") as caught:
        merge(one, tmp_path / "out")
    assert caught.value.cause == "it is one part of an array"
    (array / "shards-00002-of-00003.json").unlink()
    with pytest.raises(RecordError, match="1 of 3 shards are missing: train-00002-of-00003"):
        merge(array, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_parts_of_two_runs_are_not_merged(array: Path, tmp_path: Path, photos: Path) -> None:
    both = {"train": dataset(photos, [0, 1, -1, 0, 1, 1]), "validation": dataset(photos, [1, 0, 1])}
    bd.pack(both, array, resize=16, shard=(1, 3), on_error="collect", overwrite=True)
    with pytest.raises(RecordError, match="parts of different runs: they have other lists of train"):
        merge(array, tmp_path / "out")


def test_a_channel_of_refused_images_is_refused(tmp_path: Path, photos: Path) -> None:
    for index in range(2):
        bd.pack({"train": dataset(photos, [-1, -2])}, tmp_path, shard=(index, 2), on_error="collect")
    with pytest.raises(DatasetError, match="'train' has no record: all its images were refused") as caught:
        merge(tmp_path, tmp_path / "out")
    assert "breaks off" in str(caught.value.cause)


def test_a_shard_that_grows_meanwhile(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    join_indexes = files.join_indexes

    def growing(*arguments: Any, **how: Any) -> str:
        with (shards / REC).open("ab") as stream:
            stream.write(b"more")
        return join_indexes(*arguments, **how)

    monkeypatch.setattr("birdsod.recordio._merge_folder.join_indexes", growing)
    with pytest.raises(RecordError, match=r"the shard has \d+ bytes, \d+ were packed"):
        merge(shards, tmp_path / "out")


@pytest.mark.parametrize("name", [REC, IDX])
def test_a_shard_that_goes_meanwhile(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    join_lists = files.join_lists

    def taken_away(*arguments: Any, **how: Any) -> str:
        (shards / name).unlink(missing_ok=True)
        return join_lists(*arguments, **how)

    monkeypatch.setattr("birdsod.recordio._merge_folder.join_lists", taken_away)
    with pytest.raises(RecordError, match="the shard cannot be read") as caught:
        merge(shards, tmp_path / "out")
    assert (caught.value.path, caught.value.cause) == (str(shards / name), "No such file or directory")


# What stops it


def test_a_full_disk_is_told(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bound = (shards / "train-00000-of-00003.rec").stat().st_size + 1
    script = f"""
        import resource
        from birdsod.errors import RecordError
        from birdsod.recordio import merge
        resource.setrlimit(resource.RLIMIT_FSIZE, ({bound}, {bound}))
        try:
            merge({str(shards)!r}, {str(out)!r})
        except RecordError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert f"{out / 'train.rec'}: the file cannot be written. Likely cause: File too large" in done.stdout
    assert not out.exists()


def test_a_target_that_cannot_be(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="the file cannot be written"):
        merge(shards, tmp_path / "file" / "out")


@pytest.mark.parametrize("step", ["join_lists", "join_indexes", "join_records"])
def test_an_interrupt_leaves_what_was_there(shards: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    merge(shards, shards)
    before = contents(shards)

    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"birdsod.recordio._merge_folder.{step}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        merge(shards, shards, overwrite=True)
    assert contents(shards) == before


def test_large_shards_are_read_in_blocks(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK", 100)
    merge(shards, tmp_path / "small")
    monkeypatch.undo()
    merge(shards, tmp_path / "large")
    assert contents(tmp_path / "small") == contents(tmp_path / "large")
    shutil.rmtree(tmp_path / "small")
