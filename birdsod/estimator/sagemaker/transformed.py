"""What a batch transform found, image by image."""

from __future__ import annotations

from dataclasses import dataclass

from birdsod.predicted import FailedImage, Predicted

__all__ = ["FailedImage", "Transformed"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Transformed(Predicted):
    """What a batch transform found, image by image in the order in which they were given.

    Parameters
    ----------
    images : tuple of SeenImage
        The images.
    detections : tuple of Detections or None
        What was found in each; None where there is no answer.
    failures : tuple of FailedImage
        The images without an answer, with the reason.
    classes : ClassTable
        What the class ids stand for.
    job : str
        Name of the transform job.
    output_uri : str
        Where the answers are.
    """

    job: str
    output_uri: str
