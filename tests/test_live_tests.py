"""Tests that cost money run only when somebody asks for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LIVE = Path(__file__).parent / "live"


def test_live_tests_are_off_and_say_so() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "BIRDSOD_LIVE"}
    command = [sys.executable, "-m", "pytest", "-q", "--no-cov", "-p", "no:cacheprovider", str(LIVE)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout
    assert "BIRDSOD_LIVE is not set: it costs money" in done.stdout
    assert " passed" not in done.stdout


def test_every_live_test_tells_its_cost() -> None:
    for path in LIVE.glob("test_*.py"):
        assert "Cost: " in path.read_text(encoding="utf-8")
