"""Pipes, written by another thread as SageMaker writes them."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod.container.pipes import Stopped, most_bytes, spool
from birdsod.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence


def never() -> bool:
    return False


def feed(pipe: Path, pieces: Sequence[bytes]) -> threading.Thread:
    """Write pieces to a pipe until all are written or nobody reads on."""

    def write() -> None:
        try:
            with pipe.open("wb", buffering=0) as stream:
                for piece in pieces:
                    stream.write(piece)
        except BrokenPipeError:
            pass

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@given(st.lists(st.integers(0, 1 << 18), max_size=6), st.integers(0, 9))
@settings(max_examples=20)
def test_what_goes_in_comes_out(sizes: list[int], seed: int) -> None:
    pieces = [random.Random(seed).randbytes(size) for size in sizes]
    with tempfile.TemporaryDirectory() as folder:
        pipe, target = Path(folder, "train_0"), Path(folder, "train.rec")
        os.mkfifo(pipe)
        writer = feed(pipe, pieces)
        assert spool(pipe, target, most=1 << 30, stop=never) == sum(sizes)
        writer.join()
        assert target.read_bytes() == b"".join(pieces)


def test_more_than_there_is_room_for_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "train_0"
    os.mkfifo(pipe)
    writer = feed(pipe, [bytes(1 << 16)] * 64)
    with pytest.raises(TrainingError, match=r"more than the 100,000 bytes of room.*volume_gb"):
        spool(pipe, tmp_path / "train.rec", most=100_000, stop=never)
    writer.join()
    assert (tmp_path / "train.rec").stat().st_size <= 100_000


def test_it_stops_while_nobody_writes(tmp_path: Path) -> None:
    pipe = tmp_path / "train_0"
    os.mkfifo(pipe)
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        spool(pipe, tmp_path / "train.rec", most=1, stop=lambda: next(asked))


def test_what_is_no_pipe_is_refused(tmp_path: Path) -> None:
    for name in ("missing", "file"):
        pipe = tmp_path / name
        if name == "file":
            pipe.touch()
        with pytest.raises(TrainingError, match="there is no such pipe"):
            spool(pipe, tmp_path / "train.rec", most=1, stop=never)


def test_a_pipe_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "train_0"
    os.mkfifo(pipe)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(TrainingError, match=r"the pipe cannot be opened. Likely cause: Permission denied"):
        spool(pipe, tmp_path / "train.rec", most=1, stop=never)


def test_room_is_a_part_of_what_is_left(tmp_path: Path) -> None:
    assert most_bytes(tmp_path) > 0
