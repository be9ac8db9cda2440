"""The engine on Amazon SageMaker: training, hosting and clean-up in one's own account, over boto3 alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.estimator.sagemaker.estimator import SageMakerEstimator
    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.estimator.sagemaker.inputs import Inputs, UploadedInputs
    from birdsod.estimator.sagemaker.job import SageMakerJob
    from birdsod.estimator.sagemaker.ledger import Ledger, Resource
    from birdsod.estimator.sagemaker.requests import ChannelPlan, TrainingPlan
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = [
    "ChannelPlan",
    "Cloud",
    "Hosting",
    "Inputs",
    "Ledger",
    "Resource",
    "SageMakerEstimator",
    "SageMakerJob",
    "TrainingPlan",
    "UploadedInputs",
]

_HOME = {
    "ChannelPlan": "requests",
    "Cloud": "session",
    "Hosting": "hosting",
    "Inputs": "inputs",
    "Ledger": "ledger",
    "Resource": "ledger",
    "SageMakerEstimator": "estimator",
    "SageMakerJob": "job",
    "TrainingPlan": "requests",
    "UploadedInputs": "inputs",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
