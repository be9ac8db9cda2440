"""A reason is one line that SageMaker can read whole."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from birdsod.container.failure import MOST, reason_of, write_failure
from birdsod.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.container.conftest import Laid


@given(st.text(max_size=3000))
def test_a_reason_is_short_and_on_one_line(message: str) -> None:
    for error in (RecordError(message), ValueError(message)):
        reason = reason_of(error)
        whole = " ".join((message if isinstance(error, RecordError) else f"ValueError: {message}").split())
        assert len(reason) <= MOST
        assert "\n" not in reason
        assert reason == whole or (reason.endswith(" ...") and whole.startswith(reason.removesuffix(" ...")))


def test_a_full_disk_is_named_with_its_cure() -> None:
    reason = reason_of(OSError(errno.ENOSPC, "No space left on device", "train.rec"))
    assert reason == (
        "train.rec: the disk is full (No space left on device). Cure: give the job a larger volume (volume_gb)."
    )
    assert reason_of(OSError(errno.EACCES, "Permission denied")).startswith("PermissionError: ")


def test_where_no_reason_can_be_written_the_failure_is_still_told(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file where a folder belongs")
    write_failure(tmp_path / "output" / "failure", "reason")
    assert (tmp_path / "output").read_text() == "a file where a folder belongs"


def test_a_fault_of_our_own_leaves_a_trace(
    laid: Laid, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from birdsod.container.__main__ import main

    def surprise(_: object) -> None:
        message = "a surprise"
        raise KeyError(message)

    monkeypatch.setattr("birdsod.container.training.channel_modes", surprise)
    assert main(["train", "--root", str(laid.tree.root)]) == 1
    assert laid.tree.failure.read_text() == "KeyError: 'a surprise'"
    assert "Traceback" in capsys.readouterr().err
