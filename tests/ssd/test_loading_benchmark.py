"""The benchmark of the loader runs, and measures what it says; how fast is not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "recordio" / "loading.py"


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Neither MXNet nor DALI, so that it is the same wherever it runs.
    nowhere = str(tmp_path / "nowhere")
    environment = {**os.environ, "BIRDSOD_MXNET": nowhere, "BIRDSOD_DALI": nowhere, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_it_tells_what_it_measured_and_what_it_left_out(tmp_path: Path) -> None:
    done = run(tmp_path, "--quick", "--cases", "cropped", "--json", str(tmp_path / "loading.json"))
    assert done.returncode == 0, done.stderr
    assert "mxnet is left out" in done.stdout
    assert "dali is left out" in done.stdout
    written = json.loads((tmp_path / "loading.json").read_text(encoding="utf-8"))
    assert set(written["speeds"]) == {"cropped shorter edge 300", "cropped unresized"}
    assert {f"{ours}_over_ceiling_cropped_unresized" for ours in ("birdsod", "processes")} <= set(written["ratios"])
    assert all(ratio > 0 for ratio in written["ratios"].values())


def test_a_contestant_that_fails_is_heard(tmp_path: Path) -> None:
    (tmp_path / "no.rec").write_bytes(b"no record at all")
    done = run(tmp_path, "--quick", "--data", str(tmp_path / "no.rec"))
    assert done.returncode != 0
    assert "birdsod has ended" in done.stderr
    assert "RecordError" in done.stderr
