"""How well a detector finds real birds that it has never seen, and how long it trains for that.

python benchmarks/birds.py --data CUB_200_2011 --seeds 3 --updates 384

Five species of Caltech-UCSD Birds-200-2011, the split that the data set comes with, EfficientNet-Lite0 by its recipe,
the last weights, no choice by the validation images. Without the data set it says so and leaves. Seconds are those of
training alone, without any validation during it; they mean something on idle cores only.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from _report import parser, report

import birdsod as bd
from birdsod.recordio import pack

if TYPE_CHECKING:
    import argparse

    from birdsod.dataset import DetectionDataset

SPECIES = (14, 17, 36, 41, 47)
FIGURES = {"map50": "mAP@0.5", "map75": "mAP@0.75", "coco_map": "COCO mAP"}


def given() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, metavar="FOLDER", help="the data set; without it nothing is measured")
    made.add_argument("--sizes", type=Path, metavar="FILE", help="its sizes.txt, where it lies elsewhere")
    made.add_argument("--seeds", type=int, default=3, help="how many runs, seeds 0, 1, 2, ...")
    made.add_argument("--first-seed", type=int, default=0, help="the first of them")
    made.add_argument("--updates", type=int, default=384, help="updates a run")
    made.add_argument("--threads", type=int, help="of the network; by default as many as there are cores")
    made.add_argument("--loader-threads", type=int, default=2)
    made.add_argument("--image-shape", type=int, default=300, help="edge of the square images")
    return made.parse_args()


def trained(
    packed: bd.recordio.Packed, arguments: argparse.Namespace, seed: int, folder: Path
) -> bd.estimator.LocalJob:
    params = bd.Hyperparameters.for_data(
        packed, base_network="efficientnet-lite0", image_shape=arguments.image_shape, epochs=1
    )
    options = bd.LocalOptions(
        updates=arguments.updates,
        seed=seed,
        threads=arguments.threads,
        loader_threads=arguments.loader_threads,
        validate_every=0,
        checkpoint_every=1000,
    )
    return bd.LocalEstimator(params, folder, options=options).fit(packed, logs=False)


def measured(birds: DetectionDataset, arguments: argparse.Namespace, folder: Path) -> list[dict[str, float]]:
    train, unseen = birds.split()
    packed = pack({"train": train, "validation": unseen}, folder / "packed", resize=arguments.image_shape)
    print(f"{len(train)} images to train on, {len(unseen)} to judge by, {arguments.updates} updates")
    runs = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        job = trained(packed, arguments, seed, folder / "jobs")
        told = bd.evaluate(job, unseen).to_dict()
        runs.append({name: told[name] for name in FIGURES} | {"seconds": job.state().seconds})
        print(f"seed {seed}: {shown(runs[-1])}", flush=True)
    return runs


def shown(figures: dict[str, float]) -> str:
    scores = ", ".join(f"{title} {figures[name]:.3f}" for name, title in FIGURES.items())
    return f"{scores}, {figures['seconds']:.0f} s"


def main() -> None:
    arguments = given()
    if arguments.data is None or not arguments.data.is_dir():
        print("skipped: no data set; fetch it with birdsod.dataset.download_cub, and give its folder with --data")
        return
    birds = bd.load_cub(arguments.data, sizes=arguments.sizes).select(SPECIES)
    with tempfile.TemporaryDirectory() as folder:
        runs = measured(birds, arguments, Path(folder))
    mean = {name: statistics.mean(run[name] for run in runs) for name in runs[0]}
    print(f"mean: {shown(mean)}")
    report(arguments.json, {name: mean[name] for name in FIGURES}, runs=runs, updates=arguments.updates)


if __name__ == "__main__":
    main()
