from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from birdsod.errors import ArtifactError
from birdsod.mxnet import SparseArray, params_bytes, read_params, write_params

GOLDEN = Path(__file__).parents[1] / "golden" / "params"
VALUES: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "values.json").read_text(encoding="utf-8"))
TYPES = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "?")


def float32(values: Any) -> Any:
    return np.array(values, dtype=np.float32)


def dense(array: Any) -> Any:
    return array.dense() if isinstance(array, SparseArray) else array


@pytest.mark.parametrize("name", VALUES)
def test_files_of_every_version_hold_what_mxnet_saved(name: str) -> None:
    found = read_params(GOLDEN / name)
    assert len(found) == len(VALUES[name])
    for position, ((key, array), row) in enumerate(zip(found.items(), VALUES[name], strict=True)):
        assert key == (row["name"] if row["name"] is not None else str(position))
        whole = dense(array)
        assert (list(whole.shape), str(whole.dtype)) == (row["shape"], row["dtype"])
        assert whole.tobytes().hex() == row["data_hex"]
        assert (array.kind if isinstance(array, SparseArray) else "default") == row["stype"]


@pytest.mark.parametrize("name", ["multi.params", "empty_dict.params"])
def test_the_same_arrays_give_mxnets_bytes(name: str) -> None:
    found = {key: dense(array) for key, array in read_params(GOLDEN / name).items()}
    assert params_bytes(found) == (GOLDEN / name).read_bytes()


arrays = st.sampled_from(TYPES).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
)


@given(st.dictionaries(st.text(max_size=6), arrays, max_size=4))
def test_what_is_written_is_read_back_bit_for_bit(saved: dict[str, Any]) -> None:
    data = params_bytes(saved)
    found = read_params(data)
    assert list(found) == list(saved)
    for name, array in saved.items():
        again = found[name]
        assert isinstance(again, np.ndarray)
        assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert params_bytes({name: dense(array) for name, array in found.items()}) == data


def test_an_array_in_another_byte_order_or_layout_is_the_same_array() -> None:
    plain = np.arange(6, dtype="<f4").reshape(2, 3)
    other = np.asfortranarray(plain.astype(">f4"))
    assert params_bytes({"arg:w": other}) == params_bytes({"arg:w": plain})


def test_a_file_appears_whole(tmp_path: Path) -> None:
    write_params(tmp_path / "a.params", {"arg:w": float32([1.0])})
    assert read_params(tmp_path / "a.params")["arg:w"] == float32([1.0])
    assert [path.name for path in tmp_path.iterdir()] == ["a.params"]


def test_what_is_read_cannot_be_edited() -> None:
    found = read_params(params_bytes({"arg:w": float32([1.0])}))["arg:w"]
    with pytest.raises(ValueError, match="read-only"):
        dense(found)[0] = 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1], dtype=np.complex64), "no such type"),
        (np.zeros((2, 0), np.float32), "no such shape"),
        (np.array(1.0, dtype=np.float32), "no such shape"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(array: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        params_bytes({"arg:w": np.asarray(array)})


def test_bfloat16_is_read_as_float32() -> None:
    one = float32([1.0, -2.5])
    halves = (one.view("<u4") >> 16).astype("<u2").tobytes()
    data = bytearray(params_bytes({"arg:w": np.array([0, 0], dtype=np.float16)}))
    place = data.index(struct.pack("<iii", 1, 0, 2))
    data[place + 8 : place + 12] = struct.pack("<i", 12)
    data[place + 12 : place + 16] = halves
    np.testing.assert_array_equal(dense(read_params(bytes(data))["arg:w"]), one)


GOOD = params_bytes({"arg:w": float32([[1.0, 2.0]]), "aux:b": float32([3.0])})
CSR = (GOLDEN / "sparse.params").read_bytes()
V2 = struct.pack("<I", 0xF993FAC9)


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


def _named(names: list[str]) -> bytes:
    """A file of arrays that were never given a shape."""
    lengths = [struct.pack("<Q", len(name)) + name.encode() for name in names]
    return b"".join(
        [
            GOOD[:16],
            struct.pack("<Q", len(names)),
            (V2 + bytes(8)) * len(names),
            struct.pack("<Q", len(names)),
            *lengths,
        ]
    )


FAULTS = {
    "another kind of file": (b"PK\x03\x04" + GOOD, "does not begin"),
    "too short for a magic number": (GOOD[:5], "does not begin"),
    "cut in the head": (GOOD[:20], "bytes should follow"),
    "cut in an array": (GOOD[:70], "bytes should follow|cannot follow"),
    "cut in the names": (GOOD[:-1], "bytes should follow"),
    "bytes after the end": (GOOD + b"\0", "follow the last array"),
    "more arrays than bytes": (GOOD[:16] + struct.pack("<Q", 2**40) + GOOD[24:], "cannot follow"),
    "one name too few": (
        GOOD[: GOOD.index(b"arg:w") - 16] + struct.pack("<QQ", 1, 5) + b"arg:w",
        "2 arrays and 1 names",
    ),
    "the same name twice": (changed(GOOD, b"aux:b", b"arg:w"), "the same name"),
    "the same name twice, the last of many": (_named([*map(str, range(9999)), "b", "b"]), r"the same name \(got 'b'\)"),
    "a name that is no text": (changed(GOOD, b"aux:b", b"aux:\xff"), "no text"),
    "an unknown storage type": (changed(GOOD, V2 + b"\0\0\0\0", V2 + b"\7\0\0\0"), "storage type"),
    "too many dimensions": (changed(GOOD, V2 + b"\0\0\0\0\2", V2 + b"\0\0\0\0\x63"), "too many dimensions"),
    "dimensions beyond the end": (GOOD[:24] + V2 + struct.pack("<iIq", 0, 30, 1), "cannot follow"),
    "a negative dimension": (
        changed(GOOD, struct.pack("<Iqq", 2, 1, 2), struct.pack("<Iqq", 2, -1, 2)),
        "negative",
    ),
    "an unknown data type": (
        changed(GOOD, struct.pack("<iiif", 1, 0, 0, 1.0), struct.pack("<iiif", 1, 0, 99, 1.0)),
        "unknown data type",
    ),
    "no numbers in an impossible shape": (
        changed(GOOD, struct.pack("<Iqq", 2, 1, 2), struct.pack("<Iqq", 2, 0, 2**62)),
        "impossible shape",
    ),
    "more numbers than bytes": (
        changed(GOOD, struct.pack("<Iqq", 2, 1, 2), struct.pack("<Iqq", 2, 2**31, 2**31)),
        "bytes should follow",
    ),
    "indices that are no whole numbers": (
        changed(CSR, struct.pack("<iIq", 6, 1, 5), struct.pack("<iIq", 1, 1, 5)),
        "no row",
    ),
    "row starts of another matrix": (
        changed(CSR, struct.pack("<Iqq", 2, 4, 3), struct.pack("<Iqq", 2, 5, 3)),
        "row starts",
    ),
    "row starts that fall": (
        changed(CSR, struct.pack("<qqq", 0, 1, 3), struct.pack("<qqq", 0, 9, 3)),
        "row starts",
    ),
    "rows of another width": (
        changed(CSR, struct.pack("<IqqIqq", 2, 3, 3, 2, 4, 3), struct.pack("<IqqIqq", 2, 3, 3, 2, 4, 2)),
        "do not fit its shape",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, tmp_path: Path) -> None:
    data, message = FAULTS[fault]
    path = tmp_path / "model.params"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=message) as caught:
        read_params(path)
    assert caught.value.path == str(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_params(tmp_path / "none.params")


@pytest.mark.parametrize("index", [-1, 3])
def test_a_row_outside_the_array_is_refused(index: int) -> None:
    rows = SparseArray("row_sparse", (3, 1), np.ones((1, 1)), np.array([index]))
    with pytest.raises(ArtifactError, match="outside"):
        rows.dense()


def test_an_array_that_no_memory_holds_is_refused() -> None:
    rows = SparseArray("row_sparse", (2**62, 2**62), np.ones((1, 1)), np.array([0]))
    with pytest.raises(ArtifactError, match="too large to be made whole"):
        rows.dense()


@given(st.data())
def test_any_damage_gives_an_answer_or_an_error_of_ours(data: Any) -> None:
    whole = data.draw(st.sampled_from([GOOD, CSR, (GOLDEN / "legacy_v0_gpu.params").read_bytes()]))
    start = data.draw(st.integers(0, len(whole)))
    damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[data.draw(st.integers(start, len(whole))) :]
    with contextlib.suppress(ArtifactError):
        read_params(damaged)
