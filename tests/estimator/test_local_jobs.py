"""Jobs on this machine as processes and folders; what they train is no matter here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, HyperparameterError, TrainingError
from birdsod.estimator import LocalEstimator, LocalJob, _launch, _local_job, _log, _verdict
from birdsod.hyperparameters import Hyperparameters
from birdsod.ssd._process import ProcessMark
from birdsod.ssd.job_files import JobFiles, JobSpec
from birdsod.ssd.options import LocalOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from birdsod.recordio import Packed

FAKE = str(Path(__file__).with_name("fake_job.py"))
CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
PARAMS = Hyperparameters(
    num_classes=2, num_training_samples=30, mini_batch_size=8, epochs=3, base_network="efficientnet-lite0"
)


def command(mode: str) -> tuple[str, ...]:
    return (sys.executable, FAKE, mode)


@pytest.fixture
def data(tmp_path: Path) -> Packed:
    channels = {"train": SimpleNamespace(records=30), "validation": SimpleNamespace(records=10)}
    made = SimpleNamespace(
        directory=tmp_path / "packed",
        channels=channels,
        class_table=CLASSES,
        longest_label=22,
        image_shape_hint=lambda edge: None if edge <= 300 else f"pack with resize={edge}",
    )
    return cast("Packed", made)


@pytest.fixture
def estimator(tmp_path: Path) -> Callable[[str], LocalEstimator]:
    return lambda mode: LocalEstimator(PARAMS, tmp_path / "jobs", _command=command(mode))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def asleep(job: LocalJob) -> bool:
    return "asleep" in job.logs()


def test_fit_waits_and_shows_the_log(
    estimator: Callable[[str], LocalEstimator], data: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    job = estimator("good").fit(data)
    assert job.status == "Completed"
    assert job.artifact.read_bytes() == b"a model"
    assert (job.state().epoch, job.state().updates) == (2, 18)
    assert job.classes == CLASSES
    assert capsys.readouterr().out.splitlines() == job.logs()
    assert job.metrics()["map"].tolist() == [0.25, 0.5]
    assert repr(job) == f"LocalJob({job.name!r}, status='Completed')"


def test_fit_keeps_quiet_where_it_is_asked_to(
    estimator: Callable[[str], LocalEstimator], data: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    estimator("good").fit(data, logs=False)
    assert capsys.readouterr().out == ""


def test_the_name_is_valid_for_sagemaker_and_names_the_folder(
    estimator: Callable[[str], LocalEstimator], data: Packed, tmp_path: Path
) -> None:
    import re

    job = estimator("good").fit(data)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", job.name)
    assert job.directory == tmp_path / "jobs" / job.name


def test_names_are_never_used_twice(tmp_path: Path) -> None:
    made = [_launch.new_job_directory(tmp_path / "jobs") for _ in range(20)]
    assert len(set(made)) == 20


def test_the_process_is_told_everything(
    estimator: Callable[[str], LocalEstimator], data: Packed, tmp_path: Path
) -> None:
    job = estimator("good").fit(data)
    spec = JobSpec.read(JobFiles(job.directory).spec)
    assert spec.parameters() == PARAMS
    assert spec.parameters().given == PARAMS.given
    assert spec.local_options() == LocalEstimator(PARAMS, tmp_path).options
    assert (spec.name, spec.data, spec.classes) == (job.name, str(tmp_path / "packed"), CLASSES)


def test_fit_without_waiting_returns_at_once(estimator: Callable[[str], LocalEstimator], data: Packed) -> None:
    job = estimator("sleeps").fit(data, wait=False)
    assert job.status == "InProgress"
    with pytest.raises(TrainingError, match="the job has no model: its status is InProgress"):
        _ = job.artifact
    with pytest.raises(TrainingError, match=r"nothing to resume: the status is InProgress.*wait"):
        job.resume()
    until(lambda: asleep(job))
    job.stop()
    assert job.status == "Stopped"
    assert (job.directory / "checkpoint").is_dir()
    job.wait()
    job.stop()
    assert job.status == "Stopped"


def test_a_stopped_job_goes_on(
    estimator: Callable[[str], LocalEstimator], data: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    job = estimator("sleeps").fit(data, wait=False)
    until(lambda: asleep(job))
    job.stop()
    capsys.readouterr()
    assert job.resume() is job
    assert job.status == "Completed"
    # What was said before is not said again.
    assert "asleep" not in capsys.readouterr().out
    with pytest.raises(TrainingError, match=r"the status is Completed.*more epochs"):
        job.resume()


def test_a_job_goes_on_in_the_background(estimator: Callable[[str], LocalEstimator], data: Packed) -> None:
    job = estimator("early").fit(data, wait=False)
    job.stop()
    job._command = command("good")
    job.resume(wait=False).wait()
    assert job.status == "Completed"


def test_a_job_stopped_before_it_takes_signals_is_stopped(
    estimator: Callable[[str], LocalEstimator], data: Packed
) -> None:
    job = estimator("early").fit(data, wait=False)
    job.stop()
    assert job.status == "Stopped"
    assert LocalJob.attach(job.directory).status == "Stopped"


def test_stopping_is_told_meanwhile(estimator: Callable[[str], LocalEstimator], data: Packed) -> None:
    job = estimator("deaf").fit(data, wait=False)
    until(lambda: asleep(job))
    stopping = threading.Thread(target=job.stop)
    stopping.start()
    until(lambda: job.status == "Stopping")
    os.kill(job.state().process.pid, signal.SIGKILL)
    stopping.join()
    assert job.status == "Stopped"


def test_a_job_that_does_not_stop_is_killed(
    estimator: Callable[[str], LocalEstimator], data: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_local_job, "_GRACE_SECONDS", 0.2)
    job = estimator("deaf").fit(data, wait=False)
    until(lambda: asleep(job))
    job.stop()
    assert not job.state().process.alive
    assert job.status == "Stopped"


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fails", r"the loss is not finite\. Likely cause: training birdsod-"),
        ("silent", r"ended with exit code 0 and no word\. Likely cause: it said nothing"),
        ("crashes", r"ended with exit code 1 and no word\. Likely cause: out of luck"),
        ("killed", r"was ended by SIGKILL, as the system does when memory runs out\. Likely cause: training"),
    ],
)
def test_a_failure_is_told_with_its_reason_and_the_last_lines(
    estimator: Callable[[str], LocalEstimator], data: Packed, mode: str, message: str
) -> None:
    made = estimator(mode)
    with pytest.raises(TrainingError, match=message) as caught:
        made.fit(data)
    (directory,) = made.output_dir.iterdir()
    assert caught.value.path == str(directory)
    attached = LocalJob.attach(directory)
    assert attached.status == "Failed"
    with pytest.raises(TrainingError, match=message):
        attached.wait()


def test_ending_a_process_that_is_gone_does_nothing() -> None:
    _launch.JobProcess(ProcessMark(os.getpid(), "another time")).terminate(0.1)


def test_an_exit_by_a_signal_without_a_name() -> None:
    assert _verdict.reason(-63) == "the training process was ended by signal 63"


def test_an_interrupt_stops_the_job(
    estimator: Callable[[str], LocalEstimator], data: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = estimator("sleeps")

    def interrupted(path: Path, **_: object) -> None:
        until(lambda: "asleep" in _log.read_lines(path))
        raise KeyboardInterrupt

    monkeypatch.setattr(_log, "follow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.fit(data)
    (directory,) = made.output_dir.iterdir()
    assert LocalJob.attach(directory).status == "Stopped"
    assert (directory / "checkpoint").is_dir()


OWNER = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from types import SimpleNamespace
import test_local_jobs as jobs
from birdsod.estimator import LocalEstimator
channels = dict(train=SimpleNamespace(records=30), validation=SimpleNamespace(records=10))
facts = dict(class_table=jobs.CLASSES, longest_label=22, image_shape_hint=lambda edge: None)
data = SimpleNamespace(directory=Path("packed"), channels=channels, **facts)
LocalEstimator(jobs.PARAMS, sys.argv[1], _command=jobs.command(sys.argv[2])).fit(data, wait={wait})
"""


def owner(tmp_path: Path, mode: str, *, wait: bool) -> subprocess.Popen[str]:
    script = tmp_path / "owner.py"
    script.write_text(OWNER.format(here=str(Path(__file__).parent), wait=wait))
    return subprocess.Popen(
        [sys.executable, "-W", "error", script, tmp_path / "jobs", mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_in_a_terminal_stops_the_job_in_good_order(tmp_path: Path) -> None:
    running = owner(tmp_path, "sleeps", wait=True)
    assert running.stdout is not None
    for line in running.stdout:
        if "asleep" in line:
            break
    # A terminal sends it to the whole group; the job is not in it.
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    (directory,) = (tmp_path / "jobs").iterdir()
    state = LocalJob.attach(directory).state()
    assert (state.status, state.reason) == ("Stopped", "told to stop")


def test_a_job_outlives_its_session_and_is_found_again(tmp_path: Path) -> None:
    running = owner(tmp_path, "sleeps", wait=False)
    assert running.communicate(timeout=60) == ("", "")
    (directory,) = (tmp_path / "jobs").iterdir()
    job = LocalJob.attach(directory)
    assert job.status == "InProgress"
    until(lambda: asleep(job))
    job.stop()
    assert job.status == "Stopped"


def test_a_job_that_died_between_sessions_has_failed(tmp_path: Path) -> None:
    owner(tmp_path, "sleeps", wait=False).communicate(timeout=60)
    (directory,) = (tmp_path / "jobs").iterdir()
    job = LocalJob.attach(directory)
    until(lambda: asleep(job))
    os.kill(job.state().process.pid, signal.SIGKILL)
    with pytest.raises(TrainingError, match=r"is gone without a word.*asleep"):
        job.wait()
    assert job.status == "Failed"


def test_the_number_of_a_dead_process_used_again_is_not_the_job(
    estimator: Callable[[str], LocalEstimator], data: Packed
) -> None:
    job = estimator("early").fit(data, wait=False)
    files = JobFiles(job.directory)
    job.stop()
    files.status.unlink()
    files.process.write_text(json.dumps({"pid": os.getpid(), "born": "long ago"}))
    assert LocalJob.attach(job.directory).status == "Failed"


def test_the_status_file_knows_the_process_where_the_note_does_not(
    estimator: Callable[[str], LocalEstimator], data: Packed
) -> None:
    job = estimator("sleeps").fit(data, wait=False)
    until(lambda: asleep(job))
    JobFiles(job.directory).process.write_text("half a no")
    attached = LocalJob.attach(job.directory)
    assert attached.status == "InProgress"
    attached.stop()
    assert attached.status == "Stopped"


@pytest.mark.parametrize("content", [None, "half a jo", "[]", '{"name": "x"}'])
def test_attaching_to_what_is_no_job_is_an_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "job.json").write_text(content)
    with pytest.raises(TrainingError, match=r"job\.json: .*name the folder of a job"):
        LocalJob.attach(tmp_path)


def test_an_output_folder_that_is_a_file_is_an_error(tmp_path: Path, data: Packed) -> None:
    (tmp_path / "jobs").write_text("")
    with pytest.raises(TrainingError, match="this is no folder"):
        LocalEstimator(PARAMS, tmp_path / "jobs").fit(data)


def test_an_output_folder_that_cannot_be_made_is_an_error(tmp_path: Path, data: Packed) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="no folder for the job"):
        LocalEstimator(PARAMS, tmp_path / "file" / "jobs").fit(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 3}, "num_classes does not fit the data, which have 2"),
        ({"num_training_samples": 31}, "num_training_samples does not fit the data, which have 30"),
        ({"base_network": "vgg-16"}, "no ImageNet weights of this base network.*efficientnet-lite0"),
        ({"mini_batch_size": 31}, "."),
    ],
)
def test_parameters_that_do_not_fit_start_nothing(
    data: Packed, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(HyperparameterError, match=message):
        LocalEstimator(PARAMS.evolve(**changes), tmp_path / "jobs").fit(data)
    assert not (tmp_path / "jobs").exists()


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_a_missing_channel_starts_nothing(data: Any, tmp_path: Path, missing: str) -> None:
    del data.channels[missing]
    with pytest.raises(TrainingError, match=f"no channel {missing}"):
        LocalEstimator(PARAMS, tmp_path / "jobs").fit(data)


def test_the_estimator_shows_what_it_is() -> None:
    assert repr(LocalEstimator(PARAMS, "jobs")) == "LocalEstimator('efficientnet-lite0', output_dir='jobs')"


def test_lines_are_read_whole_and_once(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    reader = _log._Reader(log)
    assert list(reader.new_lines()) == []
    log.write_bytes("one\ntwö\r\nhal".encode())
    assert list(reader.new_lines()) == ["one", "twö"]
    assert list(reader.new_lines()) == []
    with log.open("a") as stream:
        stream.write("f\n")
    assert list(reader.new_lines()) == ["half"]


def test_a_process_is_told_from_another_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = ProcessMark.of(os.getpid())
    assert mark.alive
    assert not ProcessMark(mark.pid, "another time").alive
    assert not ProcessMark(0, None).alive
    monkeypatch.setattr("birdsod.ssd._process._PROC", Path("/no/such/folder"))
    by_ps = ProcessMark.of(os.getpid())
    assert by_ps.born
    assert by_ps.alive
    assert not ProcessMark.of(2**22 + 1).alive


def test_a_zombie_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ProcessMark.of(child.pid).born is None
    monkeypatch.setattr("birdsod.ssd._process._PROC", Path("/no/such/folder"))
    assert ProcessMark.of(child.pid).born is None
    child.wait()


def test_a_session_may_end_without_a_warning(tmp_path: Path) -> None:
    running = owner(tmp_path, "good", wait=True)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("work/birds", r"no packed data \(got 'work/birds'\)\. Cure: give Packed\.open\('work/birds'\)"),
        (Path("work/birds"), r"give Packed\.open\('work/birds'\)"),
        (None, r"no packed data \(got 'NoneType'\)\. Cure: give what pack returned"),
    ],
)
def test_what_is_no_packed_data_is_told_with_the_cure(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        LocalEstimator(PARAMS, tmp_path / "jobs").fit(given)
    assert not (tmp_path / "jobs").exists()


def test_parameters_and_options_of_another_kind_are_told() -> None:
    with pytest.raises(HyperparameterError, match=r"no Hyperparameters \(got 'dict'\).*for_data"):
        LocalEstimator(cast("Any", {"epochs": 3}), "jobs")
    with pytest.raises(HyperparameterError, match=r"no LocalOptions \(got 'dict'\)"):
        LocalEstimator(PARAMS, "jobs", options=cast("Any", {"seed": 3}))


def test_an_interrupt_while_the_process_is_started_ends_it(
    estimator: Callable[[str], LocalEstimator], data: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[ProcessMark] = []
    write = _launch._write_mark

    def interrupted(files: JobFiles, mark: ProcessMark) -> None:
        if mark.pid != os.getpid():
            started.append(mark)
            raise KeyboardInterrupt
        write(files, mark)

    monkeypatch.setattr(_launch, "_write_mark", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimator("early").fit(data, wait=False)
    (mark,) = started
    assert not mark.alive


def test_an_interrupt_before_the_job_is_returned_ends_its_process(
    estimator: Callable[[str], LocalEstimator], data: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> JobSpec:
        raise KeyboardInterrupt

    monkeypatch.setattr(JobSpec, "read", interrupted)
    made = estimator("early")
    with pytest.raises(KeyboardInterrupt):
        made.fit(data, wait=False)
    (directory,) = made.output_dir.iterdir()
    assert not _launch.JobProcess.find(JobFiles(directory)).running


def test_only_one_session_resumes_a_job(
    estimator: Callable[[str], LocalEstimator], data: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = estimator("early").fit(data, wait=False)
    job.stop()
    other = LocalJob.attach(job.directory)
    assert other.status == "Stopped"
    start = _launch.JobProcess.start

    def at_the_same_time(files: JobFiles, command: tuple[str, ...]) -> _launch.JobProcess:
        with pytest.raises(TrainingError, match=r"another session resumes this job.*attach"):
            other.resume()
        return start(files, command)

    monkeypatch.setattr(_launch.JobProcess, "start", at_the_same_time)
    job.resume(wait=False)
    with pytest.raises(TrainingError, match="nothing to resume: the status is InProgress"):
        other.resume()
    other.stop()
    assert other.status == "Stopped"


@pytest.mark.parametrize("how", [{"wait": False}, {"logs": False}])
def test_images_packed_too_small_are_told_where_no_log_tells_it(
    data: Packed, tmp_path: Path, how: dict[str, bool]
) -> None:
    made = LocalEstimator(PARAMS.evolve(image_shape=512), tmp_path / "jobs", _command=command("good"))
    with pytest.warns(UserWarning, match="pack with resize=512") as told:
        made.fit(data, **how).wait()
    assert [warning.filename for warning in told] == [__file__]
    made.fit(data)


def earlier(folder: Path, classes: ClassTable = CLASSES) -> Path:
    """Leave as much of a model as is looked at before training."""
    folder.mkdir()
    (folder / "hyperparams.json").write_text(json.dumps(PARAMS.to_request()))
    (folder / "classes.json").write_text(json.dumps(classes.to_json()))
    return folder


def test_the_process_is_told_where_to_go_on_from(data: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    for model in ("model", Path("model"), SimpleNamespace(artifact=tmp_path / "model")):
        job = LocalEstimator(PARAMS, "jobs", model=cast("Any", model), _command=command("good")).fit(data, logs=False)
        assert JobSpec.read(JobFiles(job.directory).spec).model == str(tmp_path / "model")


def test_the_process_is_told_where_pretrained_weights_are(
    data: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base.params").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    options = LocalOptions(pretrained=Path("base.params"))
    job = LocalEstimator(PARAMS, "jobs", options=options, _command=command("good")).fit(data, logs=False)
    spec = JobSpec.read(JobFiles(job.directory).spec)
    assert spec.local_options().pretrained == str(tmp_path / "base.params")
    assert spec.model is None


def test_a_model_of_other_classes_starts_nothing(data: Packed, tmp_path: Path) -> None:
    model = earlier(tmp_path / "model", ClassTable((17, 68), ("017.Cardinal", "068.Ruby_throated_Hummingbird")))
    with pytest.raises(ArtifactError, match="the model to go on from knows other classes"):
        LocalEstimator(PARAMS, tmp_path / "jobs", model=model).fit(data)
    assert not (tmp_path / "jobs").exists()


@pytest.mark.parametrize("model", ["s3://bucket/model.tar.gz", 3, SimpleNamespace(artifact=None)])
def test_what_is_no_model_is_refused(tmp_path: Path, model: Any) -> None:
    with pytest.raises(TrainingError, match="this is no model to go on from"):
        LocalEstimator(PARAMS, tmp_path / "jobs", model=model)


def test_a_job_of_an_earlier_version_is_still_read(estimator: Callable[[str], LocalEstimator], data: Packed) -> None:
    job = estimator("good").fit(data, logs=False)
    file = JobFiles(job.directory).spec
    values = json.loads(file.read_text())
    assert values.pop("model") is None
    file.write_text(json.dumps(values))
    assert JobSpec.read(file).model is None
    assert LocalJob.attach(job.directory).status == "Completed"


def test_a_job_is_no_part_of_what_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    files = JobFiles(tmp_path)
    told = "import os; print({'RANK', 'WORLD_SIZE'} & set(os.environ), 'PATH' in os.environ)"
    process = _launch.JobProcess.start(files, (sys.executable, "-c", told))
    until(lambda: process.exit_code is not None)
    assert files.output.read_text() == "set() True\n"
