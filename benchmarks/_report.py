"""What every benchmark shares: its arguments, the machine it ran on, timing in turn, and the JSON it leaves."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PACKAGES = ("birdsod", "numpy", "opencv-python-headless", "pillow", "pandas", "torch")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the argument that all benchmarks take; add others to it."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write ratios and machine here")
    return made


def arguments(description: str | None) -> argparse.Namespace:
    """The arguments of a benchmark that takes no others."""
    return parser(description).parse_args()


def seconds_in_turn(rounds: int, **contestants: Callable[[], object]) -> dict[str, float]:
    """Run everything in turn, so that a busy machine slows all alike, and return the median seconds of each.

    One round more than asked for is run first and thrown away: it fills the caches.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            contestant()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def report(path: Path | None, ratios: Mapping[str, float], **more: object) -> None:
    """Print the ratios, and write them with the machine and whatever else was measured."""
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.4g}")
    write(path, ratios, **more)


def write(path: Path | None, ratios: Mapping[str, float], **more: object) -> None:
    """Write the ratios with the machine and whatever else was measured, if a file is given."""
    if path is not None:
        content = {"ratios": dict(ratios), **more, "machine": machine()}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
