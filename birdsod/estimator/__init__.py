"""Engines: what trains a detector and hosts it.

An engine is met through four protocols: an :class:`Estimator` starts a :class:`Job`, a job is deployed as a
:class:`Detector`, and both are a :class:`Predictor`. Code that keeps to them runs on every engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load
from birdsod.estimator._protocols import Detector, Estimator, Job, Predictor

if TYPE_CHECKING:
    from birdsod.estimator._detector import LocalDetector
    from birdsod.estimator._local import LocalEstimator
    from birdsod.estimator._local_job import LocalJob
    from birdsod.estimator.sagemaker import SageMakerEstimator, SageMakerJob

__all__ = [
    "Detector",
    "Estimator",
    "Job",
    "LocalDetector",
    "LocalEstimator",
    "LocalJob",
    "Predictor",
    "SageMakerEstimator",
    "SageMakerJob",
]

_HOME = {
    "LocalDetector": "_detector",
    "LocalEstimator": "_local",
    "LocalJob": "_local_job",
    "SageMakerEstimator": "sagemaker.estimator",
    "SageMakerJob": "sagemaker.job",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
