"""The command that judges a model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsod.cli._data import CLASSES, DATA, SIZES
from birdsod.cli._values import archive_of, class_list, reported, say

if TYPE_CHECKING:
    from birdsod.evaluation import Report

__all__ = ["JSON", "MODEL", "evaluate"]

MODEL = typer.Argument(help="model.tar.gz or model.onnx, the folder of a job, or s3://bucket/key.")
JSON = typer.Option("--json", help="Print JSON.")


@reported
def evaluate(
    *,
    model: Annotated[Path, MODEL],
    data: Annotated[Path, DATA],
    classes: Annotated[str | None, CLASSES] = None,
    sizes: Annotated[Path | None, SIZES] = None,
    split: Annotated[str, typer.Option(help="Which images: train, validation or all.")] = "validation",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Judge a model on images it has not seen.

    Mean average precision by three rules, overall and per class.
    """
    from birdsod.dataset import load_cub
    from birdsod.evaluation import evaluate as judge
    from birdsod.ssd import load_model

    chosen = class_list(classes)
    loaded = load_model(archive_of(model))
    birds = load_cub(data, sizes=sizes).select(list(loaded.classes.names) if chosen is None else chosen)
    report = judge(loaded, birds if split == "all" else birds.subset(split))
    if as_json:
        say(json.dumps(report.to_dict()))
    else:
        _show(report)


def _show(report: "Report") -> None:
    say(f"{report.images} images")
    for name in ("map50", "map50_voc07", "map75", "coco_map"):
        say(f"{name:<40}{getattr(report, name):.4f}")
    for name, figures in report.to_dict()["per_class"].items():
        say(f"{name:<40}{'none' if figures['ap50'] is None else format(figures['ap50'], '.4f')}")
