"""One image through each runtime, in turn: ONNX Runtime over PyTorch, with cores of their own and with a neighbour.

Weights are drawn: speed does not depend on them. Two threads each.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _report import arguments, report, seconds_in_turn

from birdsod.classes import ClassTable
from birdsod.hyperparameters import Hyperparameters
from birdsod.mxnet import ssd_graph
from birdsod.mxnet._shapes import parameter_shapes
from birdsod.ssd import load_model, save_mxnet_artifact
from birdsod.ssd.artifact import Artifact, artifact_members, write_archive
from birdsod.ssd.weight_shapes import weight_shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from birdsod.ssd.runtimes import Runtime

RUNTIMES: tuple[Runtime, ...] = ("torch", "onnxruntime")
TABLE = ClassTable((1, 2, 3, 4, 5), tuple("abcde"))
THREADS = 2
ROUNDS = 7
STARTS = 3
# Keeps a core busy, as a neighbour would.
NEIGHBOUR = "while True: pass"
START = "import json, sys, time; begin = time.perf_counter()\nimport numpy; from birdsod.ssd import load_model\n"
FIRST = (
    "model = load_model(sys.argv[1], runtime=sys.argv[2], device='cpu', threads=2)\nprint(time.perf_counter() - begin)"
)


def main() -> None:
    """Measure and report."""
    given = arguments(__doc__)
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        archives = {"lite0 at 300": _lite0(Path(folder), 300), "resnet-50 at 512": _resnet(Path(folder), 512)}
        for name, archive in archives.items():
            ratios |= _measured(name, archive)
    report(given.json, ratios, threads=THREADS)


def _measured(name: str, archive: Path) -> dict[str, float]:
    runs = {runtime: _answering(archive, runtime) for runtime in RUNTIMES}
    alone = seconds_in_turn(ROUNDS, **runs)
    neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        crowded = seconds_in_turn(ROUNDS, **runs)
    finally:
        neighbour.kill()
        neighbour.wait()
    starts = seconds_in_turn(STARTS, **{runtime: _starting(archive, runtime) for runtime in RUNTIMES})
    return {
        f"{name}, ONNX Runtime's time over torch's": alone["onnxruntime"] / alone["torch"],
        f"{name}, the same beside a busy core": crowded["onnxruntime"] / crowded["torch"],
        f"{name}, ONNX Runtime beside a busy core over alone": crowded["onnxruntime"] / alone["onnxruntime"],
        f"{name}, torch beside a busy core over alone": crowded["torch"] / alone["torch"],
        f"{name}, from a new process to a loaded model, ONNX Runtime over torch": starts["onnxruntime"]
        / starts["torch"],
    }


def _answering(archive: Path, runtime: Runtime) -> Callable[[], object]:
    model = load_model(archive, runtime=runtime, device="cpu", threads=THREADS)
    edge = model.image_shape
    batch = np.random.default_rng(0).uniform(0, 255, (1, 3, edge, edge)).astype(np.float32)
    return lambda: model._network.answer(batch)  # noqa: SLF001 - the network alone, without suppression


def _starting(archive: Path, runtime: str) -> Callable[[], object]:
    command = [sys.executable, "-c", START + FIRST, str(archive), runtime]
    return lambda: subprocess.run(command, check=True, capture_output=True)


def _lite0(folder: Path, edge: int) -> Path:
    params = Hyperparameters(
        num_classes=5, num_training_samples=50, base_network="efficientnet-lite0", image_shape=edge
    )
    random = np.random.default_rng(0)
    tensors = {name: _drawn(name, shape, random) for name, shape in weight_shapes(5).items()}
    return write_archive(folder / "lite0.tar.gz", artifact_members(Artifact(tensors, params.to_request(), TABLE)))


def _resnet(folder: Path, edge: int) -> Path:
    params = Hyperparameters(num_classes=5, num_training_samples=50, base_network="resnet-50", image_shape=edge)
    random = np.random.default_rng(0)
    shapes = parameter_shapes(ssd_graph("resnet-50", num_classes=5, image_shape=edge))
    arrays = {name: _drawn(name, shape, random) for name, shape in shapes.items()}
    return save_mxnet_artifact(folder / "resnet.tar.gz", arrays, params, classes=TABLE)


def _drawn(name: str, shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[Any]:
    if not shape:
        return np.zeros(shape, np.int64)
    if name.endswith("_var"):
        return np.ones(shape, np.float32)
    return random.normal(0, 0.05, shape).astype(np.float32)


if __name__ == "__main__":
    main()
