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
    from birdsod.estimator.sagemaker.tuning_job import TuningJob
    from birdsod.estimator.sagemaker.tuning_ranges import Categorical, Continuous, Integer

__all__ = [
    "Categorical",
    "ChannelPlan",
    "Cleaned",
    "CleanupReport",
    "Cloud",
    "Continuous",
    "FailedImage",
    "Hosting",
    "Inputs",
    "Integer",
    "Ledger",
    "Resource",
    "SageMakerDetector",
    "SageMakerEstimator",
    "SageMakerJob",
    "TrainingPlan",
    "Transformed",
    "TuningJob",
    "UploadedInputs",
]

_HOME = {
    "Categorical": "tuning_ranges",
    "ChannelPlan": "requests",
    "Cleaned": "cleanup",
    "CleanupReport": "cleanup",
    "Cloud": "session",
    "Continuous": "tuning_ranges",
    "FailedImage": "transformed",
    "Hosting": "hosting",
    "Inputs": "inputs",
    "Integer": "tuning_ranges",
    "Ledger": "ledger",
    "Resource": "ledger",
    "SageMakerDetector": "detector",
    "SageMakerEstimator": "estimator",
    "SageMakerJob": "job",
    "TrainingPlan": "requests",
    "Transformed": "transformed",
    "TuningJob": "tuning_job",
    "UploadedInputs": "inputs",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
