"""A predictor asked about many images: several at a time, with answers in their order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from birdsod._arguments import named
from birdsod._ordered import in_threads
from birdsod.classes import ClassTable
from birdsod.detections import Detections
from birdsod.errors import BirdsodError, InputError
from birdsod.estimator import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from birdsod.predicted._images import GivenImage

    Answer = Detections | BirdsodError

__all__ = ["BATCH", "answers", "check_predictor"]

BATCH = 16
"""Images that a predictor with ``predict_batch`` is given together."""


def check_predictor(predictor: object) -> None:
    """Raise if this is no predictor."""
    if not isinstance(predictor, Predictor) or not isinstance(predictor.classes, ClassTable):
        cure = "give a job, a detector, load_model(path), or an object with classes (a ClassTable) and predict"
        raise InputError("this is no predictor", value=named(predictor), cure=cure)


def answers(
    predictor: Predictor, images: Iterable[GivenImage], *, batch: int = BATCH, threads: int = 1
) -> Iterator[tuple[GivenImage, Answer]]:
    """Yield every image with what was found in it, or with why nothing can be said of it.

    A predictor with ``predict_batch`` is given so many images together, others are asked by so many threads. No more
    images are open than are under way.
    """
    together = getattr(predictor, "predict_batch", None)
    if together is not None:
        yield from _in_batches(predictor, together, iter(images), batch)
        return
    ask = partial(_alone, predictor)
    pairs = map(ask, images) if threads == 1 else in_threads(ask, images, threads=threads)
    yield from pairs


def _in_batches(
    predictor: Predictor, together: Callable[[list[object]], object], images: Iterator[GivenImage], batch: int
) -> Iterator[tuple[GivenImage, Answer]]:
    while part := list(islice(images, batch)):
        readable = [image for image in part if image.fault is None]
        try:
            found = _answered(together([image.source for image in readable]), readable) if readable else []
        except BirdsodError as error:
            if isinstance(error, _WrongAnswerError):
                raise
            # One at a time: either the image at fault is named, or it was not the fault of an image.
            yield from (_alone(predictor, image) for image in part)
            continue
        left = iter(found)
        yield from ((image, next(left) if image.fault is None else image.fault) for image in part)


class _WrongAnswerError(InputError):
    """A predictor that answers with something else than detections."""


def _answered(answer: object, images: Sequence[GivenImage]) -> list[Detections]:
    if not isinstance(answer, Iterable):
        cure = "let predict_batch return a list of Detections"
        raise _WrongAnswerError("the predictor answered with no list", value=named(answer), cure=cure)
    found = list(answer)
    if len(found) != len(images):
        raise _WrongAnswerError(f"the predictor answered {len(found)} times for {len(images)} images")
    return [_checked(each, image) for each, image in zip(found, images, strict=True)]


def _alone(predictor: Predictor, image: GivenImage) -> tuple[GivenImage, Answer]:
    if image.fault is not None:
        return image, image.fault
    try:
        found: object = predictor.predict(image.source)
    except BirdsodError as error:
        error.path = error.path or image.name
        return image, error
    except Exception as error:
        error.add_note(f"while looking for objects in {image.name}")
        raise
    return image, _checked(found, image)


def _checked(found: object, image: GivenImage) -> Detections:
    if not isinstance(found, Detections):
        message, cure = "the predictor answered with something else than Detections", "see Detections.from_prediction"
        raise _WrongAnswerError(message, path=image.name, value=named(found), cure=cure)
    return found
