"""Images a second for training, out of record files: against MXNet's ImageDetRecordIter and NVIDIA DALI, in turn.

    python benchmarks/recordio/loading.py --json loading.json
    python benchmarks/recordio/loading.py --data birds.rec

Each runs in a process of its own on the same two cores, with two threads, over the same file: batches of 32 images
of 300 x 300 pixels; birdsod's loader also with two processes of its own in place of its threads. MXNet is where
``BIRDSOD_MXNET`` says (a Python), else in ``.venv-mxnet``; DALI by ``BIRDSOD_DALI`` and ``.venv-dali`` alike. What is
missing is left out with a word. DALI works on the processor alone.

``bytes``: decode and resize, no more. ``whole``: also less the mean, in floating point, channels first. ``cropped``:
mirrored and cropped by SSD's rules besides (DALI: any crop, decoding no more than that). ``coloured``: all changes of
SSD (DALI has no like). The ceiling is OpenCV's decoder and linear interpolation in two threads: nothing is read,
labelled or put together. Processor time is told too: it depends less on who else uses the machine. Each epoch is
measured right behind another one, and whoever is not at work is stopped.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _report import parser, report

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("_loading_contestant.py")
ENVIRONMENTS = {"mxnet": "BIRDSOD_MXNET", "dali": "BIRDSOD_DALI"}
# On two cores MXNet decodes in one thread, whatever it is asked for; a second one would only wait, and spin.
SETTINGS = {"mxnet": {"OMP_NUM_THREADS": "1"}}
OURS = ("birdsod", "processes")
CASES = {
    "bytes": ("dali", "ceiling"),
    "whole": ("mxnet", "dali", "ceiling"),
    "cropped": ("mxnet", "dali", "ceiling"),
    "coloured": ("mxnet",),
}
MADE, DISTINCT = 1280, 40
CORES = 2
FARTHEST = 6.0  # mean difference of two decoders and ways to interpolate; another image is ten times as far


class Process:
    """A contestant at work."""

    def __init__(self, python: str, name: str, case: str, rec: Path) -> None:
        command = [python, "-W", "ignore", str(SCRIPT), name, case, str(rec)]
        self.name = name
        # A file, since a pipe that nobody reads would stop it when it is full.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at the end
        self._child = subprocess.Popen(
            command,
            env={**os.environ, **SETTINGS.get(name, {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.first = np.array(self._answer())
        self.rest()

    def epoch(self) -> dict[str, float]:
        assert self._child.stdin is not None
        self._child.send_signal(signal.SIGCONT)
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        answer: dict[str, float] = self._answer()
        self.rest()
        return answer

    def rest(self) -> None:
        """Stand still while others run: some would go on decoding ahead."""
        self._child.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        self._child.send_signal(signal.SIGCONT)
        self._child.communicate()
        self._errors.close()

    def _failed(self) -> str:
        self._child.wait()
        self._errors.seek(0)
        return f"{self.name} has ended: {self._errors.read()[-2000:]}"

    def _answer(self) -> Any:  # noqa: ANN401 - whatever the contestant says
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            sys.exit(self._failed())
        return json.loads(line)


def pythons() -> dict[str, str]:
    """The interpreter of each contestant that is there."""
    found = dict.fromkeys((*OURS, "ceiling"), sys.executable)
    for name, variable in ENVIRONMENTS.items():
        python = os.environ.get(variable) or str(REPOSITORY / f".venv-{name}" / "bin" / "python")
        if Path(python).is_file():
            found[name] = python
        else:
            print(f"{name} is left out: no {python}; {variable} may name another Python")
    return found


def make_records(folder: Path, distinct: int, number: int) -> dict[str, Path]:
    """Made-up birds, packed at a shorter edge of 300 pixels and as they are, some 500 pixels across."""
    from birdsod.dataset import synthetic_birds
    from birdsod.recordio import RecordReader, RecordWriter, pack

    birds = synthetic_birds(folder / "birds", seed=0, classes=distinct // 4, per_class=4)
    made = {}
    for name, edge in (("shorter edge 300", 300), ("unresized", None)):
        packed = pack({"train": birds}, folder / f"packed_{edge}", resize=edge)
        made[name] = folder / f"{edge}.rec"
        with RecordReader(packed.channels["train"].rec) as reader, RecordWriter(made[name]) as writer:
            for key in range(number):
                record = reader[key % len(reader)]
                writer.write_record(key, record.label, record.image)
    return made


def compare(case: str, rec: Path, found: Mapping[str, str], rounds: int) -> dict[str, dict[str, float]]:
    """The best epoch of each, in turn, after a look at the first image."""
    names = [name for name in (*OURS, *CASES[case]) if name in found]
    with contextlib.ExitStack() as stack:
        processes = []
        for name in names:
            processes.append(Process(found[name], name, case, rec))
            stack.callback(processes[-1].end)
        for process in processes:
            away = float(np.abs(process.first - processes[0].first).mean())
            if away > FARTHEST:
                sys.exit(f"{process.name} sees another first image, {away:.1f} away")
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for process in processes:
                taken[process.name].append(process.epoch())
    return {name: best(epochs) for name, epochs in taken.items()}


def best(epochs: list[dict[str, float]]) -> dict[str, float]:
    return {
        "images_per_second": max(epoch["images"] / epoch["seconds"] for epoch in epochs),
        "cpu_milliseconds": 1000 * min(epoch["cpu"] / epoch["images"] for epoch in epochs),
    }


def tell(name: str, case: str, speeds: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    for each, speed in speeds.items():
        print(
            f"{name:20}{case:10}{each:10}{speed['images_per_second']:8.0f} images/s"
            f"{speed['cpu_milliseconds']:8.2f} ms of processor time an image",
            flush=True,
        )
    ratios = {}
    for ours, other in itertools.product(OURS, [each for each in speeds if each not in OURS]):
        key = f"{ours}_over_{other}_{case}_{name.replace(' ', '_')}"
        ratios[key] = speeds[ours]["images_per_second"] / speeds[other]["images_per_second"]
        ratios[f"{key}_cpu"] = speeds[other]["cpu_milliseconds"] / speeds[ours]["cpu_milliseconds"]
    return ratios


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, action="append", metavar="FILE.rec", help="measure these (with .idx beside)")
    made.add_argument("--rounds", type=int, default=5, help="how often each runs")
    made.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    made.add_argument("--quick", action="store_true", help="a few images, once: to see that it runs")
    return made.parse_args()


def main() -> None:
    given = arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:CORES]))
    found, rounds = pythons(), 1 if given.quick else given.rounds
    ratios: dict[str, float] = {}
    speeds: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if given.data:
            files = {path.stem: path for path in given.data}
        else:
            files = make_records(Path(folder), *((4, 64) if given.quick else (DISTINCT, MADE)))
        for name, rec in files.items():
            for case in given.cases:
                speeds[f"{case} {name}"] = taken = compare(case, rec, found, rounds)
                ratios |= tell(name, case, taken)
    report(given.json, ratios, speeds=speeds)


if __name__ == "__main__":
    main()
