"""The commands that ask and judge a model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsod.cli._account import Profile, Region, session_of
from birdsod.cli._data import CLASSES, DATA, SIZES
from birdsod.cli._values import archive_of, class_list, reported, say

if TYPE_CHECKING:
    from birdsod.detections import Detections
    from birdsod.estimator import Predictor
    from birdsod.evaluation import Report

__all__ = ["evaluate", "predict"]

MODEL = typer.Argument(help="model.tar.gz, or the folder of a job.")
JSON = typer.Option("--json", help="Print JSON.")


@reported
def predict(
    *,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="[MODEL] IMAGE...", help="A model and images; images alone with --endpoint.")
    ],
    endpoint: Annotated[str | None, typer.Option(help="Ask this endpoint on SageMaker.")] = None,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Least confidence that is shown.")] = 0.4,
    as_json: Annotated[bool, JSON] = False,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Find objects in images, by a model here or at an endpoint.

    MODEL is a model.tar.gz or the folder of a job. One line each: path, class, confidence and the box in pixels.
    """
    images = inputs if endpoint else inputs[1:]
    if not images:
        raise typer.BadParameter("name at least one image", param_hint="IMAGE")
    predictor = _endpoint(endpoint, region, profile) if endpoint else _model(inputs[0])
    for path in images:
        found = predictor.predict(path).above(threshold)
        for row in _rows(path, found):
            say(json.dumps(row) if as_json else _line(row))


def _model(path: Path) -> "Predictor":
    from birdsod.ssd import load_model

    return load_model(archive_of(path))


def _endpoint(name: str, region: str | None, profile: str | None) -> "Predictor":
    from birdsod.estimator.sagemaker import SageMakerDetector

    return SageMakerDetector.attach(name, session=session_of(region, profile))


def _rows(path: Path, found: "Detections") -> list[dict[str, Any]]:
    cells = zip(found.class_id, found.names, found.confidence, found.xyxy, strict=True)
    return [
        {
            "image": str(path),
            "class_id": int(class_id),
            "name": name,
            "confidence": float(confidence),
            "xyxy": [float(side) for side in box],
        }
        for class_id, name, confidence, box in cells
    ]


def _line(row: dict[str, Any]) -> str:
    sides = "\t".join(f"{side:.1f}" for side in row["xyxy"])
    return f"{row['image']}\t{row['name']}\t{row['confidence']:.3f}\t{sides}"


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
