"""The engine on Amazon SageMaker: training, hosting and clean-up in one's own account, over boto3 alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.estimator.sagemaker.cleanup import Cleaned, CleanupReport
    from birdsod.estimator.sagemaker.detector import SageMakerDetector
    from birdsod.estimator.sagemaker.estimator import SageMakerEstimator
    from birdsod.estimator.sagemaker.findings import FINDING_KINDS, Finding, describe
    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.estimator.sagemaker.image_inputs import ImageInputs, ManifestInputs
    from birdsod.estimator.sagemaker.inputs import Inputs, UploadedInputs
    from birdsod.estimator.sagemaker.job import SageMakerJob
    from birdsod.estimator.sagemaker.ledger import Ledger, Resource
    from birdsod.estimator.sagemaker.manifests import fetch_manifest
    from birdsod.estimator.sagemaker.price_table import Price, PriceTable
    from birdsod.estimator.sagemaker.prices import Estimate
    from birdsod.estimator.sagemaker.regions import built_in_image
    from birdsod.estimator.sagemaker.requests import ChannelPlan, TrainingPlan
    from birdsod.estimator.sagemaker.sdk import from_model_trainer, model_trainer, to_model_trainer
    from birdsod.estimator.sagemaker.session import Cloud
    from birdsod.estimator.sagemaker.transformed import FailedImage, Transformed
    from birdsod.estimator.sagemaker.tuning_job import TuningJob
    from birdsod.estimator.sagemaker.tuning_ranges import Categorical, Continuous, Integer
    from birdsod.estimator.sagemaker.validation import request_findings

__all__ = [
    "FINDING_KINDS",
    "Categorical",
    "ChannelPlan",
    "Cleaned",
    "CleanupReport",
    "Cloud",
    "Continuous",
    "Estimate",
    "FailedImage",
    "Finding",
    "Hosting",
    "ImageInputs",
    "Inputs",
    "Integer",
    "Ledger",
    "ManifestInputs",
    "Price",
    "PriceTable",
    "Resource",
    "SageMakerDetector",
    "SageMakerEstimator",
    "SageMakerJob",
    "TrainingPlan",
    "Transformed",
    "TuningJob",
    "UploadedInputs",
    "built_in_image",
    "describe",
    "fetch_manifest",
    "from_model_trainer",
    "model_trainer",
    "request_findings",
    "to_model_trainer",
]

_HOME = {
    "Categorical": "tuning_ranges",
    "ChannelPlan": "requests",
    "Cleaned": "cleanup",
    "CleanupReport": "cleanup",
    "Cloud": "session",
    "Continuous": "tuning_ranges",
    "Estimate": "prices",
    "FINDING_KINDS": "findings",
    "FailedImage": "transformed",
    "Finding": "findings",
    "Hosting": "hosting",
    "ImageInputs": "image_inputs",
    "Inputs": "inputs",
    "Integer": "tuning_ranges",
    "Ledger": "ledger",
    "ManifestInputs": "image_inputs",
    "Price": "price_table",
    "PriceTable": "price_table",
    "Resource": "ledger",
    "SageMakerDetector": "detector",
    "SageMakerEstimator": "estimator",
    "SageMakerJob": "job",
    "TrainingPlan": "requests",
    "Transformed": "transformed",
    "TuningJob": "tuning_job",
    "UploadedInputs": "inputs",
    "built_in_image": "regions",
    "describe": "findings",
    "fetch_manifest": "manifests",
    "from_model_trainer": "sdk",
    "model_trainer": "sdk",
    "request_findings": "validation",
    "to_model_trainer": "sdk",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
