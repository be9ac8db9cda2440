"""Shards checked: each against its manifest, and all of them together."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import birdsod as bd
from birdsod import ClassTable, DetectionDataset
from birdsod.errors import RecordError
from birdsod.recordio import FindingKind, Packed, Severity, Verification, merge, verify
from birdsod.recordio._manifest import manifest_text

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec" / "images"
TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
OF = 3
IMAGES = 6


def dataset(folder: Path, *, last: str = "d_noise_64x64.jpg") -> DetectionDataset:
    """Images, the first of which is missing."""
    for place in range(1, IMAGES):
        shutil.copy(GOLDEN / (last if place == IMAGES - 1 else "d_noise_64x64.jpg"), folder / f"{place}.jpg")
    ids = list(range(IMAGES))
    sides = {"xmin": 3, "ymin": 1, "xmax": 60, "ymax": 9}
    return DetectionDataset.from_tables(
        {"image_id": ids, "path": [f"{place}.jpg" for place in ids]},
        {"image_id": ids, "class_id": [place % 2 for place in ids]}
        | {side: [at] * IMAGES for side, at in sides.items()},
        root=folder,
        class_table=TABLE,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    both = {"train": dataset(folder), "validation": dataset(folder)}
    bd.pack(both, folder / "shards", resize=16, shards=OF, on_error="collect")
    for index in range(OF):
        bd.pack(both, folder / "array", resize=16, shard=(index, OF), on_error="collect")
    # The shards of two images, one of which is refused, and then of each image: the first is empty.
    bd.pack({"train": both["train"]}, folder / "single", resize=16, shards=IMAGES, on_error="collect")
    return folder


@pytest.fixture
def shards(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "shards", tmp_path / "shards"))


@pytest.fixture
def array(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "array", tmp_path / "array"))


def told(result: Verification) -> list[tuple[str, str]]:
    """Kind and file of the findings; the notes are left out."""
    return [(each.kind.name, each.path.name) for each in result.findings if each.severity is not Severity.NOTE]


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# One shard


@pytest.mark.parametrize("kind", ["shards", "array"])
def test_a_whole_shard_is_told_by_its_manifest(made: Path, kind: str) -> None:
    result = verify(made / kind / "train-00001-of-00003.rec", deep=True)
    assert (told(result), result.ok, result.records) == ([], True, 2)
    assert FindingKind.NO_CHECKSUM not in result.counts


def test_an_empty_shard_is_whole(made: Path) -> None:
    rec = made / "single" / "train-00000-of-00006.rec"
    assert rec.stat().st_size == 0
    result = verify(rec, deep=True)
    assert (told(result), result.ok, result.records) == ([], True, 0)


@pytest.mark.parametrize("kind", ["shards", "array"])
@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("train-00001-of-00003.rec", lambda data: data[:-4] + b"xxxx", "MANIFEST_HASH"),
        ("train-00001-of-00003.rec", lambda data: data + b"\0\0\0\0", "MANIFEST_SIZE"),
        ("train-00001-of-00003.idx", lambda data: data + b"\n", "MANIFEST_INDEX"),
        ("train-00001-of-00003.lst", lambda data: data + b"\n", "MANIFEST_LIST"),
    ],
)
def test_a_changed_shard_is_found(
    made: Path, tmp_path: Path, kind: str, name: str, change: Callable[[bytes], bytes], found: str
) -> None:
    folder = Path(shutil.copytree(made / kind, tmp_path / kind))
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    result = verify(folder / "train-00001-of-00003.rec")
    assert (found, name) in told(result)
    assert not result.ok
    assert (found, name) in told(verify(folder))


def test_a_shard_of_another_count(array: Path) -> None:
    part = array / "shards-00001-of-00003.json"
    rewrite(part, lambda content: content["channels"]["train"]["shards"][0].update(objects=9))
    assert told(verify(array / "train-00001-of-00003.rec")) == [("MANIFEST_COUNT", part.name)]


def test_a_shard_whose_manifest_is_broken_or_missing(array: Path) -> None:
    (array / "shards-00001-of-00003.json").write_text("{")
    rec = array / "train-00001-of-00003.rec"
    assert told(verify(rec)) == [("MANIFEST_BROKEN", "shards-00001-of-00003.json")]
    (array / "shards-00001-of-00003.json").unlink()
    assert verify(rec).counts[FindingKind.NO_CHECKSUM] == 1


def test_packed_json_beside_shards_is_no_obstacle(shards: Path) -> None:
    merge(shards, shards)
    for path in sorted(shards.glob("*.rec")):
        assert told(verify(path)) == []
    result = verify(shards)
    assert (told(result), result.records) == ([], 2 * 2 * (IMAGES - 1))
    assert verify(shards / "packed.json").records == verify(shards / "shards.json").records == 2 * (IMAGES - 1)


def test_stretches_that_shards_vouch_for_are_told_apart(shards: Path, tmp_path: Path) -> None:
    whole = merge(shards, tmp_path / "whole")
    sharded = bd.recordio.Sharded.open(shards)
    stretches = tuple((shard.bytes, shard.sha256) for shard in sharded.channels["train"].shards)
    train = dataclasses.replace(whole.channels["train"], sha256="", stretches=stretches)
    (tmp_path / "whole" / "packed.json").write_text(manifest_text({"train": train}, whole.class_table))
    assert Packed.open(tmp_path / "whole").channels["train"] == whole.channels["train"]
    assert told(verify(train.rec)) == []
    train.rec.write_bytes(train.rec.read_bytes()[:-1] + b"x")
    (finding,) = [each for each in verify(train.rec).findings if each.kind is FindingKind.MANIFEST_HASH]
    assert (finding.offset, finding.end) == (train.bytes - stretches[-1][0], train.bytes)


# All of them


@pytest.mark.parametrize(
    "path", ["shards", "shards/shards.json", "array", "array/shards-00001-of-00003.json", "single"]
)
def test_a_whole_set_has_no_fault(made: Path, path: str) -> None:
    result = verify(made / path, deep=True)
    assert (told(result), result.ok, result.deep) == ([], True, True)
    assert result.records == (1 if path == "single" else 2) * (IMAGES - 1)
    assert result.path == made / path


def missing_part(folder: Path) -> None:
    (folder / "shards-00001-of-00003.json").unlink()


def missing_files(folder: Path) -> None:
    for ending in ("rec", "idx", "lst"):
        (folder / f"train-00001-of-00003.{ending}").unlink()


def copied(folder: Path) -> None:
    shutil.copy(folder / "shards-00001-of-00003.json", folder / "shards-00001-of-00004.json")


def mixed(folder: Path) -> None:
    rewrite(folder / "shards-00001-of-00003.json", lambda content: content["classes"].pop())


def moved(folder: Path) -> None:
    part = folder / "shards-00001-of-00003.json"
    rewrite(part, lambda content: content["channels"]["train"]["shards"][0].update(first_row=1))


def extra(folder: Path) -> None:
    (folder / "train-00004-of-00008.rec").write_bytes(b"")
    (folder / "other-00004-of-00008.rec").write_bytes(b"mine")


def unreadable(folder: Path) -> None:
    (folder / "shards-00001-of-00003.json").write_text("{}")


MIDDLE = "train-00001-of-00003"
SET_FAULTS: dict[str, tuple[Callable[[Path], None], list[tuple[str, str]]]] = {
    "a missing part": (
        missing_part,
        [
            ("SHARD_EXTRA", f"{MIDDLE}.idx"),
            ("SHARD_EXTRA", f"{MIDDLE}.lst"),
            ("SHARD_EXTRA", f"{MIDDLE}.rec"),
            ("SHARD_MISSING", f"{MIDDLE}.rec"),
        ],
    ),
    "missing files": (missing_files, [("FILE_MISSING", f"{MIDDLE}.{ending}") for ending in ("idx", "lst", "rec")]),
    "a part twice": (copied, [("SHARD_REPEATED", "shards-00001-of-00004.json")]),
    "a part of another run": (
        mixed,
        [("SHARD_MIXED", "shards-00001-of-00003.json"), ("SHARD_MISSING", f"{MIDDLE}.rec")],
    ),
    "a part of other data": (
        moved,
        [("SHARD_ROWS", f"{MIDDLE}.rec"), ("SHARD_ROWS", "train-00002-of-00003.rec")],
    ),
    "a file too many": (extra, [("SHARD_EXTRA", "train-00004-of-00008.rec")]),
    "a broken part": (
        unreadable,
        [("MANIFEST_BROKEN", "shards-00001-of-00003.json"), ("SHARD_MISSING", f"{MIDDLE}.rec")],
    ),
}


@pytest.mark.parametrize("name", SET_FAULTS)
def test_a_fault_of_the_set_is_found(array: Path, name: str) -> None:
    damage, expected = SET_FAULTS[name]
    damage(array)
    result = verify(array)
    found = [row for row in told(result) if not row[1].startswith("validation")]
    assert sorted(set(found)) == sorted(expected)
    assert result.ok is (name == "a file too many")
    assert json.loads(json.dumps(result.to_json())) == result.to_json()
    assert sum(result.counts.values()) == len(result.findings)


def test_files_of_packed_json_that_are_missing(shards: Path, tmp_path: Path) -> None:
    merge(shards, tmp_path / "whole")
    (tmp_path / "whole" / "train.rec").unlink()
    result = verify(tmp_path / "whole")
    assert told(result) == [("FILE_MISSING", "train.rec")]
    assert result.records == IMAGES - 1
    (tmp_path / "whole" / "packed.json").write_text("[")
    assert told(verify(tmp_path / "whole")) == [("MANIFEST_BROKEN", "packed.json")]


def test_a_broken_manifest_is_told_once(shards: Path) -> None:
    (shards / "packed.json").write_text("{}")
    assert told(verify(shards)) == [("MANIFEST_BROKEN", "packed.json")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", r"there is no packed\.json or shards\.json"),
        ("shards.json", r"there is no shards\.json"),
        ("packed.json", r"there is no packed\.json"),
        ("shards-00000-of-00002.json", r"there is no shards-00000-of-00002\.json"),
    ],
)
def test_a_folder_without_manifests(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        verify(tmp_path / name)


def test_an_index_is_that_of_one_file(shards: Path) -> None:
    with pytest.raises(RecordError, match="an index is that of one record file"):
        verify(shards, index=shards / "train-00000-of-00003.idx")


@pytest.mark.parametrize(
    "text", ["[]", "{}", "{", "[" * 100_000, '{"schema": 1}', '{"schema": 1, "channels": Infinity}']
)
def test_any_text_as_a_manifest_gives_a_verification(shards: Path, text: str) -> None:
    (shards / "shards.json").write_text(text)
    assert told(verify(shards)) == [("MANIFEST_BROKEN", "shards.json")]
    assert ("MANIFEST_BROKEN", "shards.json") in told(verify(shards / "train-00000-of-00003.rec"))
