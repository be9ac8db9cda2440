"""Lists packed by birdsod and by the real im2rec: the same ``.rec`` and ``.idx``."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import birdsod as bd
from birdsod.errors import DatasetError
from birdsod.recordio import pack_list
from birdsod.testing import detection_labels, image_ids, list_lines, photos

if TYPE_CHECKING:
    from birdsod.recordio import PackedChannel
    from birdsod.testing import Photo
    from tests.conformance.conftest import Oracle

TIMES = int(os.environ.get("BIRDSOD_CONFORMANCE", "1"))
GOLDEN = Path(__file__).parents[1] / "golden" / "im2rec"

NOT_PACKED = {"no image.jpg": b"text", "empty.png": b""}
"""Files that neither packs, unless they pass through: then im2rec does not look."""


@dataclass(frozen=True)
class Way:
    """Options of one call, for both sides."""

    ours: dict[str, Any] = field(default_factory=dict)
    theirs: tuple[str, ...] = ()


@st.composite
def ways(draw: st.DrawFn, *, untouched: bool = True) -> Way:
    ours: dict[str, Any] = {"pack_label": draw(st.booleans())}
    if untouched and draw(st.integers(0, 4)) == 0:
        ours["pass_through"] = True
    else:
        ours |= {
            "resize": draw(st.one_of(st.none(), st.integers(1, 64))),
            "center_crop": draw(st.booleans()),
            "quality": draw(st.one_of(st.just(95), st.integers(0, 100))),
            "encoding": draw(st.sampled_from([".jpg", ".png"])),
            "color": draw(st.sampled_from([1, 0, -1])),
        }
    return Way(ours, arguments(ours))


def arguments(ours: dict[str, Any]) -> tuple[str, ...]:
    """Return the options as im2rec takes them."""
    switches = [f"--{name.replace('_', '-')}" for name, value in ours.items() if value is True]
    # Joined by "=": argparse takes -1 for an option of its own.
    valued = [f"--{name}={value}" for name, value in ours.items() if value is not None and not isinstance(value, bool)]
    return (*switches, *valued)


@dataclass(frozen=True)
class Listing:
    """A list and the images beside it."""

    lines: tuple[str, ...]
    images: dict[str, bytes]
    ending: str = "\n"

    def put(self, folder: Path) -> Path:
        """Write all into a folder, and return the list."""
        for name, data in (self.images | NOT_PACKED).items():
            (folder / name).write_bytes(data)
        lst = folder / "train.lst"
        lst.write_bytes("".join(line + self.ending for line in self.lines).encode())
        return lst


def label_cells(label: Any) -> str:
    return "\t".join(map(repr, np.atleast_1d(label).tolist()))


@st.composite
def listings(draw: st.DrawFn, *, weird: bool) -> Listing:
    drawn: list[Photo] = draw(st.lists(photos(), min_size=1, max_size=3))
    images = {f"{number} bird \u00e4{photo.suffix}": photo.data for number, photo in enumerate(drawn)}
    number = st.floats(width=32, allow_nan=False, allow_infinity=False).map(np.float32)
    objects = detection_labels().filter(lambda label: bool(np.isfinite(label).all()))
    label = st.one_of(number, objects, st.just(np.array([2, 5])), st.lists(number, min_size=1, max_size=9))
    sound = st.tuples(image_ids(), label, st.sampled_from(sorted(images))).map(
        lambda row: f"{row[0]}\t{label_cells(row[1])}\t{row[2]}"
    )
    if not weird:
        return Listing(tuple(draw(st.lists(sound, min_size=1, max_size=5))), images)
    unpacked = st.sampled_from([*NOT_PACKED, "nowhere.jpg", "."]).map(lambda name: f"3\t1\t{name}")
    outside = st.sampled_from([-1, 2**64]).map(lambda key: f"{key}\t1\t{min(images)}")
    line = st.one_of(sound, sound, list_lines(), st.just(""), unpacked, outside)
    return Listing(tuple(draw(st.lists(line, min_size=1, max_size=8))), images, draw(st.sampled_from(["\n", "\r\n"])))


def packed_by_both(
    oracle: Oracle, listing: Listing, way: Way, folder: Path, *, jobs: int
) -> tuple[dict[str, Any], PackedChannel | None]:
    """Pack, and return im2rec's answer and ours; there is none where nothing can be packed."""
    lst = listing.put(folder)
    threads = f"--num-thread={jobs}"
    answer, _ = oracle.get("im2rec", arguments=[*way.theirs, threads, str(lst), str(folder)])
    try:
        ours = pack_list(lst, root=folder, out=folder / "ours.rec", on_error="collect", jobs=jobs, **way.ours)
    except DatasetError:
        ours = None
    return answer, ours


def contents(folder: Path, name: str) -> tuple[bytes, bytes]:
    return (folder / f"{name}.rec").read_bytes(), (folder / f"{name}.idx").read_bytes()


@given(listings(weird=False), ways(), st.sampled_from([1, 1, 1, 2]))
@settings(max_examples=200 * TIMES)
def test_sound_lists_give_the_same_bytes(oracle: Oracle, listing: Listing, way: Way, jobs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        answer, ours = packed_by_both(oracle, listing, way, Path(name), jobs=jobs)
        assert answer["crashed"] is None
        assert ours is not None
        assert ours.refused == ()
        assert contents(Path(name), "ours") == contents(Path(name), "train")


@given(listings(weird=True), ways(untouched=False))
@settings(max_examples=60 * TIMES)
def test_what_im2rec_drops_without_a_word_is_refused_by_name(oracle: Oracle, listing: Listing, way: Way) -> None:
    with tempfile.TemporaryDirectory() as name:
        answer, ours = packed_by_both(oracle, listing, way, Path(name), jobs=2)
        assert answer["crashed"] is None
        rec, idx = contents(Path(name), "train")
        if ours is None:
            assert (rec, idx) == (b"", b"")
            return
        assert contents(Path(name), "ours") == (rec, idx)
        assert ours.records == idx.count(b"\n")
        assert ours.records + len(ours.refused) == ours.listed


@given(listings(weird=True), ways(untouched=False))
@settings(max_examples=60 * TIMES)
def test_im2rec_of_one_thread_ends_at_the_first_bad_image(oracle: Oracle, listing: Listing, way: Way) -> None:
    with tempfile.TemporaryDirectory() as name:
        answer, ours = packed_by_both(oracle, listing, way, Path(name), jobs=1)
        rec, idx = contents(Path(name), "train")
        found = contents(Path(name), "ours") if ours else (b"", b"")
        if answer["crashed"] is None:
            assert found == (rec, idx)
            if ours:
                blank = sum(not line.strip() for line in listing.lines)
                passed_over = answer["printed"].count("lst should have") + answer["printed"].count("Parsing lst")
                assert passed_over == len(ours.refused) + blank
        else:
            assert "NoneType" in answer["crashed"]
            assert found[0].startswith(rec)
            assert found[1].startswith(idx)


PACKS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "resized": {"resize": 48, "quality": 80},
    "untouched": {"pass_through": True},
    "PNG": {"encoding": ".png", "quality": 3, "resize": 20},
}


@pytest.mark.parametrize("name", PACKS)
def test_a_packed_data_set_is_what_im2rec_makes_of_its_list(oracle: Oracle, tmp_path: Path, name: str) -> None:
    birds = bd.synthetic_birds(tmp_path / "birds", seed=3, classes=2, per_class=4)
    train, validation = birds.split()
    packed = bd.pack({"train": train, "validation": validation}, tmp_path / "packed", **PACKS[name])
    for channel in packed.channels.values():
        (tmp_path / "again").mkdir(exist_ok=True)
        lst = tmp_path / "again" / channel.lst.name
        lst.write_bytes(channel.lst.read_bytes())
        told = arguments({"pack_label": True, **PACKS[name]})
        answer, _ = oracle.get("im2rec", arguments=[*told, str(lst), str(birds.root)])
        assert answer["crashed"] is None
        assert channel.rec.read_bytes() == lst.with_suffix(".rec").read_bytes()
        assert channel.idx.read_bytes() == lst.with_suffix(".idx").read_bytes()


def test_a_centre_crop_moves_the_boxes_of_a_data_set_and_nothing_else(oracle: Oracle, tmp_path: Path) -> None:
    birds = bd.synthetic_birds(tmp_path / "birds", seed=4, classes=2, per_class=4)
    channel = bd.pack({"train": birds}, tmp_path / "packed", center_crop=True, resize=40).channels["train"]
    told = ["--pack-label", "--center-crop", "--resize=40"]
    (tmp_path / "again").mkdir()
    lst = tmp_path / "again" / "train.lst"
    lst.write_bytes(channel.lst.read_bytes())
    oracle.get("im2rec", arguments=[*told, str(lst), str(birds.root)])
    with channel.open() as ours, bd.recordio.RecordReader(lst.with_suffix(".rec")) as theirs:
        assert [record.image for record in ours] == [record.image for record in theirs]
        assert ours.keys.tolist() == theirs.keys.tolist()
        moved = [not np.array_equal(one.label, other.label) for one, other in zip(ours, theirs, strict=True)]
    assert any(moved)


@pytest.mark.parametrize("threads", [1, 2])
def test_im2rec_as_a_program_of_its_own(oracle: Oracle, tmp_path: Path, threads: int) -> None:
    lst = tmp_path / "det.lst"
    lst.write_bytes((GOLDEN / "det.lst").read_bytes())
    script = next(oracle.python.parent.parent.glob("lib/python*/site-packages/mxnet/tools/im2rec.py"))
    told = ["--pack-label", "--resize=100", f"--num-thread={threads}", str(lst), str(GOLDEN / "images")]
    done = subprocess.run([oracle.python, script, *told], capture_output=True, text=True, check=True)
    assert "Creating .rec file" in done.stdout
    pack_list(lst, root=GOLDEN / "images", out=tmp_path / "ours.rec", resize=100, jobs=threads)
    assert contents(tmp_path, "ours") == contents(tmp_path, "det")
