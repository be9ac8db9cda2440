"""Several processes at one address: none of their ends loses a request."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import numpy as np
import pytest

from birdsod.image import encode
from birdsod.ssd._process import ProcessMark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAKE = Path(__file__).with_name("fake_worker.py")
PARENT = """
import sys
from birdsod.errors import BirdsodError
from birdsod.serving._workers import supervise
try:
    supervise([sys.executable, {fake!r}, {folder!r}], workers=2, host="127.0.0.1", port=0)
except BirdsodError as error:
    sys.exit(str(error))
"""


class Served:
    """A running supervisor."""

    def __init__(self, folder: Path, before: str = "") -> None:
        self.folder = folder
        script = before + PARENT.format(fake=str(FAKE), folder=str(folder))
        self.process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def address(self) -> str:
        assert self.process.stdout is not None
        told = re.search(r"listening at (\S+)", self.process.stdout.readline())
        assert told
        return urlsplit(told[1]).netloc

    def workers(self) -> set[int]:
        pids = {int(path.stem) for path in self.folder.glob("*.started")}
        return {pid for pid in pids if ProcessMark.of(pid).born is not None}

    def wait_for(self, holds: Callable[[set[int]], bool]) -> set[int]:
        deadline = time.monotonic() + 60
        while not holds(self.workers()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self.workers()

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.communicate()


def picture(height: int = 20) -> bytes:
    return encode(np.zeros((height, 20, 3), np.uint8))


def ask(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def ask_once(address: str, body: bytes) -> int:
    with contextlib.closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        return ask(connection, body)


class Crowd:
    """Clients that ask without a pause, half of them over connections that stay open."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: list[int | str] = []
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(number % 2 == 0,)) for number in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, stays: bool) -> None:
        body, connection = picture(), http.client.HTTPConnection(self.address, timeout=30)
        while not self._enough.is_set():
            try:
                self.answers.append(ask(connection, body))
            except (OSError, http.client.HTTPException) as error:
                self.answers.append(repr(error))
            if not stays:
                connection.close()
        connection.close()


def test_all_are_replaced_and_no_request_is_lost(served: Served) -> None:
    address = served.address()
    before = served.wait_for(lambda running: len(running) == 2)
    with Crowd(address) as crowd:
        served.process.send_signal(signal.SIGHUP)
        after = served.wait_for(lambda running: len(running) == 2 and not running & before)
        asked = len(crowd.answers)
    assert asked > 20
    assert set(crowd.answers) == {200}
    assert served.end() == (0, "")
    assert not served.workers()
    assert len(after) == 2


def test_one_that_dies_is_started_again(served: Served) -> None:
    address = served.address()
    before = served.wait_for(lambda running: len(running) == 2)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask_once(address, picture(height=1))
    served.wait_for(lambda running: len(running) == 2 and len(running & before) == 1)
    assert ask_once(address, picture()) == 200
    status, errors = served.end()
    assert (status, errors) == (0, "a worker has ended with 7; another takes its place\n")


def test_they_count_together(served: Served) -> None:
    address = served.address()
    for _ in range(6):
        assert ask_once(address, picture()) == 200
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/metrics")
    counted = connection.getresponse().read().decode()
    connection.close()
    assert 'birdsod_requests_total{route="/invocations",status="200"} 6.0' in counted
    assert "birdsod_waiting_images 0.0" in counted


def test_a_model_that_never_starts_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    served = Served(tmp_path)
    _, errors = served.process.communicate(timeout=60)
    assert served.process.returncode == 1
    assert errors == "no model here\n" * 3 + "the workers do not start. Likely cause: what they said stands above.\n"


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    (tmp_path / "stubborn").touch()
    served = Served(tmp_path, "import birdsod.serving._workers\nbirdsod.serving._workers._GRACE_SECONDS = 0.2")
    served.address()
    assert len(served.workers()) == 2
    assert served.end() == (0, "")
    assert not served.workers()


def test_they_go_with_a_parent_that_is_killed(served: Served) -> None:
    served.address()
    served.wait_for(lambda running: len(running) == 2)
    served.process.kill()
    served.process.communicate()
    served.wait_for(lambda running: not running)


def test_an_end_while_one_starts_is_an_end(served: Served) -> None:
    served.wait_for(lambda running: len(running) >= 1)
    status, _ = served.end()
    assert status == 0
    served.wait_for(lambda running: not running)
