"""The benchmarks of record files run, and what they say is whole: their figures are for another day."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "recordio"


def run(folder: Path, *options: str, mxnet: str) -> tuple[str, dict[str, dict[str, float]]]:
    command = [
        sys.executable,
        str(BENCHMARKS),
        "--quick",
        "--folder",
        str(folder),
        "--json",
        str(folder / "found.json"),
    ]
    environment = {**os.environ, "BIRDSOD_MXNET": mxnet}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "found.json").read_text())


def test_without_mxnet_birdsod_is_measured_alone(tmp_path: Path) -> None:
    shown, found = run(tmp_path, mxnet="/nowhere/python")
    assert "MXNet is left out" in shown
    for what in ("read payloads in a row", "write records", "scan", "reindex", "pack, whole process", "write 2,000"):
        assert what in shown
    assert all("MXNet" not in name and "im2rec" not in name for name in found["ratios"])
    assert any("ceiling" in name for name in found["ratios"])
    assert all(ratio > 0 for ratio in found["ratios"].values())
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


@pytest.mark.slow
def test_with_mxnet_both_are_measured(tmp_path: Path) -> None:
    mxnet = os.environ.get("BIRDSOD_MXNET")
    if not mxnet:
        pytest.skip("BIRDSOD_MXNET names no Python that has MXNet")
    shown, found = run(tmp_path, "--only", "reading", "--only", "writing", "--only", "packing", mxnet=mxnet)
    assert "left out" not in shown
    assert sum("MXNet" in name for name in found["ratios"]) > 20
    assert sum("im2rec" in name for name in found["ratios"]) == 3
