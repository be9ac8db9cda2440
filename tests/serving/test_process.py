"""A server process lives as long as its owner wants it, and no longer."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from birdsod.errors import ServingError
from birdsod.serving import process, start_server
from birdsod.ssd._process import ProcessMark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAKE = Path(__file__).with_name("fake_server.py")

OWNER = """
import os, signal, sys, time
from birdsod.serving import process
{before}
with process._start([sys.executable, {fake!r}], 60.0) as server:
    print(server.pid, flush=True)
    {inside}
print("after the block", flush=True)
"""


def start(mode: str = "good", timeout: float = 60.0) -> process.ServerProcess:
    return process._start([sys.executable, str(FAKE), mode], timeout)


def gone(pid: int, seconds: float = 30.0) -> bool:
    """Wait until a process is gone."""
    deadline = time.monotonic() + seconds
    while ProcessMark.of(pid).born is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def owner(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def run(inside: str, before: str = "") -> subprocess.Popen[str]:
        script = tmp_path / "owner.py"
        script.write_text(OWNER.format(fake=str(FAKE), inside=inside, before=before))
        return subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


def first_line(running: subprocess.Popen[str]) -> int:
    assert running.stdout is not None
    return int(running.stdout.readline())


def test_it_answers_inside_the_block_and_is_gone_after(jpeg: bytes) -> None:
    from birdsod.classes import ClassTable

    with start() as server, server.client(ClassTable((17,), ("Cardinal",))) as client:
        assert client.ping()
        assert client.predict(jpeg).xyxy.tolist() == [[0.0, 15.0, 40.0, 60.0]]
    assert gone(server.pid, 0.0)
    assert not client.ping()


def test_it_is_gone_after_an_exception() -> None:
    server = start()
    with pytest.raises(ZeroDivisionError), server:
        raise ZeroDivisionError
    assert gone(server.pid, 0.0)


def test_closing_twice_does_nothing_more() -> None:
    server = start()
    server.close()
    server.close()
    assert server.complaints() == ""


def test_it_goes_with_its_last_reference() -> None:
    server = start()
    pid = server.pid
    del server
    gc.collect()
    assert gone(pid, 0.0)


def test_it_goes_at_exit(owner: Callable[..., subprocess.Popen[str]]) -> None:
    running = owner("server.__class__.__exit__ = lambda *_: None")
    pid = first_line(running)
    output, errors = running.communicate(timeout=60)
    assert (running.returncode, output, errors) == (0, "after the block\n", "")
    assert gone(pid, 0.0)


def test_it_goes_on_ctrl_c(owner: Callable[..., subprocess.Popen[str]]) -> None:
    running = owner("time.sleep(60)")
    pid = first_line(running)
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT
    assert output == ""
    assert "KeyboardInterrupt" in errors
    assert gone(pid, 0.0)


def test_it_goes_when_its_owner_is_killed(owner: Callable[..., subprocess.Popen[str]]) -> None:
    running = owner("time.sleep(60)")
    pid = first_line(running)
    running.kill()
    running.communicate(timeout=60)
    assert gone(pid)


def test_it_goes_when_its_owner_is_killed_and_a_fork_of_it_lives_on(
    owner: Callable[..., subprocess.Popen[str]],
) -> None:
    running = owner("print(fork(), flush=True); time.sleep(60)", FORK)
    pid = first_line(running)
    fork = first_line(running)
    running.kill()
    assert gone(pid)
    assert not gone(fork, 0.0)
    os.kill(fork, signal.SIGKILL)
    running.communicate(timeout=60)


FORK = """
def fork():
    child = os.fork()
    if child == 0:
        time.sleep(60)
    return child
"""


def test_a_fork_of_the_owner_does_not_end_it(owner: Callable[..., subprocess.Popen[str]]) -> None:
    body = "child = os.fork()\n    if child == 0: server.close(); os._exit(0)\n    os.waitpid(child, 0)"
    running = owner(body + "\n    print(server.client(None).ping(), flush=True)")
    pid = first_line(running)
    output, errors = running.communicate(timeout=60)
    assert (output, errors) == ("True\nafter the block\n", "")
    assert gone(pid, 0.0)


def test_only_the_owner_ends_it() -> None:
    with start() as server:
        running, said, _ = server._end.peek()[2]  # type: ignore[index]
        process._end(running, said, os.getpid() + 1)
        assert not gone(server.pid, 0.0)


def test_the_owner_may_use_multiprocessing() -> None:
    with start() as server:
        worker = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0,))
        worker.start()
        worker.join()
        assert not gone(server.pid, 0.0)


def test_a_server_that_does_not_go_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process._end, "__kwdefaults__", {"grace": 0.1})
    with start("stubborn") as server:
        pass
    assert gone(server.pid, 0.0)


def test_a_terminated_server_ends_well() -> None:
    server = start()
    os.kill(server.pid, signal.SIGTERM)
    assert gone(server.pid)
    server.close()


@pytest.mark.parametrize(
    ("mode", "timeout", "message"),
    [
        ("refuses", 60.0, "the server does not start. Likely cause: no model here."),
        ("silent", 60.0, "the server does not start. Likely cause: it said nothing."),
        ("dies", 60.0, "the server does not start. Likely cause: died after all."),
        ("hangs", 0.3, "the server is not ready in time. Likely cause: it said nothing."),
        ("deaf", 3.0, "the server is not ready in time. Likely cause: it said nothing."),
    ],
)
def test_a_server_that_does_not_start_is_an_error(
    mode: str, timeout: float, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []
    spawn = process._spawn

    def spy(*arguments: object) -> subprocess.Popen[str]:
        started.append(spawn(*arguments))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(process, "_spawn", spy)
    with pytest.raises(ServingError) as caught:
        start(mode, timeout)
    assert str(caught.value) == message
    assert gone(started[0].pid, 0.0)


def test_a_command_that_is_none_leaves_nothing() -> None:
    with pytest.raises(FileNotFoundError):
        process._start(["/no/such/program"], 1.0)


def test_start_server_runs_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(process, "_start", lambda command, _timeout: commands.append(command))
    start_server("model.tar.gz", port=8080)
    assert commands == [
        [sys.executable, "-m", "birdsod.serving", "model.tar.gz", "--host", "127.0.0.1", "--port", "8080", "--owned"]
    ]


def test_a_traceback_of_the_model_stays_with_the_owner() -> None:
    import numpy as np

    from birdsod.classes import ClassTable

    with start() as server, server.client(ClassTable((17,), ("Cardinal",))) as client:
        with pytest.raises(ServingError, match=r"answered 500.*the model failed"):
            client.predict(np.zeros((1, 9, 3), np.uint8))
        assert "RuntimeError: too flat for this model" in server.complaints()
