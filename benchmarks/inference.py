"""One image through a detector: MXNet 1.9.1, PyTorch, ONNX Runtime, and ONNX Runtime in whole numbers of eight bits.

    python benchmarks/inference.py --json inference.json
    python benchmarks/inference.py --threads 1
    python benchmarks/inference.py --data CUB_200_2011 --model model.tar.gz

A resnet-50 at 512 with drawn weights, the same files opened by all, and EfficientNet-Lite0 at 300; each contestant in
a process of its own, in turn. In 32-bit floating point all must detect the same before anything is timed. MXNet is
found where ``BIRDSOD_MXNET`` says (a Python), else in ``.venv-mxnet``; it is told the number of threads, and once more
runs as it comes. The least of several rounds counts: on a machine that others use, --threads 1 and the processor's own
time tell most. With the data set and an EfficientNet-Lite0 trained on five of its species, what eight bits cost in mean
average precision is told as well.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _report import parser, write
from birds import FIGURES, SPECIES
from recordio._sides import mxnet_python

import birdsod as bd
from birdsod.mxnet import GraphOptions, ssd_graph, write_params, write_symbol
from birdsod.mxnet._shapes import parameter_shapes
from birdsod.ssd import convert, load_model, quantize, save_artifact
from birdsod.ssd.building import build_network

if TYPE_CHECKING:
    import argparse

    import numpy.typing as npt

    Seconds = dict[str, tuple[float, float]]

SCRIPT = Path(__file__).with_name("_inference_side.py")
CLASSES = 5
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
CLOSE = 1e-4
SPREAD = 10
SMALLER = {"_conv3_weight": 0.2, "_pred_conv": 0.2}


def given() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--rounds", type=int, default=10)
    made.add_argument("--edge", type=int, default=512, help="edge of resnet-50's images")
    made.add_argument("--data", type=Path, metavar="FOLDER", help="Caltech-UCSD Birds-200-2011")
    made.add_argument("--sizes", type=Path, metavar="FILE", help="its sizes.txt, where it lies elsewhere")
    made.add_argument("--model", type=Path, help="an EfficientNet-Lite0 trained on the species of birds.py")
    return made.parse_args()


class Contestant:
    """A process that answers when asked."""

    def __init__(self, python: Path | str, kind: str, model: Path, batch: Path, threads: int | None) -> None:
        told = {"OMP_NUM_THREADS": str(threads)} if threads else {}
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | told
        command = [str(python), "-W", "ignore", str(SCRIPT), kind, str(model), str(batch), str(threads or 1)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._child = subprocess.Popen(command, env=environment, text=True, **pipes)

    def __call__(self, rows: Path | str = "") -> tuple[float, float]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{rows}\n")
        self._child.stdin.flush()
        clock, processor = json.loads(self._child.stdout.readline())
        return clock, processor

    def close(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


def drawn(name: str, shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw a parameter so that signals come through."""
    kind = name.rpartition("_")[2]
    if name.startswith("aux:bn_data"):
        return np.full(shape, 117 if kind == "mean" else 3500, dtype=np.float32)
    if kind in {"gamma", "var"}:
        return random.uniform(0.7, 1.3, shape).astype(np.float32)
    if kind == "weight":
        scale = math.sqrt(2 / math.prod(shape[1:])) * next((part for end, part in SMALLER.items() if end in name), 1)
        return random.normal(0, scale, shape).astype(np.float32)
    return random.normal(0, 0.1, shape).astype(np.float32)


def resnet(folder: Path, edge: int) -> Path:
    options = GraphOptions(nms_threshold=0.45, nms_topk=400)
    graph = ssd_graph("resnet-50", num_classes=CLASSES, image_shape=edge, training=False, options=options)
    random = np.random.default_rng(1)
    folder.mkdir()
    write_symbol(folder / "model-symbol.json", graph)
    arrays = {name: drawn(name, shape, random) for name, shape in parameter_shapes(graph).items()}
    write_params(folder / "model-0000.params", arrays)
    (folder / "hyperparams.json").write_text(json.dumps({"image_shape": str(edge)}), encoding="utf-8")
    return folder


def lite0(path: Path) -> Path:
    import torch

    torch.manual_seed(1)
    network = build_network("efficientnet-lite0", num_classes=CLASSES, image_shape=300)
    # Heads begin with small weights, and so with scores that differ by no more than rounding.
    with torch.no_grad():
        for head in (*network.class_heads, *network.box_heads):
            head.get_parameter("weight").mul_(SPREAD)
    params = bd.Hyperparameters(num_classes=CLASSES, num_training_samples=50, base_network="efficientnet-lite0")
    return save_artifact(path, network, params, bd.ClassTable.numbered(CLASSES))


def pictures(count: int, edge: int) -> list[npt.NDArray[np.uint8]]:
    """Made-up pictures without sharp edges, so that numbers are spread as those of photographs are."""
    random = np.random.default_rng(0)
    rough = random.integers(0, 256, (count, edge // 4, edge // 4, 3), dtype=np.uint8)
    return list(rough.repeat(4, axis=1).repeat(4, axis=2))


def measured(contestants: dict[str, Contestant], rounds: int, folder: Path) -> Seconds:
    """Compare what the contestants of 32 bits detect, and return the least seconds of each."""
    rows: dict[str, npt.NDArray[np.float32]] = {}
    for name, contestant in contestants.items():
        contestant(folder / f"{name}.npy")
        rows[name] = np.load(folder / f"{name}.npy")
    whole = [found for name, found in rows.items() if "int8" not in name]
    for found in whole[1:]:
        agree(found, whole[0])
    print(f"  {(whole[0][..., 0] >= 0).sum()} detections, the same in {len(whole)} of {len(rows)}")
    taken = [{name: contestant() for name, contestant in contestants.items()} for _ in range(rounds)]
    return {name: least([each[name] for each in taken]) for name in contestants}


def least(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    clock, processor = (min(numbers) for numbers in zip(*pairs, strict=True))
    return clock, processor


def agree(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> None:
    kept = expected[..., 0] >= 0
    same = np.array_equal(found[..., 0] >= 0, kept) and np.array_equal(found[kept][:, 0], expected[kept][:, 0])
    if not same or np.abs(found[kept] - expected[kept]).max(initial=0) > CLOSE:
        sys.exit("the contestants do not detect the same")


def compared(
    name: str, model: Path, edge: int, arguments: argparse.Namespace, folder: Path, *, mxnet: Path | None
) -> dict[str, float]:
    eight = quantize(model, folder / f"{name}.int8.onnx", pictures(8, edge))
    batch = folder / f"{name}.batch.npy"
    np.save(batch, pictures(1, edge)[0].astype(np.float32).transpose(2, 0, 1)[None])
    threads = arguments.threads
    asked: dict[str, tuple[Path | str, str, Path, int | None]] = {}
    if mxnet is not None:
        asked |= {"MXNet": (mxnet, "mxnet", model, threads), "MXNet as it comes": (mxnet, "mxnet", model, None)}
    asked |= {
        "torch": (sys.executable, "torch", model, threads),
        "ONNX Runtime": (sys.executable, "onnxruntime", model, threads),
        "ONNX Runtime int8": (sys.executable, "onnxruntime", eight, threads),
    }
    print(f"{name} at {edge}, one image, {threads} threads")
    with contextlib.ExitStack() as stack:
        contestants = {}
        for who, (python, kind, path, count) in asked.items():
            contestants[who] = Contestant(python, kind, path, batch, count)
            stack.callback(contestants[who].close)
        seconds = measured(contestants, arguments.rounds, folder)
    return told(name, seconds)


def told(name: str, seconds: Seconds) -> dict[str, float]:
    """Print the table, and return how many times as fast as the first each is."""
    first = next(iter(seconds))
    ratios = {}
    for who, (clock, processor) in seconds.items():
        by_clock, by_processor = seconds[first][0] / clock, seconds[first][1] / processor
        print(f"  {who:20} {1e3 * clock:6.0f} ms {by_clock:5.2f}", end="")
        print(f"   processor {1e3 * processor:6.0f} ms {by_processor:5.2f}")
        ratios[f"{name}: {who} over {first}"] = by_clock
        ratios[f"{name}: {who} over {first}, processor time"] = by_processor
    return ratios


def precision(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """What eight bits cost on unseen birds; ranges are measured on those that it was trained on."""
    if arguments.data is None or arguments.model is None:
        print("mean average precision is skipped: it takes --data and --model")
        return {}
    train, unseen = bd.load_cub(arguments.data, sizes=arguments.sizes).select(SPECIES).split()
    models = {
        "float32": convert(arguments.model, folder / "birds.onnx"),
        "int8": quantize(arguments.model, folder / "birds.int8.onnx", train),
    }
    found = {name: bd.evaluate(load_model(path), unseen).to_dict() for name, path in models.items()}
    print(f"EfficientNet-Lite0 on {len(unseen)} unseen photographs")
    for figure, title in FIGURES.items():
        whole, eight = (found[name][figure] for name in models)
        print(f"  {title:10} float32 {whole:.4f}, int8 {eight:.4f}, {eight - whole:+.4f}")
    return {f"int8 less float32, {FIGURES[name]}": found["int8"][name] - found["float32"][name] for name in FIGURES}


def flags() -> list[str]:
    """Tell which instructions of use here the processor has."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        found = next((line.split() for line in lines if line.startswith("flags")), [])
        return [flag for flag in FLAGS if flag in found]
    return []


def main() -> None:
    arguments = given()
    print(f"the processor has {', '.join(flags()) or 'no instructions that are known here'}, of {', '.join(FLAGS)}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        large, small, edge = resnet(folder / "resnet", arguments.edge), lite0(folder / "lite0.tar.gz"), arguments.edge
        ratios = compared("resnet-50", large, edge, arguments, folder, mxnet=mxnet_python())
        ratios |= compared("Lite0", small, 300, arguments, folder, mxnet=None)
        lost = precision(arguments, folder)
    write(arguments.json, ratios, precision=lost, flags=flags(), threads=arguments.threads)


if __name__ == "__main__":
    main()
