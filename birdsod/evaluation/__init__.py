"""A predictor run over many images: what it finds, and how well it does."""

from birdsod.evaluation._predict_all import predict_all
from birdsod.evaluation._report import Report
from birdsod.evaluation._run import evaluate

__all__ = ["Report", "evaluate", "predict_all"]
