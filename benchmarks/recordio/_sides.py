"""birdsod and MXNet side by side: each in a process of its own, the same exercises in turn, the best of several."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).with_name("_side.py")
ENVIRONMENT = Path(__file__).parents[2] / ".venv-mxnet"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; ``ratio`` tells how many times as fast birdsod is as what it is beside."""

    what: str
    birdsod: float
    unit: str
    beside: str = ""
    other: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.other is None else self.birdsod / self.other


def mxnet_python() -> Path | None:
    """The Python that has MXNet: the one that BIRDSOD_MXNET names, or that of .venv-mxnet."""
    python = Path(os.environ.get("BIRDSOD_MXNET") or ENVIRONMENT / "bin" / "python")
    if python.is_file():
        return python
    print("MXNet is left out: make conformance makes its environment, or BIRDSOD_MXNET names its Python")
    return None


def room(folder: Path, size: float, what: str) -> bool:
    """Tell whether a disk has room for so many bytes, and as much again; say what is skipped if not."""
    free = shutil.disk_usage(folder).free
    if free < 2 * size:
        print(f"{what} is left out: it takes {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
    return free >= 2 * size


class Side:
    """A process that does exercises when asked."""

    def __init__(self, python: Path | str, name: str) -> None:
        command = [str(python), "-W", "ignore", str(SCRIPT), name]
        self.name = name
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def does(self, exercise: str, **arguments: object) -> tuple[float, Any]:
        """Return seconds and value of an exercise."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([exercise, arguments]) + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            sys.exit(f"{self.name} failed at {exercise} {arguments}")
        seconds, value = json.loads(answer)
        return seconds, value

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()


@contextlib.contextmanager
def sides(mxnet: Path | None) -> Iterator[list[Side]]:
    """Start both sides, birdsod first, or birdsod alone."""
    with contextlib.ExitStack() as stack:
        started = [Side(sys.executable, "birdsod")]
        if mxnet is not None:
            started.append(Side(mxnet, "mxnet"))
        for side in started:
            stack.callback(side.close)
        yield started


def best_in_turn(rounds: int, contestants: list[Side], exercise: str, **arguments: object) -> list[float]:
    """The least seconds of each over several rounds; their values must be the same."""
    taken = [[side.does(exercise, **arguments) for side in contestants] for _ in range(rounds)]
    values = {value for turn in taken for _, value in turn}
    if len(values) > 1:
        sys.exit(f"the sides disagree at {exercise} {arguments}: {values}")
    return [min(seconds for seconds, _ in turns) for turns in zip(*taken, strict=True)]


def row(what: str, amount: float, unit: str, seconds: list[float], beside: str = "MXNet") -> Row:
    """A row of amounts a second, of birdsod and of what it is beside, if that is there."""
    if len(seconds) == 1:
        return Row(what, amount / seconds[0], unit)
    return Row(what, amount / seconds[0], unit, beside, amount / seconds[1])
