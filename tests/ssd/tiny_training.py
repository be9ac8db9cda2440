"""A program that trains the tiny network in double precision, in as many processes as it is told."""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch

from birdsod import Hyperparameters, LocalOptions, Packed
from birdsod.errors import BirdsodError
from birdsod.ssd import training
from birdsod.ssd.loop import Outcome, Reports
from birdsod.ssd.run import Run

# Not imported by name: what lies beside a program is not always on the path.
spec = spec_from_file_location("tiny_network", Path(__file__).with_name("conftest.py"))
assert spec is not None
assert spec.loader is not None
conftest = module_from_spec(spec)
spec.loader.exec_module(conftest)

TOLD: dict[str, Any] = json.loads(sys.argv[1])
# Processes that are started import this program, and so do the same.
torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign] # in this program alone
PATCHED: Any = training
PATCHED.build_network = lambda _, num_classes, **__: conftest.Tiny(num_classes).double()
step = Run.step


def stepping(run: Run, batch: Any) -> None:
    """Make an update, or die."""
    if __name__ != "__main__" and TOLD.get("kill") == run.progress.update:
        os.kill(os.getpid(), signal.SIGKILL)
    step(run, batch)


Run.step = stepping  # type: ignore[method-assign, assignment] # in this program alone


def main() -> int:
    packed, done = Packed.open(TOLD["packed"]), list[int]()
    given: dict[str, Any] = {
        "base_network": "efficientnet-lite0",
        "epochs": 5,
        "mini_batch_size": 5,
        "use_pretrained_model": 0,
    }
    usual: dict[str, Any] = {"processes": 1, "loader_processes": 0, "keep": "last"}
    chosen = {name: TOLD.get(name, value) for name, value in usual.items()}
    options = LocalOptions(**chosen, threads=1, loader_threads=1, freeze="base", device="cpu")

    def note(outcome: Outcome) -> None:
        done.append(outcome.updates)

    def stop() -> bool:
        return bool(done) and done[-1] >= TOLD.get("stop", 99)

    reports = Reports(line=lambda text: print(text), progress=note, stop=stop)  # noqa: PLW0108, T201 - it prints its log
    params = Hyperparameters.for_data(packed, **given)
    try:
        print(training.train(packed, params, options, directory=Path(TOLD["directory"]), reports=reports))  # noqa: T201 - as above
    except BirdsodError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
