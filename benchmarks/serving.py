"""What serving costs: requests a second over HTTP beside the bare model, in as many processes; what a restart loses.

python benchmarks/serving.py --seconds 3 --rounds 3

A random EfficientNet-Lite0 is hosted by ``birdsod serve`` with one and with two workers, and asked by 1, 4 and 16
clients over connections that stay open, with JPEGs of 500 x 375 pixels. The bare model predicts the same files in a
loop, in as many processes as there are workers. Each network has one thread, so that processes alone decide what is
shared, and all take turns. At last the workers are replaced by SIGHUP while four clients go on: each request must be
answered with 200.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import numpy as np
from _report import parser, report

from birdsod.classes import ClassTable
from birdsod.image import encode, resize

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

CLIENTS = (1, 4, 16)
WORKERS = (1, 2)
PICTURES = 16
RESTART_SECONDS = 120
ABOUT_BARE = "bare"

Process: TypeAlias = subprocess.Popen[str]


class Speed(NamedTuple):
    """Answers a second, and how long one takes."""

    rate: float
    p50: float
    p99: float


def pictures() -> list[bytes]:
    """Made-up photographs: soft shapes with some noise, about 70 kB each."""
    drawn = np.random.default_rng(0)
    found = []
    for _ in range(PICTURES):
        soft = resize(drawn.integers(0, 256, (12, 16, 3)).astype(np.uint8), width=500, height=375).astype(np.int16)
        noisy = np.clip(soft + drawn.normal(0, 12, soft.shape), 0, 255).astype(np.uint8)
        found.append(encode(noisy, quality=90))
    return found


def archive(folder: Path) -> Path:
    """A model with random weights."""
    import torch

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd import save_artifact
    from birdsod.ssd.building import build_network

    torch.manual_seed(0)
    network = build_network("efficientnet-lite0", num_classes=5, image_shape=300, pretrained=False)
    params = Hyperparameters(
        num_classes=5, num_training_samples=8, mini_batch_size=8, base_network="efficientnet-lite0"
    )
    return save_artifact(folder / "model.tar.gz", network, params, ClassTable.numbered(5))


def bare(model: str) -> None:
    """Predict for as many seconds as each line of standard input says, and tell the seconds of each image."""
    from birdsod.ssd import load_model

    loaded, images = load_model(model), pictures()
    for _ in range(4):
        loaded.predict(images[0])
    print("ready", flush=True)
    for line in sys.stdin:
        taken = in_a_loop(lambda number: loaded.predict(images[number % PICTURES]), float(line))
        print(*taken, flush=True)


def in_a_loop(step: Callable[[int], object], seconds: float) -> list[float]:
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        step(len(taken))
        taken.append(time.perf_counter() - begin)
    return taken


def speed(taken: Sequence[float], seconds: float) -> Speed:
    return Speed(len(taken) / seconds, *(float(np.percentile(taken, share)) for share in (50, 99)))


def started(command: Sequence[str]) -> Process:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def stopped(process: Process) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def line_of(process: Process) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{process.args!r} has ended")
    return line


class Bare:
    """Processes that predict in a loop."""

    def __init__(self, model: Path, workers: int, stack: ExitStack) -> None:
        command = [sys.executable, __file__, "--bare", str(model)]
        self._processes = [started(command) for _ in range(workers)]
        for process in self._processes:
            stack.callback(stopped, process)
        for process in self._processes:
            line_of(process)

    def measured(self, seconds: float) -> Speed:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        return speed([float(word) for process in self._processes for word in line_of(process).split()], seconds)


class Served:
    """A server, and clients that ask it without a pause."""

    def __init__(self, model: Path, workers: int, stack: ExitStack) -> None:
        command = [sys.executable, "-m", "birdsod", "serve", str(model), "--port", "0", "--workers", str(workers)]
        self.process = started(command)
        stack.callback(stopped, self.process)
        told = re.search(r"listening at (\S+)", line_of(self.process))
        assert told
        self._address = urlsplit(told[1]).netloc
        self._images = pictures()
        self.statuses: Counter[int | str] = Counter()
        self._ask_all(4, 1.0)

    def measured(self, clients: int, seconds: float) -> Speed:
        return speed(self._ask_all(clients, seconds), seconds)

    def _ask_all(self, clients: int, seconds: float) -> list[float]:
        taken: list[list[float]] = [[] for _ in range(clients)]
        threads = [threading.Thread(target=self._go_on, args=(seconds, each)) for each in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [one for each in taken for one in each]

    def _go_on(self, seconds: float, taken: list[float]) -> None:
        with closing(http.client.HTTPConnection(self._address, timeout=60)) as connection:
            taken += in_a_loop(lambda number: self._ask(connection, self._images[number % PICTURES]), seconds)

    def _ask(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            answer.read()
            self.statuses[answer.status] += 1
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.statuses[type(error).__name__] += 1

    def workers(self) -> set[str]:
        pid = self.process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())


def restarted(served: Served, workers: int) -> Counter[int | str]:
    """What was answered while all workers were replaced under load."""
    before = served.workers()
    served.statuses.clear()
    served.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + RESTART_SECONDS
    while len(now := served.workers()) != workers or now & before:
        if time.monotonic() > end:
            sys.exit("the workers were not replaced in time")
        served.measured(4, 1.0)
    return served.statuses


def measured(given: argparse.Namespace, folder: Path) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    model = archive(folder)
    with ExitStack() as stack:
        contestants: dict[str, Callable[[float], Speed]] = {}
        for workers in WORKERS:
            contestants[f"{workers} {ABOUT_BARE}"] = Bare(model, workers, stack).measured
            served = Served(model, workers, stack)
            for clients in CLIENTS:
                contestants[f"{workers} {clients}"] = partial(served.measured, clients)
        rounds = [{name: run(given.seconds) for name, run in contestants.items()} for _ in range(given.rounds)]
        speeds = {
            name: Speed(*(statistics.median(column) for column in zip(*(each[name] for each in rounds), strict=True)))
            for name in contestants
        }
        if served.statuses.keys() - {200}:
            sys.exit(f"not all was answered: {dict(served.statuses)}")
        restart = restarted(served, WORKERS[-1]) if sys.platform == "linux" else Counter({200: 0})
    return ratios(speeds), {
        "speeds": {name: each._asdict() for name, each in speeds.items()},
        "restart": {str(status): count for status, count in restart.items()},
    }


def ratios(speeds: dict[str, Speed]) -> dict[str, float]:
    found = {}
    for workers in WORKERS:
        alone = speeds[f"{workers} {ABOUT_BARE}"]
        for clients in CLIENTS:
            asked = speeds[f"{workers} {clients}"]
            name = f"workers_{workers}_clients_{clients}"
            found[f"{name}_rate_over_bare"] = asked.rate / alone.rate
            found[f"{name}_p50_over_bare"] = asked.p50 / alone.p50
            found[f"{name}_p99_over_bare_p50"] = asked.p99 / alone.p50
    return found


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    made.add_argument("--rounds", type=int, default=3, help="measurements of each, of which the median counts")
    made.add_argument("--bare", metavar="MODEL", help="be a process that only predicts")
    given = made.parse_args()
    if given.bare:
        bare(given.bare)
        return
    with tempfile.TemporaryDirectory() as folder:
        found, more = measured(given, Path(folder))
    report(given.json, found, **more)
    print(f"answered while the workers were replaced: {more['restart']}")
    if more["restart"].keys() - {"200"}:
        sys.exit("a request was lost")


if __name__ == "__main__":
    main()
