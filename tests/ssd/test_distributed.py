"""Several processes train one network: with the result of one, and with one fate."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from importlib.util import module_from_spec, spec_from_file_location
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import distributed

import birdsod as bd
from birdsod import Hyperparameters, LocalOptions, training_log
from birdsod.errors import HyperparameterError, TrainingError
from birdsod.ssd import helpers
from birdsod.ssd.assembling import first_place
from birdsod.ssd.checkpoint import read_checkpoint
from birdsod.ssd.helpers import helped
from birdsod.ssd.job_files import JobFiles, JobSpec, JobStatus
from birdsod.ssd.loop import Reports
from birdsod.ssd.meeting import StopError, joined, meeting_point
from birdsod.ssd.place import Machines, Place
from birdsod.ssd.surroundings import device_of, processes_here
from birdsod.ssd.team import ALONE, GoneError, Team
from birdsod.ssd.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from birdsod.recordio import Packed

HERE = Path(__file__).parent
CPU = torch.device("cpu")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PATIENCE = 300
# Weights are of about 1; everything is computed in double precision.
ROUNDING = 1e-9


def program(name: str) -> Any:
    """Load a program that lies beside this file."""
    spec = spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ranks() -> Any:
    return program("ranks")


@pytest.fixture
def _double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """Return what came out of each of two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    point = meeting_point(place(rank=0, size=2))
    told = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(point.port)}
    told["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    started = [
        subprocess.Popen(
            [sys.executable, HERE / "ranks.py", folder],
            env={**ENVIRONMENT, **told, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        assert [each.wait(PATIENCE) for each in started] == [0, 0]
    finally:
        for each in started:
            each.kill()
            each.wait()
    names = ("talked", "lite0", "resnet", "parts")
    return [{name: read_checkpoint(folder / f"{name}-{rank}")[0] for name in names} for rank in range(2)]


def place(**changes: Any) -> Place:
    values = {"rank": 0, "size": 1, "local_rank": 0, "local_size": 1, "address": "127.0.0.1", "port": 0}
    return Place(**{**values, **changes})


def apart(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Return by how much tensors differ at most, in terms of the largest number of each."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max() / (1 + one[name].abs().max())) for name in one)


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("name", ["lite0", "resnet"])
def test_two_processes_end_with_the_weights_of_one(two: list[Any], ranks: Any, name: str) -> None:
    """Both networks learn with the batch normalisation of whole batches, which the processes cannot share evenly."""
    alone = ranks.learned(ranks.NETWORKS[name])
    start = ranks.learned(ranks.NETWORKS[name], updates=0)
    first, second = two[0][name], two[1][name]
    assert all(torch.equal(value, second[each]) for each, value in first.items())
    assert apart(alone, first) < ROUNDING
    assert apart(start, first) > 1e-4


def test_parts_in_two_processes_end_in_one_network(two: list[Any]) -> None:
    first, second = (each["parts"] for each in two)
    assert all(torch.equal(value, second[each]) for each, value in first.items())
    assert apart(first, two[0]["lite0"]) > ROUNDING  # each part is normalised by itself


def test_what_a_team_says_is_heard(two: list[Any]) -> None:
    for told in (each["talked"] for each in two):
        assert told["rows"].tolist() == [[1.0, 1.0, 1.0]]
        assert bytes(told["heard"].tolist()) == b"of the first\x01"
        assert told["any"].tolist() == [True, False]
        assert told["empty"] == 0
        assert (told["gradient"] == 3).all()


def test_a_failure_is_told_to_the_others(two: list[Any]) -> None:
    first, second = (bytes(each["talked"]["failures"].tolist()).decode() for each in two)
    assert second == "ImageError a.rec, record 7: the image is broken"
    message = "TrainingError process 1 of the 2 that train together failed"
    assert first == f"{message}. Likely cause: a.rec, record 7: the image is broken."


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("birds")
    seen, unseen = bd.synthetic_birds(folder / "drawn", seed=0, classes=2, per_class=6).split()
    return bd.pack({"train": seen, "validation": unseen}, folder / "packed", resize=300)


def tiny(packed: Packed, directory: Path, **given: Any) -> tuple[int, list[str], str]:
    """Train the tiny network in a program; return its exit code, what it told, and its complaints."""
    told = json.dumps({"directory": str(directory), "packed": str(packed.directory), **given})
    ran = subprocess.run(
        [sys.executable, HERE / "tiny_training.py", told],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return ran.returncode, ran.stdout.splitlines(), ran.stderr


def state(directory: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(directory / "checkpoint" / "state.safetensors")[0]


def test_stopped_and_gone_on_with_another_number_of_processes(packed: Packed, tmp_path: Path) -> None:
    code, whole, complaints = tiny(packed, tmp_path / "whole")
    assert code == 0, complaints
    code, lines, complaints = tiny(packed, tmp_path / "parts", processes=2, loader_processes=1, stop=3)
    assert code == 0, complaints
    assert (
        "Setting: 2 processes train together, 2 on this machine; each has 2 or 3 of the 5 images of an update" in lines
    )
    assert [line.startswith("Saved checkpoint") for line in lines[-2:]] == [True, False]
    assert "completed=False" in lines[-1]
    assert "reason='asked to stop'" in lines[-1]
    assert not (tmp_path / "parts" / "model.tar.gz").exists()
    code, later, complaints = tiny(packed, tmp_path / "parts")
    assert code == 0, complaints
    assert "Going on after update 3, epoch 3" in later
    assert "completed=True" in later[-1]
    assert apart(state(tmp_path / "whole"), state(tmp_path / "parts")) < ROUNDING
    scores = [[line for line in each if "mAP" in line] for each in (whole, lines + later)]
    assert scores[0] == scores[1] != []


def test_a_process_that_is_killed_ends_the_others_and_is_named(packed: Packed, tmp_path: Path) -> None:
    code, _, complaints = tiny(packed, tmp_path, processes=2, kill=1)
    assert code == 1
    assert "process 1 of those that train together failed. Likely cause: it was ended by SIGKILL" in complaints
    assert not (tmp_path / "model.tar.gz").exists()


def test_the_best_epoch_is_kept_by_the_first_of_several(packed: Packed, tmp_path: Path) -> None:
    code, lines, complaints = tiny(packed, tmp_path, processes=2, keep="best")
    assert code == 0, complaints
    assert [event for event in training_log.parse(lines) if event.kind == "best"]
    assert "completed=True" in lines[-1]
    assert (tmp_path / "model.tar.gz").exists()


def test_as_torchrun_starts_it(packed: Packed, tmp_path: Path) -> None:
    params = Hyperparameters.for_data(
        packed, base_network="efficientnet-lite0", mini_batch_size=2, use_pretrained_model=0, kv_store="dist_async"
    )
    options = LocalOptions(updates=1, validate_every=0, threads=1, loader_threads=1, device="cpu")
    files = JobFiles(tmp_path)
    JobSpec.of("a", params, options, packed).write(files.spec)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, "-m", "birdsod.ssd.job", str(tmp_path)]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    status = JobStatus.read(files.status)
    assert (status.status, status.updates) == ("Completed", 1)
    log = files.log.read_text()
    assert log.count("Final configuration") == 1
    assert "2 processes train together, 2 on this machine; each has 1 of the 2 images" in log
    assert "kv_store = 'dist_async' trains as 'dist_sync' does here" in log
    assert bd.load_model(files.artifact).classes == packed.class_table


def test_more_processes_than_images_are_refused(packed: Packed, tmp_path: Path) -> None:
    params = Hyperparameters.for_data(packed, base_network="efficientnet-lite0", mini_batch_size=2)
    with pytest.raises(HyperparameterError, match="3 processes cannot share the 2 images of an update"):
        train(packed, params, LocalOptions(processes=3), directory=tmp_path)


def test_asked_to_stop_while_others_are_waited_for(packed: Packed, tmp_path: Path) -> None:
    params = Hyperparameters.for_data(packed, base_network="efficientnet-lite0", mini_batch_size=2)
    outcome = train(
        packed,
        params,
        directory=tmp_path,
        reports=Reports(stop=lambda: True),
        machines=Machines(count=2, number=1, address="127.0.0.1", port=9),
    )
    assert (outcome.completed, outcome.updates, outcome.reason) == (False, 0, "asked to stop")


TOLD = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "5",
}


def test_what_torchrun_tells() -> None:
    assert Place.told(TOLD) == place(rank=3, size=4, local_rank=1, local_size=2, address="a", port=5)
    assert Place.told({**TOLD, "WORLD_SIZE": "1"}) is None
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        with pytest.raises(TrainingError, match="is missing") as missing:
            Place.told({key: value for key, value in TOLD.items() if key != name})
        assert missing.value.value == name
    with pytest.raises(TrainingError, match="is no number"):
        Place.told({**TOLD, "RANK": "third"})


def test_where_a_machine_of_several_stands() -> None:
    told, lines = first_place(LocalOptions(processes=2), 8, Machines(count=3, number=1, address="algo-1"))
    assert told == place(rank=2, size=6, local_size=2, address="algo-1", port=29500, starts=True)
    assert lines == [
        "Setting: 6 processes train together, 2 on this machine; each has 1 or 2 of the 8 images of an update"
    ]
    assert first_place(LocalOptions(device="cpu"), 8) == (None, [])


@pytest.mark.parametrize(
    ("device", "batch_size", "expected"),
    [("auto", 64, 4), ("cuda", 16, 2), ("auto", 5, 1), ("cuda:1", 64, 1), ("cpu", 64, 1)],
)
def test_how_many_processes_a_machine_has(
    monkeypatch: pytest.MonkeyPatch, device: str, batch_size: int, expected: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert processes_here(LocalOptions(device=device), batch_size) == expected
    assert processes_here(LocalOptions(device=device, processes=3), batch_size) == 3


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    second = place(rank=1, size=2, local_rank=1, local_size=2)
    assert device_of(LocalOptions(), second) == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")]
    for refused in (LocalOptions(device="cuda:0"), LocalOptions()):
        with pytest.raises(HyperparameterError, match="need a GPU each, and there are 2"):
            device_of(refused, place(size=3, local_size=2 if refused.device == "cuda:0" else 3))
    assert device_of(LocalOptions(device="cpu"), second) == CPU


def test_one_alone_talks_to_nobody(tmp_path: Path) -> None:
    number = torch.tensor(3)
    assert ALONE.total(number) is number
    assert ALONE.said(b"word") == b"word"
    with ALONE.file(tmp_path) as found, ALONE.file(tmp_path / "none") as nothing:
        assert (found, nothing) == (tmp_path, None)
    ALONE.follow([number])
    with pytest.raises(KeyError), ALONE.one_fate():
        raise KeyError


@pytest.mark.parametrize("number", [0, 1, 5, 16])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_are_all_and_alike(number: int, size: int) -> None:
    shares = [range(number)[Team(rank, size).share(number)] for rank in range(size)]
    assert [position for share in shares for position in share] == list(range(number))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_who_does_not_come_is_not_waited_for_for_ever() -> None:
    with pytest.raises(TrainingError, match="process 1 of 2 did not come"):
        wait(place(size=2, local_size=2))
    with pytest.raises(TrainingError, match="the first process did not come"):
        wait(place(rank=1, size=2, local_size=2, port=9))


def wait(where: Place) -> None:
    with joined(where, CPU, still=lambda: None, patience=timedelta(0)):
        pytest.fail("nobody else is there")


def test_gradients_go_between_gpus_and_words_between_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(distributed, "init_process_group", lambda *given, **told: asked.append((given, told)))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: asked.append("left"))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine")
    gpu = torch.device("cuda:0")
    with joined(place(interface="eth7"), gpu, still=lambda: None) as team:
        assert (team.rank, team.size) == (0, 1)
        assert (os.environ["GLOO_SOCKET_IFNAME"], os.environ["NCCL_SOCKET_IFNAME"]) == ("mine", "eth7")
    assert "NCCL_SOCKET_IFNAME" not in os.environ
    ((backends,), told), left = asked
    assert (backends, told["device_id"], told["rank"], told["world_size"]) == ("cpu:gloo,cuda:nccl", gpu, 0, 1)
    assert left == "left"


def test_whoever_is_asked_to_stop_waits_no_longer() -> None:
    def stop() -> None:
        raise StopError

    with pytest.raises(StopError), joined(place(size=2), CPU, still=stop):
        pytest.fail("nobody else is there")


def test_whoever_comes_before_the_first_process_knocks_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    opened: list[Any] = []

    def late() -> None:
        # Asked before each knock, and then before each look at who else is there.
        if len(opened) == 2:
            raise StopError
        opened.append(meeting_point(place(size=2, port=port)) if opened else "not yet")

    with pytest.raises(StopError), joined(place(rank=1, size=2, port=port), CPU, still=late):
        pytest.fail("the first process is not here")
    assert opened[1].check(["birdsod/1"])


def test_a_port_that_is_taken_is_told() -> None:
    taken = meeting_point(place(size=2))
    with pytest.raises(TrainingError, match="cannot meet at this port") as told:
        meeting_point(place(size=2, port=taken.port))
    assert told.value.value == taken.port


def test_a_helper_that_fails_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    first = place(size=2, local_size=2)
    with (
        pytest.raises(TrainingError, match="process 1 of those that train together failed") as told,
        helped(add, first, ()),
    ):
        raise GoneError("missed")
    assert (told.value.cause or "").startswith("TypeError: unsupported operand")
    monkeypatch.setattr(helpers, "_GRACE_SECONDS", 0.0)
    with pytest.raises(GoneError), helped(add, first, (), 0.0):
        raise GoneError("missed")


def test_helpers_end_at_once_with_what_ends_the_first_process() -> None:
    with pytest.raises(KeyboardInterrupt), helped(add, place(size=3, local_size=3), ()) as started:
        raise KeyboardInterrupt
    assert [helper.process.exitcode for helper in started._helpers] == [-signal.SIGTERM] * 2


class Dead:
    """A process that ended with an exit code, and its last words."""

    def __init__(self, exitcode: int | None, *words: object) -> None:
        self.exitcode = exitcode
        self._words = list(words)

    def is_alive(self) -> bool:
        return self.exitcode is None

    def poll(self) -> bool:
        return bool(self._words)

    def recv(self) -> object:
        return self._words.pop(0)


def test_whoever_only_missed_another_is_not_to_blame() -> None:
    def both(*dead: Dead) -> helpers.Helpers:
        made: list[Any] = [helpers._Helper(rank, each, each) for rank, each in enumerate(dead, 1)]  # type: ignore[arg-type] # stand-ins
        return helpers.Helpers(made)

    bereft = both(Dead(1, (True, "one is gone")), Dead(0))
    for _ in range(2):
        bereft.find_fault()
    with pytest.raises(TrainingError, match="process 2 ") as told:
        both(Dead(1, (True, "one is gone")), Dead(3)).find_fault()
    assert told.value.cause == "it was ended by exit code 3"
