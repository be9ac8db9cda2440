"""What the program train does before and after it trains."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from birdsod.container.__main__ import main
from birdsod.ssd.loop import Outcome
from birdsod.ssd.stopping import Stop

pytest.importorskip("torch")

if TYPE_CHECKING:
    from tests.container.conftest import Laid


def train(laid: Laid) -> tuple[int, str]:
    """Run the program in this process; return its exit code and the reason of its failure."""
    code = main(["train", "--root", str(laid.tree.root)])
    return code, laid.tree.failure.read_text() if laid.tree.failure.exists() else ""


def test_a_hyperparameter_that_is_none_is_named_with_its_file(laid: Laid) -> None:
    laid.both().set(updats="3")
    code, reason = train(laid)
    assert code == 1
    assert reason.startswith(f"{laid.tree.hyperparameters}: unknown hyperparameter (got 'updats')")


@pytest.mark.parametrize("files", [["old.tar.gz"], ["model.safetensors", "classes.json"], []])
def test_a_model_to_go_on_from_is_handed_over(
    laid: Laid, files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {}

    def stopped(*_: object, **more: object) -> Outcome:
        asked.update(more)
        return Outcome(completed=False, epochs=0, updates=0, seconds=0.0)

    monkeypatch.setattr("birdsod.ssd.training.train", stopped)
    laid.both()
    if files:
        folder = laid.channel("model")
        for name in files:
            (folder / name).touch()
    assert train(laid) == (0, "")
    expected = {"old.tar.gz": laid.tree.data / "model" / "old.tar.gz", "": None}
    assert asked["model"] == expected.get("".join(files), laid.tree.data / "model")
    assert "there is no model" in capsys.readouterr().out


@pytest.mark.parametrize("files", [[], ["old.tar.gz", "new.tgz"]])
def test_a_channel_without_one_model_is_refused(laid: Laid, files: list[str]) -> None:
    folder = laid.both().channel("model")
    for name in files:
        (folder / name).touch()
    assert f"the channel model must hold one model (got {sorted(files)})" in train(laid)[1]


def test_what_comes_through_a_pipe_is_copied_first(laid: Laid, capsys: pytest.CaptureFixture[str]) -> None:
    laid.channel("validation")
    pipe = laid.tree.pipe("train")
    os.mkfifo(pipe)
    records = laid.packed.channels["train"].rec.read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(records,))
    writer.start()
    code, reason = train(laid)
    writer.join()
    assert code == 1
    assert "the channel validation has no record file" in reason
    assert f"Copied the channel train from its pipe to disk, {len(records)} bytes" in capsys.readouterr().out


def test_an_empty_pipe_is_an_empty_channel(laid: Laid) -> None:
    laid.channel("validation")
    pipe = laid.tree.pipe("train")
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"",))
    writer.start()
    assert "the channel train is empty" in train(laid)[1]
    writer.join()


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_told_to_stop_before_anything_was_learned_it_ends_well(
    laid: Laid, mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Stop, "__call__", lambda _: True)
    laid.both().tell(laid.tree.inputs, {name: {"TrainingInputMode": mode} for name in ("train", "validation")})
    os.mkfifo(laid.tree.pipe("train"))
    assert train(laid) == (0, "")
    assert "Stopped before anything was learned: there is no model" in capsys.readouterr().out
    assert not laid.tree.model.exists()
