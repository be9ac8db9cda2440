"""What every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A change is judged on the same examples each time; whoever works on it draws new ones.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("default")

# A run in the background ignores Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of files written by MXNet 1.9.1 and by im2rec."""
    return GOLDEN


@pytest.fixture(scope="session")
def cub() -> Path:
    """The folder of real birds in CUB layout; the test is skipped, with the reason, where there is none."""
    named = os.environ.get("BIRDSOD_CUB")
    if not named:
        pytest.skip("BIRDSOD_CUB names no folder of real birds")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"BIRDSOD_CUB names {named}, which is no folder")
    return folder
