"""The command that asks a model about images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsod.cli._account import Profile, Region, session_of
from birdsod.cli._data import OnError
from birdsod.cli._model import JSON
from birdsod.cli._values import archive_of, complain, reported, say

if TYPE_CHECKING:
    from birdsod.detections import Detections
    from birdsod.estimator import Predictor
    from birdsod.predicted import Predicted

__all__ = ["predict"]

_KINDS = (".csv", ".json", ".lst")


@reported
def predict(  # noqa: PLR0913 - each option is an argument here
    *,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] PATH...",
            help="A model, and images, folders of them or .rec files; these alone with --endpoint.",
        ),
    ],
    endpoint: Annotated[str | None, typer.Option(help="Ask this endpoint on SageMaker.")] = None,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Least confidence of what is told.")] = 0.4,
    as_json: Annotated[bool, JSON] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write found.csv, found.json (COCO results) or found.lst (labels) instead.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Of a .lst: folder that its paths start from.")] = None,
    on_error: Annotated[OnError, typer.Option(help="What to do with an image that cannot be read.")] = OnError.RAISE,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Find objects in images, by a model here or at an endpoint.

    MODEL is a model.tar.gz or model.onnx, the folder of a job, or s3://bucket/key. One line each: path, class,
    confidence and the box in pixels.
    """
    paths = inputs if endpoint else inputs[1:]
    if not paths:
        raise typer.BadParameter("name at least one image", param_hint="PATH")
    if out is not None and out.suffix.lower() not in _KINDS:
        raise typer.BadParameter(f"{out} does not end in {', '.join(_KINDS)}", param_hint="--out")
    predictor = _endpoint(endpoint, region, profile) if endpoint else _model(inputs[0])
    lenient = on_error is OnError.SKIP
    if out is None:
        _print(predictor, paths, threshold, lenient=lenient, as_json=as_json)
    else:
        _write(predictor, paths, threshold, lenient=lenient, out=out, root=root)


def _model(path: Path) -> "Predictor":
    from birdsod.ssd import load_model

    return load_model(archive_of(path))


def _endpoint(name: str, region: str | None, profile: str | None) -> "Predictor":
    from birdsod.estimator.sagemaker import SageMakerDetector

    return SageMakerDetector.attach(name, session=session_of(region, profile))


def _print(predictor: "Predictor", paths: list[Path], threshold: float, *, lenient: bool, as_json: bool) -> None:
    from birdsod.detections import Detections
    from birdsod.evaluation._asking import answers
    from birdsod.evaluation._predict_all import found_in
    from birdsod.predicted._images import images_of

    with images_of(paths) as given:
        for image, answer in found_in(answers(predictor, given.begin()), lenient=lenient):
            if isinstance(answer, Detections):
                for row in _rows(image.name, answer.above(threshold)):
                    say(json.dumps(row) if as_json else _line(row))
            else:
                complain(f"{image.name}: not looked at: {answer}")


def _rows(name: str, found: "Detections") -> list[dict[str, Any]]:
    cells = zip(found.class_id, found.names, found.confidence, found.xyxy, strict=True)
    return [
        {
            "image": name,
            "class_id": int(class_id),
            "name": class_name,
            "confidence": float(confidence),
            "xyxy": [float(side) for side in box],
        }
        for class_id, class_name, confidence, box in cells
    ]


def _line(row: dict[str, Any]) -> str:
    sides = "\t".join(f"{side:.1f}" for side in row["xyxy"])
    return f"{row['image']}\t{row['name']}\t{row['confidence']:.3f}\t{sides}"


def _write(
    predictor: "Predictor", paths: list[Path], threshold: float, *, lenient: bool, out: Path, root: Path | None
) -> None:
    from birdsod.evaluation import predict_all

    found = predict_all(predictor, paths, on_error="collect" if lenient else "raise", threshold=threshold)
    for failure in found.failures:
        complain(f"{failure.name}: not looked at: {failure.reason}")
    _save(found, out, threshold, root)
    say(f"{out}: {len(found)} images, {sum(map(len, _answers(found)))} detections, {len(found.failures)} refused")


def _answers(found: "Predicted") -> list["Detections"]:
    return [answer for _, answer in found.answered()]


def _save(found: "Predicted", out: Path, threshold: float, root: Path | None) -> None:
    from birdsod._files import write_text

    kind = out.suffix.lower()
    if kind == ".json":
        found.to_coco(out)
    elif kind == ".lst":
        found.to_lst(out, threshold=threshold, root=root)
    else:
        write_text(out, found.to_frame().to_csv(index=False))
