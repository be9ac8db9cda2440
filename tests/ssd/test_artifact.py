"""Model archives: the same bytes each time, read back whole, every malformed one refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, MissingDependencyError
from birdsod.hyperparameters import Hyperparameters
from birdsod.ssd import _members
from birdsod.ssd.artifact import read_artifact, save_artifact
from birdsod.ssd.building import build_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
PARAMS = Hyperparameters(num_classes=2, num_training_samples=60, base_network="efficientnet-lite0", epochs=3)
WHOLE = {
    "classes.json": json.dumps(TABLE.to_json()).encode(),
    "hyperparams.json": json.dumps(PARAMS.to_request()).encode(),
    "model.safetensors": save({"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}),
}


def packed(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def written(folder: Path, members: Mapping[str, bytes]) -> Path:
    path = folder / "model.tar.gz"
    path.write_bytes(packed(members))
    return path


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    path = save_artifact(tmp_path / "model.tar.gz", network, PARAMS, TABLE, {"_note": "kept"})
    artifact = read_artifact(path)
    state = network.state_dict()
    assert list(artifact.tensors) == sorted(state)
    assert all(torch.equal(torch.from_numpy(values), state[name]) for name, values in artifact.tensors.items())
    assert artifact.parameters == Hyperparameters.from_request(PARAMS.to_request())
    assert artifact.hyperparameters["nms_topk"] == "400"
    assert artifact.hyperparameters["_note"] == "kept"
    assert all(isinstance(value, str) for value in artifact.hyperparameters.values())
    assert artifact.classes == TABLE
    assert artifact.ignored == ()


def test_the_same_model_gives_the_same_bytes_and_carries_no_trace_of_its_writer(tmp_path: Path) -> None:
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    digests = {
        hashlib.sha256(save_artifact(tmp_path / name, network, PARAMS, TABLE).read_bytes()).hexdigest()
        for name in ("one.tar.gz", "other.tar.gz")
    }
    assert len(digests) == 1
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == ["classes.json", "hyperparams.json", "model.safetensors"]
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, 0, "", "")}
    assert int.from_bytes((tmp_path / "one.tar.gz").read_bytes()[4:8], "little") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tar.gz", "other.tar.gz"]


def test_a_network_with_other_classes_is_not_saved(tmp_path: Path) -> None:
    network = build_network("efficientnet-lite0", num_classes=3, image_shape=64, pretrained=False)
    with pytest.raises(ArtifactError, match="knows 3 classes, but 2 are named"):
        save_artifact(tmp_path / "model.tar.gz", network, PARAMS, TABLE)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_read_like_the_archive(tmp_path: Path) -> None:
    for name, data in {**WHOLE, "notes.txt": b"hello"}.items():
        (tmp_path / name).write_bytes(data)
    artifact = read_artifact(tmp_path)
    assert artifact.classes == TABLE
    assert artifact.ignored == ("notes.txt",)
    assert artifact.tensors["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_other_files_are_named_and_not_opened(tmp_path: Path) -> None:
    members = {"./" + name: data for name, data in WHOLE.items()} | {"extra/readme.txt": b"", "._classes.json": b"?"}
    artifact = read_artifact(written(tmp_path, members))
    assert artifact.ignored == ("extra/readme.txt", "._classes.json")


def test_folders_in_the_archive_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    for name, data in WHOLE.items():
        (tmp_path / name).write_bytes(data)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path, arcname=".", recursive=False)
        for name in WHOLE:
            archive.add(tmp_path / name, arcname=f"./{name}")
    assert read_artifact(path).ignored == ()


def test_values_that_are_not_text_become_text(tmp_path: Path) -> None:
    values = {**PARAMS.to_request(), "epochs": 3, "_nested": [1, 2]}
    artifact = read_artifact(written(tmp_path, {**WHOLE, "hyperparams.json": json.dumps(values).encode()}))
    assert artifact.hyperparameters["epochs"] == "3"
    assert artifact.hyperparameters["_nested"] == "[1, 2]"


@pytest.mark.parametrize("missing", sorted(WHOLE))
def test_a_missing_member_is_named(tmp_path: Path, missing: str) -> None:
    members = {name: data for name, data in WHOLE.items() if name != missing}
    with pytest.raises(ArtifactError, match=f"lacks {missing}"):
        read_artifact(written(tmp_path, members))


@pytest.mark.parametrize("member", ["model_algo_1-symbol.json", "model_algo_1-0000.params"])
def test_an_archive_of_the_built_in_algorithm_is_recognised(tmp_path: Path, member: str) -> None:
    with pytest.raises(ArtifactError, match="built-in algorithm"):
        read_artifact(written(tmp_path, {member: b"{}", "hyperparams.json": b"{}"}))


BAD = {
    "hyperparams that are not JSON": ({"hyperparams.json": b"{"}, "hyperparams.json is not JSON"),
    "hyperparams that are not UTF-8": ({"hyperparams.json": b"\xff\xfe\xfa"}, "hyperparams.json is not JSON"),
    "hyperparams nested without end": ({"hyperparams.json": b"[" * 100_000}, "hyperparams.json is not JSON"),
    "hyperparams that are a list": ({"hyperparams.json": b"[]"}, "must hold names with values"),
    "classes that are not JSON": ({"classes.json": b""}, "classes.json is not JSON"),
    "classes that are a mapping": ({"classes.json": b"{}"}, "must hold a list"),
    "classes without names": ({"classes.json": b'[{"class_id": 0}]'}, "classes.json is malformed"),
    "classes that are numbers": ({"classes.json": b"[1, 2]"}, "classes.json is malformed"),
    "another number of classes": ({"classes.json": b"[]"}, "disagree about the number of classes"),
    "weights that are none": ({"model.safetensors": b"PK"}, "no file of weights"),
    "weights cut off": ({"model.safetensors": WHOLE["model.safetensors"][:-1]}, "no file of weights"),
    "weights that are not finite": (
        {"model.safetensors": save({"weight": np.array([1, np.nan], np.float32)})},
        "weights weight are not finite",
    ),
    "weights of a later format": (
        {"model.safetensors": save({"weight": np.zeros(1, np.float32)}, metadata={"format": "2"})},
        "a format that this version does not know",
    ),
    "a name that leads up": ({"../escape": b""}, "leads out of it"),
    "an absolute name": ({"/etc/escape": b""}, "leads out of it"),
    "a name of another system": ({"..\\escape": b""}, "leads out of it"),
    "the same name in two spellings": ({"./classes.json": WHOLE["classes.json"]}, "holds classes.json twice"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_what_is_malformed_is_refused(tmp_path: Path, case: str) -> None:
    members, message = BAD[case]
    path = written(tmp_path, {**WHOLE, **members})
    with pytest.raises(ArtifactError, match=message) as caught:
        read_artifact(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("classes.json")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(ArtifactError, match="a link or a device"):
        read_artifact(path)


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def extended(kind: bytes, content: bytes) -> bytes:
    return header("././@x", kind, len(content)) + content + bytes(-len(content) % 512)


LONG_NAME = extended(tarfile.GNUTYPE_LONGNAME, b"a" * 120)
HUGE = {
    "a size that nothing has": header("notes.txt", size=1 << 62),
    "a size below nothing": header("notes.txt", size=-(1 << 40)),
    "a size that is corrected later": extended(tarfile.XHDTYPE, b"25 size=999999999999999\n") + header("notes.txt"),
    "a name that is longer than any": extended(tarfile.XHDTYPE, b"9" * (1 << 20)),
    "names of names without end": LONG_NAME * 2000,
}


@pytest.mark.parametrize("case", sorted(HUGE))
def test_what_a_header_only_claims_costs_nothing(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzip.compress(HUGE[case] + bytes(1024), mtime=0))
    with pytest.raises(ArtifactError, match=r"no complete model archive|unpacks to more than") as caught:
        read_artifact(path)
    assert caught.value.path == str(path)


def test_a_file_with_holes_is_refused(tmp_path: Path) -> None:
    sparse = bytearray(header("classes.json", tarfile.GNUTYPE_SPARSE))
    sparse[483:495] = b"00004000000\0"  # its size with the holes: a mebibyte
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    (tmp_path / "model.tar.gz").write_bytes(gzip.compress(bytes(sparse) + bytes(1024), mtime=0))
    with pytest.raises(ArtifactError, match="one with holes"):
        read_artifact(tmp_path / "model.tar.gz")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such model archive"):
        read_artifact(tmp_path / "model.tar.gz")


@pytest.mark.parametrize("content", [b"", b"not an archive", gzip.compress(b"not a tar", mtime=0), b"\x1f\x8b"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"no complete model archive|lacks"):
        read_artifact(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_members, "MOST_BYTES", 100_000)
    path = written(tmp_path, {**WHOLE, "bomb": bytes(200_000)})
    with pytest.raises(ArtifactError, match="unpacks to more than 100,000 bytes"):
        read_artifact(path)


def test_an_archive_of_files_that_are_too_much_together_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_members, "MOST_BYTES", 100_000)
    path = written(tmp_path, {**WHOLE, "first": bytes(60_000), "second": bytes(60_000)})
    with pytest.raises(ArtifactError, match="unpacks to more than 100,000 bytes") as caught:
        read_artifact(path)
    assert caught.value.path == str(path)


def test_a_file_in_a_folder_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_members, "MOST_BYTES", 10)
    for name, data in WHOLE.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ArtifactError, match="more than 10 bytes"):
        read_artifact(tmp_path)


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_members, "MOST_MEMBERS", 3)
    with pytest.raises(ArtifactError, match="more than 3 files"):
        read_artifact(written(tmp_path, {**WHOLE, "fourth": b""}))


def test_without_safetensors_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, WHOLE)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(MissingDependencyError, match=r"birdsod\[serve\]"):
        read_artifact(path)


def test_the_checksum_at_the_very_end_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    padded = bytearray(gzip.compress(gzip.decompress(packed(WHOLE)) + bytes(3_000_000)))
    path.write_bytes(padded)
    assert len(read_artifact(path).classes) == 2
    padded[-8] ^= 1
    path.write_bytes(padded)
    with pytest.raises(ArtifactError, match="no complete model archive"):
        read_artifact(path)


SMALL = packed(WHOLE)


@settings(max_examples=100)
@given(cut=st.integers(0, len(SMALL) - 1))
def test_an_archive_cut_off_anywhere_is_refused(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.tar.gz"
    path.write_bytes(SMALL[:cut])
    with pytest.raises(ArtifactError):
        read_artifact(path)


@settings(max_examples=100)
@given(data=st.data(), inside=st.booleans())
def test_damaged_bytes_give_an_artifact_or_an_error_of_ours(
    data: st.DataObject, inside: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = bytearray(gzip.decompress(SMALL) if inside else SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.tar.gz"
    path.write_bytes(gzip.compress(changed) if inside else changed)
    try:
        artifact: Any = read_artifact(path)
    except ArtifactError:
        return
    assert len(artifact.classes) == 2
