"""MXNet 1.9.1 beside birdsod: one process of it answers all tests of a session."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / ".venv-mxnet" / "bin" / "python"
LENGTH = struct.Struct(">Q")
VERSIONS = {"mxnet": "1.9.1", "numpy": "1.23.5", "opencv": "4.8.1"}


@dataclass(frozen=True, slots=True)
class Oracle:
    """Asks MXNet; ``oracle.py`` tells what."""

    python: Path
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def ask(self, command: str, *blobs: bytes, **told: Any) -> tuple[dict[str, Any], list[bytes]]:
        """Return the answer; that MXNet refused stands in it under ``error``."""
        text = json.dumps(told | {"command": command, "blobs": [len(blob) for blob in blobs]}).encode()
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(b"".join([LENGTH.pack(len(text)), text, *blobs]))
            stdin.flush()
            size = stdout.read(LENGTH.size)
        except BrokenPipeError:
            size = b""
        if len(size) < LENGTH.size:
            self.log.seek(0)
            pytest.exit(f"the process with MXNet ended: {self.log.read()[-2000:].decode(errors='replace')}")
        answer = json.loads(stdout.read(*LENGTH.unpack(size)))
        return answer, [stdout.read(length) for length in answer["blobs"]]

    def get(self, command: str, *blobs: bytes, **told: Any) -> tuple[dict[str, Any], list[bytes]]:
        """Return the answer of a question that MXNet must be able to answer."""
        answer, found = self.ask(command, *blobs, **told)
        assert "error" not in answer, answer["error"]
        return answer, found


def oracle_python() -> Path:
    named = os.environ.get("BIRDSOD_MXNET")
    if named and not Path(named).is_file():
        pytest.fail(f"BIRDSOD_MXNET names {named}, which is no file")
    if not named and not DEFAULT.is_file():
        pytest.skip("no environment with MXNet 1.9.1: make conformance makes it, BIRDSOD_MXNET names its python")
    return Path(named or DEFAULT)


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """The real MXNet; tests are skipped, with the reason, where there is none."""
    python = oracle_python()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [python, Path(__file__).with_name("oracle.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "MXNET_SUBGRAPH_VERBOSE": "0"},
        )
        with process:
            asked = Oracle(python, process, log)
            assert asked.get("versions")[0] | {"blobs": None} == VERSIONS | {"blobs": None}
            yield asked
            assert process.stdin is not None
            process.stdin.close()
