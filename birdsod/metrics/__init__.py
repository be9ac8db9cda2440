"""Average precision by three rules, on arrays: no files, no models.

One matching, three readings. Detections are taken by falling score; each takes the object of its class
and image that overlaps it most among those that are still free, if the overlap is at least the threshold
(COCO's rule). What takes none is a false positive, in images without any object too. The curve of
precision over recall is then read as

``area``
    the area under the interpolated curve, as VOC does since 2010 ("all points");
``voc07``
    the mean of the interpolated precision at recall 0, 0.1, ..., 1, as VOC 2007 does;
``coco``
    the mean at 101 recalls, averaged over the overlaps 0.5, 0.55, ..., 0.95, with at most 100 detections of
    a class in an image, as COCO does (all areas, no crowds).

The VOC devkit differs in one point: there a detection whose best object is taken is false even if another,
free object overlaps it enough. MXNet's metric also wants more than the threshold, forgets the false
positives of images without objects and counts classes that no image holds as 0. Here a class without objects
has no average precision (NaN) and is left out of the mean.
"""

from birdsod.metrics._boxes import GroundTruth, Predictions
from birdsod.metrics._curves import Curve, average_precision, precision_recall
from birdsod.metrics._evaluate import BoxScores, evaluate_boxes
from birdsod.metrics._matching import match_boxes

__all__ = [
    "BoxScores",
    "Curve",
    "GroundTruth",
    "Predictions",
    "average_precision",
    "evaluate_boxes",
    "match_boxes",
    "precision_recall",
]
