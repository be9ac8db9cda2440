"""Whether a container is well is told by what it runs."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from birdsod.container.__main__ import main
from birdsod.container.health import health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVE = b"python\0-m\0birdsod.container\0serve\0"
TRAIN = b"python\0-m\0birdsod.container\0train\0"


class Ping(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/ping" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Ping) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", str(server.server_port))
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def first(tmp_path: Path) -> Path:
    (tmp_path / "cmdline").write_bytes(SERVE)
    return tmp_path / "cmdline"


@pytest.mark.usefixtures("port")
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_a_model_is_well_if_it_says_so(first: Path, status: int, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ping, "status", status)
    assert health(first) == code


@pytest.mark.parametrize("told", ["1", "eighty"])
def test_a_model_that_nobody_reaches_is_not_well(first: Path, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", told)
    assert health(first) == 1


def test_a_training_is_well_as_long_as_it_runs(first: Path) -> None:
    first.write_bytes(TRAIN)
    assert health(first) == 0
    first.unlink()
    assert health(first) == 0


def test_the_program_looks_at_the_first_process() -> None:
    assert main(["health"]) == 0
