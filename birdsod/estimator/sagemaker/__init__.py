"""The engine on Amazon SageMaker: training, hosting and clean-up in one's own account, over boto3 alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.estimator.sagemaker.cleanup import Cleaned, CleanupReport
    from birdsod.estimator.sagemaker.detector import SageMakerDetector
    from birdsod.estimator.sagemaker.estimator import SageMakerEstimator
    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.estimator.sagemaker.inputs import Inputs, UploadedInputs
    from birdsod.estimator.sagemaker.job import SageMakerJob
    from birdsod.estimator.sagemaker.ledger import Ledger, Resource
    from birdsod.estimator.sagemaker.requests import ChannelPlan, TrainingPlan
    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.estimator.sagemaker.transformed import FailedImage, Transformed

__all__ = [
    "ChannelPlan",
    "Cleaned",
    "CleanupReport",
    "Cloud",
    "FailedImage",
    "Hosting",
    "Inputs",
    "Ledger",
    "Resource",
    "SageMakerDetector",
    "SageMakerEstimator",
    "SageMakerJob",
    "TrainingPlan",
    "Transformed",
    "UploadedInputs",
]

_HOME = {
    "ChannelPlan": "requests",
    "Cleaned": "cleanup",
    "CleanupReport": "cleanup",
    "Cloud": "session",
    "FailedImage": "transformed",
    "Hosting": "hosting",
    "Inputs": "inputs",
    "Ledger": "ledger",
    "Resource": "ledger",
    "SageMakerDetector": "detector",
    "SageMakerEstimator": "estimator",
    "SageMakerJob": "job",
    "TrainingPlan": "requests",
    "Transformed": "transformed",
    "UploadedInputs": "inputs",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
