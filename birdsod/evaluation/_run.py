"""A predictor run over the images of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from birdsod import bbox
from birdsod._arguments import named
from birdsod._progress import bar
from birdsod.dataset import DetectionDataset
from birdsod.errors import BirdsodError, BoxError, DatasetError
from birdsod.evaluation._asking import BATCH, answers, check_predictor
from birdsod.evaluation._report import Report
from birdsod.metrics import GroundTruth, Predictions
from birdsod.predicted._images import GivenImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from birdsod.classes import ClassTable
    from birdsod.dataset import ImageRecord
    from birdsod.detections import Detections
    from birdsod.estimator import Predictor

__all__ = ["evaluate"]


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
    given = (GivenImage(str(item.path), item.path, item.image_id) for item in records)
    answered = answers(predictor, given, batch=BATCH)
    shown = bar(answered, total=len(records), description="evaluating") if progress else answered
    found = [_placed(answer, record) for (_, answer), record in zip(shown, records, strict=True)]
    return Report(truth, _joined(found, records, class_ids), dataset.class_table, [item.image_id for item in records])


def _check(predictor: object, dataset: object) -> None:
    check_predictor(predictor)
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


def _placed(found: Detections | BirdsodError, record: ImageRecord) -> Detections:
    """Return the detections if they belong to an image of the size that the data set knows."""
    if isinstance(found, BirdsodError):
        raise found
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
