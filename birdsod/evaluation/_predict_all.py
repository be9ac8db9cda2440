"""Many images through a predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from birdsod._progress import bar
from birdsod.detections import Detections
from birdsod.errors import BirdsodError, InputError
from birdsod.evaluation._asking import BATCH, answers, check_predictor
from birdsod.predicted import FailedImage, Predicted, SeenImage
from birdsod.predicted._images import images_of
from birdsod.predicted._predicted import seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from birdsod.estimator import Predictor
    from birdsod.predicted._images import GivenImage, ImagesSource

__all__ = ["found_in", "predict_all"]

# Errors in a row that are not the fault of an image: whoever is asked is gone.
_MOST_IN_A_ROW = 8


def predict_all(
    predictor: Predictor,
    source: ImagesSource,
    *,
    on_error: Literal["raise", "collect"] = "raise",
    threshold: float = 0.0,
    batch_size: int = BATCH,
    threads: int = 1,
    progress: bool = True,
) -> Predicted:
    """Find the objects in many images: of a folder, a record file, a data set or a list.

    Images are opened as they come, and forgotten when they were looked at: memory grows by what was found alone. None
    is passed over in silence: those that were given are those with an answer and those that ``failures`` names.

    Parameters
    ----------
    predictor : Predictor
        A loaded model, a job, a detector, or anything else with ``classes`` and ``predict``. If it has
        ``predict_batch`` too, it is given several images at a time.
    source : path-like, DetectionDataset, RecordReader or iterable
        A folder, whose images are taken with those of its subfolders, sorted by path; a ``.rec`` file; a data set; or
        several of folders, record files and images (paths, bytes, RGB arrays), numbered through.
    on_error : {"raise", "collect"}, default "raise"
        What to do with an image that cannot be read: raise, or go on and list it in ``failures``. If several answers in
        a row fail for another reason than their image, the predictor is at fault, and the error is raised.
    threshold : float, default 0.0
        Least confidence of what is kept.
    batch_size : int, default 16
        Images that ``predict_batch`` is given together.
    threads : int, default 1
        Images that a predictor without ``predict_batch`` is asked about at once; it must bear that.
    progress : bool, default True
        Show a progress bar, if there is a terminal or notebook to show it in.

    Returns
    -------
    Predicted

    Raises
    ------
    InputError
        If this is no predictor, it answers with something else than detections, or an option is out of range.
    DatasetError
        If there are no images.
    ImageError, RecordError
        If an image cannot be read, under ``on_error="raise"``; it is named.
    ServingError
        If a hosted model does not answer.

    Examples
    --------
    >>> import tempfile
    >>> import birdsod as bd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     birds = bd.synthetic_birds(folder, seed=0, classes=2, per_class=2)
    ...
    ...     class Sure:
    ...         classes = birds.class_table
    ...
    ...         def predict(self, image):
    ...             size = bd.image.read_size(image)
    ...             return bd.Detections([0], [0.9], [[0.25, 0.25, 0.5, 0.5]], *size, self.classes)
    ...
    ...     predict_all(Sure(), [birds[0].path, b"no image"], on_error="collect")
    Predicted(2 images, 1 detections, 1 failures)
    """
    check_predictor(predictor)
    _check(on_error, batch_size, threads)
    images: list[SeenImage] = []
    detections: list[Detections | None] = []
    failures: list[FailedImage] = []
    lenient = on_error == "collect"
    with images_of(source) as given:
        found = answers(predictor, given.begin(), batch=batch_size, threads=threads)
        shown = bar(found, total=given.count, description="predicting") if progress else found
        for image, answer in found_in(shown, lenient=lenient):
            if isinstance(answer, BirdsodError):
                failures.append(FailedImage(image.name, len(images), str(answer)))
            images.append(seen(image))
            detections.append(answer.above(threshold) if isinstance(answer, Detections) else None)
    return Predicted(tuple(images), tuple(detections), tuple(failures), predictor.classes)


def found_in(
    pairs: Iterable[tuple[GivenImage, Detections | BirdsodError]], *, lenient: bool
) -> Iterator[tuple[GivenImage, Detections | BirdsodError]]:
    """Yield images with their answers, raising an error unless it is the image's fault and that is allowed."""
    in_a_row = 0
    for image, answer in pairs:
        in_a_row = in_a_row + 1 if isinstance(answer, BirdsodError) and not isinstance(answer, InputError) else 0
        if isinstance(answer, BirdsodError) and (not lenient or in_a_row == _MOST_IN_A_ROW):
            raise answer
        yield image, answer


def _check(on_error: str, batch_size: int, threads: int) -> None:
    if on_error not in {"raise", "collect"}:
        raise InputError("unknown way to treat errors", value=on_error, cure='choose "raise" or "collect"')
    for name, value in {"batch_size": batch_size, "threads": threads}.items():
        if value < 1:
            raise InputError(f"{name} is at least 1", value=value)
