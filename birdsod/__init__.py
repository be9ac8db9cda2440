"""From annotated photographs to a trained, hosted, tested object detector and back to a clean account.

Everything public is a name of this package or of one of its public modules. Heavy parts (torch, pandas,
matplotlib, OpenCV) load when they are first used, so that ``import birdsod`` costs little more than
``import numpy``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod import bbox, dataset, errors, estimator, image, lstwriter, metrics, recordio, testing, viz
    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset, download_cub, load_cub, synthetic_birds
    from birdsod.detections import Detections
    from birdsod.errors import BirdsodError
    from birdsod.estimator import Detector, Estimator, Job, LocalEstimator, Predictor, SageMakerEstimator
    from birdsod.estimator.sagemaker import Hosting
    from birdsod.evaluation import Report, evaluate, predict_all
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.predicted import Predicted
    from birdsod.recordio import Packed, Sharded, pack
    from birdsod.ssd import LocalOptions, load_model

__version__ = "0.1.0"

__all__ = [
    "BirdsodError",
    "ClassTable",
    "DetectionDataset",
    "Detections",
    "Detector",
    "Estimator",
    "Hosting",
    "Hyperparameters",
    "Job",
    "LocalEstimator",
    "LocalOptions",
    "Packed",
    "Predicted",
    "Predictor",
    "Report",
    "SageMakerEstimator",
    "Sharded",
    "bbox",
    "dataset",
    "download_cub",
    "errors",
    "estimator",
    "evaluate",
    "image",
    "load_cub",
    "load_model",
    "lstwriter",
    "metrics",
    "pack",
    "predict_all",
    "recordio",
    "synthetic_birds",
    "testing",
    "viz",
]

_HOME = {
    "BirdsodError": "errors",
    "ClassTable": "classes",
    "DetectionDataset": "dataset",
    "Detections": "detections",
    "Detector": "estimator",
    "Estimator": "estimator",
    "Hosting": "estimator.sagemaker",
    "Hyperparameters": "hyperparameters",
    "Job": "estimator",
    "LocalEstimator": "estimator",
    "LocalOptions": "ssd",
    "Packed": "recordio",
    "Predicted": "predicted",
    "Predictor": "estimator",
    "Report": "evaluation",
    "SageMakerEstimator": "estimator",
    "Sharded": "recordio",
    "download_cub": "dataset",
    "evaluate": "evaluation",
    "load_cub": "dataset",
    "load_model": "ssd",
    "pack": "recordio",
    "predict_all": "evaluation",
    "synthetic_birds": "dataset",
}


def __getattr__(name: str) -> object:
    return load(__name__, {**dict.fromkeys(__all__, ""), **_HOME}, name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
