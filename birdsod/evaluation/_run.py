"""A predictor run over the images of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from birdsod import bbox
from birdsod._arguments import named
from birdsod._progress import bar
from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset
from birdsod.detections import Detections
from birdsod.errors import BirdsodError, BoxError, DatasetError, InputError
from birdsod.estimator import Predictor
from birdsod.evaluation._report import Report
from birdsod.metrics import GroundTruth, Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from birdsod.dataset import ImageRecord

__all__ = ["evaluate"]

BATCH = 16
"""Images that a predictor with ``predict_batch`` is given together."""


def evaluate(predictor: Predictor, dataset: DetectionDataset, *, progress: bool = True) -> Report:
    """Run a predictor over a data set and compare what it finds with what is there.

    Every image is read from its source file, and every image counts: those without objects too, and one that
    cannot be read ends the evaluation. Objects are clipped to their images.

    Parameters
    ----------
    predictor : Predictor
        A job, a detector, a loaded model, or anything else with ``classes`` and ``predict``. If it has
        ``predict_batch`` too, it is given several images at a time.
    dataset : DetectionDataset
        Images with their objects; the same classes as the predictor's, by name, in any order.
    progress : bool, default True
        Show a progress bar, if there is a terminal or notebook to show it in.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If this is no predictor, or it answers with something else than one detections for each image.
    DatasetError
        If this is no data set, there are no images, images are missing, the classes differ, or an image does
        not have the size that the data set says.
    ImageError
        If an image cannot be read; it is named.
    BoxError
        If an object lies outside its image altogether.

    Examples
    --------
    >>> import tempfile
    >>> import birdsod as bd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     birds = bd.synthetic_birds(folder, seed=0, classes=2, per_class=2)
    ...
    ...     class Blind:
    ...         classes = birds.class_table
    ...
    ...         def predict(self, image):
    ...             return bd.Detections([], [], [], 1, 1, self.classes)
    ...
    ...     bd.evaluate(Blind(), birds).map50
    0.0
    """
    _check(predictor, dataset)
    class_ids = _class_ids(predictor.classes, dataset.class_table)
    if len(dataset) == 0:
        raise DatasetError("there are no images to evaluate on", cure="give a data set that is not empty")
    dataset.require_images()
    records = list(dataset)
    truth = _truth(records)
    predicted = _predicted(predictor, records)
    shown = bar(predicted, total=len(records), description="evaluating") if progress else predicted
    found = [_placed(detections, record) for record, detections in shown]
    return Report(truth, _joined(found, records, class_ids), dataset.class_table, [item.image_id for item in records])


def _check(predictor: object, dataset: object) -> None:
    if not isinstance(predictor, Predictor) or not isinstance(predictor.classes, ClassTable):
        cure = "give a job, a detector, load_model(path), or an object with classes (a ClassTable) and predict"
        raise InputError("this is no predictor", value=named(predictor), cure=cure)
    if not isinstance(dataset, DetectionDataset):
        raise DatasetError("this is no data set", value=named(dataset), cure="give what load_cub(folder) returns")


def _class_ids(ours: ClassTable, theirs: ClassTable) -> npt.NDArray[np.int64]:
    """Return the data set's class id for each of the predictor's."""
    unknown, missing = set(ours.names) - set(theirs.names), set(theirs.names) - set(ours.names)
    if unknown or missing:
        parts = [f"only the predictor knows {_listed(unknown)}"] if unknown else []
        parts += [f"only the data set knows {_listed(missing)}"] if missing else []
        cure = "select the classes that the model was trained on, under the same names"
        raise DatasetError("the classes of predictor and data set differ", cause="; ".join(parts), cure=cure)
    return np.array([theirs.names.index(name) for name in ours.names], dtype=np.int64)


def _listed(names: set[str], most: int = 5) -> str:
    shown = sorted(names)[:most]
    return ", ".join(shown) + (f", ... ({len(names)} classes)" if len(names) > most else "")


def _truth(records: Sequence[ImageRecord]) -> GroundTruth:
    """Return all objects, clipped to their images."""
    return GroundTruth(
        np.repeat([record.image_id for record in records], [len(record.class_ids) for record in records]),
        np.concatenate([record.class_ids for record in records]),
        np.concatenate([_clipped(record) for record in records]),
    )


def _clipped(record: ImageRecord) -> npt.NDArray[np.float64]:
    inside = bbox.clip(record.boxes, width=record.width, height=record.height).boxes
    outside = np.flatnonzero(bbox.area(inside) <= 0)
    if len(outside):
        row = int(outside[0])
        message = f"an object lies outside its image of {record.width} x {record.height}"
        raise BoxError(message, path=record.path, record=row, value=record.boxes[row].tolist())
    return inside


def _predicted(predictor: Predictor, records: Sequence[ImageRecord]) -> Iterator[tuple[ImageRecord, Detections]]:
    """Yield every image with what was found in it."""
    together = getattr(predictor, "predict_batch", None)
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        if together is None:
            yield from ((record, _alone(predictor, record)) for record in part)
            continue
        try:
            answered: object = together([record.path for record in part])
        except BirdsodError:
            # One at a time: either the image at fault is named, or it was not the fault of an image.
            answered = [_alone(predictor, record) for record in part]
        found = _listed_answers(answered)
        if len(found) != len(part):
            raise InputError(f"the predictor answered {len(found)} times for {len(part)} images")
        yield from zip(part, found, strict=True)


def _listed_answers(answered: object) -> list[Detections]:
    if not isinstance(answered, Iterable):
        cure = "let predict_batch return a list of Detections"
        raise InputError("the predictor answered with no list", value=named(answered), cure=cure)
    return list(answered)


def _alone(predictor: Predictor, record: ImageRecord) -> Detections:
    try:
        return predictor.predict(record.path)
    except BirdsodError as error:
        error.path = error.path or str(record.path)
        raise
    except Exception as error:
        error.add_note(f"while looking for objects in {record.path}")
        raise


def _placed(found: object, record: ImageRecord) -> Detections:
    """Return the detections if they are some, and belong to an image of the size that the data set knows."""
    if not isinstance(found, Detections):
        message, cure = "the predictor answered with something else than Detections", "see Detections.from_prediction"
        raise InputError(message, path=record.path, value=named(found), cure=cure)
    if len(found) and (found.width, found.height) != (record.width, record.height):
        raise DatasetError(
            f"the image is {found.width} x {found.height}, the data set says {record.width} x {record.height}",
            path=record.path,
            cure="correct the sizes, or leave them out and have them read from the files",
        )
    return found


def _joined(
    found: Sequence[Detections], records: Sequence[ImageRecord], class_ids: npt.NDArray[np.int64]
) -> Predictions:
    return Predictions(
        np.repeat([record.image_id for record in records], [len(item) for item in found]),
        class_ids[np.concatenate([item.class_id for item in found])],
        np.concatenate([item.confidence for item in found]),
        np.concatenate([item.xyxy for item in found]),
    )
