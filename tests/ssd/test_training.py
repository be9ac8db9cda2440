from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import cv2
import pytest
import torch

import birdsod as bd
from birdsod import Hyperparameters, LocalOptions, Packed, training_log
from birdsod.errors import ArtifactError, HyperparameterError
from birdsod.ssd import training
from birdsod.ssd.artifact import read_artifact
from birdsod.ssd.checkpoint import read_checkpoint
from birdsod.ssd.loop import Outcome, Reports
from birdsod.ssd.surroundings import keep_memory
from birdsod.ssd.training import train
from birdsod.ssd.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# One thread keeps a busy machine from stalling.
OPTIONS: dict[str, Any] = {"threads": 1, "loader_threads": 1, "freeze": "base", "device": "cpu"}
EPOCH = 3  # updates: 6 images in batches of 2


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tiny_network: Callable[[int], Any]) -> None:
    """Leave the real network out where only the loop around it matters."""
    monkeypatch.setattr(training, "build_network", lambda _, num_classes, **__: tiny_network(num_classes))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("birds")
    birds = bd.synthetic_birds(folder / "drawn", seed=0, classes=2, per_class=6)
    seen, unseen = birds.split()
    return bd.pack({"train": seen, "validation": unseen}, folder / "packed", resize=300)


def options(**changes: Any) -> LocalOptions:
    return LocalOptions(**{**OPTIONS, **changes})


def params(packed: Packed, **changes: Any) -> Hyperparameters:
    values = {"base_network": "efficientnet-lite0", "epochs": 2, "mini_batch_size": 2, "use_pretrained_model": 0}
    return Hyperparameters.for_data(packed, **{**values, **changes})


def scores(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """Let the validation mAP of each epoch be given."""
    left = iter(values)
    monkeypatch.setattr(Validation, "score", lambda *_: next(left))


def stop_after(updates: int) -> Reports:
    done: list[int] = []
    return Reports(progress=lambda outcome: done.append(outcome.updates), stop=lambda: done[-1] >= updates)


def test_a_run_leaves_a_model_a_checkpoint_and_a_log(packed: Packed, tmp_path: Path) -> None:
    lines: list[str] = []
    told: list[Outcome] = []
    outcome = train(
        packed,
        params(packed),
        options(),
        directory=tmp_path,
        reports=Reports(line=lines.append, progress=told.append),
    )
    assert (outcome.completed, outcome.epochs, outcome.updates, outcome.reason) == (True, 2, 2 * EPOCH, None)
    assert [each.updates for each in told] == list(range(2 * EPOCH + 1))
    assert outcome.seconds >= told[-1].seconds > 0
    frame = training_log.to_frame(lines)
    assert frame["epoch"].tolist() == [0, 1]
    assert frame.notna().all().all()
    assert "Setting: batch_size = 2 (hyperparameter mini_batch_size)" in lines
    assert lines[0].startswith("Final configuration: ")
    progress = [event.value for event in training_log.parse(lines) if event.kind == "train:progress"]
    assert progress == [50.0, 100.0]
    model = bd.load_model(tmp_path / "model.tar.gz")
    assert model.classes == packed.class_table
    assert read_checkpoint(tmp_path / "checkpoint" / "state.safetensors")[1]["progress"]["update"] == 2 * EPOCH


@pytest.mark.usefixtures("tiny")
def test_the_same_seed_the_same_model_and_another_another(packed: Packed, tmp_path: Path) -> None:
    made = {}
    several: tuple[tuple[str, dict[str, int]], ...] = (
        ("a", {}),
        ("b", {"loader_threads": 3}),
        ("c", {"loader_processes": 2}),
        ("d", {"seed": 1}),
    )
    for name, given in several:
        directory = tmp_path / name
        train(packed, params(packed), options(updates=2, **given), directory=directory)
        made[name] = (directory / "model.tar.gz").read_bytes()
    assert made["a"] == made["b"] == made["c"] != made["d"]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("updates", [1, EPOCH, EPOCH + 1])
def test_stopped_and_gone_on_ends_in_the_same_model(packed: Packed, tmp_path: Path, updates: int) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    lines: dict[Path, list[str]] = {whole: [], halves: []}
    train(packed, params(packed), options(), directory=whole, reports=Reports(line=lines[whole].append))
    stopping = stop_after(updates)
    reports = Reports(line=lines[halves].append, progress=stopping.progress, stop=stopping.stop)
    outcome = train(packed, params(packed), options(), directory=halves, reports=reports)
    assert (outcome.completed, outcome.updates, outcome.reason) == (False, updates, "asked to stop")
    assert not (halves / "model.tar.gz").exists()
    outcome = train(packed, params(packed), options(), directory=halves, reports=Reports(line=lines[halves].append))
    assert (outcome.completed, outcome.updates, outcome.epochs) == (True, 2 * EPOCH, 2)
    assert (whole / "model.tar.gz").read_bytes() == (halves / "model.tar.gz").read_bytes()
    columns = ["epoch", "cross_entropy", "smooth_l1", "map"]
    frames = [training_log.to_frame(lines[each])[columns] for each in (whole, halves)]
    assert frames[0].equals(frames[1])


def test_killed_within_an_epoch_it_goes_on_from_the_last(packed: Packed, tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from birdsod import Hyperparameters, LocalOptions, Packed
from birdsod.ssd.loop import Reports
from birdsod.ssd.training import train

def die(outcome):
    if outcome.updates == 5:
        os.kill(os.getpid(), signal.SIGKILL)

packed = Packed.open(sys.argv[1])
given = dict(base_network="efficientnet-lite0", epochs=2, mini_batch_size=2, use_pretrained_model=0)
options = LocalOptions(threads=1, loader_threads=1, freeze="base", device="cpu")
params = Hyperparameters.for_data(packed, **given)
train(packed, params, options, directory=Path(sys.argv[2]), reports=Reports(progress=die))
"""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(packed, params(packed), options(), directory=whole)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(packed.directory), str(killed)]
    died = subprocess.run(command, check=False, env=environment)
    assert died.returncode == -signal.SIGKILL
    assert read_checkpoint(killed / "checkpoint" / "state.safetensors")[1]["progress"]["update"] == EPOCH
    train(packed, params(packed), options(), directory=killed)
    assert (whole / "model.tar.gz").read_bytes() == (killed / "model.tar.gz").read_bytes()


@pytest.mark.usefixtures("tiny")
def test_another_run_does_not_go_on_from_here(packed: Packed, tmp_path: Path) -> None:
    train(packed, params(packed), options(updates=4), directory=tmp_path, reports=stop_after(1))
    with pytest.raises(ArtifactError, match="options"):
        train(packed, params(packed), options(updates=4, seed=7), directory=tmp_path)
    free = {"loader_threads": 2, "loader_processes": 1, "checkpoint_every": 9}
    train(packed, params(packed), options(updates=4, **free), directory=tmp_path)


@pytest.mark.usefixtures("tiny")
def test_updates_may_end_within_an_epoch(packed: Packed, tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = train(
        packed, params(packed), options(updates=EPOCH + 1), directory=tmp_path, reports=Reports(line=lines.append)
    )
    assert (outcome.updates, outcome.epochs) == (EPOCH + 1, 2)
    assert training_log.to_frame(lines)["map"].notna().tolist() == [True, True]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("every", "expected"), [(1, [0, 1, 2]), (2, [1, 2]), (5, [2]), (0, [])])
def test_how_often_is_validated(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, expected: list[int]
) -> None:
    scores(monkeypatch, 0.1, 0.2, 0.3)
    lines: list[str] = []
    settings = options(updates=2 * EPOCH + 1, validate_every=every)
    train(packed, params(packed), settings, directory=tmp_path, reports=Reports(line=lines.append))
    found = [event.epoch for event in training_log.parse(lines) if event.kind == "validation:mAP"]
    assert found == expected


@pytest.mark.usefixtures("tiny")
def test_without_validation_images_there_is_no_map(packed: Packed, tmp_path: Path) -> None:
    alone = Packed(
        directory=packed.directory, channels={"train": packed.channels["train"]}, class_table=packed.class_table
    )
    lines: list[str] = []
    train(alone, params(alone), options(updates=1), directory=tmp_path, reports=Reports(line=lines.append))
    assert not [event for event in training_log.parse(lines) if event.kind == "validation:mAP"]
    for given, chosen in ({"early_stopping": True}, options()), ({}, options(keep="best")):
        with pytest.raises(HyperparameterError, match="validation mAP"):
            train(alone, params(alone, **given), chosen, directory=tmp_path / "not")


EARLY = {"epochs": 9, "early_stopping": True, "early_stopping_min_epochs": 2, "early_stopping_patience": 2}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("given", "values", "epochs"),
    [
        ({}, [0.5, 0.4, 0.4], 3),  # two epochs without a better one
        ({}, [0.5, 0.4, 0.6, 0.6, 0.5], 5),  # patience begins anew at each better one
        ({"early_stopping_tolerance": 0.5}, [0.4, 0.5, 0.6], 3),  # better, but not by half
        ({"early_stopping_tolerance": 0.5}, [0.4, 0.5, 0.61, 0.6, 0.9], 5),
        ({"early_stopping_min_epochs": 4}, [0.5, 0.4, 0.4, 0.4], 4),
        ({"early_stopping_patience": 1}, [0.0, 0.0], 2),
    ],
)
def test_early_stopping(
    packed: Packed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    values: list[float],
    epochs: int,
) -> None:
    scores(monkeypatch, *values)
    small = params(packed, **{**EARLY, "mini_batch_size": 6, **given})
    outcome = train(packed, small, options(), directory=tmp_path)
    assert (outcome.completed, outcome.epochs) == (True, epochs)
    assert "no better validation mAP" in (outcome.reason or "")
    # Nothing is left to do, and nothing is done.
    assert train(packed, small, options(), directory=tmp_path).epochs == epochs


@pytest.mark.usefixtures("tiny")
def test_without_early_stopping_it_goes_on(packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, 0.5, 0.4, 0.3)
    given = {**EARLY, "early_stopping": False, "epochs": 3, "mini_batch_size": 6}
    outcome = train(packed, params(packed, **given), options(), directory=tmp_path)
    assert (outcome.epochs, outcome.reason) == (3, None)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("keep", "updates"), [("best", 1), ("last", 3)])
def test_which_epoch_is_kept(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, updates: int
) -> None:
    scores(monkeypatch, 0.5, 0.4, 0.3, 0.5)
    lines: list[str] = []
    small = params(packed, epochs=3, mini_batch_size=6)
    settings: dict[str, Any] = {"average": 0.0, "schedule": "constant"}
    reports = Reports(line=lines.append)
    train(packed, small, options(keep=keep, **settings), directory=tmp_path / "a", reports=reports)
    train(packed, small, options(updates=updates, validate_every=0, **settings), directory=tmp_path / "b")
    kept, expected = (read_artifact(tmp_path / name / "model.tar.gz").tensors for name in "ab")
    assert all((value == expected[name]).all() for name, value in kept.items())
    best = [event.value for event in training_log.parse(lines) if event.kind == "best"]
    assert best == ([0.5] if keep == "best" else [])


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("change", "given", "what"),
    [
        ({}, {"num_classes": 3}, "num_classes"),
        ({}, {"num_training_samples": 7}, "num_training_samples"),
        ({"freeze": "."}, {}, "nothing is left to train"),
        ({"freeze": "conv1_"}, {}, "matches no layer"),
        ({"device": "nonsense"}, {}, "no such device"),
    ],
)
def test_what_does_not_fit(
    packed: Packed, tmp_path: Path, change: dict[str, Any], given: dict[str, Any], what: str
) -> None:
    asked = Hyperparameters.from_request({**params(packed).to_request(), **{k: str(v) for k, v in given.items()}})
    with pytest.raises(HyperparameterError, match=what):
        train(packed, asked, options(**change), directory=tmp_path)


@pytest.mark.usefixtures("tiny")
def test_the_process_is_left_as_it_was(packed: Packed, tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        settings = torch.get_num_threads(), cv2.getNumThreads(), torch.are_deterministic_algorithms_enabled()
        return (*settings, torch.get_rng_state().tolist())

    before = state()
    train(packed, params(packed), options(updates=1, validate_every=0), directory=tmp_path)
    assert state() == before
    with pytest.raises(HyperparameterError):
        train(packed, params(packed), options(freeze="."), directory=tmp_path)
    assert state() == before


@pytest.mark.parametrize(
    ("platform", "functions", "kept"), [("linux", True, True), ("darwin", True, False), ("linux", False, False)]
)
def test_memory_is_kept_where_the_system_can(
    monkeypatch: pytest.MonkeyPatch, platform: str, functions: bool, kept: bool
) -> None:
    asked: list[tuple[int, int]] = []

    class Library:
        if functions:

            def mallopt(self, name: int, value: int) -> int:
                asked.append((name, value))
                return 1

    make: Callable[[object], Library] = lambda _: Library()  # noqa: E731 - one line
    monkeypatch.setattr("ctypes.CDLL", make)
    monkeypatch.setattr("sys.platform", platform)
    assert keep_memory() is kept
    assert len(asked) == (2 if kept else 0)
