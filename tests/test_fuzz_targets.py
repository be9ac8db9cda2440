from __future__ import annotations

import gzip
import importlib.util
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    from types import ModuleType

TARGETS_FILE = Path(__file__).parents[1] / "fuzz" / "targets.py"


def load_targets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("birdsod_fuzz_targets", TARGETS_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


targets = load_targets()


@st.composite
def damaged(draw: st.DrawFn, seed: bytes) -> bytes:
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, min(len(seed), start + 8)))
    return seed[:start] + draw(st.binary(max_size=8)) + seed[end : draw(st.integers(end, len(seed)))]


@pytest.mark.parametrize("name", targets.TARGETS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_readers_hold_to_the_law_on_damaged_files(name: str, data: Any) -> None:
    target = targets.TARGETS[name]
    target.prepare()
    target.hold(data.draw(damaged(data.draw(st.sampled_from(target.seeds())))))


# Manifests vouch for files that are not there.
@pytest.mark.parametrize("name", sorted(targets.TARGETS.keys() - {"manifest", "shards"}))
def test_seeds_are_whole_files(name: str, tmp_path: Path) -> None:
    target = targets.TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        folder = tmp_path / str(number)
        folder.mkdir()
        target.read(seed, folder)


def test_another_error_is_a_finding() -> None:
    def read(data: bytes, folder: Path) -> None:
        raise ZeroDivisionError(len(data), folder)

    with pytest.raises(ZeroDivisionError):
        targets.Target(read, list).hold(b"12")


def test_memory_beyond_the_size_of_the_input_is_a_finding() -> None:
    with pytest.raises(targets.TooMuchMemoryError, match="for an input of 2"):
        targets.Target(lambda data, _: bytearray(len(data) << 24), list).hold(b"12")


def test_what_is_packed_may_take_the_memory_of_what_it_stands_for() -> None:
    target = targets.TARGETS["archive"]
    content = bytes(1 << 20)
    whole = gzip.compress(content) + gzip.compress(b"more")
    assert target.size(whole) == len(content) + 4
    assert target.size(whole[:100]) <= len(content)
    assert target.size(b"no archive") == 0


def test_a_damaged_header_of_a_tar_gets_its_checksum() -> None:
    seed = targets.TARGETS["archive-tar"].seeds()[0]
    damaged = seed[:156] + tarfile.SYMTYPE + seed[157:]
    with tempfile.TemporaryDirectory() as folder, pytest.raises(ArtifactError, match="a link or a device"):
        targets.TARGETS["archive-tar"].read(damaged, Path(folder))
