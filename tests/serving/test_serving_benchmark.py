"""The benchmark of serving runs, and loses no request; how fast is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serving.py"


@pytest.mark.skipif(sys.platform != "linux", reason="it looks for the workers in /proc")
def test_it_tells_what_it_measured_and_that_nothing_was_lost(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, str(SCRIPT), "--seconds", "0.5", "--rounds", "1", "--json", str(tmp_path / "a.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert len(written["ratios"]) == 2 * 3 * 3
    assert all(ratio > 0 for ratio in written["ratios"].values())
    assert set(written["restart"]) == {"200"}
    assert written["restart"]["200"] > 0
