"""The whole walkthrough in one go: what ``birdsod demo`` runs, and the report it leaves."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from birdsod._files import write_text
from birdsod.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from birdsod.dataset import DetectionDataset, ImageRecord
    from birdsod.estimator import LocalJob
    from birdsod.evaluation import Report
    from birdsod.recordio import Packed

__all__ = ["Demo", "run_demo"]

_MARK = "demo.json"
_MADE_BY = "birdsod demo"
_PARTS = (
    "made-up",
    "flips",
    "packed",
    "packed-mirrored",
    "jobs",
    "models",
    "figures",
    "report.json",
    "detections.json",
)
_WIDTH = 300
_SHOWN = 12
_FIGURES = {
    "map50": "mAP@0.5, area",
    "map50_voc07": "mAP@0.5, VOC 2007",
    "map75": "mAP@0.75",
    "coco_map": "mAP@[.5:.95]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What a demonstration is made with.

    Parameters
    ----------
    out : pathlib.Path
        Folder of everything it leaves.
    data : pathlib.Path or None, default None
        Folder of real birds in CUB layout; birds are drawn where it is None.
    classes : sequence of int or str, or None, default None
        Classes of them; all where it is None.
    sizes : pathlib.Path or None, default None
        File of their image sizes.
    epochs : int or None, default None
        Epochs of the run on the images as given; 16, or 32 on real birds.
    seed : int, default 0
        Of everything that is left to chance.
    jobs : int, default 2
        Images that are packed or mirrored at once.
    quick : bool, default False
        Few images and few epochs: shows that it works, not how well.
    overwrite : bool, default False
        Use a folder that holds something else already, which stays. What an earlier demonstration left is
        always replaced; things of its names that it did not make never are.
    """

    out: Path
    data: Path | None = None
    classes: Sequence[int | str] | None = None
    sizes: Path | None = None
    epochs: int | None = None
    seed: int = 0
    jobs: int = 2
    quick: bool = False
    overwrite: bool = False

    @property
    def epochs_as_given(self) -> int:
        """Epochs of the first run; the second, on twice the images, does as many updates."""
        return self.epochs or (2 if self.quick else 32 if self.data else 16)


@dataclass(frozen=True, slots=True)
class _Run:
    """One training run and what came of it."""

    job: LocalJob
    report: Report
    seconds: float

    def figures(self) -> dict[str, Any]:
        """Return its part of ``report.json``."""
        told = self.report.to_dict()
        return {
            **{name: told[name] for name in _FIGURES},
            "per_class": {name: figures["ap50"] for name, figures in told["per_class"].items()},
            "train_seconds": round(self.seconds, 3),
            "updates": self.job.state().updates,
        }


def run_demo(demo: Demo, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Run the whole walkthrough: read, look, pack, train, watch, host, ask, judge, improve by mirrored images, compare.

    Parameters
    ----------
    demo : Demo
        What it is made with.
    say : callable, default print
        Takes each line that tells how far it is.

    Returns
    -------
    dict
        What ``report.json`` holds.

    Raises
    ------
    InputError
        If the folder holds something else.
    BirdsodError
        As the steps raise it.
    """
    _refuse_strangers(demo)
    # Before anything is cleared: a folder that cannot be read must not cost an earlier result.
    given = _given(demo)
    _clear(demo)
    birds = given or _drawn(demo, say)
    train, validation = birds.split()
    species = birds.class_table.names[0]
    _keep(demo, "species", _viz().show_species(birds, species, limit=18))
    first = _trained(demo, "as_given", train, validation, say)
    _ask(demo, first.job, validation, say)
    say("mirroring the training images")
    mirrored = train.with_flips(demo.out / "flips", jobs=demo.jobs)
    second = _trained(demo, "mirrored", mirrored, validation, say, updates=first.job.state().updates)
    reports = {"as given": first.report, "mirrored": second.report}
    _keep(demo, "compare", _viz().compare(reports))
    return _leave(demo, first, second, {"train": len(train), "validation": len(validation)}, say)


def _refuse_strangers(demo: Demo) -> None:
    """Stop before anything is written over that no demonstration made."""
    if demo.out.exists() and not demo.out.is_dir():
        raise InputError("a file stands where the folder should be", path=demo.out, cure="name another folder")
    if not demo.out.is_dir() or _is_ours(demo.out / _MARK):
        return
    held = {path.name for path in demo.out.iterdir()}
    taken = sorted(held & {*_PARTS, _MARK})
    if taken:
        message = f"the folder holds things of the names that the demo uses: {', '.join(taken)}"
        raise InputError(message, path=demo.out, cure="name another folder")
    if held and not demo.overwrite:
        cure = "name another folder, or add --overwrite: what is there already stays"
        raise InputError("the folder holds something that is no earlier demo", path=demo.out, cure=cure)


def _is_ours(mark: Path) -> bool:
    try:
        told = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("made_by") == _MADE_BY


def _clear(demo: Demo) -> None:
    """Make the folder, and clear it of what an earlier demonstration left."""
    demo.out.mkdir(parents=True, exist_ok=True)
    told = {"made_by": _MADE_BY, "seed": demo.seed, "epochs": demo.epochs_as_given}
    write_text(demo.out / _MARK, json.dumps(told) + "\n")
    for name in _PARTS:
        _remove(demo.out / name)
    (demo.out / "figures").mkdir()
    (demo.out / "models").mkdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _drawn(demo: Demo, say: Callable[[str], object]) -> DetectionDataset:
    from birdsod.dataset import synthetic_birds

    say("drawing made-up birds")
    return synthetic_birds(demo.out / "made-up", seed=demo.seed, per_class=8 if demo.quick else 60)


def _given(demo: Demo) -> DetectionDataset | None:
    """Return the real birds, read and checked, or None where birds are to be drawn."""
    from birdsod.dataset import load_cub

    if demo.data is None:
        return None
    birds = load_cub(demo.data, sizes=demo.sizes)
    birds = birds if demo.classes is None else birds.select(demo.classes)
    birds = _few(birds) if demo.quick else birds
    birds.split()
    birds.require_images()
    return birds


def _few(birds: DetectionDataset, per_class: int = 4) -> DetectionDataset:
    """Return the first images of each class and split."""
    kept: dict[tuple[str, int], int] = {}
    rows = []
    for row, record in enumerate(birds):
        key = (record.split, int(record.class_ids[0]))
        kept[key] = kept.get(key, 0) + 1
        if kept[key] <= per_class:
            rows.append(row)
    import numpy as np

    return birds[np.array(rows, dtype=np.int64)]


def _trained(
    demo: Demo,
    name: str,
    train: DetectionDataset,
    validation: DetectionDataset,
    say: Callable[[str], object],
    updates: int | None = None,
) -> _Run:
    """Pack, train, draw the curve and judge."""
    from birdsod.evaluation import evaluate

    data = _packed(demo, name, train, validation)
    say(f"training on {len(train)} images ({name.replace('_', ' ')})")
    begun = time.monotonic()
    job = _fit(demo, data, updates)
    seconds = time.monotonic() - begun
    shutil.copyfile(job.artifact, demo.out / "models" / f"{name}.tar.gz")
    _keep(demo, f"map_{name}", _viz().plot_map(job))
    report = evaluate(job, validation)
    say(f"  {job.state().updates} updates in {seconds:.0f} s; mAP@0.5 {report.map50:.3f} on {len(validation)} images")
    return _Run(job, report, seconds)


def _packed(demo: Demo, name: str, train: DetectionDataset, validation: DetectionDataset) -> Packed:
    from birdsod.recordio import pack

    folder = demo.out / ("packed" if name == "as_given" else f"packed-{name}")
    return pack({"train": train, "validation": validation}, folder, resize=_WIDTH, jobs=demo.jobs)


def _fit(demo: Demo, data: Packed, updates: int | None) -> LocalJob:
    from birdsod.estimator import LocalEstimator
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd import LocalOptions

    # With twice the images, half the epochs; the exact number of updates makes the two runs comparable.
    epochs = demo.epochs_as_given if updates is None else max(1, demo.epochs_as_given // 2)
    params = Hyperparameters.for_data(data, base_network="efficientnet-lite0", epochs=epochs, image_shape=_WIDTH)
    # The trainer's own mirroring would blur what the mirrored images add.
    options = LocalOptions(mirror=False, updates=updates, seed=demo.seed)
    return LocalEstimator(params, demo.out / "jobs", options=options).fit(data, logs=False)


def _ask(demo: Demo, job: LocalJob, validation: DetectionDataset, say: Callable[[str], object]) -> None:
    """Host the model and ask it about one image of each class."""
    say("hosting the model")
    with job.deploy() as detector:
        say(f"  {detector.name} answers at {detector.url}")
        for species, record in _one_of_each(validation):
            found = detector.predict(record.path)
            _keep(
                demo, f"detections_{_as_file_name(species)}", _viz().show_detections(record.path, found, threshold=0.4)
            )


def _as_file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _one_of_each(birds: DetectionDataset) -> list[tuple[str, ImageRecord]]:
    """Return the first image of each class, of the first classes only where there are many."""
    first: dict[int, ImageRecord] = {}
    for record in birds:
        for class_id in record.class_ids.tolist():
            first.setdefault(class_id, record)
    names = birds.class_table.names
    return [(names[class_id], first[class_id]) for class_id in sorted(first)[:_SHOWN]]


def _leave(
    demo: Demo, first: _Run, second: _Run, images: Mapping[str, int], say: Callable[[str], object]
) -> dict[str, Any]:
    """Write the report and the detections, and print the table."""
    report = {"as_given": first.figures(), "mirrored": second.figures(), "images": dict(images)}
    found = {"as_given": first.report.to_coco(), "mirrored": second.report.to_coco()}
    write_text(demo.out / "detections.json", json.dumps(found) + "\n")
    write_text(demo.out / "report.json", json.dumps(report, indent=2) + "\n")
    for line in _table(report["as_given"], report["mirrored"]):
        say(line)
    say(f"in {demo.out}: report.json, detections.json, figures/, models/, jobs/, packed/, packed-mirrored/")
    return report


def _table(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    rows = [(title, first[name], second[name]) for name, title in _FIGURES.items()]
    rows += [(name, first["per_class"][name], second["per_class"][name]) for name in first["per_class"]]
    wide = max(len(title) for title, _, _ in rows) + 2
    lines = [f"{'':<{wide}}{'as given':>10}{'mirrored':>10}"]
    lines += [f"{title:<{wide}}{_shown(one):>10}{_shown(other):>10}" for title, one, other in rows]
    lines.append(f"{'seconds':<{wide}}{first['train_seconds']:>10.0f}{second['train_seconds']:>10.0f}")
    return lines


def _shown(figure: float | None) -> str:
    return "none" if figure is None else f"{figure:.3f}"


def _viz() -> Any:  # noqa: ANN401 - the module, loaded when first used
    from birdsod import viz

    return viz


def _keep(demo: Demo, name: str, figure: Figure) -> None:
    from matplotlib import pyplot as plt

    figure.savefig(demo.out / "figures" / f"{name}.png", dpi=100, bbox_inches="tight")
    plt.close(figure)
