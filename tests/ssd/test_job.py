"""The training process of a job; what it trains is played by a stand-in here, and is real in test_training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from birdsod import Packed, training_log
from birdsod.classes import ClassTable
from birdsod.errors import TrainingError
from birdsod.ssd import job, surroundings, training
from birdsod.ssd.job_files import JobFiles, JobSpec, JobStatus
from birdsod.ssd.loop import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.ssd.loop import Reports

DONE = Outcome(completed=True, epochs=2, updates=6, seconds=1.5)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobFiles:
    made = JobFiles(tmp_path)
    spec = JobSpec(
        name="a",
        data=str(tmp_path / "packed"),
        hyperparameters={"num_classes": "2", "num_training_samples": "64", "epochs": "2"},
        given=("epochs",),
        options={"seed": 3},
        classes=ClassTable((17, 36), ("a", "b")),
    )
    spec.write(made.spec)
    monkeypatch.setattr(Packed, "open", lambda directory: f"opened {directory}")
    monkeypatch.setattr(surroundings, "keep_memory", lambda: True)
    return made


def play(monkeypatch: pytest.MonkeyPatch, run: Callable[[Reports], Outcome]) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def train(*arguments: Any, directory: Path, reports: Reports, model: str | None) -> Outcome:
        calls.append((*arguments, directory, model))
        return run(reports)

    monkeypatch.setattr(training, "train", train)
    return calls


def test_a_job_trains_what_its_spec_says(files: JobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = play(monkeypatch, lambda _: DONE)
    assert job.main([str(files.directory)]) == 0
    ((packed, params, options, directory, model),) = calls
    assert model is None
    assert packed == f"opened {files.directory / 'packed'}"
    assert (params.epochs, params.given) == (2, {"epochs"})
    assert options.seed == 3
    assert directory == files.directory
    status = JobStatus.read(files.status)
    assert (status.status, status.epoch, status.updates, status.seconds) == ("Completed", 2, 6, 1.5)
    assert status.process.pid == os.getpid()
    assert status.ended
    assert status.reason is None


def test_lines_are_stamped_and_appended(files: JobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.log.write_text("from an earlier process\n")

    def run(reports: Reports) -> Outcome:
        reports.line(training_log.map_line(0, 0.5))
        assert len(files.log.read_text().splitlines()) == 2  # at once, not at the end
        return DONE

    play(monkeypatch, run)
    job.main([str(files.directory)])
    first, second = files.log.read_text().splitlines()
    assert first == "from an earlier process"
    assert second.startswith("[")
    assert f"INFO {os.getpid()}] #quality_metric" in second


def test_the_status_moves_on(files: JobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(job, "_STATUS_EVERY", 0.0)

    def run(reports: Reports) -> Outcome:
        for updates in (1, 2):
            reports.progress(replace(DONE, completed=False, updates=updates))
            status = JobStatus.read(files.status)
            seen.append((status.status, status.updates))
        return DONE

    play(monkeypatch, run)
    job.main([str(files.directory)])
    assert seen == [("InProgress", 1), ("InProgress", 2)]


def test_the_status_is_not_written_at_every_update(files: JobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_STATUS_EVERY", 1e9)

    def run(reports: Reports) -> Outcome:
        for updates in (1, 2, 3):
            reports.progress(replace(DONE, completed=False, updates=updates))
        assert JobStatus.read(files.status).updates in {0, 1}
        return DONE

    play(monkeypatch, run)
    job.main([str(files.directory)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_at_the_next_update(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = signal.getsignal(number)

    def run(reports: Reports) -> Outcome:
        assert not reports.stop()
        signal.raise_signal(number)
        assert reports.stop()
        assert signal.getsignal(number) is signal.SIG_DFL  # the second ends the process
        return replace(DONE, completed=False, updates=1, reason="asked to stop")

    play(monkeypatch, run)
    assert job.main([str(files.directory)]) == 0
    status = JobStatus.read(files.status)
    assert (status.status, status.updates, status.reason) == ("Stopped", 1, "asked to stop")
    assert signal.getsignal(number) is before


def test_early_stopping_is_a_completed_job_with_a_reason(files: JobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, lambda _: replace(DONE, reason="no better validation mAP in 5 epochs"))
    assert job.main([str(files.directory)]) == 0
    status = JobStatus.read(files.status)
    assert (status.status, status.reason) == ("Completed", "no better validation mAP in 5 epochs")


def test_a_failure_says_why_in_status_and_log(files: JobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: Reports) -> Outcome:
        raise TrainingError("the loss is not finite", cure="lower the\nlearning rate")

    play(monkeypatch, run)
    assert job.main([str(files.directory)]) == 1
    status = JobStatus.read(files.status)
    assert (status.status, status.reason) == ("Failed", "the loss is not finite. Cure: lower the learning rate.")
    (event,) = training_log.parse(files.log.read_text().splitlines())
    assert event.text == "Customer Error: the loss is not finite. Cure: lower the learning rate."
    assert " ERROR " in files.log.read_text()


def test_a_fault_of_our_own_leaves_its_trace(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: Reports) -> Outcome:
        raise ZeroDivisionError("by zero")

    play(monkeypatch, run)
    assert job.main([str(files.directory)]) == 1
    assert JobStatus.read(files.status).reason == "ZeroDivisionError: by zero"
    assert "Traceback" in capsys.readouterr().err


def test_whoever_writes_no_log_tells_its_failure_all_the_same(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: Reports) -> Outcome:
        raise TrainingError("the first process did not come")

    play(monkeypatch, run)
    monkeypatch.setenv("RANK", "1")
    assert job.main([str(files.directory)]) == 1
    assert capsys.readouterr().err == "the first process did not come\n"
    assert not files.log.exists()
    assert not files.status.exists()


def test_a_folder_without_a_spec_fails(files: JobFiles) -> None:
    files.spec.unlink()
    assert job.main([str(files.directory)]) == 1
    assert "no file of a training job" in (JobStatus.read(files.status).reason or "")


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert job.main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_as_a_program(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "birdsod.ssd.job", str(tmp_path)]
    ran = subprocess.run(command, check=False, env=environment, capture_output=True)
    assert ran.returncode == 1
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "Failed"
